//! Plays, as the API shows them.

use crate::{
    base::Wall,
    model::StreamKey,
    playback::plays::{Play, Shown, Totals},
};
use schemars::JsonSchema;
use serde::Serialize;

/// `/api/v1/plays`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct PlayView {
    /// Its name, part of its links.
    pub id: String,
    /// Of which stream.
    pub stream: StreamKey,
    /// The first moment that it shows; null where it shows what is live.
    pub from: Option<Wall>,
    /// The first moment after.
    pub to: Option<Wall>,
    /// It shows what is live.
    pub live: bool,
    /// It asks for a password of its own.
    pub password: bool,
    /// `open` or `expired`.
    pub state: &'static str,
    /// When it was made.
    pub created: Wall,
    /// From when on it shows nothing any more.
    pub expires: Wall,
    /// How many may watch at the same time; null: no limit.
    pub max_viewers: Option<u32>,
    /// How many watch now.
    pub viewers: usize,
    /// A page with a player, for people.
    pub page_url: String,
    /// HLS, for players.
    pub hls_url: String,
    /// One file, with ranges; null where it shows what is live.
    pub mp4_url: Option<String>,
}

impl PlayView {
    /// `base`: what its links are built on.
    pub(in crate::admin) fn of(play: &Play, totals: Totals, base: &str, now: Wall) -> Self {
        let range = match play.shown {
            Shown::Recorded(range) => Some(range),
            Shown::Live => None,
        };
        let page_url = format!("{base}/vod/{}", play.id);
        Self {
            id: play.id.to_string(),
            stream: play.stream.clone(),
            from: range.map(|r| r.from),
            to: range.map(|r| r.to),
            live: range.is_none(),
            password: play.password.is_some(),
            state: if play.is_open(now) { "open" } else { "expired" },
            created: play.created,
            expires: play.expires,
            max_viewers: play.viewers_max.map(std::num::NonZeroU32::get),
            viewers: totals.viewers,
            hls_url: format!("{page_url}/index.m3u8"),
            mp4_url: range.map(|_| format!("{page_url}/video.mp4")),
            page_url,
        }
    }
}
