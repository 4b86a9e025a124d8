//! Why frames do not come, as those say who should send them, and why they are not wanted, as those say who take them.
//! Camera and recorder know nothing of each other; they leave word here.

use crate::{
    base::Wall,
    model::{GapCause, StreamKey},
};
use std::{collections::BTreeSet, sync::Arc};

/// No frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Why.
    pub cause: GapCause,
    /// Since when that is known to be the cause.
    pub since: Wall,
}

/// Frames of a stream are not wanted by who records; they are fetched only while somebody else reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// For people.
    pub reason: Arc<str>,
}

/// What a [`Hold`] says of a stream that is recorded as pictures: the camera is asked for those, and sends no frames
/// unless somebody else reads.
pub const PICTURES: &str = "image mode";

impl Hold {
    /// Whether pictures are taken in place of frames.
    pub fn is_for_pictures(&self) -> bool {
        &*self.reason == PICTURES
    }
}

/// What a device is known to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// The streams that it should deliver, whether or not it does now; None before it has said which it has.
    pub streams: Option<Arc<BTreeSet<StreamKey>>>,
    /// Why it says nothing, while it does not.
    pub absence: Option<Absence>,
}
