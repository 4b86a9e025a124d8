//! `cors` of a route.

use super::duration;
use crate::{
    config::reader::{Scope, as_flag, as_text, clip},
    proxy::cors::{Cors, Origin},
};
use std::{ops::RangeInclusive, sync::Arc, time::Duration};

/// Browsers cut it to a day at most.
const MAX_AGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);
/// Each is looked at for each request of a page elsewhere.
const ORIGINS_MAX: usize = 256;

/// None where it is not there, or empty.
pub(super) fn read(scope: &Scope<'_>) -> Option<Cors> {
    scope.section("cors", |scope| {
        let origins = scope.list("origins", Vec::new(), |n| origin(&as_text(n)?));
        let methods = scope.list("methods", Vec::new(), |n| name(as_text(n)?, "method", "GET"));
        let headers = scope.list("headers", Vec::new(), |n| name(as_text(n)?, "header", "X-Token"));
        let credentials = scope.value("credentials", false, as_flag);
        let max_age = scope.has("max_age").then(|| duration(scope, "max_age", Duration::ZERO, &MAX_AGE));
        if origins.len() > ORIGINS_MAX {
            scope.fault("origins", format!("has {} entries; {ORIGINS_MAX} are the most", origins.len()));
        }
        if credentials && origins.contains(&Origin::Any) {
            let problem =
                "cannot stand with the origin \"*\": any page could act as whoever is logged in; name the origins";
            scope.fault("credentials", problem);
        }
        let said = ["methods", "headers", "credentials", "max_age"].into_iter().any(|key| scope.has(key));
        if origins.is_empty() && said {
            scope.missing("origins", "origins = [\"https://app.example.com\"], or [\"*\"]");
        }
        let any = |list: Vec<Arc<str>>| if list.iter().any(|one| &**one == "*") { Vec::new() } else { list };
        let (methods, headers) = (any(methods), any(headers));
        (!origins.is_empty()).then_some(Cors { origins, methods, headers, credentials, max_age })
    })
}

fn origin(text: &str) -> Result<Origin, String> {
    let wrong = |why: &str| {
        Err(format!(
            "`{}` {why}; write for example \"https://app.example.com\", \"https://*.example.com\" or \"*\"",
            clip(text)
        ))
    };
    if text == "*" {
        return Ok(Origin::Any);
    }
    if text == "null" {
        return Ok(Origin::Exact("null".into()));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return wrong("is not an origin") };
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
    {
        return wrong("has no scheme in small letters");
    }
    let (is_below, name) = rest.strip_prefix("*.").map_or((false, rest), |name| (true, name));
    // As a browser writes it: a path, or a port that goes without saying, would never match.
    let plain = url::Url::parse(&format!("{scheme}://{name}")).ok().filter(|url| url.has_host());
    let Some(url) = plain else { return wrong("names no host") };
    let written = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    match () {
        () if name.contains('*') => wrong("has a star that is not the first label"),
        () if name != written => wrong(&format!("is not as browsers write it, `{scheme}://{}`", clip(&written))),
        () if is_below => Ok(Origin::Below(format!("{scheme}://").into(), format!(".{name}").into())),
        () => Ok(Origin::Exact(text.into())),
    }
}

fn name(text: String, what: &str, example: &str) -> Result<Arc<str>, String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match !text.is_empty() && text.bytes().all(is_token) {
        true => Ok(text.into()),
        false => Err(format!("`{}` is not a {what}; write for example \"{example}\", or \"*\"", clip(&text))),
    }
}
