//! Which streams should be recorded: those that the configuration takes and that their device is known to have. A
//! recorder that is away when we begin has the streams that it had before.
//!
//! A stream that is live reports for itself; for one that nobody publishes, it is done here.

use super::{Config, Plan, pauses::Pauses, stream::Shared};
use crate::{
    live::{Hold, Roster},
    model::{DeviceId, GapCause, StreamKey},
};
use std::collections::{BTreeMap, BTreeSet};

/// Edges of hours and pauses that are caught up with: two a window, for weeks.
const EDGES_MAX: usize = 256;

/// What is known at a moment.
pub struct Known<'a> {
    /// Streams that somebody publishes.
    pub live: &'a BTreeSet<StreamKey>,
    /// What devices are known to have.
    pub rosters: &'a BTreeMap<DeviceId, Roster>,
    pub config: &'a Config,
    pub pauses: &'a Pauses,
}

impl Known<'_> {
    /// When a stream is wanted.
    pub fn plan(&self, stream: &StreamKey) -> Plan {
        Plan { schedule: self.config.settings(stream).schedule.clone(), pause: self.pauses.get(stream).cloned() }
    }

    /// The streams that should be recorded, given those that should have been so far. Pure.
    pub fn expected(&self, before: &BTreeSet<StreamKey>) -> BTreeSet<StreamKey> {
        let listed = self.rosters.values().filter_map(|r| r.streams.as_deref()).flatten();
        let all = listed.chain(self.live).chain(before);
        all.filter(|stream| self.config.expects(stream) && self.has(stream, before)).cloned().collect()
    }

    /// What the device is known to have. A gateway speaks for the devices behind it that it does not list: before it has
    /// listed any, nothing is known of them, and from then on they are gone.
    fn roster(&self, stream: &StreamKey) -> Option<&Roster> {
        self.rosters.get(&stream.device).or_else(|| self.rosters.get(stream.device.configured_str()))
    }

    /// Whether the device is known to have it, or not known not to.
    fn has(&self, stream: &StreamKey, before: &BTreeSet<StreamKey>) -> bool {
        match self.roster(stream).and_then(|r| r.streams.as_deref()) {
            Some(streams) => streams.contains(stream),
            None => self.live.contains(stream) || before.contains(stream),
        }
    }

    /// Hours and pauses went on while the process was not there: what an earlier one left open is split by them.
    pub fn catch_up(&self, shared: &Shared) {
        let (ledger, now) = (shared.archive.ledger(), shared.clock.wall());
        for stream in ledger.expected() {
            let Some(open) = ledger.open(&stream) else { continue };
            let ours = matches!(open.cause, GapCause::Restart | GapCause::Crash);
            if open.cause.counts() && !ours {
                continue;
            }
            let cause = if ours { open.cause } else { GapCause::Restart };
            let (plan, mut at) = (self.plan(&stream), open.start);
            for _ in 0..EDGES_MAX {
                let stretch = plan.stretch(at);
                ledger.absent(&stream, stretch.unwanted.unwrap_or(cause), at);
                at = stretch.until;
                if at >= now {
                    break;
                }
            }
        }
    }

    /// Makes the ledger expect what should be recorded, and says of each stream that nobody publishes why not.
    pub fn tell(&self, shared: &Shared) {
        let ledger = shared.archive.ledger();
        let now = shared.clock.wall();
        let before = ledger.expected();
        let expected = self.expected(&before);
        for stream in before.difference(&expected) {
            tracing::info!(%stream, "no longer to be recorded");
            ledger.retire(stream, now);
            shared.hub.hold(stream, None);
        }
        for stream in &expected {
            if !before.contains(stream) {
                ledger.expect(stream);
            }
            if self.live.contains(stream) {
                continue;
            }
            let plan = self.plan(stream);
            let unwanted = plan.unwanted(now);
            // Before its camera begins, so that no session is set up for nothing.
            let hold = unwanted.map(|cause| Hold { reason: plan.reason(cause).into() });
            shared.hub.hold(stream, hold);
            let absence = self.roster(stream).and_then(|r| r.absence).map(|a| a.cause);
            match unwanted.or(absence) {
                Some(cause) => ledger.absent(stream, cause, now),
                // Nothing is known yet. What was not wanted before is from now on.
                None if ledger.is_broken(stream) => ledger.absent(stream, GapCause::Connecting, now),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Profile,
        recorder::{DeviceSettings, Settings},
    };
    use std::sync::Arc;

    fn keys(texts: &[&str]) -> BTreeSet<StreamKey> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn roster(streams: Option<&[&str]>) -> BTreeMap<DeviceId, Roster> {
        let streams = streams.map(|s| Arc::new(keys(s)));
        BTreeMap::from([("nvr".parse().unwrap(), Roster { streams, absence: None })])
    }

    fn config(only: &[u32], enabled: bool, recorded: bool) -> Config {
        let settings = Settings { enabled: recorded, ..Settings::default() };
        let device = DeviceSettings {
            settings: settings.clone(),
            channels: BTreeMap::from([(3, Settings { enabled: false, ..settings.clone() })]),
            only: only.to_vec(),
            profiles: vec![Profile::Main],
            enabled,
        };
        Config { defaults: settings, devices: BTreeMap::from([("nvr".parse().unwrap(), device)]) }
    }

    #[test]
    fn what_should_be_recorded_comes_from_the_configuration_and_from_what_the_device_has() {
        let (pauses, none) = (Pauses::new(), BTreeMap::new());
        let expected = |live: &[&str], rosters: &BTreeMap<DeviceId, Roster>, config: &Config, before: &[&str]| {
            let live = keys(live);
            let known = Known { live: &live, rosters, config, pauses: &pauses };
            known.expected(&keys(before)).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let all = config(&[], true, true);
        // Away since we began: what it had before.
        assert_eq!(expected(&[], &none, &all, &["nvr/1/main"]), "nvr/1/main");
        assert_eq!(expected(&[], &roster(None), &all, &["nvr/1/main"]), "nvr/1/main");
        // It has said what it has.
        let two = roster(Some(&["nvr/2/main"]));
        assert_eq!(expected(&["nvr/2/main"], &two, &all, &["nvr/1/main"]), "nvr/2/main");
        assert_eq!(expected(&[], &two, &all, &[]), "nvr/2/main", "it should deliver it, and does not");
        // What the configuration does not take.
        let listed = roster(Some(&["nvr/1/main", "nvr/2/main", "nvr/1/sub", "nvr/3/main"]));
        assert_eq!(expected(&[], &listed, &config(&[2, 3], true, true), &["nvr/1/main"]), "nvr/2/main");
        assert_eq!(expected(&[], &listed, &config(&[], false, true), &["nvr/1/main"]), "");
        assert_eq!(expected(&[], &listed, &config(&[], true, false), &["nvr/1/main"]), "");
        assert_eq!(expected(&["other/1/main"], &none, &all, &["other/2/main"]), "");
        // Behind a gateway that has not listed its devices yet, and after it has: one of them is no longer there.
        let gone = "nvr:A/1/main";
        assert_eq!(expected(&[], &roster(None), &all, &[gone]), gone);
        let mut listed = roster(Some(&[]));
        assert_eq!(expected(&[], &listed, &all, &[gone]), "");
        listed.insert("nvr:A".parse().unwrap(), Roster::default());
        assert_eq!(expected(&[], &listed, &all, &[gone]), gone, "listed, and not asked for its channels yet");
    }
}
