//! The loop around one reconciler.

use crate::base::{Clock, Wall, task::panic_message};
use futures_util::FutureExt;
use serde::Serialize;
use std::{fmt::Display, future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// How far an interval is stretched or shrunk, so that reconcilers do not fall into step with each other.
const JITTER: f64 = 0.1;

/// What is known of a reconciler's runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LastRun {
    /// Which one.
    pub name: &'static str,
    /// True while it works.
    pub running: bool,
    /// Runs that have ended.
    pub runs: u64,
    /// Runs that failed since the last one that did not.
    pub failures: u64,
    /// When the last run began.
    pub started: Option<Wall>,
    /// When a run last ended well.
    pub succeeded: Option<Wall>,
    /// Why the last run failed; absent where it did not.
    pub error: Option<String>,
}

/// The handle of one reconciler. Cheap to clone.
#[derive(Clone)]
pub struct Upkeep {
    poke: Arc<Notify>,
    state: watch::Receiver<LastRun>,
}

/// The loop of one reconciler.
pub struct UpkeepTask {
    every: Duration,
    clock: Clock,
    poke: Arc<Notify>,
    state: watch::Sender<LastRun>,
}

/// Makes a reconciler that runs about every `every`.
pub fn build(name: &'static str, every: Duration, clock: Clock) -> (Upkeep, UpkeepTask) {
    let (state, watched) = watch::channel(LastRun {
        name,
        running: false,
        runs: 0,
        failures: 0,
        started: None,
        succeeded: None,
        error: None,
    });
    let poke = Arc::new(Notify::new());
    (Upkeep { poke: poke.clone(), state: watched }, UpkeepTask { every, clock, poke, state })
}

impl Upkeep {
    /// Asks for a run now, or for one more where one is under way. Pokes that come before it begins are one.
    pub fn poke(&self) {
        self.poke.notify_one();
    }

    /// What is known of its runs, as it changes.
    pub fn watch(&self) -> watch::Receiver<LastRun> {
        self.state.clone()
    }

    /// What is known of its runs now.
    pub fn last_run(&self) -> LastRun {
        self.state.borrow().clone()
    }
}

impl UpkeepTask {
    /// Runs `work` at once and then again and again until stopped. A stop waits for the run under way.
    pub async fn run<F, E>(self, stop: CancellationToken, mut work: impl FnMut() -> F)
    where
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        while !stop.is_cancelled() {
            self.run_once(&mut work).await;
            let wait = self.every.mul_f64(1.0 + JITTER * rand::random_range(-1.0..=1.0));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.poke.notified() => {}
                () = self.clock.sleep(wait) => {}
            }
        }
    }

    async fn run_once<F, E>(&self, work: &mut impl FnMut() -> F)
    where
        F: Future<Output = Result<(), E>>,
        E: Display,
    {
        self.state.send_modify(|s| {
            s.running = true;
            s.started = Some(self.clock.wall());
        });
        let run = AssertUnwindSafe(async { work().await.map_err(|e| e.to_string()) }).catch_unwind();
        let result = run.await.unwrap_or_else(|payload| Err(format!("panicked: {}", panic_message(payload.as_ref()))));
        if let Err(error) = &result {
            tracing::warn!(upkeep = self.state.borrow().name, error, "upkeep failed, trying again later");
        }
        self.state.send_modify(|s| {
            s.running = false;
            s.runs += 1;
            match result {
                Ok(()) => (s.failures, s.succeeded, s.error) = (0, Some(self.clock.wall()), None),
                Err(error) => (s.failures, s.error) = (s.failures + 1, Some(error)),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TaskGroup;
    use std::sync::atomic::{AtomicU64, Ordering};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn until(upkeep: &Upkeep, wanted: impl FnMut(&LastRun) -> bool) -> LastRun {
        upkeep.watch().wait_for(wanted).await.unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn runs_at_once_by_the_clock_and_when_poked() {
        let clock = Clock::simulated(Wall::from_millis(0));
        let (upkeep, task) = build("sweep", HOUR, clock.clone());
        let group = TaskGroup::new();
        let begun = clock.now();
        group.spawn("sweep", task.run(group.stop_token(), || async { Ok::<_, String>(()) }));
        until(&upkeep, |s| s.runs == 1).await;
        assert_eq!(clock.now(), begun, "the first run waits for nothing");
        until(&upkeep, |s| s.runs == 2).await;
        let waited = clock.now() - begun;
        assert!(waited >= HOUR.mul_f64(0.9) && waited <= HOUR.mul_f64(1.1), "{waited:?}");
        let before = clock.now();
        upkeep.poke();
        until(&upkeep, |s| s.runs == 3).await;
        assert_eq!(clock.now(), before, "a poke does not wait for the interval");
        assert!(group.stop(HOUR).await);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_panics_are_shown_and_do_not_end_it() {
        let (upkeep, task) = build("sweep", HOUR, Clock::simulated(Wall::from_millis(0)));
        let group = TaskGroup::new();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        group.spawn(
            "sweep",
            task.run(group.stop_token(), move || {
                let call = counted.fetch_add(1, Ordering::Relaxed);
                async move {
                    match call {
                        0 => Err("disk is away"),
                        1 => panic!("a bug"),
                        _ => Ok(()),
                    }
                }
            }),
        );
        let first = until(&upkeep, |s| s.runs == 1).await;
        assert_eq!((first.error.as_deref(), first.failures, first.succeeded), (Some("disk is away"), 1, None));
        let second = until(&upkeep, |s| s.runs == 2).await;
        assert_eq!((second.error.as_deref(), second.failures), (Some("panicked: a bug"), 2));
        let third = until(&upkeep, |s| s.runs == 3).await;
        assert_eq!((third.error, third.failures), (None, 0));
        assert!(third.succeeded.is_some());
        assert!(group.stop(HOUR).await);
    }

    #[tokio::test(start_paused = true)]
    async fn never_overlaps_and_a_poke_during_a_run_means_one_more() {
        let (upkeep, task) = build("sweep", HOUR, Clock::simulated(Wall::from_millis(0)));
        let group = TaskGroup::new();
        let (inside, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
        let (counted, waited) = (inside.clone(), gate.clone());
        group.spawn(
            "sweep",
            task.run(group.stop_token(), move || {
                let (inside, gate) = (counted.clone(), waited.clone());
                async move {
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "two runs at once");
                    gate.acquire().await.unwrap().forget();
                    inside.fetch_sub(1, Ordering::Relaxed);
                    Ok::<_, String>(())
                }
            }),
        );
        until(&upkeep, |s| s.running).await;
        for _ in 0..5 {
            upkeep.poke();
        }
        gate.add_permits(2);
        let state = until(&upkeep, |s| s.runs == 2).await;
        assert_eq!(state.error, None);
        assert!(group.stop(HOUR).await);
        assert_eq!(upkeep.last_run().runs, 2, "five pokes before a run are one");
    }
}
