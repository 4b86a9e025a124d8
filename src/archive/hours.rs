//! What each hour of a stream holds, summed up and remembered, so that a month is listed without reading a hundred
//! thousand rows.
//!
//! Nothing of it is kept on the disk: an hour is read from its rows when it is first asked for, and again after one of
//! its rows changed. So it can be behind in nothing but time. Whole days are summed up of their hours in turn: a month of
//! a hundred cameras is three thousand sums instead of seventy thousand.

use super::{
    Error,
    index::{Index, SEGMENT_MICROS_MAX},
};
use crate::{
    base::Wall,
    model::{Range, Run, Segment, StreamKey},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

const HOUR_MICROS: i64 = 3_600_000_000;
const DAY_HOURS: i64 = 24;

/// The hours of all streams. Every method blocks.
#[derive(Default)]
pub struct Hours(Mutex<BTreeMap<StreamKey, OfStream>>);

#[derive(Default)]
struct OfStream {
    /// Grows with every change, so that what was read before one is not remembered after it.
    version: u64,
    /// None until all rows were read once. Then an hour that is not in it has no rows, and one that is None has changed.
    hours: Option<BTreeMap<i64, Option<Arc<[Run]>>>>,
    /// Days that were asked for whole and have not changed since.
    days: BTreeMap<i64, Arc<[Run]>>,
}

impl Hours {
    /// A row that starts then was put or dropped. To be called once the change can be read.
    pub fn changed(&self, stream: &StreamKey, start: Wall) {
        self.with(|streams| {
            let of = streams.entry(stream.clone()).or_default();
            of.version += 1;
            of.days.remove(&day(hour(start)));
            if let Some(hours) = &mut of.hours {
                hours.insert(hour(start), None);
            }
        });
    }

    /// How often rows of a stream have changed.
    pub fn changes(&self, stream: &StreamKey) -> u64 {
        self.with(|streams| streams.get(stream).map_or(0, |of| of.version))
    }

    /// Whether the rows of a stream are still to be read for the first time.
    pub fn is_unread(&self, stream: &StreamKey) -> bool {
        self.with(|streams| streams.get(stream).is_none_or(|of| of.hours.is_none()))
    }

    /// The runs of a stream in a range, by start. `growing` take the place of their rows.
    pub fn runs(
        &self,
        index: &Index,
        stream: &StreamKey,
        range: Range,
        growing: &[Segment],
    ) -> Result<Vec<Run>, Error> {
        let mut runs: Vec<Run> = Vec::new();
        let inside = |s: &Segment| range.overlaps(s.start, s.end());
        let grows = |row: &Segment| growing.iter().any(|g| g.start == row.start);
        let mut take = |rows: Vec<Segment>| {
            runs.extend(rows.iter().filter(|row| inside(row) && !grows(row)).map(Run::of));
        };
        let unsettled: BTreeSet<i64> = growing.iter().map(|g| hour(g.start)).collect();
        let mut whole: Vec<Arc<[Run]>> = Vec::new();
        let first = hour(range.from.plus_micros(-SEGMENT_MICROS_MAX));
        let known = self.known(index, stream)?;
        for hours in known.chunk_by(|a, b| day(*a) == day(*b)) {
            let today = day(hours[0]);
            let (start, end) = (begin(today * DAY_HOURS), begin((today + 1).saturating_mul(DAY_HOURS)));
            if start >= range.from && range.to >= end && unsettled.iter().all(|at| day(*at) != today) {
                whole.push(self.day(index, stream, hours)?);
                continue;
            }
            for at in hours.iter().copied().filter(|at| *at >= first && begin(*at) < range.to) {
                let (start, end) = (begin(at), begin(at.saturating_add(1)));
                let settled = !unsettled.contains(&at) && range.to >= end;
                // Footage may reach from one hour into the next ones: what begins before the range is looked at by its
                // end.
                if settled && start >= range.from {
                    whole.push(self.hour(index, stream, at)?);
                } else if unsettled.contains(&at) || self.hour(index, stream, at)?.iter().any(|r| r.end() > range.from)
                {
                    take(index.starting(stream, start, end.min(range.to))?);
                }
            }
        }
        runs.extend(growing.iter().filter(|g| inside(g)).map(Run::of));
        runs.extend(whole.iter().flat_map(|runs| runs.iter().cloned()));
        runs.sort_by_key(Run::start);
        let mut joined = Vec::new();
        runs.into_iter().for_each(|run| Run::push(&mut joined, run));
        Ok(joined)
    }

    /// The hours that have rows, or had some before they changed.
    fn known(&self, index: &Index, stream: &StreamKey) -> Result<Vec<i64>, Error> {
        let list = |of: &OfStream| of.hours.as_ref().map(|hours| hours.keys().copied().collect());
        if let Some(hours) = self.with(|streams| streams.get(stream).and_then(list)) {
            return Ok(hours);
        }
        let version = self.with(|streams| streams.entry(stream.clone()).or_default().version);
        let mut found: BTreeMap<i64, Vec<Run>> = BTreeMap::new();
        for row in index.rows(stream) {
            let row = row?;
            Run::push(found.entry(hour(row.start)).or_default(), Run::of(&row));
        }
        let hours = found.keys().copied().collect();
        let read = found.into_iter().map(|(at, runs)| (at, Some(runs.into()))).collect();
        self.with(|streams| {
            let of = streams.entry(stream.clone()).or_default();
            if of.version == version {
                of.hours = Some(read);
            }
        });
        Ok(hours)
    }

    /// What begins in a day, of which these are the hours that have rows.
    fn day(&self, index: &Index, stream: &StreamKey, hours: &[i64]) -> Result<Arc<[Run]>, Error> {
        let today = day(hours[0]);
        let (known, version) = self.with(|streams| {
            let of = streams.entry(stream.clone()).or_default();
            (of.days.get(&today).cloned(), of.version)
        });
        if let Some(runs) = known {
            return Ok(runs);
        }
        let mut runs = Vec::new();
        for at in hours {
            self.hour(index, stream, *at)?.iter().for_each(|run| Run::push(&mut runs, run.clone()));
        }
        let runs: Arc<[Run]> = runs.into();
        self.with(|streams| {
            let of = streams.entry(stream.clone()).or_default();
            if of.version == version {
                of.days.insert(today, runs.clone());
            }
        });
        Ok(runs)
    }

    /// What begins in an hour.
    fn hour(&self, index: &Index, stream: &StreamKey, at: i64) -> Result<Arc<[Run]>, Error> {
        let known = self.with(|streams| {
            let of = streams.entry(stream.clone()).or_default();
            let runs = of.hours.as_ref().and_then(|hours| hours.get(&at).cloned().flatten());
            runs.ok_or(of.version)
        });
        let version = match known {
            Ok(runs) => return Ok(runs),
            Err(version) => version,
        };
        let mut runs = Vec::new();
        for row in index.starting(stream, begin(at), begin(at.saturating_add(1)))? {
            Run::push(&mut runs, Run::of(&row));
        }
        let runs: Arc<[Run]> = runs.into();
        self.with(|streams| {
            let of = streams.entry(stream.clone()).or_default();
            if let (true, Some(hours)) = (of.version == version, &mut of.hours) {
                match runs.is_empty() {
                    true => hours.remove(&at),
                    false => hours.insert(at, Some(runs.clone())),
                };
            }
        });
        Ok(runs)
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<StreamKey, OfStream>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The hour that a moment lies in.
fn hour(at: Wall) -> i64 {
    at.micros().div_euclid(HOUR_MICROS)
}

/// The day, by UTC, that an hour lies in.
fn day(hour: i64) -> i64 {
    hour.div_euclid(DAY_HOURS)
}

/// When an hour begins.
fn begin(hour: i64) -> Wall {
    Wall::from_micros(hour.saturating_mul(HOUR_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        archive::{
            fixture::{Bench, noon, stream},
            index::Change,
        },
        model::{SessionId, Span, span::spans_of},
    };
    use proptest::prelude::*;

    /// One step of a life: a segment put, dropped, or left growing, by its place in time.
    #[derive(Clone, Debug)]
    enum Step {
        Put(i64),
        Drop(i64),
        Grow(i64),
        Look(i64, i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = || 0..300i64;
        prop_oneof![
            6 => at().prop_map(Step::Put),
            2 => at().prop_map(Step::Drop),
            1 => at().prop_map(Step::Grow),
            3 => (at(), at()).prop_map(|(a, b)| Step::Look(a.min(b), a.max(b) + 1)),
        ]
    }

    /// When number `at` begins: some hours of each day are recorded.
    fn place(at: i64) -> Wall {
        noon().plus_micros(at * 100_000_000 + at.div_euclid(75) * 20 * HOUR_MICROS)
    }

    /// Number `at` of a row of segments 100 s long, every seventh of which is a little short.
    fn segment(at: i64) -> Segment {
        let short = i64::from(at % 7 == 0) * 3;
        Segment {
            stream: stream("cam/1/main"),
            start: place(at),
            duration_ticks: u64::try_from(100 - short).unwrap() * 90_000,
            bytes: 1000 + at.unsigned_abs(),
            frames: 2500,
            session: SessionId(at.unsigned_abs() / 50),
            index: u32::try_from(at % 50).unwrap() * 2,
            name_suffix: 0,
            closed: true,
            sha256: Some([0; 32]),
        }
    }

    async fn compare(bench: &Bench, range: Range) {
        let stream = stream("cam/1/main");
        let rows = bench.archive.segments(&stream, range, usize::MAX).await.unwrap();
        let spans: Vec<Span> = bench.archive.spans(&stream, range).await.unwrap();
        assert_eq!(spans, spans_of(&rows), "{range:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn sums_say_at_any_time_what_the_rows_say(steps in proptest::collection::vec(step(), 1..60)) {
            tokio::runtime::Runtime::new().unwrap().block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let bench = Bench::open(dir.path()).await;
                for step in steps {
                    match step {
                        Step::Put(at) => {
                            let put = Change::Put { segment: segment(at), table: None, mark: None };
                            bench.archive.apply_changes(vec![put]).await.unwrap();
                        }
                        Step::Drop(at) => {
                            let Segment { stream, start, .. } = segment(at);
                            bench.archive.apply_changes(vec![Change::Drop { stream, start }]).await.unwrap();
                        }
                        Step::Grow(at) => {
                            let growing = Segment { closed: false, bytes: 7, duration_ticks: 90_000, ..segment(at) };
                            bench.archive.opened(growing, Default::default()).await.unwrap();
                            let longer = Segment { closed: false, ..segment(at) };
                            bench.archive.extended(longer, &Default::default(), &Default::default());
                        }
                        Step::Look(from, to) => {
                            let at = |n: i64| place(n).plus_micros(30_000_000);
                            compare(&bench, Range { from: at(from), to: at(to) }).await;
                        }
                    }
                }
                compare(&bench, Range::ALL).await;
                bench.end().await;
            });
        }
    }
}
