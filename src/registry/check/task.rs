//! The task that looks: starts what is due, hears how it went, tells the registry.

use super::{
    Look,
    probe::{Prober, Seen},
    schedule::{Found, IN_FLIGHT_MAX, Schedule},
};
use crate::{
    base::{
        Clock, Metrics,
        metrics::{Counter, Family, Gauge, GaugeF64},
    },
    model::Health,
    outbound::Lookup,
    registry::{
        Aim, Error, Registry, Who,
        pace::{Moment, micros, plus},
        record::Verdict,
    },
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use prometheus_client::encoding::EncodeLabelSet;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// Who is to be looked at is gone through as a whole; a thousand registrations a second must not do that as often.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);

/// Looks at instances until it is stopped.
pub struct ChecksTask {
    registry: Registry,
    prober: Prober,
    clock: Clock,
    began: Instant,
    schedule: Schedule,
    changes: watch::Receiver<u64>,
    /// Something changed in whom to look at, and that is not taken in before then.
    follow_at: Option<Moment>,
    followed: Moment,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    meters: Meters,
}

/// Something that was under way.
enum Landed {
    Looked(Arc<Aim>, Seen),
    Told(Who, u64, Health, Result<bool, Error>),
}

impl ChecksTask {
    /// Looks for this registry. Names in URLs are asked of `lookup`.
    pub fn new(registry: Registry, clock: Clock, metrics: &Metrics, lookup: Lookup) -> Self {
        let changes = registry.watch_checks();
        Self {
            prober: Prober { clock: clock.clone(), lookup },
            began: clock.now(),
            clock,
            schedule: Schedule::default(),
            changes,
            follow_at: None,
            followed: 0,
            flights: FuturesUnordered::new(),
            meters: Meters::new(metrics),
            registry,
        }
    }

    /// Until stopped; looks under way are given up then.
    pub async fn run(mut self, stop: CancellationToken) {
        self.follow();
        loop {
            let now = self.now();
            if self.follow_at.is_some_and(|at| at <= now) {
                self.follow();
            }
            self.start(now);
            let wake = self.schedule.next().into_iter().chain(self.follow_at).min();
            let wait = wake.map(|at| Duration::from_micros(at.saturating_sub(self.now())));
            let clock = self.clock.clone();
            let rest = async {
                match wait {
                    Some(wait) => clock.sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.changes.changed() => match changed {
                    Ok(()) => self.follow_at = Some(plus(self.followed, FOLLOW_EVERY)),
                    // The registry ended, as it does in the same phase.
                    Err(_) => return,
                },
                Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.landed(landed),
                () = rest => {}
            }
        }
    }

    fn now(&self) -> Moment {
        micros(self.clock.now() - self.began)
    }

    fn follow(&mut self) {
        self.followed = self.now();
        self.follow_at = None;
        self.changes.mark_unchanged();
        self.schedule.follow(self.followed, self.registry.checked(), rand::random);
        // What was told instead of seen has no look to come.
        self.registry.looks().keep(|who, look| self.schedule.is_watched(who) || self.registry.is_told(who, look));
    }

    fn start(&mut self, now: Moment) {
        for aim in self.schedule.take(now) {
            let prober = self.prober.clone();
            let look = async move {
                let seen = prober.look(&aim).await;
                Landed::Looked(aim, seen)
            };
            self.flights.push(look.boxed());
        }
        self.meters.in_flight.set(i64::try_from(self.schedule.in_flight()).unwrap_or(IN_FLIGHT_MAX as i64));
        self.meters.late.set(self.schedule.late(now).as_secs_f64());
    }

    fn landed(&mut self, landed: Landed) {
        let now = self.now();
        match landed {
            Landed::Looked(aim, seen) => self.looked(now, &aim, seen),
            Landed::Told(key, defined, health, told) => {
                let kept = match told {
                    Ok(_) => Some(health),
                    Err(error) => {
                        // A store that fails says so itself, and what is outdated is taken in with its change.
                        tracing::debug!(?key, %error, "a verdict was not taken");
                        None
                    }
                };
                self.schedule.told(now, &key, defined, kept, rand::random());
            }
        }
    }

    fn looked(&mut self, now: Moment, aim: &Aim, seen: Seen) {
        self.meters.looks.get_or_create(&HealthLabel { health: seen.health.as_str() }).inc();
        let (key, defined) = (&aim.who, aim.defined);
        let found = self.schedule.found(now, key, defined, seen.health, rand::random());
        let in_a_row = match found {
            Found::Outdated => return,
            Found::News { in_a_row, .. } | Found::AsBefore { in_a_row } => in_a_row,
        };
        let output = Verdict::new(seen.health, &seen.output).output;
        let look = Look { at: self.clock.wall(), health: seen.health, output, in_a_row };
        self.registry.looks().put(key.clone(), look);
        if let Found::News { health, .. } = found {
            let (registry, key) = (self.registry.clone(), key.clone());
            let tell = async move {
                let told = registry.report(key.clone(), defined, health, seen.output).await;
                Landed::Told(key, defined, health, told)
            };
            self.flights.push(tell.boxed());
        }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HealthLabel {
    health: &'static str,
}

struct Meters {
    looks: Family<HealthLabel, Counter>,
    in_flight: Gauge,
    late: GaugeF64,
}

impl Meters {
    fn new(metrics: &Metrics) -> Self {
        Self {
            looks: metrics.register("registry_checks", "Looks at instances by what they saw", Family::default()),
            in_flight: metrics.register("registry_checks_in_flight", "Looks under way", Gauge::default()),
            late: metrics.register(
                "registry_checks_late_seconds",
                "How long the look that waits longest is due already",
                GaugeF64::default(),
            ),
        }
    }
}
