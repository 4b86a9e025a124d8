//! Which routes may match: by host, exact, then by the longest wildcard, then any; in each of them by the longest
//! prefix of the path, then by order in the file.
//!
//! Prefixes lie sorted. Whichever of them begin a path are all prefixes of the last one that is not behind the path, so
//! one binary search and a walk along its own prefixes find them, longest first.

use crate::proxy::config::HostPattern;
use std::{collections::HashMap, sync::Arc};

/// The longest host name, as DNS has it.
const HOST_BYTES_MAX: usize = 253;

/// All routes by what they match.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: HashMap<Box<[u8]>, Tier>,
    below: HashMap<Box<[u8]>, Tier>,
    any: Tier,
}

/// Routes of one host.
#[derive(Debug, Default)]
struct Tier {
    /// By prefix.
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    prefix: Arc<str>,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
    /// In the order of the file.
    routes: Vec<usize>,
}

impl Index {
    /// An index of routes, given as what they match, in the order of the file.
    pub(super) fn new<'c>(routes: impl Iterator<Item = (usize, &'c [HostPattern], &'c Arc<str>)>) -> Self {
        let mut index = Self::default();
        for (route, hosts, prefix) in routes {
            if hosts.is_empty() {
                index.any.add(route, prefix);
            }
            for host in hosts {
                let (tiers, name) = match host {
                    HostPattern::Exact(name) => (&mut index.exact, name),
                    HostPattern::Below(suffix) => (&mut index.below, suffix),
                };
                tiers.entry(name.as_bytes().into()).or_default().add(route, prefix);
            }
        }
        let tiers = index.exact.values_mut().chain(index.below.values_mut());
        tiers.chain([&mut index.any]).for_each(Tier::close);
        index
    }

    /// The best route for a host that `fits`. `host` as a request names it: with a port or without, in any case.
    pub(super) fn find(&self, host: &[u8], path: &[u8], fits: impl Fn(usize) -> bool) -> Option<usize> {
        let mut lowered = [0; HOST_BYTES_MAX];
        let host = match self.exact.is_empty() && self.below.is_empty() {
            true => &[],
            false => lower(bare(host), &mut lowered),
        };
        let exact = self.exact.get(host);
        let dots = (0..host.len()).filter(|at| host[*at] == b'.' && !self.below.is_empty());
        // From the first dot on: the longest name first. What stands before the dot is not nothing.
        let below = dots.filter(|at| *at > 0).filter_map(|at| self.below.get(&host[at..]));
        exact.into_iter().chain(below).chain([&self.any]).find_map(|tier| tier.find(path, &fits))
    }
}

impl Tier {
    fn add(&mut self, route: usize, prefix: &Arc<str>) {
        self.nodes.push(Node { prefix: prefix.clone(), parent: None, routes: vec![route] });
    }

    /// Sorts what was added, and links it.
    fn close(&mut self) {
        // Stable: routes of one prefix stay in order.
        self.nodes.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        self.nodes.dedup_by(|next, kept| {
            let is_same = next.prefix == kept.prefix;
            if is_same {
                kept.routes.append(&mut next.routes);
            }
            is_same
        });
        for at in 1..self.nodes.len() {
            let mut parent = Some(at - 1);
            while let Some(p) = parent.filter(|p| !self.nodes[at].prefix.starts_with(&*self.nodes[*p].prefix)) {
                parent = self.nodes[p].parent;
            }
            self.nodes[at].parent = parent;
        }
    }

    fn find(&self, path: &[u8], fits: impl Fn(usize) -> bool) -> Option<usize> {
        let behind = self.nodes.partition_point(|node| node.prefix.as_bytes() <= path);
        let mut at = behind.checked_sub(1);
        while let Some(node) = at.map(|at| &self.nodes[at]) {
            if path.starts_with(node.prefix.as_bytes())
                && let Some(route) = node.routes.iter().find(|route| fits(**route))
            {
                return Some(*route);
            }
            at = node.parent;
        }
        None
    }
}

/// A host without its port and the dot at its end.
pub(super) fn bare(host: &[u8]) -> &[u8] {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|b| *b == b']').map_or(host.len(), |at| at + 1),
        _ => host.iter().position(|b| *b == b':').unwrap_or(host.len()),
    };
    host[..end].strip_suffix(b".").unwrap_or(&host[..end])
}

/// In lower case. What is too long to be a host is none.
fn lower<'b>(host: &[u8], buffer: &'b mut [u8; HOST_BYTES_MAX]) -> &'b [u8] {
    let Some(lowered) = buffer.get_mut(..host.len()) else { return &[] };
    lowered.copy_from_slice(host);
    lowered.make_ascii_lowercase();
    lowered
}
