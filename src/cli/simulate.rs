//! `simulate`: a simulated Hikvision in the foreground, until a signal ends it.

use super::{
    Out,
    args::{Codec, Kind, Simulate},
    error::Error,
    save::unless_interrupted,
};
use crate::{
    base::{Secret, TaskGroup},
    model::VideoCodec,
    sim,
};
use std::time::Duration;

/// What is open at the end is given this long.
const STOP: Duration = Duration::from_secs(5);

/// `skyvis simulate`
pub(super) async fn simulate(args: Simulate, out: &mut Out) -> Result<(), Error> {
    let group = TaskGroup::new();
    let gateway = args.kind == Kind::Gateway;
    let running = sim::Simulator::start(options(args), &group).await?;
    out.line(format!("ISAPI    http://{}/", running.http_addr));
    if let Some((address, fingerprint)) = running.https_addr.zip(running.fingerprint()) {
        out.line(format!("         https://{address}/  {fingerprint}"));
    }
    let path = if gateway {
        format!("/dac/realplay/{}1/MAIN/TCP", running.dev_index(1))
    } else {
        "/Streaming/Channels/101".into()
    };
    out.line(format!("RTSP     rtsp://{}{path}", running.rtsp_addr));
    if let Some(control) = running.control_addr {
        out.line(format!("control  http://{control}/"));
    }
    out.flush();
    // A signal is the way in which a simulator ends.
    let _ = unless_interrupted(std::future::pending::<Result<(), Error>>(), "").await;
    group.stop(STOP).await;
    Ok(())
}

fn options(args: Simulate) -> sim::Options {
    sim::Options {
        listen: args.listen,
        http_port: args.http_port,
        https_port: args.https_port,
        rtsp_port: args.rtsp_port,
        control_port: Some(args.control),
        kind: match args.kind {
            Kind::Camera => sim::DeviceKind::Camera,
            Kind::Nvr => sim::DeviceKind::Nvr,
            Kind::Gateway => sim::DeviceKind::Gateway,
        },
        devices: args.devices,
        channels: args.channels,
        user: args.user,
        password: Secret::new(args.password),
        codec: codec(args.codec),
        fps: args.fps,
        key_interval: args.key_interval,
        size: args.size,
        audio: args.audio,
        sound: args.sound,
        in_band: args.in_band,
        aggregate: args.aggregate,
        bits_per_second: args.bitrate,
        sender_reports: !args.no_sender_reports,
        lying_profile: !args.true_profile,
        metadata_track: args.metadata_track,
        http_qop: !args.no_qop,
        http_auth: args.auth,
        rtsp_auth: args.rtsp_auth.unwrap_or(args.auth),
        nonce_lifetime: args.nonce_lifetime,
        nonce_per_url: args.nonce_per_url,
        tells_lock: !args.hide_lock,
        wrong_logins_max: args.wrong_logins,
        lock: args.lock,
        heartbeat: args.heartbeat,
        session_timeout: args.session_timeout,
        clock_skew_ms: args.clock_skew_ms,
        ..sim::Options::default()
    }
}

/// The model's word for a codec.
pub(super) fn codec(codec: Codec) -> VideoCodec {
    match codec {
        Codec::H264 => VideoCodec::H264,
        Codec::H265 => VideoCodec::H265,
    }
}
