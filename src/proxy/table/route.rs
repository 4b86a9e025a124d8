//! A route as requests meet it. Made once per configuration and shared by all tables: only groups change with the
//! catalog.

use super::{RouteMeters, Tcp, Template, Vars, group::GroupKey, index, template::Back};
use crate::{
    balance,
    proxy::{
        config::{self, HashOn, PathChange},
        cors::Cors,
        files,
        h1::{Edits, Scheme},
    },
    serve::Handler,
};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// One route.
pub struct Route {
    /// Its name in logs, metrics and answers.
    pub name: Arc<str>,
    /// What becomes of a request.
    pub action: Action,
    /// What is set and removed on the way to the upstream; None: nothing.
    pub request_edits: Option<Edits>,
    /// What is set and removed on the way to the client; None: nothing.
    pub response_edits: Option<Edits>,
    /// Which pages of other origins may ask.
    pub cors: Option<Cors>,
    /// Who is asked first whether a request may be served.
    pub guard: Option<Box<Guard>>,
    /// The most that a request's body may have, in bytes; `u64::MAX`: no limit.
    pub body_max: u64,
    /// What is counted.
    pub meters: Arc<RouteMeters>,
    /// As it was configured; None for those that are built in.
    pub config: Option<Arc<config::Route>>,
    /// Of those that are built in, what the path begins with.
    pub(super) prefix: Arc<str>,
}

impl Route {
    /// How it goes on, where it goes to others.
    pub(super) fn forward(&self) -> Option<&Forward> {
        match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Tcp(tcp) => Some(&tcp.forward),
            _ => None,
        }
    }

    /// Where it sends clients, if it does.
    pub(super) fn redirect(&self) -> Option<&Redirect> {
        match &self.action {
            Action::Redirect(redirect) => Some(redirect),
            _ => None,
        }
    }
}

/// Who is asked whether a request may be served.
pub struct Guard {
    /// The way there, as that of a route of its own.
    pub way: Arc<Route>,
    /// How it was configured.
    pub config: config::Guard,
}

/// What becomes of a request.
pub enum Action {
    /// It is passed on to one of [`Match::group`](super::Match::group).
    Forward(Forward),
    /// It is none: connections are carried.
    Tcp(Tcp),
    /// It gets a file.
    Files(Files),
    /// It is sent elsewhere.
    Redirect(Redirect),
    /// It gets a fixed answer.
    Respond(Respond),
    /// It is answered in this process.
    Handler(Arc<dyn Handler>),
}

/// How requests are passed on.
#[derive(Debug)]
pub struct Forward {
    /// The longest that a connection may take to come about.
    pub connect_timeout: Duration,
    /// The longest between two reads or writes of the upstream.
    pub timeout: Duration,
    /// How often a request may be tried again, where that is safe.
    pub retries: u32,
    /// What the upstream gets as `Host`.
    pub host: HostHeader,
    /// The cookie by which a client stays with its instance.
    pub sticky: Option<Arc<str>>,
    pub(super) group: usize,
    pub(super) key: GroupKey,
    pub(super) lines: Box<[Line]>,
    change: PathChange,
}

/// A line beside a route's own.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) when: config::When,
    pub(super) group: usize,
}

/// What an upstream gets as `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// What the client sent.
    Pass,
    /// This.
    Set(Arc<str>),
}

impl Forward {
    /// `lines`: the groups of `config.split`.
    pub(super) fn new(config: &config::Forward, group: usize, lines: &[usize], key: GroupKey) -> Self {
        let lines = config.split.iter().zip(lines);
        Self {
            connect_timeout: config.connect_timeout,
            timeout: config.timeout,
            retries: config.retries,
            host: config.host_header.clone().map_or(HostHeader::Pass, HostHeader::Set),
            sticky: config.sticky.clone(),
            group,
            key,
            lines: lines.map(|(line, group)| Line { when: line.when.clone(), group: *group }).collect(),
            change: config.path.clone(),
        }
    }

    /// Whether there is anything to decide before an instance is chosen.
    pub fn has_lines(&self) -> bool {
        !self.lines.is_empty() || self.sticky.is_some()
    }

