//! What each hour of a stream holds, summed up and remembered, so that a month is listed without reading a hundred
//! thousand rows.
//!
//! Nothing of it is kept on the disk: an hour is read from its rows when it is first asked for. Whole days are summed up
//! of their hours in turn: a month of a hundred cameras is three thousand sums instead of seventy thousand. Of hours that
//! are asked for in part, and of those that change, each row is remembered for a while, and of those a changed one alone is
//! read again: so the hour in which everybody looks and everybody records costs a few reads. Nothing is behind in anything
//! but time: who was told that a change is done, sees it.

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

/// Rows that are remembered one by one, of all streams, at about 100 bytes each. Two hours at the ends of a range have 240
/// of the usual ones: those of five hundred cameras.
const ROWS_MAX: usize = 120_000;

/// The hours of all streams. Every method but `changed` and `changes` blocks.
pub struct Hours {
    streams: Mutex<Streams>,
    rows_max: usize,
}

#[derive(Default)]
struct Streams {
    of: BTreeMap<StreamKey, OfStream>,
    /// How many rows all of them remember.
    rows: usize,
}

#[derive(Default)]
struct OfStream {
    /// Grows with every change, so that what was read before one is not remembered after it.
    version: u64,
    /// None until all rows were read once. Then an hour that is not in it has no rows, and one that is None has changed.
    hours: Option<BTreeMap<i64, Option<Arc<[Run]>>>>,
    /// Days that were asked for whole and have not changed since.
    days: BTreeMap<i64, Arc<[Run]>>,
    /// Some hours row by row.
    rows: BTreeMap<i64, Arc<Rows>>,
}

/// The rows of an hour, by start; one that is None has changed.
type Rows = Vec<(Wall, Option<Run>)>;

/// What must be read before a range can be told.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// All rows.
    All,
    /// Those of an hour.
    Hour(i64),
    /// One.
    Row(Wall),
}

/// What one look has read itself. It tells from it also what changed too quickly to be remembered.
#[derive(Default)]
struct Seen {
    all: Option<BTreeMap<i64, Arc<[Run]>>>,
    hours: BTreeMap<i64, Arc<Rows>>,
    rows: BTreeMap<Wall, Option<Run>>,
}

impl Default for Hours {
    fn default() -> Self {
        Self { streams: Mutex::default(), rows_max: ROWS_MAX }
    }
}

impl Hours {
    /// A row that starts then was put or dropped. To be called once the change can be read.
    pub fn changed(&self, stream: &StreamKey, start: Wall) {
        self.with(|streams| {
            let of = streams.of.entry(stream.clone()).or_default();
            of.version += 1;
            of.days.remove(&day(hour(start)));
            if let Some(hours) = &mut of.hours {
                hours.insert(hour(start), None);
            }
            if let Some(rows) = of.rows.get_mut(&hour(start)) {
                let rows = Arc::make_mut(rows);
                match place(rows, start) {
                    Ok(at) => rows[at].1 = None,
                    Err(at) => {
                        rows.insert(at, (start, None));
                        streams.rows += 1;
                    }
                }
                streams.make_room(0, self.rows_max);
            }
        });
    }

    /// How often rows of a stream have changed.
    pub fn changes(&self, stream: &StreamKey) -> u64 {
        self.with(|streams| streams.of.get(stream).map_or(0, |of| of.version))
    }

    /// Whether the rows of a stream are still to be read for the first time.
    pub fn is_unread(&self, stream: &StreamKey) -> bool {
        self.with(|streams| streams.of.get(stream).is_none_or(|of| of.hours.is_none()))
    }

    /// The runs of a stream in a range, by start. `growing` take the place of their rows.
    pub fn runs(
        &self,
        index: &Index,
        stream: &StreamKey,
        range: Range,
        growing: &[Segment],
    ) -> Result<Vec<Run>, Error> {
        let mut seen = Seen::default();
        loop {
            let (told, version) = self.with(|streams| {
                let of = streams.of.entry(stream.clone()).or_default();
                (of.look(range, growing, &seen), of.version)
            });
            let needs = match told {
                Ok(runs) => return Ok(runs),
                Err(needs) => needs,
            };
            for need in needs {
                match need {
                    Need::All => seen.all = Some(self.read_all(index, stream, version)?),
                    Need::Hour(at) => {
                        seen.hours.insert(at, self.read_hour(index, stream, at, version)?);
                    }
                    Need::Row(start) => {
                        seen.rows.insert(start, self.read_row(index, stream, start, version)?);
                    }
                }
            }
        }
    }

