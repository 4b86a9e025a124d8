//! Word that is left for a gateway's task: by streams that were told that there is no such stream, by people who want
//! a device behind it fetched anew. Bounded by the streams and devices that there are.

use crate::model::{DeviceId, StreamKey};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// What was left since it was last looked at.
#[derive(Debug, Default)]
pub(in crate::camera) struct Errands(Mutex<Left>);

/// See [`Errands`].
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Streams whose URL may be another by now.
    pub doubted: BTreeSet<StreamKey>,
    /// Devices whose sessions are to begin anew.
    pub anew: BTreeSet<DeviceId>,
}

impl Errands {
    /// The URL of this stream may be another by now.
    pub(in crate::camera) fn doubt(&self, key: &StreamKey) {
        self.with(|left| left.doubted.insert(key.clone()));
    }

    /// The sessions of this device are to begin anew.
    pub(in crate::camera) fn begin_anew(&self, device: &DeviceId) {
        self.with(|left| left.anew.insert(device.clone()));
    }

    /// Takes all that was left.
    pub(super) fn take(&self) -> Left {
        self.with(std::mem::take)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Left) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
