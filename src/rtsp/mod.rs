//! RTSP as text and packets, for whoever serves it: messages, the server's side of digest, RTP packetisers, RTCP, SDP.
//!
//! Never does: sockets, tasks, clocks. Bytes and times come in, bytes go out. The client's side is retina's.
//!
//! Flow: bytes → `message::Parser` → a request; an access unit → `packet::Packetiser` → interleaved frames on the wire.

pub mod digest;
pub mod error;
pub mod message;
pub mod packet;
pub mod play;
pub mod rtcp;
pub mod sdp;
pub mod transport;

pub use error::Error;