    fn read_all(&self, index: &Index, stream: &StreamKey, version: u64) -> Result<BTreeMap<i64, Arc<[Run]>>, Error> {
        let mut found: BTreeMap<i64, Vec<Run>> = BTreeMap::new();
        for row in index.rows(stream) {
            let row = row?;
            Run::push(found.entry(hour(row.start)).or_default(), Run::of(&row));
        }
        let found: BTreeMap<i64, Arc<[Run]>> = found.into_iter().map(|(at, runs)| (at, runs.into())).collect();
        self.remember(stream, version, |of, _| {
            of.hours = Some(found.iter().map(|(at, runs)| (*at, Some(runs.clone()))).collect());
        });
        Ok(found)
    }

    fn read_hour(&self, index: &Index, stream: &StreamKey, at: i64, version: u64) -> Result<Arc<Rows>, Error> {
        let rows = index.starting(stream, begin(at), begin(at.saturating_add(1)))?;
        let rows: Arc<Rows> = Arc::new(rows.iter().map(|row| (row.start, Some(Run::of(row)))).collect());
        self.with(|streams| streams.make_room(rows.len(), self.rows_max));
        self.remember(stream, version, |of, kept| {
            *kept += rows.len();
            *kept -= of.rows.insert(at, rows.clone()).map_or(0, |before| before.len());
        });
        Ok(rows)
    }

    fn read_row(&self, index: &Index, stream: &StreamKey, start: Wall, version: u64) -> Result<Option<Run>, Error> {
        let run = index.row(stream, start)?.map(|row| Run::of(&row));
        self.remember(stream, version, |of, kept| {
            let Some(rows) = of.rows.get_mut(&hour(start)) else { return };
            let rows = Arc::make_mut(rows);
            let Ok(at) = place(rows, start) else { return };
            match &run {
                Some(run) => rows[at].1 = Some(run.clone()),
                None => {
                    rows.remove(at);
                    *kept -= 1;
                }
            }
        });
        Ok(run)
    }

