//! Documents about the device as a whole.

use super::xml::Element;
use crate::sim::{DeviceKind, state::Device};
use jiff::tz::{Offset, TimeZone};

/// The device's zone; Hikvision's POSIX text has the sign turned round.
const ZONE_HOURS: i8 = 8;
const ZONE_TEXT: &str = "CST-8:00:00";

/// `System/<rest>`.
pub(super) fn system(device: &Device, rest: &[&str]) -> Option<Element> {
    match rest {
        ["deviceinfo"] => Some(info(device)),
        ["status"] => Some(status(device)),
        ["time"] => Some(time(device)),
        ["capabilities"] => Some(capabilities(device)),
        _ => None,
    }
}

/// The local time with its offset, as all documents have it.
pub(super) fn local_time(device: &Device) -> String {
    let zone = TimeZone::fixed(Offset::constant(ZONE_HOURS));
    device.wall().to_timestamp().to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Distinct for each simulator of a host, since its port is.
pub(super) fn serial(device: &Device) -> String {
    let (region, end) = match device.options.kind {
        DeviceKind::Camera => ("AAWR", ""),
        DeviceKind::Nvr | DeviceKind::Gateway => ("CCRR", "WCVU"),
    };
    format!("{}0120260101{region}E{:08}{end}", device.model(), device.options.http_port)
}

/// Distinct likewise.
pub(super) fn mac(device: &Device) -> String {
    let [high, low] = device.options.http_port.to_be_bytes();
    format!("44:19:b6:00:{high:02x}:{low:02x}")
}

fn info(device: &Device) -> Element {
    let (name, kind, telecontrol) = match device.options.kind {
        DeviceKind::Camera => ("IP CAMERA", "IPCamera", 88),
        DeviceKind::Nvr | DeviceKind::Gateway => ("Network Video Recorder", "NVR", 255),
    };
    Element::new("DeviceInfo")
        .with("deviceName", name)
        .with("deviceID", format!("48443030-3030-3030-3030-4419b600{:04x}", device.options.http_port))
        .with("deviceDescription", kind)
        .with("deviceLocation", "hangzhou")
        .with("systemContact", "Hikvision.China")
        .with("model", device.model())
        .with("serialNumber", serial(device))
        .with("macAddress", mac(device))
        .with("firmwareVersion", "V5.7.15")
        .with("firmwareReleasedDate", "build 240201")
        .with("encoderVersion", "V7.3")
        .with("encoderReleasedDate", "build 240130")
        .with("bootVersion", "V1.3.4")
        .with("bootReleasedDate", "100316")
        .with("hardwareVersion", "0x0")
        .with("deviceType", kind)
        .with("telecontrolID", telecontrol)
        .with("supportBeep", false)
}

fn status(device: &Device) -> Element {
    let state = device.state.borrow().clone();
    let up = device.options.clock.now().saturating_duration_since(state.booted);
    let cpu = Element::new("CPU").with("cpuDescription", "simulated").with("cpuUtilization", 12);
    let memory = Element::new("Memory")
        .with("memoryDescription", "DDR")
        .with("memoryUsage", "1117.457031")
        .with("memoryAvailable", "730.542969");
    Element::new("DeviceStatus")
        .with("currentDeviceTime", local_time(device))
        .with("deviceUpTime", up.as_secs())
        .child(Element::new("CPUList").child(cpu))
        .child(Element::new("MemoryList").child(memory))
        .with("totalRebootCount", state.reboots)
}

fn time(device: &Device) -> Element {
    Element::new("Time").with("timeMode", "NTP").with("localTime", local_time(device)).with("timeZone", ZONE_TEXT)
}

fn capabilities(device: &Device) -> Element {
    let (inputs, proxies) = match device.options.kind {
        DeviceKind::Camera => (device.options.channels, 0),
        DeviceKind::Nvr | DeviceKind::Gateway => (0, device.options.channels),
    };
    let video = Element::new("VideoCap").with("videoInputPortNums", inputs).with("videoOutputPortNums", 0);
    let system = Element::new("SysCap").with("isSupportDst", true).child(video);
    Element::new("DeviceCap").child(system).child(Element::new("RacmCap").with("inputProxyNums", proxies))
}

/// `Security/userCheck`, once the credentials were right.
pub(super) fn user_check() -> Element {
    Element::new("userCheck")
        .with("statusValue", 200)
        .with("statusString", "OK")
        .with("isRiskPassword", false)
        .with("isActivated", true)
}

/// `Security/adminAccesses`: where RTSP really is.
pub(super) fn admin_accesses(device: &Device) -> Element {
    let ports = [
        ("HTTP", device.options.http_port, true),
        ("HTTPS", device.options.https_port.unwrap_or(443), device.options.https_port.is_some()),
        ("RTSP", device.options.rtsp_port, true),
        ("DEV_MANAGE", 8000, true),
    ];
    let access = |(n, (protocol, port, enabled)): (usize, (&str, u16, bool))| {
        Element::new("AdminAccessProtocol")
            .with("id", n + 1)
            .with("enabled", enabled)
            .with("protocol", protocol)
            .with("portNo", port)
    };
    Element::new("AdminAccessProtocolList").children(ports.into_iter().enumerate().map(access))
}

/// `ContentMgmt/Storage`.
pub(super) fn storage(device: &Device) -> Element {
    let disk = Element::new("hdd")
        .with("id", 1)
        .with("hddName", "hdda")
        .with("hddPath", "")
        .with("hddType", "SATA")
        .with("status", "ok")
        .with("capacity", 3_815_447)
        .with("freeSpace", 0)
        .with("property", "RW");
    let disks = match device.options.kind {
        DeviceKind::Camera => Element::new("hddList").attribute("size", 1),
        DeviceKind::Nvr | DeviceKind::Gateway => Element::new("hddList").attribute("size", 1).child(disk),
    };
    Element::new("storage").child(disks).child(Element::new("nasList").attribute("size", 8)).with("workMode", "quota")
}

/// `ContentMgmt/search`: this device never recorded anything.
pub(super) fn no_matches(body: &str) -> Element {
    Element::new("CMSearchResult")
        .with("searchID", content(body, "searchID").unwrap_or_default())
        .with("responseStatus", true)
        .with("responseStatusStrg", "NO MATCHES")
        .with("numOfMatches", 0)
}

/// What stands in the first element of that name. Enough for the few bodies that are read here.
pub(super) fn content(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}
