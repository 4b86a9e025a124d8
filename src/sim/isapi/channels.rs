//! Documents about channels: a camera's inputs, an NVR's proxied cameras, the streams of either.

use super::{Answer, Status, device::serial, not_supported, xml::Element};
use crate::{
    model::{Profile, VideoCodec},
    sim::{
        DeviceKind, picture,
        state::{Channel, ChannelState, Device, PictureAnswer},
    },
};
use http::StatusCode;
use std::sync::atomic::Ordering;

/// What an NVR claims of its list's length; it is the number of its slots, not of its channels.
const PROXY_SLOTS_EXTRA: u32 = 2;

/// `System/Video/inputs/channels[/<n>[/motionDetection]]`.
pub(super) fn inputs(device: &Device, rest: &[&str]) -> Answer {
    match rest {
        [] => Answer::Document(
            Element::new("VideoInputChannelList").children(device.listed().map(|(c, _)| input(device, c.number))),
        ),
        [number] => listed(device, number).map_or_else(refused, |(c, _)| Answer::Document(input(device, c.number))),
        [number, "motiondetection"] => listed(device, number).map_or_else(refused, |_| Answer::Document(motion())),
        _ => refused(),
    }
}

/// `Streaming/channels[/<id>[/picture]]`.
pub(super) fn streaming(device: &Device, rest: &[&str]) -> Answer {
    match rest {
        [] => {
            let online = device.listed().filter(|(_, s)| s.online);
            let streams = online.flat_map(|(c, s)| [Profile::Main, Profile::Sub].map(|p| stream(device, c, s, p)));
            Answer::Document(Element::new("StreamingChannelList").children(streams))
        }
        [id] | [id, "picture"] => {
            let Some((channel, state, profile)) = stream_of(device, id) else { return refused() };
            if rest.len() == 2 {
                return picture(device, channel, state, profile, false);
            }
            Answer::Document(stream(device, channel, state, profile))
        }
        _ => refused(),
    }
}

/// `ContentMgmt/StreamingProxy/channels/<id>/picture`.
pub(super) fn proxied(device: &Device, rest: &[&str]) -> Answer {
    match rest {
        [id, "picture"] => match stream_of(device, id) {
            Some((channel, state, profile)) => picture(device, channel, state, profile, true),
            None => refused(),
        },
        _ => refused(),
    }
}

fn picture(device: &Device, channel: &Channel, state: ChannelState, profile: Profile, proxy: bool) -> Answer {
    let asked = channel.pictures_asked.fetch_add(1, Ordering::Relaxed);
    let take = || picture::take(device, channel.number, profile);
    match state.picture {
        PictureAnswer::None => refused(),
        // The errors come with HTTP 200.
        PictureAnswer::Broken => Answer::Status(StatusCode::OK, Status::DeviceError),
        PictureAnswer::Busy if asked.is_multiple_of(2) => Answer::Status(StatusCode::OK, Status::DeviceError),
        PictureAnswer::Proxied if !proxy => Answer::Status(StatusCode::OK, Status::BadXml),
        PictureAnswer::Cut => {
            let whole = take();
            Answer::Picture(whole[..whole.len() / 2].to_vec())
        }
        PictureAnswer::Fine | PictureAnswer::Busy | PictureAnswer::Proxied => Answer::Picture(take()),
    }
}

/// `ContentMgmt/InputProxy/channels[/status | /<n>[/status]]`.
pub(super) fn proxies(device: &Device, rest: &[&str]) -> Answer {
    match rest {
        [] => {
            let list = Element::new("InputProxyChannelList")
                .attribute("size", device.options.channels + PROXY_SLOTS_EXTRA)
                .children(device.listed().map(|(c, s)| proxy(device, c, s)));
            Answer::Document(list)
        }
        ["status"] => Answer::Document(
            Element::new("InputProxyChannelStatusList")
                .children(device.listed().map(|(c, s)| proxy_status(device, c, s))),
        ),
        [number] => listed(device, number).map_or_else(refused, |(c, s)| Answer::Document(proxy(device, c, s))),
        [number, "status"] => {
            listed(device, number).map_or_else(refused, |(c, s)| Answer::Document(proxy_status(device, c, s)))
        }
        _ => refused(),
    }
}

fn refused() -> Answer {
    not_supported(StatusCode::FORBIDDEN)
}

fn listed<'a>(device: &'a Device, number: &str) -> Option<(&'a Channel, ChannelState)> {
    let channel = device.channel(number.parse().ok()?)?;
    let state = *channel.state.borrow();
    (!state.deleted).then_some((channel, state))
}

