//! The table for people: what it does, who serves, and why somebody does not.

use super::{Action, Found, Group, Guard, RequestView, Route, RouteTable};
use crate::{
    model::Instance,
    proxy::{
        config::{Backend, PathChange},
        h1::Scheme,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeSet, sync::Arc};

/// Instances of one route that are named as out; of more, only how many there are.
const OUT_NAMED_MAX: usize = 100;

/// A route as others see it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct RouteView {
    /// Its name; of what is built in, in brackets.
    pub name: String,
    /// For clients that speak so, `http` or `https`; null: for all.
    pub scheme: Option<&'static str>,
    /// For which hosts; empty: any.
    pub host: Vec<String>,
    /// What the path begins with.
    pub path_prefix: String,
    /// What it ends with, one of these; empty: anything.
    pub path_suffix: Vec<String>,
    /// For which methods; empty: any.
    pub methods: Vec<String>,
    /// What it does: `service`, `upstreams`, `dir`, `redirect`, `respond`, `tcp` or `built_in`.
    pub kind: &'static str,
    /// Where it leads: the service, the addresses, the directory, the new place, the status.
    pub to: String,
    /// Words that an instance must carry.
    pub tags: Vec<String>,
    /// How one of several is chosen; null where there is nothing to choose.
    pub balance: Option<String>,
    /// What becomes of the path; null: it is passed on as it was sent.
    pub rewrite: Option<String>,
    /// Instances that requests may go to now; null for a route that needs none.
    pub live: Option<usize>,
    /// All of the service's instances, or all fixed addresses; null for a route that needs none.
    pub instances: Option<usize>,
    /// Why some of them get no requests; the first hundred.
    pub out: Vec<OutView>,
    /// Lines beside it, to which a part of the requests goes.
    pub split: Vec<LineView>,
    /// Who is asked first whether a request may be served; null: nobody.
    pub auth: Option<GuardView>,
    /// Requests of this route that are being served.
    pub in_flight: u64,
    /// Requests of this route that are over, since skyvis began.
    pub requests: u64,
    /// Those of them that were answered with 500 and above.
    pub errors: u64,
}

/// A line beside a route's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LineView {
    /// Which requests go there: `header x-line=test`, `cookie line=test` or `5 of 100`.
    pub when: String,
    /// Where it leads: the service, or the addresses.
    pub to: String,
    /// Instances that requests may go to now.
    pub live: usize,
}

/// Who decides on a route's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GuardView {
    /// The URL that is asked.
    pub forward: String,
    /// Instances that can be asked now. Where there is none, nobody is let in.
    pub live: usize,
}

/// Who gets no requests, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OutView {
    /// The instance, or the address as it was configured.
    pub instance: String,
    /// Where it is.
    pub address: String,
    /// Why.
    pub reason: String,
    /// For how many more seconds, where that is known.
    pub seconds: Option<u64>,
}

/// What a request would meet.
#[derive(Clone, Debug, PartialEq)]
pub enum Explained {
    /// This route.
    Route(RouteView),
    /// Nothing: the status that it would get, and why.
    Nothing(u16, String),
}

impl RouteTable {
    /// All routes in the order in which they are matched.
    pub fn routes(&self, now_micros: u64) -> impl Iterator<Item = RouteView> {
        self.rules.order.iter().map(move |at| self.view(&self.rules.routes[*at], now_micros))
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.rules.routes.len()
    }

    /// Whether there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a request would meet.
    pub fn explain(&self, view: &RequestView<'_>, now_micros: u64) -> Explained {
        match self.find(view) {
            Found::Route(found) => Explained::Route(self.view(found.route, now_micros)),
            Found::NotFound => Explained::Nothing(404, "no route has this host and path".into()),
            Found::MethodNotAllowed(allow) => Explained::Nothing(405, format!("routes here take {allow} only")),
            Found::Refused(refusal) => Explained::Nothing(refusal.status(), refusal.reason().into()),
        }
    }

