//! `split` and `sticky` of a route.

use super::{route, upstream};
use crate::{
    config::reader::{Scope, as_integer, as_text, clip, within},
    proxy::{
        config::{Backend, Line, When},
        table::PARTS,
    },
};
use std::{collections::BTreeSet, sync::Arc};

/// A header or a cookie is looked for in each request, for each line.
const LINES_MAX: usize = 16;

/// The lines beside `own`.
pub(super) fn read(scope: &Scope<'_>, own: &Backend) -> Option<Vec<Line>> {
    let lines = scope.sections("split", |scope| {
        let when = when(scope);
        let to = backend(scope, own);
        Some(Line { when: when?, to: to? })
    });
    let lines: Vec<Line> = lines.into_iter().collect::<Option<_>>()?;
    let sum: u32 = lines.iter().map(|line| if let When::Parts(parts) = line.when { parts } else { 0 }).sum();
    if sum > PARTS {
        scope.fault("split", format!("has weights that add up to {sum}; they are parts of {PARTS}"));
    }
    if lines.len() > LINES_MAX {
        scope.fault("split", format!("has {} lines; {LINES_MAX} are the most", lines.len()));
    }
    Some(lines)
}

fn when(scope: &Scope<'_>) -> Option<When> {
    let parts = scope.optional("weight", |n| {
        let parts = within(as_integer(n)?, &(1..=i64::from(PARTS)), |n| *n)?;
        u32::try_from(parts).map_err(|e| e.to_string())
    });
    let (has_when, has_weight) = (scope.has("when"), scope.has("weight"));
    let when = scope.section("when", |scope| {
        let header = scope.optional("header", |n| pair(&as_text(n)?, "header = \"X-Line=test\""));
        let cookie = scope.optional("cookie", |n| pair(&as_text(n)?, "cookie = \"line=test\""));
        match (scope.has("header"), scope.has("cookie")) {
            (true, true) => scope.fault("cookie", "stands beside `header`; write a line for each"),
            (false, false) if has_when => {
                scope.missing("header", "header = \"X-Line=test\", or cookie = \"line=test\"")
            }
            _ => {}
        }
        let header = header.map(|(name, value)| When::Header(name.to_ascii_lowercase().into(), value));
        header.or(cookie.map(|(name, value)| When::Cookie(name, value)))
    });
    match (has_when, has_weight) {
        (true, true) => {
            scope.fault("weight", "stands beside `when`; a line gets those that say so, or a part of all: remove one");
        }
        (false, false) => scope.missing("weight", "weight = 5, or when = { header = \"X-Line=test\" }"),
        _ => {}
    }
    when.or(parts.map(When::Parts))
}

/// `NAME` or `NAME=VALUE`.
fn pair(text: &str, example: &str) -> Result<(Arc<str>, Option<Arc<str>>), String> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    match is_name(name) && value.is_none_or(|v| v.trim() == v && !v.chars().any(char::is_control)) {
        true => Ok((name.into(), value.map(Into::into))),
        false => Err(format!("`{}` is no name and value; write for example {example}", clip(text))),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"=;:,\"".contains(&b))
}

/// Where a line leads: to a service, to addresses, or to other instances of the route's own service.
fn backend(scope: &Scope<'_>, own: &Backend) -> Option<Backend> {
    let tags: BTreeSet<Arc<str>> = scope.list("tags", Vec::new(), |n| route::tag(as_text(n)?)).into_iter().collect();
    let service =
        scope.optional("service", |n| as_text(n)?.parse().map_err(|e: crate::model::service::BadName| e.to_string()));
    match (scope.has("service"), scope.has("upstreams"), own) {
        (true, true, _) => {
            scope.fault("upstreams", "stands beside `service`; a line leads to one of them, so remove the other");
            None
        }
        (true, false, _) => Some(Backend::Service { name: service?, tags }),
        (false, true, _) if !tags.is_empty() => {
            scope.fault("tags", "choose among a service's instances, and this line has `upstreams`; remove them");
            None
        }
        (false, true, _) => Some(Backend::Upstreams(upstream::list(scope))),
        (false, false, Backend::Service { name, .. }) if !tags.is_empty() => {
            Some(Backend::Service { name: name.clone(), tags })
        }
        (false, false, _) => {
            scope.missing("service", "service = \"web-api-test\", or tags of the route's own service");
            None
        }
    }
}

/// `sticky`: the cookie's name.
pub(super) fn sticky(text: &str) -> Result<Option<Arc<str>>, String> {
    match text.split_once(':') {
        None if text.is_empty() => Ok(None),
        Some(("cookie", name)) if is_name(name) => Ok(Some(name.into())),
        _ => Err(format!("`{}` is unknown; write \"cookie:lb\", after the cookie that is to be set", clip(text))),
    }
}
