//! `[[device]]`.

use super::{Origin, recording, secret, transcode, unbuilt};
use crate::{
    camera::{DeviceKind, Transport},
    config::{
        Device, Recording,
        fault::Place,
        reader::{Scope, as_choice, as_flag, as_integer, as_text, clip, within},
        tree::Node,
        view,
    },
    model::{DeviceId, Fingerprint, Profile, Trust, key::CHANNEL_MAX},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    ops::RangeInclusive,
};

const HTTP_PORT_DEFAULT: u16 = 80;
const HTTPS_PORT_DEFAULT: u16 = 443;
const RTSP_PORT: RangeInclusive<i64> = 0..=65_535;
const HOST_LEN_BYTES_MAX: usize = 253;
const USER_LEN_BYTES_MAX: usize = 256;

/// All devices. `None` after a fault in one of them.
pub(super) fn all(scope: &Scope<'_>, origin: &Origin<'_>, recording: &Recording) -> Option<Vec<Device>> {
    let mut seen: BTreeMap<DeviceId, Option<Place>> = BTreeMap::new();
    let devices = scope.sections("device", |scope| {
        let id = scope
            .required("id", "id = \"nvr1\"", |n| DeviceId::parse_configured(&as_text(n)?).map_err(|e| e.to_string()));
        if let Some(id) = &id {
            match seen.get(id) {
                Some(Some(Place::Line(line))) => {
                    scope.fault("id", format!("`{id}` is the id of the device at line {line} too; give each its own"));
                }
                _ => {
                    seen.insert(id.clone(), scope.place("id").cloned());
                }
            }
        }
        one(scope, id, origin, recording)
    });
    devices.into_iter().collect()
}

fn one(scope: &Scope<'_>, id: Option<DeviceId>, origin: &Origin<'_>, defaults: &Recording) -> Option<Device> {
    unbuilt::device(scope);
    let kind = scope.required("kind", "kind = \"nvr\"", kind);
    let address = scope.required("address", "address = \"192.168.1.64\"", |n| address(&as_text(n)?));
    let fingerprint = scope.value("tls_fingerprint", None, fingerprint);
    let user = scope.required("user", "user = \"admin\"", user);
    let password = secret::read(scope, "password", "password_file", origin);
    if password.is_none() && !secret::given(scope, "password", "password_file") {
        scope.missing("password", "password = \"…\", or password_file = \"/etc/skyvis/nvr1.password\"");
    }
    let rtsp_port = scope.value("rtsp_port", None, |n| {
        let port = within(as_integer(n)?, &RTSP_PORT, |n| *n)?;
        Ok(u16::try_from(port).ok().filter(|port| *port != 0))
    });
    let channels = scope.list("channels", Vec::new(), channel);
    let streams =
        scope.list("streams", vec![Profile::Main], |n| as_choice(n, &[("main", Profile::Main), ("sub", Profile::Sub)]));
    twice(scope, "channels", &channels, u32::to_string);
    twice(scope, "streams", &streams, |p| p.as_str().to_owned());
    if scope.is_empty_list("streams") {
        scope.fault(
            "streams",
            "is empty; write [\"main\"], [\"sub\"] or both, or enabled = false to leave the device alone",
        );
    }
    let transport =
        scope.value("transport", Transport::Tcp, |n| as_choice(n, &[("tcp", Transport::Tcp), ("udp", Transport::Udp)]));
    let enabled = scope.value("enabled", true, as_flag);
    let transcode = transcode::of_device(scope);
    let (recording, per_channel) = scope.section("recording", |s| recording::of_device(s, defaults, &channels));
    let Address { host, port: http_port, https } = address?;
    if fingerprint.is_some() && !https {
        scope.fault("tls_fingerprint", "is that of an https address; write address = \"https://…\", or remove it");
    }
    Some(Device {
        id: id?,
        kind: kind?,
        host,
        http_port,
        tls: https.then(|| fingerprint.map_or(Trust::SystemRoots, Trust::Pinned)),
        rtsp_port,
        user: user?,
        password: password?,
        channels,
        streams,
        transport,
        transcode,
        enabled,
        recording,
        per_channel,
    })
}

fn kind(node: &Node) -> Result<DeviceKind, String> {
    as_choice(node, &[DeviceKind::Camera, DeviceKind::Nvr, DeviceKind::Gateway].map(|k| (view::kind(k), k)))
}

/// Empty is none: the host's own authorities then decide.
fn fingerprint(node: &Node) -> Result<Option<Fingerprint>, String> {
    let text = as_text(node)?;
    let how = "it stands in the device's error after a first connection without it, and on the device's own web page";
    let read = |text: &str| text.parse().map(Some).map_err(|e| format!("`{}` {e}; {how}", clip(text)));
    if text.is_empty() { Ok(None) } else { read(&text) }
}

