//! Streams: what the camera says, what the recorder says, and who watches, in one view.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        paging::page,
        views::{PauseView, StreamView, TranscodeView},
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
    let (key, snapshot) = key_of(&api, &call)?;
    let stream = snapshot.streams.iter().find(|s| s.key == key);
    let stream = stream.ok_or_else(|| none_such(&key, &snapshot))?;
    json(&view(&api, &snapshot, stream))
}

/// The key of the path, and the streams that are.
pub(super) fn key_of(api: &Api, call: &Call) -> Result<(StreamKey, Arc<camera::Snapshot>), Failure> {
    let key = call.argument("key").parse();
    let key = key.map_err(|e: crate::model::key::BadKey| Failure::not_found(e.to_string()))?;
    Ok((key, api.deps.cameras.watch().borrow().clone()))
}

/// There is no such stream.
pub(super) fn none_such(key: &StreamKey, snapshot: &camera::Snapshot) -> Failure {
    Failure::not_found(there_is(key, snapshot))
}

fn there_is(key: &StreamKey, snapshot: &camera::Snapshot) -> String {
    let all: Vec<String> = snapshot.streams.iter().map(|s| s.key.to_string()).collect();
    let named = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => format!("there is no stream `{key}`, and no other yet; GET /api/v1/devices says how the devices are"),
        1..=NAMED_MAX => format!("there is no stream `{key}`; there is {named}"),
        n => format!("there is no stream `{key}`; there is {named} and {} more at GET /api/v1/streams", n - NAMED_MAX),
    }
}

/// The name that people gave the channel. Behind a gateway, where each device has a "Camera 01", the device's too.
fn name(device: Option<&camera::DeviceView>, channel: Option<&camera::ChannelView>) -> Option<String> {
    let own = channel.and_then(|c| c.name.clone());
    let device = device.filter(|d| d.id.dev_index().is_some()).and_then(|d| d.name.clone());
    match (device, own) {
        (Some(device), Some(own)) => Some(format!("{device} · {own}")),
        (device, own) => own.or(device),
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
        pause: api.deps.recorder.pauses().get(&key).cloned().map(PauseView::of),
        name: name(device, channel),
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
