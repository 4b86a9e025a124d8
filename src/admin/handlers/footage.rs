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
    model::{Range, Segment, Span, StreamKey},
    serve::Response,
};
use std::sync::Arc;

pub(in crate::admin) async fn recordings(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let (only, range, limit) = (call.parsed::<StreamKey>("stream")?, call.range()?, call.limit()?);
    let cursor: Option<Cursor> = call.cursor()?;
    let streams = only.clone().map_or_else(|| api.deps.archive.streams(), |stream| vec![stream]);
    let (mut spans, mut next): (Vec<SpanView>, _) = (Vec::new(), None);
    for stream in streams {
        let behind = match &cursor {
            Some(cursor) if stream < cursor.stream => continue,
            Some(cursor) if stream == cursor.stream => Some(cursor.start.saturating_sub(1)),
            _ => None,
        };
        let (found, more) = spans_from(&api, &stream, range, behind, limit - spans.len()).await?;
        spans.extend(found.into_iter().map(|span| SpanView { stream: stream.clone(), span }));
        if let Some(start) = more {
            next = Some(Cursor { stream, start }.to_string());
            break;
        }
    }
    json(&RecordingsView { stream: only, spans, next })
}

/// The first `limit` spans of a stream that begin later than `behind`, and where the one after them begins.
async fn spans_from(
    api: &Api,
    stream: &StreamKey,
    range: Range,
    behind: Option<i64>,
    limit: usize,
) -> Result<(Vec<Span>, Option<i64>), Failure> {
    let mut spans = api.deps.archive.spans(stream, range).await?;
    spans.retain(|span| behind.is_none_or(|behind| span.start.micros() > behind));
    let next = spans.get(limit).map(|s| s.start.micros());
    spans.truncate(limit);
    Ok((spans, next))
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
