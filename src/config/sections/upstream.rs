//! `upstreams` of a route: `"http://10.0.0.5:9000 weight=2"`.

use crate::{
    base::nearest::nearest,
    config::reader::{Scope, as_text, clip},
    model::service::WEIGHT_MAX,
    proxy::config::Upstream,
};

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

fn one(text: &str) -> Result<Upstream, String> {
    let wrong = |why: &str| Err(format!("`{}` {why}; write for example \"http://10.0.0.5:9000 weight=2\"", clip(text)));
    let mut words = text.split_whitespace();
    let Some(place) = words.next() else { return wrong("is empty") };
    if place.starts_with("https://") {
        return Err(format!("`{}`: upstreams over TLS are not built yet in this version; use http://", clip(text)));
    }
    let Some(rest) = place.strip_prefix("http://") else { return wrong("does not begin with http://") };
    let Ok(url) = url::Url::parse(place) else { return wrong("is not a URL") };
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
    let mut weight = 1;
    for word in words {
        match word.split_once('=') {
            Some(("weight", number)) => match number.parse() {
                Ok(n @ 1..=WEIGHT_MAX) => weight = n,
                _ => return Err(format!("has the weight `{}`; write 1 to {WEIGHT_MAX}", clip(number))),
            },
            _ => {
                let key = word.split('=').next().unwrap_or(word);
                let hint = if nearest(key, ["weight"]).is_some() { "; did you mean `weight=`?" } else { "" };
                return Err(format!("has `{}`, which is unknown{hint}; known is weight=2", clip(word)));
            }
        }
    }
    Ok(Upstream { host: host.into(), port, weight })
}
