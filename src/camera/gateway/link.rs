//! The URL that a gateway hands out, made fit to be fetched and shown. Pure.
//!
//! The query (`?streamform=rtp`) goes: the old pollers dropped it, every gateway plays without it, and a part that
//! differs from answer to answer would else begin the stream anew each time. A login in it goes, too: ours is given
//! when asked for.

use crate::camera::config::host_port;

/// Longer ones are nonsense. Those of the field have about 100 characters.
const URL_CHARS_MAX: usize = 512;
const SCHEME: &str = "rtsp://";
/// The usual port of RTSP.
const RTSP_PORT: u16 = 554;
/// What every path of a gateway begins with.
const PATH_HEAD: &str = "/dac/";

/// Where a stream is fetched: `told` by the gateway at `host`, at `port` of it where that is configured.
pub(super) fn clean(told: &str, host: &str, port: Option<u16>) -> Result<String, String> {
    let told = told.trim();
    if told.chars().count() > URL_CHARS_MAX || told.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("the gateway's URL makes no sense".to_owned());
    }
    let rest = match told.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &told[SCHEME.len()..],
        _ => return Err("the gateway's URL is not an rtsp:// one".to_owned()),
    };
    // A password that is not encoded may hold any character; the path is known.
    let path_at = rest.to_ascii_lowercase().find(PATH_HEAD).or_else(|| rest.find('/'));
    let (authority, path) = rest.split_at(path_at.unwrap_or(rest.len()));
    let path = path.split(['?', '#']).next().unwrap_or(path);
    if path.len() < 2 {
        return Err("the gateway's URL has no path".to_owned());
    }
    let address = authority.rsplit('@').next().unwrap_or(authority);
    let (told_host, told_port) = split(address).ok_or("the gateway's URL has no host that can be read")?;
    let at = match port {
        // Who writes a port into the configuration means the address beside it, too: a gateway behind NAT.
        Some(port) => host_port(host, port),
        None if is_nowhere(told_host) => host_port(host, told_port),
        None => host_port(told_host, told_port),
    };
    Ok(format!("{SCHEME}{at}{path}"))
}

fn split(address: &str) -> Option<(&str, u16)> {
    if let Some(inner) = address.strip_prefix('[') {
        let (host, tail) = inner.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if tail.is_empty() { RTSP_PORT } else { tail.strip_prefix(':')?.parse().ok()? };
        return (port > 0).then_some((host, port));
    }
    let (host, port) = address.split_once(':').unwrap_or((address, "554"));
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let port = port.parse().ok().filter(|p| *p > 0)?;
    host.bytes().all(fits).then_some((host, port))
}

/// Addresses that mean the gateway itself, seen from itself.
fn is_nowhere(host: &str) -> bool {
    let unusable = |ip: std::net::IpAddr| ip.is_unspecified() || ip.is_loopback();
    host.is_empty() || host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATH: &str = "/dac/realplay/6E1B1C1F-0C57-4C9D-9B6B-0D6E0F6A1B011/MAIN/TCP";

    #[test]
    fn what_gateways_write() {
        let told = |text: &str| clean(&text.replace("PATH", PATH), "gw.lan", None);
        for (text, wanted) in [
            ("rtsp://10.1.2.3:554PATH?streamform=rtp", "rtsp://10.1.2.3:554PATH"),
            ("RTSP://10.1.2.3PATH", "rtsp://10.1.2.3:554PATH"),
            ("rtsp://admin:p@ss/w:d@10.1.2.3:8554PATH?a=b", "rtsp://10.1.2.3:8554PATH"),
            ("rtsp://127.0.0.1:1554PATH", "rtsp://gw.lan:1554PATH"),
            ("rtsp://0.0.0.0PATH", "rtsp://gw.lan:554PATH"),
            ("rtsp://:554PATH", "rtsp://gw.lan:554PATH"),
            ("rtsp://[fe80::1]:554PATH", "rtsp://[fe80::1]:554PATH"),
        ] {
            assert_eq!(told(text), Ok(wanted.replace("PATH", PATH)), "{text}");
        }
        for text in [
            "",
            "http://10.1.2.3/x",
            "rtsp://10.1.2.3",
            "rtsp://10.1.2.3/",
            "rtsp://a b/x",
            "rtsp://h:0/x",
            "rtsp://h:x/y",
        ] {
            assert!(told(text).is_err(), "{text}");
        }
        let nat = clean("rtsp://192.168.1.9:554/dac/x", "media.example.com", Some(10_554));
        assert_eq!(nat, Ok("rtsp://media.example.com:10554/dac/x".to_owned()));
    }

    proptest! {
        #[test]
        fn no_login_and_no_query_is_ever_left(
            login in "[!-~]{0,12}",
            query in "[!-~]{0,12}",
        ) {
            let told = format!("rtsp://{login}@10.1.2.3:554{PATH}?{query}");
            if !login.to_ascii_lowercase().contains("/dac/") {
                prop_assert_eq!(clean(&told, "h", None), Ok(format!("rtsp://10.1.2.3:554{PATH}")));
            }
        }

        #[test]
        fn nothing_panics_and_what_is_made_is_a_url(told in "\\PC{0,60}|rtsp://\\PC{0,40}") {
            if let Ok(url) = clean(&told, "h", None) {
                prop_assert!(url.starts_with(SCHEME) && !url.contains('?'));
                prop_assert!(!url[SCHEME.len()..].split('/').next().unwrap_or_default().contains('@'));
            }
        }
    }
}
