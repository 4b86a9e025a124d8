//! What somebody registers, checked. Pure.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

/// Bounds of what one instance may say: room for what sites write, none for documents. Those of Consul, roughly.
const TAGS_MAX: usize = 64;
const TAG_BYTES_MAX: usize = 255;
const META_MAX: usize = 64;
const META_KEY_BYTES_MAX: usize = 128;
const META_VALUE_BYTES_MAX: usize = 512;
const ADDRESS_BYTES_MAX: usize = 253;
/// Below a second a renewal would be late by scheduling alone; beyond a week nobody waits for it.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 86_400);
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);
const DEREGISTER_AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 86_400);
const THRESHOLD: RangeInclusive<u32> = 1..=100;
const TARGET_BYTES_MAX: usize = 2_048;
const ASK_BODY_BYTES_MAX: usize = 4_096;
/// An instance that lets its ttl run out is gone after as long again, and after this at the latest.
const TTL_DEREGISTER_AFTER_MAX: Duration = Duration::from_secs(30);

/// How an instance is looked at where nothing else is said.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
/// The longest that one look takes.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
/// One success brings it back; two failures take it out, since one is often the network's.
pub const RISE_DEFAULT: u32 = 1;
/// See [`RISE_DEFAULT`].
pub const FALL_DEFAULT: u32 = 2;

/// What somebody registers of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// An IP address or a host name.
    pub address: Arc<str>,
    /// Its TCP port.
    pub port: u16,
    /// Its share beside the others; 0: none.
    pub weight: u32,
    /// Words that routes choose by.
    pub tags: BTreeSet<Arc<str>>,
    /// What it says of itself.
    pub meta: BTreeMap<Arc<str>, Arc<str>>,
    /// It has to be renewed within this.
    pub ttl: Option<Duration>,
    /// How it is looked at.
    pub check: Option<Check>,
    /// Critical for so long, it is removed.
    pub deregister_after: Option<Duration>,
    /// The node that it is on, where whoever registered it knows of nodes: what a node's checks say holds for it, too.
    pub node: Option<Arc<str>>,
    /// What the front that registered it keeps of it. Nobody else reads it.
    pub words: Option<Arc<str>>,
}

/// How an instance is looked at from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is asked.
    pub kind: CheckKind,
    /// From one look to the next.
    pub interval: Duration,
    /// The longest that one takes.
    pub timeout: Duration,
    /// Successes in a row that bring it back.
    pub rise: u32,
    /// Failures in a row that take it out.
    pub fall: u32,
    /// Failures in a row that are worth a warning before; None: they are none.
    pub warn: Option<u32>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// `GET` of a path at the instance, or of a whole URL.
    Http(Arc<str>),
    /// A TCP connection.
    Tcp,
    /// `grpc.health.v1.Health/Check` for a service; empty: the server as a whole.
    Grpc(Arc<str>),
    /// A request to a URL that is more than a `GET`.
    HttpAsk(Arc<HttpAsk>),
    /// What is at a place that need not be the instance's.
    At(Arc<At>),
}

/// A request that is more than a `GET`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpAsk {
    /// Where.
    pub url: String,
    /// Its method.
    pub method: String,
    /// Fields of its head.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// Where it is sent on to is asked, too.
    #[serde(default)]
    pub follows: bool,
    /// Whose certificate it may be, where the URL is one of `https`.
    #[serde(default)]
    pub tls: CheckTls,
}

/// Another place than the instance's, and what is looked for there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// A host.
    pub host: String,
    /// A port.
    pub port: u16,
    /// What is looked for.
    pub talk: Talk,
    /// None: without TLS.
    pub tls: Option<CheckTls>,
}

/// What is looked for at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Talk {
    /// A connection.
    Connect,
    /// The health of this service of gRPC; empty: of the server as a whole.
    Grpc(String),
    /// A server of HTTP/2 that answers a ping.
    Ping,
    /// A datagram of this is not refused. Whether anybody reads it is not known.
    Datagram(String),
}

/// Whose certificate a check takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckTls {
    /// The name that it has to bear; empty: that of the host.
    pub name: String,
    /// It may be anybody's: a look tells a peer nothing that is worth hiding.
    pub is_anyones: bool,
}

