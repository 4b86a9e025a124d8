//! Where the host names of fixed upstreams lead: looked up again and again, off the workers. The last good answer is
//! kept where a later one fails: a name server that is away must not take routes along.

use super::table::{Resolved, ResolvedHost};
use crate::{
    base::Clock,
    outbound::{Lookup, resolve},
};
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// How often names are looked up again. The system's resolver does not say how long an answer is good for.
const EVERY: Duration = Duration::from_secs(10);
/// The same for a name that led nowhere.
const EVERY_UNRESOLVED: Duration = Duration::from_secs(2);
/// The longest that one lookup is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lookups at once, of those that this host has places for.
const AT_ONCE_MAX: usize = 8;
/// Keeps [`Resolved`] true for the names that are asked for.
pub(super) struct Resolver {
    pub(super) lookup: Lookup,
    pub(super) clock: Clock,
    /// The names.
    pub(super) hosts: watch::Receiver<BTreeSet<Arc<str>>>,
    pub(super) resolved: watch::Sender<Arc<Resolved>>,
}

impl Resolver {
    /// Never ends while somebody sets names.
    pub(super) async fn run(mut self) {
        let mut due: BTreeMap<Arc<str>, Instant> = BTreeMap::new();
        loop {
            let wanted = self.hosts.borrow_and_update().clone();
            due.retain(|host, _| wanted.contains(host));
            let now = self.clock.now();
            let asked: Vec<Arc<str>> =
                wanted.iter().filter(|host| due.get(*host).is_none_or(|at| *at <= now)).cloned().collect();
            let found: Vec<_> =
                stream::iter(asked).map(|host| self.one(host)).buffer_unordered(AT_ONCE_MAX).collect().await;
            let now = self.clock.now();
            for (host, found) in &found {
                due.insert(host.clone(), now + if found.is_ok() { EVERY } else { EVERY_UNRESOLVED });
            }
            self.publish(&wanted, found);
            let next = due.values().min().map(|at| at.saturating_duration_since(self.clock.now()));
            let rest = async {
                match next {
                    Some(d) => self.clock.sleep(d).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = self.hosts.changed() => if changed.is_err() { return },
                () = rest => {}
            }
        }
    }

    async fn one(&self, host: Arc<str>) -> (Arc<str>, Result<Arc<[IpAddr]>, Arc<str>>) {
        let found = resolve(&self.lookup, &host, 0, PATIENCE).await;
        (host, found.map(|found| found.iter().map(SocketAddr::ip).collect()).map_err(Into::into))
    }

    fn publish(&self, wanted: &BTreeSet<Arc<str>>, found: Vec<(Arc<str>, Result<Arc<[IpAddr]>, Arc<str>>)>) {
        let mut next = Resolved::clone(&self.resolved.borrow());
        next.0.retain(|host, _| wanted.contains(host));
        for (host, found) in found {
            let known: &mut ResolvedHost = next.0.entry(host.clone()).or_default();
            match found {
                Ok(addresses) => *known = ResolvedHost { addresses: Some(addresses), error: None },
                Err(error) => {
                    if known.error.is_none() {
                        let kept = known.addresses.is_some();
                        tracing::warn!(%host, %error, kept, "the host of an upstream does not resolve");
                    }
                    known.error = Some(error);
                }
            }
        }
        self.resolved.send_if_modified(|now| {
            let changed = **now != next;
            if changed {
                *now = Arc::new(next);
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_again_and_the_last_good_answer_is_kept() {
        let answers = Arc::new(Mutex::new(Ok(vec!["10.0.0.2:0", "10.0.0.1:0", "[::1]:0"])));
        let told = answers.clone();
        let lookup: Lookup = Arc::new(move |_, _| {
            let told = told.lock().unwrap().clone();
            Box::pin(async move { told.map(|l: Vec<&str>| l.iter().map(|a| a.parse().unwrap()).collect()) })
        });
        let (hosts, watched) = watch::channel(BTreeSet::from(["web".into()]));
        let (resolved, mut seen) = watch::channel(Arc::new(Resolved::default()));
        let resolver = Resolver { lookup, clock: Clock::real(), hosts: watched, resolved };
        let ips = |list: &[&str]| Some(list.iter().map(|ip| ip.parse::<IpAddr>().unwrap()).collect::<Arc<[_]>>());
        let test = async {
            seen.changed().await.unwrap();
            assert_eq!(seen.borrow_and_update().0["web"].addresses, ips(&["10.0.0.1", "10.0.0.2", "::1"]));
            *answers.lock().unwrap() = Err("SERVFAIL".to_owned());
            seen.changed().await.unwrap();
            let known = seen.borrow_and_update().0["web"].clone();
            assert_eq!(known.addresses, ips(&["10.0.0.1", "10.0.0.2", "::1"]), "the last good answer");
            assert_eq!(known.error.as_deref(), Some("SERVFAIL"));
            *answers.lock().unwrap() = Ok(vec!["10.0.0.9:0"]);
            let failed = tokio::time::Instant::now();
            seen.changed().await.unwrap();
            assert_eq!(seen.borrow_and_update().0["web"].addresses, ips(&["10.0.0.9"]));
            assert!(failed.elapsed() <= EVERY_UNRESOLVED, "a name that fails is asked for sooner");
            hosts.send_replace(BTreeSet::new());
            seen.changed().await.unwrap();
            assert!(seen.borrow().0.is_empty(), "nobody asks for it any more");
            drop(hosts);
        };
        tokio::join!(resolver.run(), test);
    }
}
