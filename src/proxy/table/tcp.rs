//! TCP routes: which one a connection means. Pure.

use super::{Forward, Group, Route, RouteTable, route::Action};
use crate::proxy::{
    config::{self, HostPattern},
    tcp::PreludeVersion,
};
use std::{
    cmp::Reverse,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

/// How connections are carried.
#[derive(Debug)]
pub struct Tcp {
    /// To whom, and what of HTTP's settings matters.
    pub forward: Forward,
    /// The longest that nothing may come in either direction.
    pub idle_timeout: Duration,
    /// Connections at once; 0: no limit.
    pub connections_max: usize,
    /// The header that tells an instance who the client is.
    pub prelude: Option<PreludeVersion>,
    /// Connections now.
    pub open: AtomicUsize,
    pub(super) listen: SocketAddr,
    pub(super) names: Vec<HostPattern>,
}

impl Tcp {
    pub(super) fn new(config: &config::Tcp, forward: Forward) -> Self {
        Self {
            forward,
            idle_timeout: config.idle_timeout,
            connections_max: config.connections_max,
            prelude: config.prelude,
            open: AtomicUsize::new(0),
            listen: config.listen,
            names: config.sni.clone(),
        }
    }

    /// How well a name fits: the more, the better. None: not at all.
    fn fit(&self, name: Option<&str>) -> Option<Reverse<(u8, Reverse<usize>)>> {
        let of = |pattern: &HostPattern| match (pattern, name) {
            (HostPattern::Exact(one), Some(name)) if **one == *name => Some((0, Reverse(0))),
            (HostPattern::Below(suffix), Some(name)) if name.len() > suffix.len() && name.ends_with(&**suffix) => {
                Some((1, Reverse(suffix.len())))
            }
            _ => None,
        };
        let best = self.names.iter().filter_map(of).min();
        best.or(self.names.is_empty().then_some((2, Reverse(0)))).map(Reverse)
    }
}

impl Route {
    /// What there is to know where connections are carried.
    pub fn tcp(&self) -> Option<&Tcp> {
        match &self.action {
            Action::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }
}

impl RouteTable {
    /// Whether the name that a TLS client asks for matters at this address of the configuration.
    pub fn wants_name(&self, listen: SocketAddr) -> bool {
        self.tcp_at(listen).any(|(_, tcp)| !tcp.names.is_empty())
    }

    /// The route for a connection to this address of the configuration, of a TLS client that asks for `name`, in lower
    /// case: the exact name first, then the longest one with a star, then the route that names none.
    pub fn tcp(&self, listen: SocketAddr, name: Option<&str>) -> Option<(&Arc<Route>, &Arc<Group>)> {
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        let fits = self.tcp_at(listen).filter_map(|(route, tcp)| Some((tcp.fit(name)?, route, tcp)));
        let (_, route, tcp) = fits.max_by_key(|(fit, ..)| *fit)?;
        Some((route, &self.groups[tcp.forward.group]))
    }

    fn tcp_at(&self, listen: SocketAddr) -> impl Iterator<Item = (&Arc<Route>, &Tcp)> {
        let routes = self.rules.tcp.iter().map(|at| &self.rules.routes[*at]);
        routes.filter_map(|route| Some((route, route.tcp()?))).filter(move |(_, tcp)| tcp.listen == listen)
    }
}
