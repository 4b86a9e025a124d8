//! HLS playlists as text, RFC 8216.

use super::vod::{Part, Source, init_hash};
use crate::{base::Wall, model::frame::VIDEO_TIMESCALE};
use std::fmt::Write;

/// What a playlist says besides its parts.
#[derive(Clone, Copy, Debug)]
pub struct Playlist<'a> {
    /// What its parts are cut from.
    pub sources: &'a [Source],
    /// In order, at least one.
    pub parts: &'a [Part],
    /// Where play begins: frames before it only lead in.
    pub from: Wall,
    /// More parts will come.
    pub growing: bool,
}

/// The least target duration, in seconds: parts of a growing playlist are about a second long, and a target that
/// they never exceed must not change.
const TARGET_SECONDS_MIN: u64 = 2;
/// No `EXT-X-START` where play begins so close to the first frame.
const START_MICROS_MIN: i64 = 1_000;

/// The playlist's text. `part_uri` and `init_uri` give the addresses; `init_uri` gets the part's source and the
/// hash of its format.
pub fn render(
    playlist: &Playlist<'_>,
    part_uri: impl Fn(&Part) -> String,
    init_uri: impl Fn(&Source, &str) -> String,
) -> String {
    let Playlist { sources, parts, from, growing } = *playlist;
    let second = u64::from(VIDEO_TIMESCALE);
    let longest = parts.iter().map(|p| p.duration_ticks).max().unwrap_or(0);
    let target = ((longest + second / 2) / second).max(TARGET_SECONDS_MIN);
    let mut out = String::with_capacity(256 + parts.len() * 96);
    let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}");
    let kind = if growing { "EVENT" } else { "VOD" };
    let _ = writeln!(out, "#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:{kind}");
    let lead_in = parts.first().map_or(0, |p| from.micros_since(p.wall));
    // Without it, a player begins a growing playlist at its end, not where it was asked to.
    if lead_in >= START_MICROS_MIN || (growing && !parts.is_empty()) {
        let _ = writeln!(out, "#EXT-X-START:TIME-OFFSET={:.6},PRECISE=YES", lead_in.max(0) as f64 / 1e6);
    }
    let mut format = String::new();
    for part in parts {
        if part.discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if part.begins_file {
            let source = &sources[part.source];
            let hash = init_hash(&source.table);
            if hash != format {
                let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", init_uri(source, &hash));
                format = hash;
            }
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", part.wall);
        }
        let seconds = part.duration_ticks as f64 / second as f64;
        let _ = writeln!(out, "#EXTINF:{seconds:.6},\n{}", part_uri(part));
    }
    if !growing {
        out.push_str("#EXT-X-ENDLIST\n");
    }
    out
}
