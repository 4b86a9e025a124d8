//! What to delete, as a pure decision: oldest first across streams, until every limit holds.
//!
//! The caller shows the oldest closed segments of each stream, a bounded number of them; a growing one is never shown
//! and so never chosen. Five sweeps, each over what the ones before it left: age, bytes of a channel, bytes of a device,
//! bytes of all, free space.

use super::Config;
use crate::{
    base::Wall,
    disk::Space,
    model::{DeviceId, StreamKey},
};
use std::collections::BTreeMap;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A closed segment, as far as retention cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Its first moment, which names it.
    pub start: Wall,
    /// The same by the time that ages are measured by; another where the clock was wrong.
    pub taken: Wall,
    /// Its last moment, by that time.
    pub end: Wall,
    /// Its bytes.
    pub bytes: u64,
}

/// The oldest segments of one stream.
#[derive(Clone, Debug)]
pub struct Oldest {
    /// The stream.
    pub stream: StreamKey,
    /// Sorted by when they were taken.
    pub segments: Vec<Brief>,
    /// False where the stream has more than these.
    pub complete: bool,
}

/// Bytes that closed and growing segments take now, by configured device: those behind a gateway count as the gateway.
pub type DeviceBytes = BTreeMap<DeviceId, u64>;
/// The same by channel; those behind a gateway each by themselves.
pub type ChannelBytes = BTreeMap<(DeviceId, u32), u64>;

/// Why a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Older than `retain_days`.
    Age,
    /// Its device, or all footage, takes more than `retain_bytes`.
    Bytes,
    /// Less than `min_free` is free.
    Space,
}

/// One segment that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Its stream.
    pub stream: StreamKey,
    /// Its start, which names it within the stream.
    pub start: Wall,
    /// Its bytes.
    pub bytes: u64,
    /// Why.
    pub reason: Reason,
}

/// What to delete now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// In this order.
    pub victims: Vec<Victim>,
    /// True where a limit is still broken for what was shown: show more once these are gone.
    pub more: bool,
}

/// Decides. `space` is None where the file system does not say.
pub fn decide(
    config: &Config,
    now: Wall,
    space: Option<Space>,
    bytes: &DeviceBytes,
    channels: &ChannelBytes,
    oldest: &[Oldest],
) -> Decision {
    let mut sweep = Sweep {
        oldest,
        next: vec![0; oldest.len()],
        by_device: bytes.clone(),
        by_channel: channels.clone(),
        total: bytes.values().sum(),
        freed: 0,
        decision: Decision::default(),
    };
    sweep.age(config, now);
    for channel in channels.keys() {
        if let Some(limit) = config.channel_bytes(&channel.0, channel.1) {
            sweep.oldest_first(Reason::Bytes, |s, k| {
                k.device == channel.0 && k.channel == channel.1 && s.by_channel.get(channel).is_some_and(|b| *b > limit)
            });
        }
    }
    for device in bytes.keys() {
        if let Some(limit) = config.limits(device).retain_bytes {
            sweep.oldest_first(Reason::Bytes, |s, k| {
                k.device.configured_str() == device.as_str() && s.by_device.get(device).is_some_and(|b| *b > limit)
            });
        }
    }
    if let Some(limit) = config.retain_bytes {
        sweep.oldest_first(Reason::Bytes, |s, _| s.total > limit);
    }
    if let Some(space) = space {
        sweep.oldest_first(Reason::Space, |s, k| {
            let wanted = config.min_free(&k.device).bytes(space.total_bytes);
            space.free_bytes.saturating_add(s.freed) < wanted
        });
    }
    sweep.decision
}

/// The state of the sweeps: how far each stream has been taken, and what would be left.
struct Sweep<'a> {
    oldest: &'a [Oldest],
    next: Vec<usize>,
    by_device: DeviceBytes,
    by_channel: ChannelBytes,
    total: u64,
    freed: u64,
    decision: Decision,
}