/// What is wrong with a registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {problem}")]
pub struct Fault {
    /// The key, as the file and the API call it.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

fn fault<T>(key: &'static str, problem: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { key, problem: problem.into() })
}

/// A check as the file and the API write it.
#[derive(Clone, Debug, Default)]
pub struct CheckAsked {
    /// A path, or a whole URL.
    pub http: Option<String>,
    /// A connection alone.
    pub tcp: bool,
    /// The name of a gRPC service.
    pub grpc: Option<String>,
    /// No check from outside: the instance renews.
    pub ttl: Option<Duration>,
    /// See [`Check`].
    pub interval: Option<Duration>,
    /// See [`Check`].
    pub timeout: Option<Duration>,
    /// See [`Check`].
    pub rise: Option<u32>,
    /// See [`Check`].
    pub fall: Option<u32>,
    /// See [`Spec`].
    pub deregister_after: Option<Duration>,
}

impl CheckAsked {
    fn kind(&self) -> Result<Option<CheckKind>, Fault> {
        let http = self.http.as_deref().map(|target| CheckKind::Http(target.into()));
        let grpc = self.grpc.as_deref().map(|service| CheckKind::Grpc(service.into()));
        let tcp = self.tcp.then_some(CheckKind::Tcp);
        let mut kinds: Vec<_> = [http, grpc, tcp].into_iter().flatten().collect();
        match (kinds.pop(), self.ttl) {
            (Some(kind), None) if kinds.is_empty() => Ok(Some(kind)),
            (None, Some(_)) => Ok(None),
            (None, None) => fault("check", "says nothing to look at; write for example { http = \"/health\" }"),
            _ => fault("check", "is of more than one kind; keep one of http, tcp, grpc and ttl"),
        }
    }
}

impl Check {
    /// A check of this kind with what holds where nothing else is said.
    pub fn new(kind: CheckKind) -> Self {
        let (interval, timeout) = (INTERVAL_DEFAULT, TIMEOUT_DEFAULT);
        Self { kind, interval, timeout, rise: RISE_DEFAULT, fall: FALL_DEFAULT, warn: None }
    }

    pub(super) fn checked(&self) -> Result<(), Fault> {
        within("interval", self.interval, &INTERVAL)?;
        within("timeout", self.timeout, &TIMEOUT)?;
        for (key, n) in [("rise", self.rise), ("fall", self.fall), ("warn", self.warn.unwrap_or(self.fall))] {
            if !THRESHOLD.contains(&n) {
                return fault(key, format!("must lie between 1 and {}, not {n}", THRESHOLD.end()));
            }
        }
        let clean = |t: &str| t.len() <= TARGET_BYTES_MAX && !t.contains(|c: char| c.is_control() || c == ' ');
        match &self.kind {
            CheckKind::Http(target) => {
                if !clean(target) || !is_path(target) && !is_url(target)? {
                    return fault("http", "is not a path or a URL; write for example \"/health\"");
                }
            }
            CheckKind::Grpc(service) if !clean(service) => {
                return fault("grpc", "is not the name of a service; leave it empty to ask for the whole server");
            }
            CheckKind::HttpAsk(ask) => ask.checked(clean(&ask.url))?,
            CheckKind::At(at) => at.checked(clean)?,
            CheckKind::Grpc(_) | CheckKind::Tcp => {}
        }
        Ok(())
    }
}

impl At {
    fn checked(&self, clean: impl Fn(&str) -> bool) -> Result<(), Fault> {
        address(&self.host)?;
        if self.port == 0 {
            return fault("port", "must lie between 1 and 65535");
        }
        match &self.talk {
            Talk::Grpc(service) if !clean(service) => {
                fault("grpc", "is not the name of a service; leave it empty to ask for the whole server")
            }
            Talk::Datagram(text) if text.len() > ASK_BODY_BYTES_MAX => {
                fault("body", format!("has more than {ASK_BODY_BYTES_MAX} bytes"))
            }
            _ => self.tls.as_ref().map_or(Ok(()), CheckTls::checked),
        }
    }
}

impl CheckTls {
    fn checked(&self) -> Result<(), Fault> {
        if self.name.is_empty() { Ok(()) } else { address(&self.name).map(drop) }
    }
}

impl HttpAsk {
    fn checked(&self, is_clean: bool) -> Result<(), Fault> {
        if !is_clean || !is_url(&self.url)? {
            return fault("http", "is not a URL; write for example \"http://10.0.0.5:9000/health\"");
        }
        if self.method.parse::<http::Method>().is_err() {
            return fault("method", format!("`{}` is not one; write for example \"GET\"", clip(&self.method)));
        }
        for (name, value) in &self.headers {
            if name.parse::<http::HeaderName>().is_err() || value.parse::<http::HeaderValue>().is_err() {
                return fault("header", format!("`{}` is not a field of a head", clip(name)));
            }
        }
        match self.body.len() <= ASK_BODY_BYTES_MAX {
            true => self.tls.checked(),
            false => fault("body", format!("has more than {ASK_BODY_BYTES_MAX} bytes")),
        }
    }
}

impl Spec {
    /// An instance there, with what holds where nothing else is said.
    pub fn new(address: &str, port: u16) -> Self {
        Self {
            address: address.into(),
            port,
            weight: 1,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            ttl: None,
            check: None,
            deregister_after: None,
            node: None,
            words: None,
        }
    }

