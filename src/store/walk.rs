//! Reading all rows of a range while commits go on, as of one moment.
//!
//! A walk reads a few rows at a time under the lock that also covers each commit's change of the tree. Commits tell every walk of the
//! changes behind its cursor; rows ahead of it are read as they are then. What was read plus the changes told is the range as of the
//! last step.

use super::{Error, engine::guarded, handle::Inner, sums::Meta};
use std::ops::Bound;

/// Rows read under the lock at once: long enough to be quick, short enough that no commit waits for milliseconds.
const STEP_ROWS_MAX: usize = 256;
/// Changes a walk may leave uncollected before it is given up: a reader that stalls must not fill the memory.
const CHANGES_BYTES_MAX: usize = 64 << 20;

/// One raw row's change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub key: Vec<u8>,
    pub old: Option<Vec<u8>>,
    pub new: Option<Vec<u8>>,
}

/// All walks under way; at most one for verification and one for a backup in practice.
#[derive(Default)]
pub(super) struct Walks {
    next_id: u64,
    active: Vec<Walk>,
}

struct Walk {
    id: u64,
    end: Option<Vec<u8>>,
    cursor: Bound<Vec<u8>>,
    start: Vec<u8>,
    changes: Vec<Change>,
    change_bytes: usize,
}

impl Walks {
    /// Tells the walks that have passed `key`.
    pub(super) fn note(&mut self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
        for walk in &mut self.active {
            let inside = key >= walk.start.as_slice() && walk.end.as_deref().is_none_or(|end| key < end);
            let passed = match &walk.cursor {
                Bound::Excluded(cursor) => key <= cursor.as_slice(),
                Bound::Included(_) => false,
                Bound::Unbounded => true,
            };
            if inside && passed && walk.change_bytes <= CHANGES_BYTES_MAX {
                walk.change_bytes += key.len() + old.map_or(0, <[u8]>::len) + new.map_or(0, <[u8]>::len);
                walk.changes.push(Change {
                    key: key.to_vec(),
                    old: old.map(<[u8]>::to_vec),
                    new: new.map(<[u8]>::to_vec),
                });
            }
        }
    }
}

/// One reader's walk; ends when dropped.
pub(super) struct Walker<'a> {
    inner: &'a Inner,
    id: u64,
}

/// What one step read.
pub(super) struct Step {
    /// Changes of rows of earlier steps; they come before `rows`.
    pub changes: Vec<Change>,
    /// The next rows, in order.
    pub rows: Vec<(sled::IVec, sled::IVec)>,
    /// At the last step: the sums as of this moment.
    pub finished: Option<Meta>,
}

impl<'a> Walker<'a> {
    /// Begins at `start`; `end` is exclusive.
    pub(super) fn begin(inner: &'a Inner, start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        let mut state = inner.state();
        let id = state.walks.next_id;
        state.walks.next_id += 1;
        state.walks.active.push(Walk {
            id,
            end,
            cursor: Bound::Included(start.clone()),
            start,
            changes: Vec::new(),
            change_bytes: 0,
        });
        Self { inner, id }
    }

    /// The next rows. Blocks.
    pub(super) fn step(&mut self) -> Result<Step, Error> {
        let mut state = self.inner.state();
        let meta = state.meta.clone();
        let walk = state.walks.active.iter_mut().find(|w| w.id == self.id).expect("a walk lives until it is dropped");
        if walk.change_bytes > CHANGES_BYTES_MAX {
            return Err(Error::Storage("the store changed faster than it could be read through".into()));
        }
        walk.change_bytes = 0;
        let changes = std::mem::take(&mut walk.changes);
        let upper = walk.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let range = (walk.cursor.clone(), upper);
        let rows: Vec<_> =
            guarded(|| self.inner.db.range::<Vec<u8>, _>(range).take(STEP_ROWS_MAX).collect::<Result<_, _>>())?;
        let finished = match rows.last() {
            Some((key, _)) if rows.len() == STEP_ROWS_MAX => {
                walk.cursor = Bound::Excluded(key.to_vec());
                None
            }
            _ => {
                walk.cursor = Bound::Unbounded;
                Some(meta)
            }
        };
        Ok(Step { changes, rows, finished })
    }
}

impl Drop for Walker<'_> {
    fn drop(&mut self) {
        self.inner.state().walks.active.retain(|w| w.id != self.id);
    }
}
