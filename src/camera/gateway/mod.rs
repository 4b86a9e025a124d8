//! A Hik Device Gateway: one account, and behind it devices that come and go, each with channels.
//!
//! Never does: the wire (that is `hikvision`), sessions (that is `session`).
//!
//! Flow: `task` asks, one request at a time → `walk` puts the pages of the list together → `roll` says which devices
//! there are → each `member` keeps what is known of one and opens and closes the gates of its streams. `agenda` says
//! which channels and URLs are asked for next, `link` makes a URL fit to be fetched, `errands` is word that streams and
//! people leave.

mod agenda;
mod errands;
mod link;
mod member;
mod roll;
mod task;
mod walk;

pub(super) use errands::Errands;
pub(super) use task::Gateway;
