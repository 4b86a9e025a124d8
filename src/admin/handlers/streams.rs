//! Streams: what the camera says, what the recorder says, and who watches, in one view.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        paging::page,
        views::{StreamView, TranscodeView},
    },
    camera,
    model::StreamKey,
    serve::Response,
};
use std::sync::Arc;

/// A stream that does not exist is answered with the names of so many that do.
const NAMED_MAX: usize = 16;

pub(in crate::admin) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let snapshot = api.deps.cameras.watch().borrow().clone();
    let chosen = page(&snapshot.streams, |s| s.key.clone(), call.cursor()?, call.limit()?);
    let items = chosen.items.iter().map(|s| view(&api, &snapshot, s)).collect();
    json(&crate::admin::paging::Page { items, next: chosen.next })
}

pub(in crate::admin) async fn one(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let key: StreamKey =
        call.argument("key").parse().map_err(|e: crate::model::key::BadKey| Failure::not_found(e.to_string()))?;
    let snapshot = api.deps.cameras.watch().borrow().clone();
    let stream = snapshot.streams.iter().find(|s| s.key == key);
    let stream = stream.ok_or_else(|| Failure::not_found(none_such(&key, &snapshot)))?;
    json(&view(&api, &snapshot, stream))
}

fn none_such(key: &StreamKey, snapshot: &camera::Snapshot) -> String {
    let all: Vec<String> = snapshot.streams.iter().map(|s| s.key.to_string()).collect();
    let named = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => format!("there is no stream `{key}`, and no other yet; GET /api/v1/devices says how the devices are"),
        1..=NAMED_MAX => format!("there is no stream `{key}`; there is {named}"),
        n => format!("there is no stream `{key}`; there is {named} and {} more at GET /api/v1/streams", n - NAMED_MAX),
    }
}

/// Why a stream does not run comes before why it is not recorded.
fn view(api: &Api, snapshot: &camera::Snapshot, stream: &camera::StreamView) -> StreamView {
    let key = stream.key.clone();
    let device = snapshot.devices.iter().find(|d| d.id == key.device);
    let channel = device.and_then(|d| d.channels.iter().find(|c| c.channel == key.channel));
    let recording = api.deps.recorder.watch().borrow().get(&key).cloned().unwrap_or_default();
    let transcoded = api.deps.transcoder.watch().borrow().get(&key).cloned();
    let reason = transcoded.as_ref().and_then(|t| t.reason).map(str::to_owned);
    let shown = transcoded.as_ref().and_then(|t| t.format);
    StreamView {
        state: stream.state,
        reason: stream.reason.clone().or(recording.reason).or(reason),
        recording: recording.recording,
        name: channel.and_then(|c| c.name.clone()),
        codec: shown.map(|(codec, ..)| codec).or(stream.codec),
        width: shown.map(|(_, width, _)| width).or(stream.width),
        height: shown.map(|(.., height)| height).or(stream.height),
        transcode: transcoded.as_ref().map(|t| TranscodeView::of(t, stream)),
        audio: stream.audio.clone(),
        packets_lost: stream.packets_lost,
        fps: stream.fps,
        bitrate: stream.bitrate,
        last_frame: stream.last_frame,
        reconnects: stream.reconnects,
        clock_skew_ms: stream.clock_skew_ms,
        readers: api.deps.hub.readers(&key),
        key,
    }
}
