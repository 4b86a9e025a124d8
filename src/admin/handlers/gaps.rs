//! What should have been recorded and was not.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        views::{GapView, GapsView},
    },
    archive::Gaps,
    base::Wall,
    model::{Range, StreamKey},
    serve::Response,
};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc, time::Duration};

/// Without `from`, the gaps of every stream are those of this long ago: what was recorded is read for it.
const EVERY_STREAM: Duration = Duration::from_secs(86_400);

pub(in crate::admin) async fn gaps(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let (only, mut range, limit) = (call.parsed::<StreamKey>("stream")?, call.range()?, call.limit()?);
    let cursor: Option<Cursor> = call.cursor()?;
    let archive = &api.deps.archive;
    let streams = match &only {
        Some(stream) => BTreeSet::from([stream.clone()]),
        None => archive.ledger_streams().await?,
    };
    if only.is_none() && range.from == Range::ALL.from {
        range.from = range.to.min(api.deps.clock.wall()).minus(EVERY_STREAM);
    }
    let mut all = Gaps::default();
    for stream in &streams {
        all.add(stream, archive.gaps(stream, range).await?);
    }
    // Coverage is that of all that was asked for, whichever page of gaps it stands on.
    let behind = all.gaps.iter().filter(|(stream, gap)| cursor.as_ref().is_none_or(|c| c.is_before(stream, gap.start)));
    let mut items: Vec<GapView> =
        behind.take(limit + 1).map(|(stream, gap)| GapView::of(stream.clone(), *gap)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more).map(|g| Cursor { stream: g.stream.clone(), start: g.start.micros() });
    json(&GapsView {
        stream: only,
        coverage: all.coverage(),
        wanted_seconds: all.wanted_micros as f64 / 1e6,
        missing_seconds: all.missing_micros as f64 / 1e6,
        gaps: items,
        next: last.map(|c| c.to_string()),
    })
}

/// Where a page goes on: behind `<stream>@<start in microseconds>`.
struct Cursor {
    stream: StreamKey,
    start: i64,
}

impl Cursor {
    fn is_before(&self, stream: &StreamKey, start: Wall) -> bool {
        (&self.stream, self.start) < (stream, start.micros())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.stream, self.start)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (stream, start) = text.rsplit_once('@').ok_or(())?;
        Ok(Self { stream: stream.parse().map_err(|_| ())?, start: start.parse().map_err(|_| ())? })
    }
}
