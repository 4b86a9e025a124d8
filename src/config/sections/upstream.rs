//! `upstreams` of a route: `"http://10.0.0.5:9000 weight=2"`.

use crate::{
    base::nearest::nearest,
    config::reader::{Scope, as_text, clip},
    model::{Fingerprint, service::WEIGHT_MAX},
    proxy::config::{Secure, Upstream, Via},
};
use std::sync::Arc;

/// What an upstream may begin with: whether HTTP/2 is spoken, and whether over TLS.
const SCHEMES: [(&str, bool, bool); 4] =
    [("http://", false, false), ("https://", false, true), ("h2://", true, false), ("h2s://", true, true)];

/// Who has more of them has a service.
const UPSTREAMS_MAX: usize = 1_000;

/// The upstreams of a route, faults told.
pub(super) fn list(scope: &Scope<'_>) -> Vec<Upstream> {
    let list = scope.list("upstreams", Vec::new(), |n| one(&as_text(n)?));
    if scope.is_empty_list("upstreams") {
        scope.fault("upstreams", "is empty; write for example [\"http://10.0.0.5:9000\"], or use `service`");
    }
    if list.len() > UPSTREAMS_MAX {
        scope.fault(
            "upstreams",
            format!("has {} entries, {UPSTREAMS_MAX} are the most; register a service", list.len()),
        );
    }
    for (i, upstream) in list.iter().enumerate() {
        if list[..i].iter().any(|before| (&before.host, before.port) == (&upstream.host, upstream.port)) {
            scope.fault("upstreams", format!("has {upstream} twice; write it once, with a weight"));
        }
    }
    list
}

/// The upstreams of a TCP route: `"10.0.0.5:5672 weight=2"`, as nothing is known of what is spoken with them.
pub(super) fn of_tcp(scope: &Scope<'_>) -> Vec<Upstream> {
    let list = scope.list("upstreams", Vec::new(), |n| {
        let text = as_text(n)?;
        let wrong = |why: &str| Err(format!("`{}` {why}; write for example \"10.0.0.5:5672\"", clip(&text)));
        let place = text.split_whitespace().next().unwrap_or_default();
        match place.rsplit_once(':').map(|(_, port)| port.parse::<u16>()) {
            _ if place.contains("://") => wrong("has a scheme, which bytes do not have"),
            Some(Ok(1..)) => one(&format!("http://{}", text.trim())),
            _ => wrong("has no port"),
        }
    });
    if scope.is_empty_list("upstreams") {
        scope.fault("upstreams", "is empty; write for example [\"10.0.0.5:5672\"], or use `service`");
    }
    list
}

pub(super) fn one(text: &str) -> Result<Upstream, String> {
    let wrong = |why: &str| Err(format!("`{}` {why}; write for example \"http://10.0.0.5:9000 weight=2\"", clip(text)));
    let mut words = text.split_whitespace();
    let Some(place) = words.next() else { return wrong("is empty") };
    let scheme = SCHEMES.iter().find_map(|(scheme, h2, tls)| Some((place.strip_prefix(scheme)?, *h2, *tls)));
    let Some((rest, h2, tls)) = scheme else {
        return wrong("does not begin with http://, https://, h2:// or h2s://");
    };
    // The other schemes are nobody's but ours, and have ports and hosts as these have.
    let Ok(url) = url::Url::parse(&format!("{}://{rest}", if tls { "https" } else { "http" })) else {
        return wrong("is not a URL");
    };
    if rest.trim_end_matches('/').contains(['/', '?', '#']) {
        return Err(format!("`{}` has a path; remove it here, and use `rewrite` to change paths", clip(text)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong("holds a user or password");
    }
    let host = match url.host() {
        Some(url::Host::Domain(name)) => name.to_owned(),
        Some(url::Host::Ipv4(ip)) => ip.to_string(),
        Some(url::Host::Ipv6(ip)) => ip.to_string(),
        None => return wrong("names no host"),
    };
    let port = match url.port_or_known_default() {
        Some(port @ 1..) => port,
        _ => return wrong("has no port that can be connected to"),
    };
    let (mut weight, mut name, mut pin) = (1, Arc::from(host.as_str()), None);
    for word in words {
        match word.split_once('=') {
            Some(("weight", number)) => match number.parse() {
                Ok(n @ 1..=WEIGHT_MAX) => weight = n,
                _ => return Err(format!("has the weight `{}`; write 1 to {WEIGHT_MAX}", clip(number))),
            },
            Some((key @ ("name" | "pin"), _)) if !tls => {
                return Err(format!("has `{key}=`, which is for TLS; write https:// or h2s://, or remove it"));
            }
            Some(("name", text)) => match url::Host::parse(text) {
                Ok(host) => name = host.to_string().into(),
                Err(_) => return Err(format!("has the name `{}`, which is not a host", clip(text))),
            },
            Some(("pin", text)) => match text.parse::<Fingerprint>() {
                Ok(fingerprint) => pin = Some(fingerprint),
                Err(error) => return Err(format!("has the pin `{}`: {error}", clip(text))),
            },
            _ => {
                let key = word.split('=').next().unwrap_or(word);
                let hint = nearest(key, ["weight", "name", "pin"]);
                let hint = hint.map_or(String::new(), |key| format!("; did you mean `{key}=`?"));
                return Err(format!(
                    "has `{}`, which is unknown{hint}; known are weight=2, name= and pin=",
                    clip(word)
                ));
            }
        }
    }
    let via = (h2 || tls).then(|| Via { h2, tls: tls.then_some(Secure { name, pin }) });
    Ok(Upstream { host: host.into(), port, weight, via })
}