    /// The same, if it can be registered; an address is brought into its plain form.
    pub fn checked(mut self) -> Result<Self, Fault> {
        self.address = address(&self.address)?;
        // Catalogs with nodes also list what has no port. It is known, and not routed.
        if self.port == 0 && self.node.is_none() {
            return fault("port", "must lie between 1 and 65535");
        }
        if self.weight > crate::model::service::WEIGHT_MAX {
            return fault("weight", format!("must lie between 0 and {}", crate::model::service::WEIGHT_MAX));
        }
        if self.tags.len() > TAGS_MAX {
            return fault("tags", format!("are more than {TAGS_MAX}"));
        }
        let bad_text = |t: &str, max: usize| t.len() > max || t.contains(char::is_control);
        if let Some(bad) = self.tags.iter().find(|t| t.is_empty() || bad_text(t, TAG_BYTES_MAX)) {
            return fault("tags", format!("hold `{}`, which is no word of 1 to {TAG_BYTES_MAX} bytes", clip(bad)));
        }
        if self.meta.len() > META_MAX {
            return fault("meta", format!("has more than {META_MAX} keys"));
        }
        for (key, value) in &self.meta {
            if key.is_empty() || bad_text(key, META_KEY_BYTES_MAX) || value.len() > META_VALUE_BYTES_MAX {
                let (key, most) = (clip(key), (META_KEY_BYTES_MAX, META_VALUE_BYTES_MAX));
                return fault("meta", format!("`{key}`: keys have 1 to {} bytes, values {} at most", most.0, most.1));
            }
        }
        if let Some(ttl) = self.ttl {
            within("ttl", ttl, &TTL)?;
        }
        if let Some(after) = self.deregister_after {
            within("deregister_after", after, &DEREGISTER_AFTER)?;
            if self.ttl.is_none() && self.check.is_none() {
                return fault("deregister_after", "means nothing without `ttl` or `check`");
            }
        }
        if let Some(check) = &self.check {
            check.checked()?;
        }
        Ok(self)
    }

    /// The same with a check.
    pub fn with_check(mut self, asked: CheckAsked) -> Result<Self, Fault> {
        let check = asked.kind()?.map(|kind| Check {
            kind,
            interval: asked.interval.unwrap_or(INTERVAL_DEFAULT),
            timeout: asked.timeout.unwrap_or(TIMEOUT_DEFAULT),
            rise: asked.rise.unwrap_or(RISE_DEFAULT),
            fall: asked.fall.unwrap_or(FALL_DEFAULT),
            warn: None,
        });
        let twice = (self.ttl.is_some() && asked.ttl.is_some(), "ttl");
        for (is_twice, key) in
            [twice, (self.deregister_after.is_some() && asked.deregister_after.is_some(), "deregister_after")]
        {
            if is_twice {
                return fault(key, "stands beside the check and in it; keep one");
            }
        }
        self.ttl = self.ttl.or(asked.ttl);
        self.deregister_after = self.deregister_after.or(asked.deregister_after);
        self.check = check;
        Ok(self)
    }

    /// Critical for so long, it is removed; None: never.
    pub fn removed_after(&self) -> Option<Duration> {
        self.deregister_after.or(self.ttl.map(|ttl| ttl.min(TTL_DEREGISTER_AFTER_MAX)))
    }

    /// Whether its address is a name that has to be looked up.
    pub fn has_name(&self) -> bool {
        self.ip().is_none() && !self.address.is_empty() && self.port != 0
    }

    /// Its address, where that is no name that has to be looked up.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }

    /// Whether the same place is asked the same: what a check found of the one holds for the other.
    pub fn asks_like(&self, other: &Self) -> bool {
        let kind = |spec: &Self| spec.check.as_ref().map(|check| check.kind.clone());
        (&self.address, self.port, kind(self)) == (&other.address, other.port, kind(other))
    }

    /// Whether it is also asked as often, and weighed as much.
    pub fn is_checked_like(&self, other: &Self) -> bool {
        (&self.address, self.port, &self.check) == (&other.address, other.port, &other.check)
    }
}

fn is_path(target: &str) -> bool {
    target.starts_with('/') && target.parse::<http::uri::PathAndQuery>().is_ok()
}

fn is_url(target: &str) -> Result<bool, Fault> {
    let Ok(url) = url::Url::parse(target) else { return Ok(false) };
    if !url.username().is_empty() || url.password().is_some() {
        return fault("http", "holds a password, which everybody would see; check a page that asks for none");
    }
    Ok(["http", "https"].contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()))
}