    /// Only where nothing of the stream has changed since; with the number of all rows that are remembered.
    fn remember(&self, stream: &StreamKey, version: u64, f: impl FnOnce(&mut OfStream, &mut usize)) {
        self.with(|streams| {
            if let Some(of) = streams.of.get_mut(stream).filter(|of| of.version == version) {
                f(of, &mut streams.rows);
            }
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Streams) -> T) -> T {
        f(&mut self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Streams {
    /// For so many rows more. All that are there go at once: whoever looks next reads what it needs of them again.
    fn make_room(&mut self, more: usize, rows_max: usize) {
        if self.rows + more > rows_max {
            self.of.values_mut().for_each(|of| of.rows.clear());
            self.rows = 0;
        }
    }
}

impl OfStream {
    /// The runs of a range, or what must be read first. From memory alone.
    fn look(&mut self, range: Range, growing: &[Segment], seen: &Seen) -> Result<Vec<Run>, Vec<Need>> {
        let unsettled: BTreeSet<i64> = growing.iter().map(|g| hour(g.start)).collect();
        let first = hour(range.from.plus_micros(-SEGMENT_MICROS_MAX));
        let (mut runs, mut needs) = (Vec::new(), Vec::new());
        let mut next = self.hour_from(first, seen)?;
        while let Some(at) = next.filter(|at| begin(*at) < range.to) {
            let today = day(at);
            let tomorrow = (today + 1).saturating_mul(DAY_HOURS);
            let (morning, night) = (begin(today * DAY_HOURS), begin(tomorrow));
            if morning >= range.from && range.to >= night && unsettled.iter().all(|at| day(*at) != today) {
                self.day(today, seen)
                    .map_or_else(|lacks| needs.extend(lacks), |of_day| runs.extend_from_slice(&of_day));
                next = self.hour_from(tomorrow, seen)?;
                continue;
            }
            let (start, end) = (begin(at), begin(at.saturating_add(1)));
            let is_whole = !unsettled.contains(&at) && range.to >= end;
            // Footage may reach from one hour into the next ones: what begins before the range is looked at by its end.
            let told = match self.hour(at, seen) {
                Err(lacks) => Err(lacks),
                Ok(of_hour) if is_whole && start >= range.from => {
                    runs.extend_from_slice(&of_hour);
                    Ok(())
                }
                Ok(of_hour) if !unsettled.contains(&at) && of_hour.iter().all(|run| run.end() <= range.from) => Ok(()),
                Ok(_) => self.rows(at, seen).map(|rows| {
                    let inside = |run: &Run| range.overlaps(run.start(), run.end());
                    let grows = |run: &Run| growing.iter().any(|g| g.start == run.start());
                    runs.extend(rows.into_iter().filter(|run| inside(run) && !grows(run)).cloned());
                }),
            };
            told.unwrap_or_else(|lacks| needs.extend(lacks));
            next = self.hour_from(at.saturating_add(1), seen)?;
        }
        if !needs.is_empty() {
            return Err(needs);
        }
        runs.extend(growing.iter().filter(|g| range.overlaps(g.start, g.end())).map(Run::of));
        runs.sort_by_key(Run::start);
        let mut joined = Vec::new();
        runs.into_iter().for_each(|run| Run::push(&mut joined, run));
        Ok(joined)
    }

    /// The first hour from this one on that has rows, or had some before they changed.
    fn hour_from(&self, at: i64, seen: &Seen) -> Result<Option<i64>, Vec<Need>> {
        match (&self.hours, &seen.all) {
            (Some(hours), _) => Ok(hours.range(at..).next().map(|(at, _)| *at)),
            (None, Some(all)) => Ok(all.range(at..).next().map(|(at, _)| *at)),
            (None, None) => Err(vec![Need::All]),
        }
    }

    /// What begins in a day.
    fn day(&mut self, today: i64, seen: &Seen) -> Result<Arc<[Run]>, Vec<Need>> {
        if let Some(runs) = self.days.get(&today) {
            return Ok(runs.clone());
        }
        let (mut runs, mut needs) = (Vec::new(), Vec::new());
        let (mut at, tomorrow) = (today * DAY_HOURS, (today + 1).saturating_mul(DAY_HOURS));
        while let Some(next) = self.hour_from(at, seen)?.filter(|next| *next < tomorrow) {
            match self.hour(next, seen) {
                Ok(of_hour) => of_hour.iter().for_each(|run| Run::push(&mut runs, run.clone())),
                Err(lacks) => needs.extend(lacks),
            }
            at = next + 1;
        }
        if !needs.is_empty() {
            return Err(needs);
        }
        let runs: Arc<[Run]> = runs.into();
        // Of what was not remembered no day is, either.
        if self
            .hours
            .as_ref()
            .is_some_and(|hours| hours.range(today * DAY_HOURS..tomorrow).all(|(_, known)| known.is_some()))
        {
            self.days.insert(today, runs.clone());
        }
        Ok(runs)
    }

    /// What begins in an hour, summed up.
    fn hour(&mut self, at: i64, seen: &Seen) -> Result<Arc<[Run]>, Vec<Need>> {
        let known = self.hours.as_ref().map(|hours| hours.get(&at));
        match known {
            Some(Some(Some(runs))) => return Ok(runs.clone()),
            Some(None) => return Ok([].into()),
            None => {
                if let Some(runs) = seen.all.as_ref().and_then(|all| all.get(&at)) {
                    return Ok(runs.clone());
                }
            }
            Some(Some(None)) => {}
        }
        let mut runs = Vec::new();
        self.rows(at, seen)?.into_iter().for_each(|run| Run::push(&mut runs, run.clone()));
        let runs: Arc<[Run]> = runs.into();
        let is_remembered = self.rows.get(&at).is_some_and(|rows| rows.iter().all(|(_, run)| run.is_some()));
        if let (true, Some(hours)) = (is_remembered, &mut self.hours) {
            match runs.is_empty() {
                true => hours.remove(&at),
                false => hours.insert(at, Some(runs.clone())),
            };
        }
        Ok(runs)
    }

    /// The rows of an hour, each alone.
    fn rows<'a>(&'a self, at: i64, seen: &'a Seen) -> Result<Vec<&'a Run>, Vec<Need>> {
        let Some(rows) = self.rows.get(&at).or_else(|| seen.hours.get(&at)) else { return Err(vec![Need::Hour(at)]) };
        let (mut runs, mut needs) = (Vec::with_capacity(rows.len()), Vec::new());
        for (start, run) in rows.iter() {
            match run.as_ref().map(Some).or(seen.rows.get(start).map(Option::as_ref)) {
                Some(run) => runs.extend(run),
                None => needs.push(Need::Row(*start)),
            }
        }
        if needs.is_empty() { Ok(runs) } else { Err(needs) }
    }
}

/// Where a row is, or would be.
fn place(rows: &[(Wall, Option<Run>)], start: Wall) -> Result<usize, usize> {
    rows.binary_search_by_key(&start, |(start, _)| *start)
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
mod tests;
