//! Shared nouns as plain data: keys, presence, frames, segments, events. No I/O, no async, no policy.

pub mod event;
pub mod frame;
pub mod gap;
pub mod key;
pub mod presence;
pub mod segment;
pub mod service;
pub mod span;
pub mod sum;
pub mod trust;

pub use event::{Event, EventKind};
pub use frame::{AudioFormat, Frame, SessionId, StreamFormat, TrackKind, VideoCodec, VideoFormat};
pub use gap::{Gap, GapCause};
pub use key::{DeviceId, Profile, StreamKey};
pub use presence::{Presence, StreamState};
pub use segment::{SampleTable, Segment, TrackSamples};
pub use service::{Catalog, Health, Instance, InstanceId, InstanceKey, Service, ServiceName, Source};
pub use span::{Range, Run, Span};
pub use sum::{Checksum, Sum};
pub use trust::{Fingerprint, Trust};
