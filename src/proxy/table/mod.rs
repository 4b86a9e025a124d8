//! The table of routes: which route a request means, and who serves it. Pure.
//!
//! Owns: matching by host, path and method; the normalised copy of a path that is matched, and the refusal of paths
//! that others could read as another route's; what becomes of the path; groups of those who serve; their states, which
//! outlive tables.
//! Never does: I/O, resolving, waiting.
//!
//! Flow: configured routes → [`Builder`] → with each catalog a [`RouteTable`], which shares with the one before it all
//! that did not change → [`RouteTable::find`] for each request → [`Pickers::pick`] in its [`Group`].

mod build;
mod explain;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod index;
mod line;
mod meters;
mod readings;
mod resolved;
mod rewrite;
mod route;
mod states;
mod tcp;
mod template;
#[cfg(test)]
pub(in crate::proxy) mod tests;

pub use build::{BuildError, Builder, BuiltIn};
pub use explain::{Explained, GuardView, LineView, OutView, RouteView};
pub use group::{Endpoint, Group, Pickers};
pub use line::{Chosen, PARTS};
pub use meters::{RouteMeters, Shard, Totals};
pub use resolved::{Found as ResolvedHost, Resolved};
pub use rewrite::{BadRewrite, Rewrite};
pub use route::{Action, Files, Forward, Guard, HostHeader, Redirect, Respond, Route};
pub use tcp::Tcp;
pub use template::{Back, Template, Vars};

pub(in crate::proxy) use meters::{BOUNDS_MICROS, CLASSES};

use crate::proxy::h1::{Refusal, Scheme, path};
use index::Index;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// All routes at one moment. A request sees one table from begin to end.
pub struct RouteTable {
    rules: Arc<Rules>,
    /// By the number that a [`Forward`] has.
    groups: Box<[Arc<Group>]>,
    resolved: Arc<Resolved>,
    revision: u64,
    version: u64,
}

/// What of a table does not change with the catalog.
struct Rules {
    /// In the order of the file; those that are built in behind them.
    routes: Box<[Arc<Route>]>,
    /// Where the built-in ones begin.
    built_in: usize,
    /// The numbers of `routes` in the order in which they are matched.
    order: Box<[usize]>,
    index: Index,
    /// Those that are for one scheme alone, by it; None: there are none.
    of_schemes: Option<Box<OfSchemes>>,
    /// What there must be a group for, and its place in pickers.
    groups: Box<[(group::GroupKey, usize)]>,
    has_cors: bool,
    /// The numbers of those that serve connections.
    tcp: Box<[usize]>,
}

/// Routes for one scheme alone.
#[derive(Default)]
struct OfSchemes {
    http: Index,
    https: Index,
}

impl OfSchemes {
    fn of(&self, scheme: Scheme) -> &Index {
        match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        }
    }
}

/// What of a request decides on its route.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// How the client speaks.
    pub scheme: Scheme,
    /// The method as sent.
    pub method: &'a [u8],
    /// The host that was asked for, with a port or without; empty: none.
    pub host: &'a [u8],
    /// The path as sent, without the query.
    pub path: &'a [u8],
}

/// What a request means.
pub enum Found<'t, 'r> {
    /// This route.
    Route(Match<'t, 'r>),
    /// No route has this path: 404.
    NotFound,
    /// Only other methods have a route here: 405, with the text of `Allow`.
    MethodNotAllowed(String),
    /// The path is none, or others could read it as another route's.
    Refused(Refusal),
}

/// A route that a request means.
pub struct Match<'t, 'r> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// Who serves it; for [`Action::Forward`] always there.
    pub group: Option<&'t Arc<Group>>,
    /// The normalised copy of the path, by which it was found.
    pub path: Cow<'r, [u8]>,
}

impl RouteTable {
    /// The revision of the catalog that it was made of.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Which table this is; each has a higher number than the one before.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Routes that have nobody to serve them, with what is missing.
    pub fn down(&self) -> BTreeMap<Arc<str>, String> {
        let needed = |route: &Arc<Route>| {
            let ways = [Some(&**route), route.guard.as_ref().map(|guard| &*guard.way)].into_iter().flatten();
            let mut groups = ways.filter_map(Route::forward).map(|forward| &self.groups[forward.group]);
            let down = groups.find(|group| group.endpoints.is_empty())?;
            Some((route.name.clone(), down.missing()))
        };
        self.rules.routes.iter().filter_map(needed).collect()
    }

    /// Whether any route has something to say to pages of other origins.
    pub fn has_cors(&self) -> bool {
        self.rules.has_cors
    }

    /// Who decides for a guarded route.
    pub fn guard_group(&self, guard: &Guard) -> Option<&Arc<Group>> {
        guard.way.forward().and_then(|forward| self.groups.get(forward.group))
    }