fn within(key: &'static str, d: Duration, bounds: &RangeInclusive<Duration>) -> Result<(), Fault> {
    use crate::base::units::format_duration as show;
    match bounds.contains(&d) {
        true => Ok(()),
        false => {
            let problem =
                format!("must lie between {} and {}, not {}", show(*bounds.start()), show(*bounds.end()), show(d));
            fault(key, problem)
        }
    }
}

/// An IP address in its plain form, or a host name in lower case.
fn address(text: &str) -> Result<Arc<str>, Fault> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = inner.parse::<IpAddr>() {
        if ip.is_unspecified() || ip.is_multicast() {
            return fault(
                "address",
                format!("`{ip}` is nobody's; write the address that others reach the instance by"),
            );
        }
        return Ok(ip.to_string().into());
    }
    let label = |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-');
    let name = text.strip_suffix('.').unwrap_or(text);
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    // A name of digits alone is an address that was mistyped: resolvers would make another one of it.
    let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let is_name = (1..=ADDRESS_BYTES_MAX).contains(&name.len()) && letters && !numeric && name.split('.').all(label);
    match is_name {
        true => Ok(name.to_ascii_lowercase().into()),
        false => fault(
            "address",
            format!("`{}` is neither an IP address nor a host name; write for example \"10.0.0.5\"", clip(text)),
        ),
    }
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(spec: Spec) -> (&'static str, String) {
        let fault = spec.checked().expect_err("refused");
        (fault.key, fault.problem)
    }

    #[test]
    fn addresses_are_brought_into_one_form_and_slips_are_named() {
        let same = |given: &str, kept: &str| {
            assert_eq!(&*Spec::new(given, 80).checked().unwrap().address, kept, "{given}");
        };
        same("10.0.0.5", "10.0.0.5");
        same("[::1]", "::1");
        same("2001:DB8:0::1", "2001:db8::1");
        same("Web.Example.com.", "web.example.com");
        same("web_1", "web_1");
        for bad in
            ["", "0.0.0.0", "::", "[::]", "224.0.0.1", "10.0.0", "10.0.0.256", "a b", "a/b", "-a", "a..b", "http://a"]
        {
            assert_eq!(problem(Spec::new(bad, 80)).0, "address", "{bad}");
        }
        assert_eq!(problem(Spec::new("a", 0)).0, "port");
        assert_eq!(problem(Spec { weight: 65_536, ..Spec::new("a", 1) }).0, "weight");
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_by_its_key() {
        let spec = || Spec::new("a", 1);
        let seconds = Duration::from_secs;
        assert_eq!(problem(Spec { ttl: Some(Duration::from_millis(999)), ..spec() }).0, "ttl");
        let lonely = Spec { deregister_after: Some(seconds(30)), ..spec() };
        assert_eq!(problem(lonely.clone()), ("deregister_after", "means nothing without `ttl` or `check`".into()));
        assert!(Spec { check: Some(Check::new(CheckKind::Tcp)), ..lonely }.checked().is_ok());
        let check = |kind| Spec { check: Some(Check::new(kind)), ..spec() };
        assert_eq!(problem(check(CheckKind::Http("health".into()))).0, "http");
        assert_eq!(problem(check(CheckKind::Http("/a\r\nb: c".into()))).0, "http");
        for bad in ["http://", "ftp://a/", "/a b", "http://u:p@a/", "https://u@a/", "/\u{7f}"] {
            assert_eq!(problem(check(CheckKind::Http(bad.into()))).0, "http", "{bad}");
        }
        for good in ["https://other:1/x", "http://[::1]/a?b=c", "/a?b=%20", "/"] {
            assert!(check(CheckKind::Http(good.into())).checked().is_ok(), "{good}");
        }
        assert_eq!(problem(Spec { tags: (0..65).map(|n| n.to_string().into()).collect(), ..spec() }).0, "tags");
        assert_eq!(problem(Spec { meta: [("".into(), "".into())].into(), ..spec() }).0, "meta");
    }

    #[test]
    fn what_stops_renewing_does_not_stay_for_ever() {
        let ttl = |s| Spec { ttl: Some(Duration::from_secs(s)), ..Spec::new("a", 1) };
        assert_eq!(ttl(5).removed_after(), Some(Duration::from_secs(5)));
        assert_eq!(ttl(600).removed_after(), Some(Duration::from_secs(30)));
        assert_eq!(Spec::new("a", 1).removed_after(), None);
    }
}
