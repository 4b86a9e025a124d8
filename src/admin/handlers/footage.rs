//! What is recorded: spans, segments, the index made anew or compared with the files.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        views::{RecordingsView, ReindexView, SegmentView, SegmentsView, SpanView, VerifyView},
    },
    archive::Thorough,
    base::{Kind, Wall},
    model::{Range, Segment, StreamKey},
    serve::Response,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{pin::pin, sync::Arc};

/// Streams whose spans are put together in one go: a thread of the archive is taken for so long, and what lies behind the
/// end of a page is looked at for nothing.
const STREAMS_AT_ONCE: usize = 16;

pub(in crate::admin) async fn recordings(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let (only, range, limit) = (call.parsed::<StreamKey>("stream")?, call.range()?, call.limit()?);
    let cursor: Option<Cursor> = call.cursor()?;
    let mut streams = only.clone().map_or_else(|| api.deps.archive.streams(), |stream| vec![stream]);
    streams.retain(|stream| cursor.as_ref().is_none_or(|cursor| *stream >= cursor.stream));
    let some: Vec<Vec<StreamKey>> = streams.chunks(STREAMS_AT_ONCE).map(<[_]>::to_vec).collect();
    let look = |some: Vec<StreamKey>| {
        let archive = api.deps.archive.clone();
        async move { archive.spans_of(&some, range).await.map(|found| (some, found)) }
    };
    let looks = stream::iter(some).map(look).buffered(2);
    let (mut spans, mut next): (Vec<SpanView>, _) = (Vec::new(), None);
    let mut looks = pin!(looks);
    'page: while let Some((some, found)) = looks.try_next().await? {
        for (stream, found) in some.iter().zip(found) {
            for span in found {
                let start = span.start.micros();
                if cursor.as_ref().is_some_and(|c| *stream == c.stream && start < c.start) {
                    continue;
                }
                if spans.len() == limit {
                    next = Some(Cursor { stream: stream.clone(), start }.to_string());
                    break 'page;
                }
                spans.push(SpanView { stream: stream.clone(), span });
            }
        }
    }
    json(&RecordingsView { stream: only, spans, next })
}

/// Where a page of spans goes on: `<stream>@<start in microseconds>`.
struct Cursor {
    stream: StreamKey,
    start: i64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.stream, self.start)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (stream, start) = text.rsplit_once('@').ok_or(())?;
        Ok(Self { stream: stream.parse().map_err(|_| ())?, start: start.parse().map_err(|_| ())? })
    }
}

pub(in crate::admin) async fn segments(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let (stream, range, limit) = (call.stream()?, call.range()?, call.limit()?);
    let mut reader = Reader::new(&api, stream.clone(), range, call.cursor()?);
    let mut found = reader.next(limit + 1).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|s| s.start.micros().to_string());
    let segments = found.into_iter().map(|s| SegmentView::of(api.deps.archive.path(&s), s)).collect();
    json(&SegmentsView { segments, next })
}

pub(in crate::admin) async fn reindex(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    let busy = |_| Failure::of_kind(Kind::Busy, "the index is being made anew already; try again when it is done");
    let permit = api.reindexes.clone().try_acquire_owned().map_err(busy)?;
    let archive = api.deps.archive.clone();
    let work = async move {
        let done = archive.reindex(|_| {}).await;
        drop(permit);
        done
    };
    json(&ReindexView::of(api.to_its_end("reindex", work).await??))
}

pub(in crate::admin) async fn verify(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let deep = call.parsed::<bool>("deep")?.unwrap_or(false);
    let busy = |_| Failure::of_kind(Kind::Busy, "footage is being verified already; try again when it is done");
    let permit = api.verifies.clone().try_acquire_owned().map_err(busy)?;
    let archive = api.deps.archive.clone();
    let work = async move {
        let done = archive.verify(Thorough { deep, gentle: true }, |_| {}).await;
        drop(permit);
        done
    };
    json(&VerifyView::of(api.to_its_end("verify", work).await??))
}

/// Walks over a stream's segments in order.
struct Reader<'a> {
    api: &'a Api,
    stream: StreamKey,
    range: Range,
    /// Only segments that start later than this are still to come, in microseconds.
    behind: Option<i64>,
}

impl<'a> Reader<'a> {
    fn new(api: &'a Api, stream: StreamKey, range: Range, behind: Option<i64>) -> Self {
        Self { api, stream, range, behind }
    }

    /// Up to `limit` further segments; none at the end.
    async fn next(&mut self, limit: usize) -> Result<Vec<Segment>, Failure> {
        let from = self.behind.map_or(self.range.from, |b| self.range.from.max(Wall::from_micros(b.saturating_add(1))));
        if from >= self.range.to {
            return Ok(Vec::new());
        }
        // One that began earlier may reach into the rest: it comes again and is left out, so one more is asked for.
        let range = Range { from, to: self.range.to };
        let mut found = self.api.deps.archive.segments(&self.stream, range, limit.saturating_add(1)).await?;
        found.retain(|s| self.behind.is_none_or(|b| s.start.micros() > b));
        found.truncate(limit);
        self.behind = found.last().map(|s| s.start.micros()).or(self.behind);
        Ok(found)
    }
}