impl Sweep<'_> {
    fn age(&mut self, config: &Config, now: Wall) {
        for i in 0..self.oldest.len() {
            let Some(days) = config.retain_days(&self.oldest[i].stream) else { continue };
            let limit = now.plus_micros(-i64::from(days).saturating_mul(DAY_MICROS));
            while self.peek(i).is_some_and(|s| s.end < limit) {
                self.take(i, Reason::Age);
            }
            self.decision.more |= self.exhausted(i);
        }
    }

    /// Takes the oldest segment of the devices that are over, again and again, until none is over.
    fn oldest_first(&mut self, reason: Reason, over: impl Fn(&Self, &StreamKey) -> bool) {
        loop {
            let mut oldest: Option<(Wall, usize)> = None;
            for i in 0..self.oldest.len() {
                if !over(self, &self.oldest[i].stream) {
                    continue;
                }
                if self.exhausted(i) {
                    // What comes next in this stream is not known, so neither is what is oldest.
                    self.decision.more = true;
                    return;
                }
                let Some(segment) = self.peek(i) else { continue };
                if oldest.is_none_or(|(taken, _)| segment.taken < taken) {
                    oldest = Some((segment.taken, i));
                }
            }
            match oldest {
                Some((_, i)) => self.take(i, reason),
                None => return,
            }
        }
    }

    fn peek(&self, i: usize) -> Option<Brief> {
        self.oldest[i].segments.get(self.next[i]).copied()
    }

    fn exhausted(&self, i: usize) -> bool {
        !self.oldest[i].complete && self.next[i] == self.oldest[i].segments.len()
    }

    fn take(&mut self, i: usize, reason: Reason) {
        let Oldest { stream, segments, .. } = &self.oldest[i];
        let Brief { start, bytes, .. } = segments[self.next[i]];
        self.next[i] += 1;
        if let Some(left) = self.by_device.get_mut(stream.device.configured_str()) {
            *left = left.saturating_sub(bytes);
        }
        if let Some(left) = self.by_channel.get_mut(&(stream.device.clone(), stream.channel)) {
            *left = left.saturating_sub(bytes);
        }
        self.total = self.total.saturating_sub(bytes);
        self.freed = self.freed.saturating_add(bytes);
        self.decision.victims.push(Victim { stream: stream.clone(), start, bytes, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{ChannelLimits, DeviceLimits, Limits, MinFree};
    use crate::model::Checksum;
    use proptest::prelude::*;

    const NO_LIMITS: Limits = Limits { retain_days: None, min_free: MinFree::Bytes(0), checksum: Checksum::Sha256 };

    fn config(defaults: Limits) -> Config {
        Config { dir: "r".into(), retain_bytes: None, defaults, devices: BTreeMap::new() }
    }

    fn day(n: i64) -> Wall {
        Wall::from_micros(n * DAY_MICROS)
    }

    /// A stream with one segment of `bytes` for each day.
    fn stream(key: &str, days: impl IntoIterator<Item = i64>, bytes: u64) -> Oldest {
        let segments = days
            .into_iter()
            .map(|d| Brief { start: day(d), taken: day(d), end: day(d).plus_micros(30), bytes })
            .collect();
        Oldest { stream: key.parse().unwrap(), segments, complete: true }
    }

    fn bytes(oldest: &[Oldest]) -> DeviceBytes {
        let mut all = DeviceBytes::new();
        for o in oldest {
            *all.entry(o.stream.device.configured()).or_default() += o.segments.iter().map(|s| s.bytes).sum::<u64>();
        }
        all
    }

    fn victims(d: &Decision) -> Vec<(String, i64)> {
        d.victims.iter().map(|v| (v.stream.to_string(), v.start.micros() / DAY_MICROS)).collect()
    }

    #[test]
    fn age_goes_by_the_limit_of_each_device_and_of_devices_that_left_by_the_default() {
        let mut config = config(Limits { retain_days: Some(30), ..NO_LIMITS });
        let own = DeviceLimits {
            limits: Limits { retain_days: Some(1), ..NO_LIMITS },
            retain_bytes: None,
            channels: BTreeMap::new(),
        };
        config.devices.insert("b".parse().unwrap(), own);
        let all = [stream("a/1/main", [60, 80], 1), stream("b/1/main", [60, 98, 99], 1)];
        let d = decide(&config, day(100), None, &bytes(&all), &ChannelBytes::new(), &all);
        let want = [("a/1/main", 60), ("b/1/main", 60), ("b/1/main", 98)];
        assert_eq!(victims(&d), want.map(|(s, n)| (s.to_owned(), n)));
    }

    #[test]
    fn space_takes_the_oldest_across_streams_and_only_as_many_as_needed() {
        let config = config(Limits { min_free: MinFree::Percent(10.0), ..NO_LIMITS });
        let all = [stream("a/1/main", [2, 3], 30), stream("b/1/main", [1, 4], 30)];
        let space = Some(Space { total_bytes: 1000, free_bytes: 50, ..Space::default() });
        let d = decide(&config, day(100), space, &bytes(&all), &ChannelBytes::new(), &all);
        assert_eq!(victims(&d), [("b/1/main".to_owned(), 1), ("a/1/main".to_owned(), 2)]);
        assert!(d.victims.iter().all(|v| v.reason == Reason::Space));
    }

    #[test]
    fn a_device_over_its_bytes_pays_itself_before_the_others_pay_for_it() {
        let mut config = config(NO_LIMITS);
        config.retain_bytes = Some(100);
        let own = DeviceLimits { limits: NO_LIMITS, retain_bytes: Some(20), channels: BTreeMap::new() };
        config.devices.insert("b".parse().unwrap(), own);
        let all = [stream("a/1/main", [1, 2], 30), stream("b/1/main", [3, 4, 5], 20)];
        let d = decide(&config, day(100), None, &bytes(&all), &ChannelBytes::new(), &all);
        assert_eq!(victims(&d), [("b/1/main".to_owned(), 3), ("b/1/main".to_owned(), 4)]);
    }

    #[test]
    fn the_devices_behind_a_gateway_share_the_limits_of_the_gateway() {
        let mut config = config(NO_LIMITS);
        let own = DeviceLimits {
            limits: Limits { retain_days: Some(50), ..NO_LIMITS },
            retain_bytes: Some(40),
            channels: BTreeMap::new(),
        };
        config.devices.insert("gw".parse().unwrap(), own);
        let all =
            [stream("gw:A/1/main", [1, 62, 64], 20), stream("gw:B/1/main", [63], 20), stream("gwx/1/main", [1], 90)];
        let d = decide(&config, day(100), None, &bytes(&all), &ChannelBytes::new(), &all);
        let want = [("gw:A/1/main", 1), ("gw:A/1/main", 62)];
        assert_eq!(victims(&d), want.map(|(s, n)| (s.to_owned(), n)));
        assert_eq!(d.victims.iter().map(|v| v.reason).collect::<Vec<_>>(), [Reason::Age, Reason::Bytes]);
    }

    #[test]
    fn what_is_not_shown_is_asked_for_and_nothing_younger_is_taken_in_its_place() {
        let config = config(Limits { min_free: MinFree::Bytes(500), ..NO_LIMITS });
        let mut all = [stream("a/1/main", [1], 10), stream("b/1/main", [5, 6], 10)];
        all[0].complete = false;
        let d = decide(
            &config,
            day(100),
            Some(Space { total_bytes: 1000, free_bytes: 0, ..Space::default() }),
            &bytes(&all),
            &ChannelBytes::new(),
            &all,
        );
        assert_eq!(victims(&d), [("a/1/main".to_owned(), 1)]);
        assert!(d.more);
    }

    #[test]
    fn a_channel_has_an_age_and_bytes_of_its_own_where_it_is_given_them() {
        let mut config = config(Limits { retain_days: Some(30), ..NO_LIMITS });
        let of_channel = ChannelLimits { retain_days: Some(5), retain_bytes: Some(20), checksum: Checksum::Sha256 };
        let limits = DeviceLimits {
            limits: Limits { retain_days: Some(50), ..NO_LIMITS },
            retain_bytes: None,
            channels: BTreeMap::from([(2, of_channel)]),
        };
        config.devices.insert("b".parse().unwrap(), limits);
        let all = [stream("b/1/main", [60, 97], 50), stream("b/2/main", [94, 96, 97], 10), stream("b/2/sub", [98], 10)];
        let channels = ChannelBytes::from([(("b".parse().unwrap(), 1), 100), (("b".parse().unwrap(), 2), 40)]);
        let d = decide(&config, day(100), None, &bytes(&all), &channels, &all);
        assert_eq!(victims(&d), [("b/2/main".to_owned(), 94), ("b/2/main".to_owned(), 96)]);
        let reasons: Vec<_> = d.victims.iter().map(|v| v.reason).collect();
        assert_eq!(reasons, [Reason::Age, Reason::Bytes]);
    }

    fn streams() -> impl Strategy<Value = Vec<Oldest>> {
        let one = |key: &'static str| {
            (prop::collection::btree_map(0i64..100, 1u64..50, 0..12), any::<bool>()).prop_map(move |(map, complete)| {
                let brief = |(d, bytes)| Brief { start: day(d), taken: day(d), end: day(d).plus_micros(30), bytes };
                Oldest { stream: key.parse().unwrap(), segments: map.into_iter().map(brief).collect(), complete }
            })
        };
        (one("a/1/main"), one("a/2/main"), one("b/1/sub")).prop_map(|(x, y, z)| vec![x, y, z])
    }

    proptest! {
        #[test]
        fn nothing_goes_for_space_where_min_free_is_zero(all in streams(), percent in any::<bool>()) {
            let min_free = if percent { MinFree::Percent(0.0) } else { MinFree::Bytes(0) };
            let d = decide(
                &config(Limits { min_free, ..NO_LIMITS }),
                day(100),
                Some(Space { total_bytes: 1000, free_bytes: 0, ..Space::default() }),
                &bytes(&all),
                &ChannelBytes::new(),
                &all,
            );
            prop_assert_eq!(d, Decision::default());
        }

        #[test]
        fn space_is_freed_oldest_first_no_more_than_needed_and_enough_where_all_was_shown(
            all in streams(),
            wanted in 0u64..600,
        ) {
            let space = Space { total_bytes: 10_000, free_bytes: 100, ..Space::default() };
            let config = config(Limits { min_free: MinFree::Bytes(wanted), ..NO_LIMITS });
            let d = decide(&config, day(100), Some(space), &bytes(&all), &ChannelBytes::new(), &all);
            let freed: u64 = d.victims.iter().map(|v| v.bytes).sum();
            prop_assert!(d.victims.windows(2).all(|w| w[0].start <= w[1].start));
            if let Some(last) = d.victims.last() {
                prop_assert!(space.free_bytes + freed - last.bytes < wanted, "the last one was not needed");
            }
            let shown: u64 = bytes(&all).values().sum();
            if space.free_bytes + freed < wanted && !d.more {
                prop_assert_eq!(freed, shown, "stopped early");
            }
            // Whatever is left of what was shown is younger than all that goes, but for streams that ran out.
            for o in &all {
                let gone: Vec<_> = d.victims.iter().filter(|v| v.stream == o.stream).map(|v| v.start).collect();
                let first: Vec<_> = o.segments.iter().take(gone.len()).map(|s| s.start).collect();
                prop_assert_eq!(gone, first);
            }
        }

        #[test]
        fn repeating_with_more_shown_ends_with_the_limit_held(all in streams(), limit in 0u64..400, shown in 1usize..4) {
            let mut config = config(NO_LIMITS);
            config.retain_bytes = Some(limit);
            let mut left: Vec<Oldest> = all;
            left.iter_mut().for_each(|o| o.complete = true);
            for _ in 0..100 {
                let part: Vec<Oldest> = left
                    .iter()
                    .map(|o| Oldest {
                        stream: o.stream.clone(),
                        segments: o.segments.iter().take(shown).copied().collect(),
                        complete: o.segments.len() <= shown,
                    })
                    .collect();
                let d = decide(&config, day(100), None, &bytes(&left), &ChannelBytes::new(), &part);
                for v in &d.victims {
                    let o = left.iter_mut().find(|o| o.stream == v.stream).unwrap();
                    prop_assert_eq!(o.segments.remove(0).start, v.start);
                }
                if !d.more {
                    break;
                }
                prop_assert!(!d.victims.is_empty(), "asked for more without taking any");
            }
            prop_assert!(bytes(&left).values().sum::<u64>() <= limit);
        }
    }
}
