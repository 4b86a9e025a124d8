//! Routes as they were configured: checked values, in the order of the file.

pub use super::via::{Secure, Via};
use super::{
    cors::Cors,
    h1::{Edits, Scheme},
    table::{Rewrite, Template},
    tcp::PreludeVersion,
};
use crate::{balance::Policy, model::ServiceName};
use std::{collections::BTreeSet, fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// One `[[proxy.route]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name in logs, metrics and answers; no two routes share one.
    pub name: Arc<str>,
    /// For clients that speak so; None: for all. It goes before those for all, whatever their host and prefix.
    pub scheme: Option<Scheme>,
    /// For which hosts; empty: for any.
    pub host: Vec<HostPattern>,
    /// What the path begins with; a plain prefix, `/` at least.
    pub path_prefix: Arc<str>,
    /// What the path ends with, one of these; empty: whatever it ends with.
    pub path_suffix: Vec<Arc<str>>,
    /// For which methods; empty: for any. GET stands for HEAD as well.
    pub methods: Vec<Arc<str>>,
    /// Where it leads.
    pub to: Target,
    /// The most that a request's body may have, in bytes; 0: no limit.
    pub body_max: u64,
    /// Header fields that are set and removed on the way.
    pub headers: HeaderRules,
    /// Which pages of other origins may ask; None: a browser lets none of them.
    pub cors: Option<Cors>,
    /// Who is asked first whether a request may be served; None: nobody.
    pub guard: Option<Guard>,
}

/// Who is asked whether a request may be served.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// As it was written.
    pub written: Arc<str>,
    /// How the question goes there.
    pub forward: Forward,
    /// The path and query that are asked.
    pub target: Arc<str>,
    /// Fields of a 2xx that the upstream gets, in place of those that the client sent.
    pub copied: Vec<String>,
    /// Fields of a 2xx that the client gets.
    pub told: Vec<String>,
    /// What of the request the question has not.
    pub edits: Edits,
}

/// Which hosts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one, in lower case, without a port.
    Exact(Arc<str>),
    /// All below a name: `.example.com` of `*.example.com`.
    Below(Arc<str>),
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// To others.
    Forward(Forward),
    /// What it serves are connections, whatever is spoken on them; nothing of requests holds for it.
    Tcp(Tcp),
    /// To the files of a directory.
    Files {
        /// The directory.
        dir: Arc<Path>,
        /// What is not there is answered by the index of the directory.
        spa: bool,
        /// What is cut off, or rewritten, before the path is that of a file.
        path: PathChange,
    },
    /// Elsewhere, by an answer that says so.
    Redirect {
        /// The `Location`.
        to: Template,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// To a fixed answer.
    Respond {
        /// 200 to 599.
        status: u16,
        /// What it says.
        body: Template,
        /// What kind of text that is.
        content_type: Arc<str>,
    },
}

/// One `[[proxy.tcp]]`: how connections are carried.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcp {
    /// The address that clients connect to.
    pub listen: SocketAddr,
    /// TLS clients that ask for one of these names; empty: whoever comes.
    pub sni: Vec<HostPattern>,
    /// To whom; of what matters to HTTP alone nothing is used.
    pub forward: Forward,
    /// The longest that nothing may come in either direction.
    pub idle_timeout: Duration,
    /// Connections at once; 0: no limit.
    pub connections_max: usize,
    /// The header that tells an instance who the client is; None: it is not told.
    pub prelude: Option<PreludeVersion>,
}

/// How requests are passed on.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// To whom.
    pub to: Backend,
    /// How one of several is chosen.
    pub balance: Balance,
    /// What is cut off, or rewritten, before the path is passed on.
    pub path: PathChange,
    /// The longest that a connection may take to come about.
    pub connect_timeout: Duration,
    /// The longest between two reads or writes of the upstream.
    pub timeout: Duration,
    /// How often a request may be tried again, where that is safe.
    pub retries: u32,
    /// The `Host` that the upstream gets; None: the client's.
    pub host_header: Option<Arc<str>>,
    /// Lines beside `to`, to which a part of the requests goes.
    pub split: Vec<Line>,
    /// The cookie by which a client stays with its instance; None: it does not.
    pub sticky: Option<Arc<str>>,
}

/// A line beside the one that a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which requests go there.
    pub when: When,
    /// To whom.
    pub to: Backend,
}

/// Which requests go to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Those with this header field, in lower case, and this value; None: any.
    Header(Arc<str>, Option<Arc<str>>),
    /// Those with this cookie, and this value of it; None: any.
    Cookie(Arc<str>, Option<Arc<str>>),
    /// So many of a hundred, of those that no header or cookie sends elsewhere.
    Parts(u32),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<Arc<str>>| value.as_deref().map(|v| format!("={v}")).unwrap_or_default();
        match self {
            Self::Header(name, v) => write!(f, "header {name}{}", value(v)),
            Self::Cookie(name, v) => write!(f, "cookie {name}{}", value(v)),
            Self::Parts(parts) => write!(f, "{parts} of 100"),
        }
    }
}

/// Who serves.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Backend {
    /// A service of the catalog; those of its instances that carry all the tags.
    Service {
        /// Its name. It need not be there.
        name: ServiceName,
        /// Words that an instance must carry.
        tags: BTreeSet<Arc<str>>,
    },
    /// Fixed addresses.
    Upstreams(Vec<Upstream>),
}

/// A fixed address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Upstream {
    /// An IP address (IPv6 without brackets) or a host name, which is looked up again and again.
    pub host: Arc<str>,
    /// Its TCP port.
    pub port: u16,
    /// Its share beside the others.
    pub weight: u32,
    /// What is spoken there; None: HTTP/1.1 in the clear.
    pub via: Option<Via>,
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How one of several is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balance {
    /// By what.
    pub policy: Policy,
    /// With [`Policy::Hash`]: what stays with one instance.
    pub hash_on: HashOn,
    /// How long an instance that is new or back takes to get its whole share; zero: it gets it at once.
    pub slow_start: Duration,
}

/// What stays with one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HashOn {
    /// Requests of one client address.
    #[default]
    Ip,
    /// Requests with one value in this header field.
    Header(Arc<str>),
    /// Requests with one value in this cookie.
    Cookie(Arc<str>),
    /// Requests for one path and query.
    Uri,
}

impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip => f.write_str("ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Uri => f.write_str("uri"),
        }
    }
}

/// What becomes of the path.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PathChange {
    /// It is passed on as it was sent.
    #[default]
    None,
    /// This is cut off its begin, where it begins so.
    Strip(Arc<str>),
    /// What matches becomes something else.
    Rewrite(Rewrite),
}

/// Header fields that are set and removed on the way. To set a field removes what was there of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// For the upstream.
    pub request: Edits,
    /// For the client.
    pub response: Edits,
    /// As it was written.
    pub written: WrittenRules,
}

/// Header rules as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenRules {
    /// Set for the upstream.
    pub request_set: Vec<(String, String)>,
    /// Not passed on to the upstream.
    pub request_remove: Vec<String>,
    /// Set for the client.
    pub response_set: Vec<(String, String)>,
    /// Not passed on to the client.
    pub response_remove: Vec<String>,
}