fn stream_of<'a>(device: &'a Device, id: &str) -> Option<(&'a Channel, ChannelState, Profile)> {
    let id: u32 = id.parse().ok()?;
    let profile = [Profile::Main, Profile::Sub].into_iter().find(|p| p.number() == id % 100)?;
    let channel = device.channel(id / 100)?;
    let state = *channel.state.borrow();
    state.reachable().then_some((channel, state, profile))
}

fn name(device: &Device, number: u32) -> String {
    device.options.channel_name.clone().unwrap_or_else(|| format!("Camera {number:02}"))
}

fn input(device: &Device, number: u32) -> Element {
    Element::new("VideoInputChannel")
        .with("id", number)
        .with("inputPort", number)
        .with("videoInputEnabled", true)
        .with("name", name(device, number))
        .with("videoFormat", "PAL")
}

fn motion() -> Element {
    Element::new("MotionDetection")
        .with("enabled", true)
        .with("enableHighlight", false)
        .with("samplingInterval", 2)
        .with("startTriggerTime", 500)
        .with("endTriggerTime", 500)
        .with("regionType", "grid")
}

fn stream(device: &Device, channel: &Channel, state: ChannelState, profile: Profile) -> Element {
    let options = &device.options;
    let (width, height) = match (state.codec, profile) {
        (VideoCodec::H264, Profile::Main) => state.size,
        (VideoCodec::H264, Profile::Sub) => (state.size.0 / 2, state.size.1 / 2),
        (_, Profile::Main) => (640, 360),
        (_, Profile::Sub) => (320, 180),
    };
    let codec = match state.codec {
        VideoCodec::H264 => "H.264",
        VideoCodec::H265 => "H.265",
        VideoCodec::Mjpeg => "MJPEG",
    };
    let input = match options.kind {
        DeviceKind::Camera => "videoInputChannelID",
        DeviceKind::Nvr | DeviceKind::Gateway => "dynVideoInputChannelID",
    };
    let video = Element::new("Video")
        .with("enabled", true)
        .with(input, channel.number)
        .with("videoCodecType", codec)
        .with("videoResolutionWidth", width)
        .with("videoResolutionHeight", height)
        .with("videoQualityControlType", "CBR")
        .with("constantBitRate", (options.bits_per_second / 1000).max(32))
        .with("maxFrameRate", options.fps * 100)
        .with("keyFrameInterval", options.key_interval.as_millis())
        .with("GovLength", options.key_every_frames())
        .child(Element::new("SmartCodec").with("enabled", false));
    let audio = Element::new("Audio")
        .with("enabled", options.audio)
        .with("audioInputChannelID", channel.number)
        .with("audioCompressionType", "AAC");
    let control =
        Element::new("ControlProtocolList").child(Element::new("ControlProtocol").with("streamingTransport", "RTSP"));
    Element::new("StreamingChannel")
        .with("id", channel.number * 100 + profile.number())
        .with("channelName", name(device, channel.number))
        .with("enabled", true)
        .child(Element::new("Transport").child(control))
        .child(video)
        .child(audio)
}

/// Where an NVR has a camera from. What it no longer reaches it no longer knows the model of.
fn source(device: &Device, number: u32, online: bool) -> Element {
    let known = |text: String| if online { text } else { String::new() };
    Element::new("sourceInputPortDescriptor")
        .with("proxyProtocol", "HIKVISION")
        .with("addressingFormatType", "ipaddress")
        .with("ipAddress", format!("192.168.254.{}", number % 254 + 1))
        .with("managePortNo", 8000)
        .with("srcInputPort", 1)
        .with("userName", "admin")
        .with("streamType", "auto")
        .with("model", known("DS-2CD2043G2-I".into()))
        .with("serialNumber", known(format!("{}C{number:03}", serial(device))))
        .with("firmwareVersion", known("V5.7.15 build 240201".into()))
}

fn proxy(device: &Device, channel: &Channel, state: ChannelState) -> Element {
    let number = channel.number;
    let element = Element::new("InputProxyChannel")
        .with("id", number)
        .with("name", name(device, number))
        .child(source(device, number, state.online))
        .with("enableAnr", false);
    if state.online { element.with("devIndex", format!("{number:08X}-0000-4000-8000-4419B6000000")) } else { element }
}

fn proxy_status(device: &Device, channel: &Channel, state: ChannelState) -> Element {
    let number = channel.number;
    let streams =
        [Profile::Main, Profile::Sub].map(|p| Element::text("streamingProxyChannelId", number * 100 + p.number()));
    Element::new("InputProxyChannelStatus")
        .with("id", number)
        .child(source(device, number, state.online))
        .with("online", state.online)
        .child(Element::new("streamingProxyChannelIdList").children(streams))
        .with("chanDetectResult", if state.online { "connect" } else { "netUnreachable" })
}
