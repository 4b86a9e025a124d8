//! The console's files, held in the binary, and the way to playback.

use crate::{
    admin::{
        api::{Api, body},
        call::Call,
        failure::Failure,
    },
    playback,
    serve::{ETag, Response, not_modified},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, VARY, X_FRAME_OPTIONS},
};
use sha2::{Digest, Sha256};
use std::{
    io::Write,
    sync::{Arc, LazyLock},
};

/// Nothing but our own files runs in the page, and no page frames it. `blob:` is what Media Source plays from, and what
/// pictures of moments and files that were cut are given as.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file of the console.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// What stands in the page for the name of all of these files together.
const BUILD: &str = "{build}";

const ASSETS: &[Asset] = &[
    Asset { name: "", content_type: HTML, text: include_str!("../console/index.html") },
    Asset { name: "advice.js", content_type: JS, text: include_str!("../console/advice.js") },
    Asset { name: "api.js", content_type: JS, text: include_str!("../console/api.js") },
    Asset { name: "badge.js", content_type: JS, text: include_str!("../console/badge.js") },
    Asset { name: "calendar.js", content_type: JS, text: include_str!("../console/calendar.js") },
    Asset { name: "cameras.js", content_type: JS, text: include_str!("../console/cameras.js") },
    Asset { name: "config.js", content_type: JS, text: include_str!("../console/config.js") },
    Asset { name: "cut.js", content_type: JS, text: include_str!("../console/cut.js") },
    Asset { name: "dom.js", content_type: JS, text: include_str!("../console/dom.js") },
    Asset { name: "empty.js", content_type: JS, text: include_str!("../console/empty.js") },
    Asset { name: "feed.js", content_type: JS, text: include_str!("../console/feed.js") },
    Asset { name: "flow.js", content_type: JS, text: playback::LIVE_JS },
    Asset { name: "frame.css", content_type: CSS, text: include_str!("../console/frame.css") },
    Asset { name: "lag.js", content_type: JS, text: playback::LAG_JS },
    Asset { name: "lists.css", content_type: CSS, text: include_str!("../console/lists.css") },
    Asset { name: "live.css", content_type: CSS, text: include_str!("../console/live.css") },
    Asset { name: "live.js", content_type: JS, text: include_str!("../console/live.js") },
    Asset { name: "log.js", content_type: JS, text: include_str!("../console/log.js") },
    Asset { name: "login.js", content_type: JS, text: include_str!("../console/login.js") },
    Asset { name: "main.js", content_type: JS, text: include_str!("../console/main.js") },
    Asset { name: "player.js", content_type: JS, text: include_str!("../console/player.js") },
    Asset { name: "playlist.js", content_type: JS, text: playback::PLAYLIST_JS },
    Asset { name: "plot.js", content_type: JS, text: include_str!("../console/plot.js") },
    Asset { name: "routes.js", content_type: JS, text: include_str!("../console/routes.js") },
    Asset { name: "scale.js", content_type: JS, text: include_str!("../console/scale.js") },
    Asset { name: "services.js", content_type: JS, text: include_str!("../console/services.js") },
    Asset { name: "session.js", content_type: JS, text: include_str!("../console/session.js") },
    Asset { name: "step.js", content_type: JS, text: include_str!("../console/step.js") },
    Asset { name: "strip.js", content_type: JS, text: include_str!("../console/strip.js") },
    Asset { name: "system.js", content_type: JS, text: include_str!("../console/system.js") },
    Asset { name: "theme.js", content_type: JS, text: include_str!("../console/theme.js") },
    Asset { name: "thumb.js", content_type: JS, text: include_str!("../console/thumb.js") },
    Asset { name: "tile.js", content_type: JS, text: include_str!("../console/tile.js") },
    Asset { name: "timeline.css", content_type: CSS, text: include_str!("../console/timeline.css") },
    Asset { name: "timeline.js", content_type: JS, text: include_str!("../console/timeline.js") },
    Asset { name: "track.js", content_type: JS, text: include_str!("../console/track.js") },
    Asset { name: "units.js", content_type: JS, text: include_str!("../console/units.js") },
    Asset { name: "watch.js", content_type: JS, text: include_str!("../console/watch.js") },
    Asset { name: "ways.js", content_type: JS, text: include_str!("../console/ways.js") },
    Asset { name: "windowed.js", content_type: JS, text: include_str!("../console/windowed.js") },
    Asset { name: "words.js", content_type: JS, text: include_str!("../console/words.js") },
];

/// A file as it is sent.
struct Packed {
    asset: &'static Asset,
    plain: Bytes,
    gzip: Bytes,
    digest: String,
}

