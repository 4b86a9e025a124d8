//! Documents to values. What a device leaves out stays unknown; what it repeats or pads is understood.

use super::{
    Error,
    xml::{Node, clip},
};
use crate::model::key::CHANNEL_MAX;

/// Entries of one list that are believed.
const LIST_MAX: usize = 4096;
/// Channels of one device that are believed. The largest recorders have 256.
const CHANNELS_MAX: usize = 512;

/// Who a device says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name that people gave it.
    pub name: Option<String>,
    /// For example `DS-7608NXI-K2`.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// For example `V4.62.210`.
    pub firmware: Option<String>,
    /// For example `IPCamera`, `NVR`. Some recorders say `DVR`.
    pub kind: Option<String>,
}

/// One stream that a device lists. Its id is channel × 100 + stream; firmware of the first years counts from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// As it stands in the RTSP path.
    pub id: u32,
    /// The channel, from 1.
    pub channel: u32,
    /// 1 main, 2 sub, 3 third, 4 transcoded.
    pub number: u32,
    /// Off on the device itself.
    pub enabled: bool,
    /// As the device spells it: `H.264`, `H.265`, `MJPEG`.
    pub codec: Option<String>,
    /// Pictures per second × 100; None where it is "full" or not said.
    pub centi_fps: Option<u32>,
    /// The channel's name, where this list carries it.
    pub name: Option<String>,
}

/// One video input of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoInput {
    /// The channel, from 1.
    pub id: u32,
    /// The name that people gave it.
    pub name: Option<String>,
}

/// One camera that a recorder was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyChannel {
    /// The channel, from 1.
    pub id: u32,
    /// The name that people gave it.
    pub name: Option<String>,
    /// The camera's own address.
    pub address: Option<String>,
}

/// Whether a recorder sees one of its cameras.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// The channel, from 1.
    pub id: u32,
    /// It does.
    pub online: bool,
    /// Why not, in the device's word, for example `netUnreachable`.
    pub detail: Option<String>,
}

fn text(node: &Node, path: &[&str]) -> Option<String> {
    node.text_at(path).map(clip)
}

/// The root must be the one that was asked for: a login page or another document is nonsense, not an empty list.
fn expect(root: &Node, name: &str, path: &str) -> Result<(), Error> {
    if root.name.eq_ignore_ascii_case(name) {
        return Ok(());
    }
    Err(Error::Nonsense { path: path.into(), detail: format!("it is a <{}>, not a <{name}>", clip(&root.name)) })
}

pub(super) fn identity(root: &Node) -> Result<Identity, Error> {
    expect(root, "DeviceInfo", "/ISAPI/System/deviceInfo")?;
    Ok(Identity {
        name: text(root, &["deviceName"]),
        model: text(root, &["model"]),
        serial: text(root, &["serialNumber"]),
        firmware: text(root, &["firmwareVersion"]),
        kind: text(root, &["deviceType"]),
    })
}

pub(super) fn streams(root: &Node) -> Result<Vec<StreamInfo>, Error> {
    expect(root, "StreamingChannelList", "/ISAPI/Streaming/channels")?;
    Ok(root.all("StreamingChannel").take(LIST_MAX).filter_map(stream).collect())
}

fn stream(node: &Node) -> Option<StreamInfo> {
    let id: u32 = node.number_at(&["id"])?;
    let (channel, number) = if id < 100 { (id, 1) } else { (id / 100, id % 100) };
    let enabled = node.flag_at(&["enabled"]).unwrap_or(true) && node.flag_at(&["Video", "enabled"]).unwrap_or(true);
    ((1..=CHANNEL_MAX).contains(&channel) && number > 0).then(|| StreamInfo {
        id,
        channel,
        number,
        enabled,
        codec: text(node, &["Video", "videoCodecType"]),
        centi_fps: node.number_at(&["Video", "maxFrameRate"]).filter(|f| *f > 0),
        name: text(node, &["channelName"]),
    })
}

pub(super) fn inputs(root: &Node) -> Result<Vec<VideoInput>, Error> {
    expect(root, "VideoInputChannelList", "/ISAPI/System/Video/inputs/channels")?;
    let input = |n: &Node| Some(VideoInput { id: id_of(n)?, name: text(n, &["name"]) });
    Ok(root.all("VideoInputChannel").take(CHANNELS_MAX).filter_map(input).collect())
}

pub(super) fn proxied(root: &Node) -> Result<Vec<ProxyChannel>, Error> {
    expect(root, "InputProxyChannelList", "/ISAPI/ContentMgmt/InputProxy/channels")?;
    let channel = |n: &Node| {
        Some(ProxyChannel {
            id: id_of(n)?,
            name: text(n, &["name"]),
            address: text(n, &["sourceInputPortDescriptor", "ipAddress"]),
        })
    };
    Ok(root.all("InputProxyChannel").take(CHANNELS_MAX).filter_map(channel).collect())
}

pub(super) fn states(root: &Node) -> Result<Vec<ChannelState>, Error> {
    expect(root, "InputProxyChannelStatusList", "/ISAPI/ContentMgmt/InputProxy/channels/status")?;
    Ok(root.all("InputProxyChannelStatus").take(LIST_MAX).filter_map(state).collect())
}

/// One channel's state. An empty slot of the recorder (`notExist`) is no channel.
pub(super) fn state(node: &Node) -> Option<ChannelState> {
    let detail = text(node, &["chanDetectResult"]);
    let online = node.flag_at(&["online"]).unwrap_or_else(|| detail.as_deref() == Some("connect"));
    let empty = !online && detail.as_deref().is_some_and(|d| d.eq_ignore_ascii_case("notExist"));
    let detail = detail.filter(|_| !online);
    (!empty).then_some(ChannelState { id: id_of(node)?, online, detail })
}

fn id_of(node: &Node) -> Option<u32> {
    node.number_at(&["id"]).filter(|id| (1..=CHANNEL_MAX).contains(id))
}

pub(super) fn rtsp_port(root: &Node) -> Option<u16> {
    let rtsp = |n: &&Node| n.text_at(&["protocol"]).is_some_and(|p| p.eq_ignore_ascii_case("RTSP"));
    root.all("AdminAccessProtocol").find(rtsp)?.number_at(&["portNo"]).filter(|p| *p > 0)
}