fn user(node: &Node) -> Result<String, String> {
    let name = as_text(node)?;
    // Digest sends the name in quotes, and a colon would end it in what is hashed.
    match name.len() <= USER_LEN_BYTES_MAX && !name.is_empty() && !name.contains([':', '"']) && !has_control(&name) {
        true => Ok(name),
        false => {
            Err(format!("`{}` cannot be a user's name; write the account's name, for example \"admin\"", clip(&name)))
        }
    }
}

fn channel(node: &Node) -> Result<u32, String> {
    let number = within(as_integer(node)?, &(1..=i64::from(CHANNEL_MAX)), |n| *n)?;
    u32::try_from(number).map_err(|e| e.to_string())
}

fn twice<T: PartialEq>(scope: &Scope<'_>, key: &'static str, list: &[T], show: impl Fn(&T) -> String) {
    for (i, one) in list.iter().enumerate() {
        if list[..i].contains(one) {
            scope.fault(key, format!("{} stands here twice; remove one", show(one)));
        }
    }
}

/// Where a device's ISAPI is.
#[derive(Debug, PartialEq)]
struct Address {
    host: String,
    port: u16,
    https: bool,
}

/// Reads `host`, `host:port`, `http://host:port` or `https://host:port`.
fn address(text: &str) -> Result<Address, String> {
    let https = text.starts_with("https://");
    let default = if https { HTTPS_PORT_DEFAULT } else { HTTP_PORT_DEFAULT };
    let (host, port) = host_and_port(text, default)?;
    Ok(Address { host, port, https })
}

fn host_and_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let right = "write host, host:port or http(s)://host:port, for example \"192.168.1.64\"";
    let wrong = |why: &str| Err(format!("`{}` {why}; {right}", clip(text)));
    if text.contains('@') {
        // Not repeated in the fault: what stands before the @ may be a password.
        return Err(format!("holds a user or password; set them by `user` and `password`, and {right}"));
    }
    let bare = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = bare.map_or(text, |r| r.strip_suffix('/').unwrap_or(r));
    if rest.contains("://") {
        return wrong("is not an http address");
    }
    if rest.contains(['/', '?', '#']) {
        return wrong("has a path behind the address");
    }
    if rest.parse::<Ipv6Addr>().is_ok() {
        return Ok((rest.to_owned(), default));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            // Without a colon, what follows the bracket is no number either, and is refused below.
            Some((host, "")) if host.parse::<Ipv6Addr>().is_ok() => (host, None),
            Some((host, tail)) if host.parse::<Ipv6Addr>().is_ok() => {
                (host, Some(tail.strip_prefix(':').unwrap_or("-")))
            }
            _ => return wrong("is not an IPv6 address in brackets"),
        },
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let port = match port.map(str::parse::<u16>) {
        None => default,
        Some(Ok(port @ 1..)) => port,
        Some(_) => return wrong("has a port that is not 1 to 65535"),
    };
    match host.parse::<IpAddr>().is_ok() || is_host_name(host) {
        true => Ok((host.to_owned(), port)),
        false => wrong("is not a host's name or address"),
    }
}

fn is_host_name(text: &str) -> bool {
    // A name of figures and dots alone is an IPv4 address that is not one.
    let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    text.len() <= HOST_LEN_BYTES_MAX
        && text.trim_end_matches('.').split('.').all(label)
        && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::{Address, address};

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("192.168.1.64", "192.168.1.64", 80),
            ("192.168.1.64:8000", "192.168.1.64", 8000),
            ("http://nvr.lan:81", "nvr.lan", 81),
            ("http://nvr.lan/", "nvr.lan", 80),
            ("fe80::1", "fe80::1", 80),
            ("[fe80::1]:81", "fe80::1", 81),
            ("[fe80::1]", "fe80::1", 80),
            ("https://nvr.lan", "nvr.lan", 443),
            ("https://nvr.lan:8443/", "nvr.lan", 8443),
            ("https://fe80::1", "fe80::1", 443),
        ] {
            let https = text.starts_with("https");
            assert_eq!(address(text), Ok(Address { host: host.to_owned(), port, https }), "{text}");
        }
        for (text, why) in [
            ("", "host"),
            ("nvr:0", "1 to 65535"),
            ("nvr:65536", "1 to 65535"),
            ("nvr:", "1 to 65535"),
            ("300.1.1.1", "host"),
            ("a b", "host"),
            ("http://nvr/ISAPI", "path"),
            ("rtsp://nvr", "http address"),
            ("https://nvr/doc/page", "path"),
            ("https://admin:hunter2@nvr", "`user`"),
            ("[fe80::1]81", "1 to 65535"),
            ("[nvr]:80", "brackets"),
            ("http://admin:hunter2@nvr", "`user`"),
        ] {
            let problem = address(text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
            assert!(!problem.contains("hunter2"));
        }
    }
}