    fn view(&self, route: &Route, now_micros: u64) -> RouteView {
        let config = route.config.as_deref();
        let texts = |list: &[Arc<str>]| list.iter().map(ToString::to_string).collect();
        let totals = route.meters.totals();
        let mut view = RouteView {
            name: route.name.to_string(),
            scheme: config.and_then(|c| c.scheme).map(Scheme::as_str),
            host: config.map(|c| c.host.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            path_prefix: route.prefix.to_string(),
            path_suffix: config.map(|c| texts(&c.path_suffix)).unwrap_or_default(),
            methods: config.map(|c| texts(&c.methods)).unwrap_or_default(),
            kind: "built_in",
            to: String::new(),
            tags: Vec::new(),
            balance: None,
            rewrite: None,
            live: None,
            instances: None,
            out: Vec::new(),
            split: Vec::new(),
            auth: route.guard.as_deref().map(|guard| self.guard_view(guard, now_micros)),
            in_flight: totals.in_flight,
            requests: totals.requests(),
            errors: totals.by_class[4] + totals.by_class[6..].iter().sum::<u64>(),
        };
        match &route.action {
            Action::Handler(_) => {}
            Action::Tcp(tcp) => {
                self.show_group(&self.groups[tcp.forward.group], now_micros, &mut view);
                view.kind = "tcp";
                view.path_prefix = String::new();
                view.host = tcp.names.iter().map(ToString::to_string).collect();
                view.balance = Some(tcp.forward.key.balance.policy.as_str().to_owned());
            }
            Action::Files(files) => {
                (view.kind, view.to) = ("dir", files.site.dir().display().to_string());
                view.rewrite = rewritten(&files.change);
            }
            Action::Redirect(redirect) => {
                (view.kind, view.to) = ("redirect", format!("{} {}", redirect.status, redirect.to));
            }
            Action::Respond(respond) => (view.kind, view.to) = ("respond", respond.status.to_string()),
            Action::Forward(forward) => {
                let balance = &forward.key.balance;
                view.balance = Some(match balance.policy {
                    crate::balance::Policy::Hash => format!("hash on {}", balance.hash_on),
                    policy => policy.as_str().to_owned(),
                });
                view.rewrite = rewritten(forward.change());
                self.show_group(&self.groups[forward.group], now_micros, &mut view);
                view.split = forward.lines.iter().map(|line| self.line_view(line, now_micros)).collect();
            }
        }
        view
    }

    fn guard_view(&self, guard: &Guard, now_micros: u64) -> GuardView {
        let live = self.guard_group(guard).map_or(0, |group| live(group, now_micros));
        GuardView { forward: guard.config.written.to_string(), live }
    }

    fn line_view(&self, line: &super::route::Line, now_micros: u64) -> LineView {
        let group = &self.groups[line.group];
        let to = match &group.key.backend {
            Backend::Service { name, tags } if tags.is_empty() => name.to_string(),
            Backend::Service { name, tags } => {
                let tags: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
                format!("{name} with {}", tags.join(", "))
            }
            Backend::Upstreams(upstreams) => upstreams.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        LineView { when: line.when.to_string(), to, live: live(group, now_micros) }
    }

    fn show_group(&self, group: &Group, now_micros: u64, view: &mut RouteView) {
        let ejected = group.endpoints.iter().filter_map(|endpoint| {
            let out = endpoint.state.ejected(now_micros)?;
            Some(OutView {
                instance: endpoint.name.to_string(),
                address: endpoint.targets.first().map(ToString::to_string).unwrap_or_default(),
                reason: out.why.as_str().to_owned(),
                seconds: Some((out.until_micros - now_micros).div_ceil(1_000_000)),
            })
        });
        let mut out: Vec<OutView> = ejected.collect();
        view.live = Some(group.endpoints.len() - out.len());
        match &group.key.backend {
            Backend::Service { name, tags } => {
                (view.kind, view.to) = ("service", name.to_string());
                view.tags = tags.iter().map(ToString::to_string).collect();
                let instances = group.service().map_or(&[][..], |service| &service.instances);
                view.instances = Some(instances.len());
                out.extend(instances.iter().filter_map(|instance| why_out(instance, tags)).take(OUT_NAMED_MAX));
            }
            Backend::Upstreams(upstreams) => {
                let names: Vec<String> = upstreams.iter().map(ToString::to_string).collect();
                (view.kind, view.to) = ("upstreams", names.join(", "));
                let unresolved = upstreams.iter().zip(group.addresses()).filter(|(_, found)| found.is_none());
                let unresolved = unresolved.map(|(upstream, _)| OutView {
                    instance: upstream.to_string(),
                    address: upstream.to_string(),
                    reason: match self.resolved.error_of(&upstream.host) {
                        Some(error) => format!("its name does not resolve: {error}"),
                        None => "its name is being resolved".to_owned(),
                    },
                    seconds: None,
                });
                out.extend(unresolved);
                let nowhere = group.addresses().iter().filter(|found| found.is_none()).count();
                view.instances = Some(group.endpoints.len() + nowhere);
            }
        }
        out.truncate(OUT_NAMED_MAX);
        view.out = out;
    }
}

/// Instances of a group that requests may go to now.
fn live(group: &Group, now_micros: u64) -> usize {
    group.endpoints.iter().filter(|endpoint| endpoint.state.ejected(now_micros).is_none()).count()
}

/// What becomes of a path, for people.
fn rewritten(change: &PathChange) -> Option<String> {
    match change {
        PathChange::None => None,
        PathChange::Strip(prefix) => Some(format!("without {prefix}")),
        PathChange::Rewrite(rewrite) => Some(format!("{} to {}", rewrite.from(), rewrite.to())),
    }
}

/// Why the catalog lets no request go there; None: it does.
fn why_out(instance: &Instance, tags: &BTreeSet<Arc<str>>) -> Option<OutView> {
    let told = instance.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let lacking: Vec<&str> = tags.difference(&instance.tags).map(|tag| &**tag).collect();
    let reason = if !instance.health.is_live() {
        format!("{}{told}", instance.health.as_str())
    } else if instance.address.is_empty() {
        // Whoever wrote it did not write it so that it can be read.
        instance.reason.as_deref().unwrap_or("it has no address").to_owned()
    } else if instance.targets.is_empty() {
        format!("its address does not resolve{told}")
    } else if instance.weight == 0 {
        "its weight is 0".to_owned()
    } else if !lacking.is_empty() {
        format!("it lacks the tag `{}`", lacking.join("`, `"))
    } else {
        return None;
    };
    let bracketed = instance.address.contains(':');
    let address = match bracketed {
        true => format!("[{}]:{}", instance.address, instance.port),
        false => format!("{}:{}", instance.address, instance.port),
    };
    Some(OutView { instance: instance.key.id.to_string(), address, reason, seconds: None })
}