    /// Whom the client stays with, as its cookie says: see [`Endpoint::sticks_to`](super::Endpoint::sticks_to).
    pub fn sticky_of<'a>(&self, header: impl Fn(&str) -> Option<&'a [u8]>) -> Option<u64> {
        let value = cookie(header("cookie")?, self.sticky.as_ref()?)?;
        u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
    }

    pub(super) fn change(&self) -> &PathChange {
        &self.change
    }

    /// Writes path and query as the upstream gets them behind `out`: as they were sent, unless something is cut off or
    /// rewritten, which is done to the normalised copy.
    pub fn target(&self, sent: &[u8], normalised: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) {
        let from = out.len();
        change(&self.change, sent, normalised, out);
        if let Some(query) = query {
            // A rewrite may have brought a query of its own.
            out.push(if out[from..].contains(&b'?') { b'&' } else { b'?' });
            out.extend_from_slice(query);
        }
    }

    /// The hash of what stays with one instance; 0 where nothing does. `target`: path and query as sent; `header`: the
    /// first field of a name in lower case.
    pub fn hash<'a>(&self, client: IpAddr, target: &[u8], header: impl Fn(&str) -> Option<&'a [u8]>) -> u64 {
        if self.key.balance.policy != balance::Policy::Hash {
            return 0;
        }
        let key = match &self.key.balance.hash_on {
            HashOn::Ip => None,
            HashOn::Uri => Some(target),
            HashOn::Header(name) => header(name),
            HashOn::Cookie(name) => header("cookie").and_then(|cookies| cookie(cookies, name)),
        };
        // Who has no such key goes by its address, rather than all of them to one instance.
        match (key.filter(|key| !key.is_empty()), client.to_canonical()) {
            (Some(key), _) => balance::hash(key),
            (None, IpAddr::V4(ip)) => balance::hash(&ip.octets()),
            (None, IpAddr::V6(ip)) => balance::hash(&ip.octets()),
        }
    }
}

/// Writes what becomes of a path behind `out`: `sent`, unless something is cut off or rewritten.
fn change(change: &PathChange, sent: &[u8], normalised: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    match change {
        PathChange::Strip(prefix) if normalised.starts_with(prefix.as_bytes()) => {
            out.push(b'/');
            let rest = &normalised[prefix.len()..];
            // Two slashes at the begin would be read as a host.
            let slashes = rest.iter().take_while(|b| **b == b'/').count();
            out.extend_from_slice(&rest[slashes..]);
        }
        PathChange::Rewrite(rewrite) if rewrite.write(normalised, out) => {
            let slashes = out[from..].iter().take_while(|b| **b == b'/').count();
            out.drain(from + 1..from + slashes.max(1));
        }
        _ => out.extend_from_slice(sent),
    }
}

/// Files of a directory.
pub struct Files {
    /// The directory.
    pub site: Arc<files::Site>,
    pub(super) change: PathChange,
}

impl Files {
    /// The path below the directory, still percent-encoded. It may climb; who looks there sees to that.
    pub fn path(&self, normalised: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(normalised.len());
        change(&self.change, normalised, normalised, &mut path);
        // A rewrite may have brought a query, which no file has.
        let end = path.iter().position(|b| *b == b'?').unwrap_or(path.len());
        path.truncate(end);
        // Only whoever asked for a directory gets what it shows: links on the page would lead elsewhere.
        if matches!(self.change, PathChange::Strip(_)) && !normalised.ends_with(b"/") && path == b"/" {
            path.clear();
        }
        path
    }

    /// Where a directory that was asked for without a slash is sent: to this very host, whatever the path looks like.
    pub fn with_slash(normalised: &[u8], query: Option<&[u8]>) -> String {
        // Browsers read a backslash as a slash, and two of them as the begin of a host.
        let mut location = String::from_utf8_lossy(normalised).replace('\\', "%5C");
        location.push('/');
        if let Some(query) = query {
            location.push('?');
            location.push_str(&String::from_utf8_lossy(query));
        }
        location
    }
}

/// The value of a cookie.
pub(super) fn cookie<'a>(cookies: &'a [u8], name: &str) -> Option<&'a [u8]> {
    cookies.split(|b| *b == b';').map(<[u8]>::trim_ascii).find_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        (&pair[..at] == name.as_bytes()).then_some(&pair[at + 1..])
    })
}

/// An answer that sends the client elsewhere.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    pub(super) to: Template,
    back: Option<Back>,
}

impl Redirect {
    pub(super) fn new(status: u16, to: &Template) -> Self {
        Self { status, to: to.clone(), back: to.leads_back() }
    }

    /// Whether who asked so would be sent to where it is already. `host`: as the request names it.
    pub(super) fn leads_back(&self, scheme: Scheme, host: &[u8]) -> bool {
        self.back.as_ref().is_some_and(|back| {
            let is_host = |name: &str| index::bare(host).eq_ignore_ascii_case(name.as_bytes());
            back.scheme.is_none_or(|of| of == scheme) && back.host.as_deref().is_none_or(is_host)
        })
    }

    /// Writes the `Location` behind `out`.
    pub fn location(&self, vars: &Vars<'_>, out: &mut Vec<u8>) {
        self.to.write(vars, out);
    }
}

/// A fixed answer.
#[derive(Debug)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// What kind of text it is.
    pub content_type: Arc<str>,
    pub(super) body: Template,
}

impl Respond {
    /// Writes what it says behind `out`.
    pub fn body(&self, vars: &Vars<'_>, out: &mut Vec<u8>) {
        self.body.write(vars, out);
    }
}
