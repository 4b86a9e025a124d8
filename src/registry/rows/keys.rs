//! A key with its value.

use crate::registry::{Entry, Side};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A new shape is a new variant behind these: old rows stay readable.
#[derive(Serialize, Deserialize)]
pub(super) enum EntryRow {
    First {
        value: Bytes,
        created: u64,
        modified: u64,
        version: u64,
        lease: i64,
    },
    /// With what is kept beside it.
    Second {
        value: Bytes,
        created: u64,
        modified: u64,
        version: u64,
        lease: i64,
        side: SideRow,
    },
}

#[derive(Serialize, Deserialize)]
pub(super) struct SideRow {
    flags: u64,
    locks: u64,
    session: Option<String>,
}

impl EntryRow {
    pub(super) fn of(entry: &Entry) -> Self {
        let Entry { value, created, modified, version, lease, side } = entry;
        let (value, created, modified, version, lease) = (value.clone(), *created, *modified, *version, *lease);
        match side {
            None => Self::First { value, created, modified, version, lease },
            Some(side) => {
                let session = side.session.as_ref().map(ToString::to_string);
                let side = SideRow { flags: side.flags, locks: side.locks, session };
                Self::Second { value, created, modified, version, lease, side }
            }
        }
    }

    pub(super) fn entry(self) -> Entry {
        match self {
            Self::First { value, created, modified, version, lease } => {
                Entry { value, created, modified, version, lease, side: None }
            }
            Self::Second { value, created, modified, version, lease, side } => {
                let SideRow { flags, locks, session } = side;
                let side = Some(Arc::new(Side { flags, locks, session: session.map(Arc::from) }));
                Entry { value, created, modified, version, lease, side }
            }
        }
    }
}