/// All of them, compressed when the first is asked for.
static PACKED: LazyLock<Vec<Packed>> = LazyLock::new(|| ASSETS.iter().map(pack).collect());

static BUILD_NAME: LazyLock<String> = LazyLock::new(|| {
    let mut sum = Sha256::new();
    ASSETS.iter().for_each(|asset| sum.update(asset.text));
    short(&sum.finalize())
});

/// The console's build: another one where any of its files is another.
pub(in crate::admin) fn build() -> &'static str {
    &BUILD_NAME
}

fn short(digest: &[u8]) -> String {
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

fn pack(asset: &'static Asset) -> Packed {
    let plain = if asset.content_type == HTML {
        Bytes::from(asset.text.replace(BUILD, build()))
    } else {
        Bytes::from_static(asset.text.as_bytes())
    };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail; where it did, nothing would be sent compressed.
    let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).unwrap_or_default().into();
    Packed { asset, digest: short(&Sha256::digest(&plain)), plain, gzip }
}

pub(in crate::admin) async fn asset(_: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let name = call.argument("file");
    let Some(packed) = PACKED.iter().find(|p| p.asset.name == name) else {
        return Err(Failure::no_path(call.request.path()));
    };
    let zipped = !packed.gzip.is_empty() && call.request.header(ACCEPT_ENCODING).is_some_and(takes_gzip);
    let tag = ETag::new(&format!("{}{}", packed.digest, if zipped { "-gz" } else { "" }));
    let mut response = if not_modified(&call.request.headers, &tag) {
        let mut response = body(packed.asset.content_type, "");
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let bytes = if zipped { &packed.gzip } else { &packed.plain };
        let mut response = body(packed.asset.content_type, bytes.clone());
        if zipped {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag.header());
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    // Kept, but asked for each time, so that a new binary's console is never mixed with an old one's.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    Ok(response)
}

/// Whether a client takes gzip: it names it, and not as what it does not want.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let refused = parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>() == Ok(0.0)));
        name.eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Playback weighs its own token and answers for everything below `/media/`. Who is let in here by a token or a session
/// needs no other there.
pub(in crate::admin) async fn media(api: Arc<Api>, mut call: Call) -> Result<Response, Failure> {
    call.request.vouched = api.guard.needs_token() && api.guard.role_of(&call.request).is_some();
    Ok(api.deps.playback.handle(call.request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is fetched before the live grid is there.
    const FIRST_BYTES_MAX: usize = 150_000;

    #[test]
    fn all_files_together_are_no_heavier_than_a_first_load_may_be() {
        let all: usize = PACKED.iter().map(|p| p.gzip.len()).sum();
        assert!(all > 10_000 && all <= FIRST_BYTES_MAX, "{all} bytes");
    }

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), takes, "{accepted}");
        }
    }

    #[test]
    fn every_file_that_a_file_names_is_there() {
        let names: Vec<&str> = ASSETS.iter().map(|a| a.name).collect();
        for asset in ASSETS {
            let quoted = asset.text.split('"').skip(1).step_by(2);
            let files = quoted.filter_map(|q| q.strip_prefix("./").or_else(|| q.strip_prefix("console/")));
            for file in files {
                assert!(names.contains(&file), "{} names {file}, which is not served", asset.name);
            }
        }
    }

    /// Each line of the words: `key: ["English", "中文"],`
    fn words() -> Vec<(String, usize)> {
        let text = ASSETS.iter().find(|a| a.name == "words.js").unwrap().text;
        let of_line = |line: &str| {
            let (key, rest) = line.strip_prefix("  ")?.split_once(": [\"")?;
            Some((key.to_owned(), rest.matches("\", \"").count() + 1))
        };
        text.lines().filter_map(of_line).collect()
    }

    #[test]
    fn every_word_that_a_page_says_is_there_in_both_languages_and_once() {
        let words = words();
        assert!(words.len() > 100, "{}", words.len());
        for (number, (key, languages)) in words.iter().enumerate() {
            assert_eq!(*languages, 2, "{key}");
            assert!(!words[..number].iter().any(|(other, _)| other == key), "{key} is there twice");
        }
        for asset in ASSETS.iter().filter(|a| a.content_type == JS) {
            for (at, _) in asset.text.match_indices("t(\"") {
                let is_call = !asset.text[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
                let key = asset.text[at + 3..].split('"').next().unwrap();
                let is_word = is_call && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                assert!(!is_word || words.iter().any(|(k, _)| k == key), "{}: t(\"{key}\") has no words", asset.name);
            }
        }
    }
}
