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
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, X_FRAME_OPTIONS},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Nothing but our own files runs in the page, and no page frames it. `blob:` is what Media Source plays from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
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

const ASSETS: &[Asset] = &[
    Asset { name: "", content_type: HTML, text: include_str!("../console/index.html") },
    Asset { name: "console.css", content_type: CSS, text: include_str!("../console/console.css") },
    Asset { name: "console.js", content_type: JS, text: include_str!("../console/console.js") },
    Asset { name: "api.js", content_type: JS, text: include_str!("../console/api.js") },
    Asset { name: "live.js", content_type: JS, text: include_str!("../console/live.js") },
    Asset { name: "player.js", content_type: JS, text: include_str!("../console/player.js") },
    Asset { name: "playlist.js", content_type: JS, text: playback::PLAYLIST_JS },
    Asset { name: "recordings.js", content_type: JS, text: include_str!("../console/recordings.js") },
    Asset { name: "text.js", content_type: JS, text: include_str!("../console/text.js") },
];

pub(in crate::admin) async fn asset(_: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let name = call.argument("file");
    let Some(asset) = ASSETS.iter().find(|a| a.name == name) else {
        return Err(Failure::no_path(call.request.path()));
    };
    let digest = Sha256::digest(asset.text.as_bytes());
    let tag = ETag::new(&digest.iter().take(8).map(|b| format!("{b:02x}")).collect::<String>());
    let mut response = if not_modified(&call.request.headers, &tag) {
        let mut response = body(asset.content_type, "");
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        body(asset.content_type, asset.text)
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, tag.header());
    // Kept, but asked for each time, so that a new binary's console is never mixed with an old one's.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    Ok(response)
}

/// Playback weighs its own token and answers for everything below `/media/`.
pub(in crate::admin) async fn media(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    Ok(api.deps.playback.handle(call.request).await)
}
