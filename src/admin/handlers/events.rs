//! The event stream: server-sent events out of the durable log.
//!
//! A client is a cursor into the log and nothing more, so a slow one costs no memory; one that takes nothing at all is
//! cut off by the server's write stall limit and resumes with `Last-Event-ID`.

use crate::{
    admin::{api::Api, call::Call, failure::Failure},
    base::Kind,
    events::Events,
    model::Event,
    serve::{Body, Response},
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderValue, header::CONTENT_TYPE};
use std::{fmt::Write, io, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

/// Between two comments that keep proxies and dead connections from being mistaken for each other.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);
/// Events read from the log at once.
const BATCH_EVENTS: usize = 256;
/// What the client waits before it connects again.
const RETRY_MS: u64 = 2_000;

pub(in crate::admin) async fn stream(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    let header = call.request.header("last-event-id").map(str::to_owned);
    let last_seen = match header {
        Some(text) if !text.is_empty() => {
            let bad = || Failure::header("Last-Event-ID", "is not the id of an event, a whole number");
            Some(text.trim().parse::<u64>().map_err(|_| bad())?)
        }
        _ => call.whole_number("after")?,
    };
    let busy = |_| Failure::of_kind(Kind::Busy, "too many event streams are open; close some or try again");
    let permit = api.event_streams.clone().try_acquire_owned().map_err(busy)?;
    let news = api.deps.events.watch();
    let cursor = last_seen.unwrap_or(*news.borrow());
    let follower = Follower {
        events: api.deps.events.clone(),
        news,
        cursor,
        filter: Filter::new(call.text("kind").unwrap_or("")),
        stopping: call.request.stopping.clone(),
        _permit: permit,
    };
    let mut response = Response::new(Body::unsized_stream(follower.into_stream()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// One client's place in the log.
struct Follower {
    events: Events,
    news: watch::Receiver<u64>,
    cursor: u64,
    filter: Filter,
    stopping: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        // The first words tell the client that it is connected, before anything happens.
        let hello = Bytes::from(format!("retry: {RETRY_MS}\n\n"));
        stream::unfold((Some(hello), self), |(hello, mut follower)| async move {
            let piece = match hello {
                Some(hello) => Ok(hello),
                None => follower.next().await?,
            };
            Some((piece, (None, follower)))
        })
    }

    /// What is to be sent next; None at the end.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            // Marks what is there as seen before it is read, so that what comes meanwhile is not missed.
            let last = *self.news.borrow_and_update();
            if last != self.cursor {
                match self.batch().await {
                    Err(error) => return Some(Err(error)),
                    Ok(text) if !text.is_empty() => return Some(Ok(text.into())),
                    Ok(_) => {}
                }
            }
            if *self.news.borrow() != self.cursor && self.news.has_changed().unwrap_or(false) {
                continue;
            }
            tokio::select! {
                () = self.stopping.cancelled() => return None,
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep(HEARTBEAT_EVERY) => return Some(Ok(Bytes::from_static(b": still here\n\n"))),
            }
        }
    }

    /// The text of the next events that the client wants; empty where none of those read are.
    async fn batch(&mut self) -> io::Result<String> {
        let mut text = String::new();
        loop {
            let (events, cursor) = (self.events.clone(), self.cursor);
            let read = tokio::task::spawn_blocking(move || events.after(cursor, BATCH_EVENTS));
            let read = read.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
            let Some(last) = read.last() else { return Ok(text) };
            self.cursor = last.id;
            for event in read.iter().filter(|e| self.filter.takes(&e.kind.0)) {
                write_event(&mut text, event);
            }
            if !text.is_empty() {
                return Ok(text);
            }
        }
    }
}

fn write_event(out: &mut String, event: &Event) {
    // An event is plain data and always serialises; JSON has no line breaks of its own. Writing to a String cannot fail.
    let data = serde_json::to_string(event).unwrap_or_default();
    let _ = write!(out, "id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind.0);
}

/// Which kinds a client wants: `presence.*,disk.full`; empty: all. With `!` in front, which it does not want: those weigh
/// more.
struct Filter {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

impl Filter {
    fn new(text: &str) -> Self {
        let patterns = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let (unwanted, wanted): (Vec<&str>, Vec<&str>) = patterns.partition(|p| p.starts_with('!'));
        Self {
            wanted: wanted.into_iter().map(str::to_owned).collect(),
            unwanted: unwanted.into_iter().map(|p| p.trim_start_matches('!').to_owned()).collect(),
        }
    }

    fn takes(&self, kind: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => kind.starts_with(beginning),
            None => kind == pattern,
        };
        (self.wanted.is_empty() || self.wanted.iter().any(fits)) && !self.unwanted.iter().any(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_take_kinds_and_families() {
        let filter = Filter::new("presence.*, disk.full");
        let taken: Vec<_> =
            ["presence.online", "disk.full", "disk.fuller", "stream.running"].iter().map(|k| filter.takes(k)).collect();
        assert_eq!(taken, [true, true, false, false]);
        assert!(Filter::new("").takes("anything.at-all"));
        let filter = Filter::new("!segment.*");
        assert!(filter.takes("disk.full") && !filter.takes("segment.closed"));
        let filter = Filter::new("disk.*, !disk.ok");
        assert!(filter.takes("disk.full") && !filter.takes("disk.ok") && !filter.takes("gap.opened"));
    }
}