    /// The route for a request.
    pub fn find<'t, 'r>(&'t self, view: &RequestView<'r>) -> Found<'t, 'r> {
        let (path, doubts) = if path::is_plain(view.path) {
            (Cow::Borrowed(view.path), path::Doubts::default())
        } else {
            let mut normalised = Vec::with_capacity(view.path.len());
            match path::normalise(view.path, true, &mut normalised) {
                Ok(doubts) => (Cow::Owned(normalised), doubts),
                Err(refusal) => return Found::Refused(refusal),
            }
        };
        let found = self.rules.best(view, &path);
        let is_same = |reading: &[u8]| self.rules.best(view, reading) == found;
        if !doubts.is_empty() && !readings::agree(view.path, &path, doubts, is_same) {
            return Found::Refused(Refusal::AmbiguousPath);
        }
        match found.map(|at| &self.rules.routes[at]) {
            Some(route) => {
                let group = match &route.action {
                    Action::Forward(forward) => Some(&self.groups[forward.group]),
                    _ => None,
                };
                Found::Route(Match { route, group, path })
            }
            None => match self.rules.methods(view, &path) {
                Some(allow) => Found::MethodNotAllowed(allow),
                None => Found::NotFound,
            },
        }
    }
}

impl Rules {
    /// The number of the route for a path as it stands.
    fn best(&self, view: &RequestView<'_>, path: &[u8]) -> Option<usize> {
        let fits = |at| self.fits(at, view, path);
        let of_scheme = self.of_schemes.as_ref().map(|of| of.of(view.scheme));
        let of_scheme = of_scheme.and_then(|index| index.find(view.host, path, fits));
        let of_file = of_scheme.or_else(|| self.index.find(view.host, path, fits));
        let prefix_len = |at: usize| self.routes[at].prefix.len();
        let built_in = (self.built_in..self.routes.len())
            .filter(|at| path.starts_with(self.routes[*at].prefix.as_bytes()))
            .max_by_key(|at| prefix_len(*at));
        match (of_file, built_in) {
            // What is written in the file wins over what is built in, unless it says less.
            // A redirect of a scheme is for all of it.
            (Some(ours), Some(_)) if of_scheme.is_some() && self.routes[ours].redirect().is_some() => Some(ours),
            (Some(ours), Some(built_in)) if prefix_len(ours) < prefix_len(built_in) => Some(built_in),
            (ours, built_in) => ours.or(built_in),
        }
    }

    /// Whether a route of the file takes what its host and prefix let through.
    fn fits(&self, at: usize, view: &RequestView<'_>, path: &[u8]) -> bool {
        self.has_suffix(at, path) && self.has_method(at, view.method) && !self.leads_back(at, view)
    }

    /// Whether it would only send the request to where it is already.
    fn leads_back(&self, at: usize, view: &RequestView<'_>) -> bool {
        self.routes[at].redirect().is_some_and(|redirect| redirect.leads_back(view.scheme, view.host))
    }

    fn has_suffix(&self, at: usize, path: &[u8]) -> bool {
        let Some(config) = &self.routes[at].config else { return true };
        let suffixes = &config.path_suffix;
        suffixes.is_empty() || suffixes.iter().any(|suffix| path.ends_with(suffix.as_bytes()))
    }

    fn has_method(&self, at: usize, method: &[u8]) -> bool {
        let Some(config) = &self.routes[at].config else { return true };
        let is = |name: &Arc<str>| name.as_bytes() == method || (&**name == "GET" && method == b"HEAD");
        config.methods.is_empty() || config.methods.iter().any(is)
    }

    /// The methods of routes that would take the path with one of them.
    fn methods(&self, view: &RequestView<'_>, path: &[u8]) -> Option<String> {
        let mut allow: Vec<&str> = Vec::new();
        let found = std::cell::RefCell::new(Vec::new());
        // Fits none, so that all of them are gone through.
        let of_scheme = self.of_schemes.as_ref().map(|of| of.of(view.scheme));
        for index in of_scheme.into_iter().chain([&self.index]) {
            index.find(view.host, path, |at| {
                if self.has_suffix(at, path) && !self.leads_back(at, view) {
                    found.borrow_mut().push(at);
                }
                false
            });
        }
        for at in found.into_inner() {
            let methods = self.routes[at].config.iter().flat_map(|config| &config.methods);
            methods.for_each(|method| allow.push(method));
        }
        if allow.contains(&"GET") {
            allow.push("HEAD");
        }
        allow.sort_unstable();
        allow.dedup();
        (!allow.is_empty()).then(|| allow.join(", "))
    }
}
