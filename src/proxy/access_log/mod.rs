//! The access log: a line for each request, made on the worker that served it, written by a thread of its own.
//!
//! Lines are gathered for up to a second. Where writing lags, lines are dropped and counted: no request waits for a log.

mod line;
mod writer;

pub(super) use line::Line;
pub(super) use writer::Writer;

use super::{
    connection::Connection,
    h1::{Refusal, RequestHead},
    io::Transport,
    plane::Shared,
    settings::AccessLog,
};
use line::Outcome;
use std::{
    cell::RefCell,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What a worker gathers before it hands it on, in bytes.
const BATCH_BYTES: usize = 32 << 10;

/// One worker's lines that are not handed on yet.
pub(super) struct Lines {
    shared: Arc<Shared>,
    gathered: RefCell<Vec<u8>>,
}

/// What the last lines may take to be written at the end.
const LAST_LINES_MAX: Duration = Duration::from_millis(500);

/// The way to the thread that writes; changes with the settings.
#[derive(Default)]
pub(super) struct Outlet(Mutex<Option<(AccessLog, Writer)>>);

impl Outlet {
    /// Writes as the settings say from now on, into a file that is there. The thread before ends once it has written what
    /// it has.
    pub(super) fn follow(&self, log: &AccessLog) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().map_or(&AccessLog::Off, |(log, _)| log) != log {
            *current = Writer::start(log).map(|writer| (log.clone(), writer));
        }
        if let Some((_, writer)) = &*current {
            // Nothing to write, but a look at the file: whoever moved it away waits for the new one.
            writer.take(Vec::new());
        }
    }

    /// Ends once what was handed on is written, or will not be.
    pub(super) async fn close(&self) {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((_, writer)) = current
            && tokio::time::timeout(LAST_LINES_MAX, writer.end()).await.is_err()
        {
            tracing::warn!("the last lines of the access log are not written yet");
        }
    }

    /// False: the lines were dropped.
    fn hand_on(&self, lines: Vec<u8>) -> bool {
        let current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().is_none_or(|(_, writer)| writer.take(lines))
    }
}

impl Lines {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), gathered: RefCell::default() }
    }

    /// A line for a request that begins, where there is a log.
    pub(super) fn begin<C: Transport>(
        &self,
        connection: &Connection<C>,
        head: &RequestHead,
        bytes: &[u8],
    ) -> Option<Box<Line>> {
        let json = connection.settings.access_log.is_json()?;
        let address = connection.client.address(head, bytes, &connection.settings.trusted);
        let line = Line::of(json, address, self.shared.clock.wall(), head, bytes);
        Some(Box::new(if connection.io.with(C::is_h2) { line.over_h2() } else { line }))
    }

    /// A line for what was refused before it was a request.
    pub(super) fn refused<C: Transport>(&self, connection: &Connection<C>, refusal: Refusal) {
        let Some(json) = connection.settings.access_log.is_json() else { return };
        let line = Line::nothing(json, connection.ends.peer.ip(), self.shared.clock.wall());
        let outcome = Outcome { status: refusal.status(), reason: Some(refusal.name()), ..Outcome::default() };
        self.write(&line, &outcome);
    }

    pub(super) fn write(&self, line: &Line, outcome: &Outcome<'_>) {
        let mut gathered = self.gathered.borrow_mut();
        line.write(outcome, &mut gathered);
        if gathered.len() >= BATCH_BYTES {
            drop(gathered);
            self.flush();
        }
    }

    /// Hands on what was gathered.
    pub(super) fn flush(&self) {
        let lines = self.gathered.take();
        if lines.is_empty() {
            return;
        }
        let count = lines.iter().filter(|b| **b == b'\n').count();
        if !self.shared.log.hand_on(lines) {
            self.shared.meters.log_lines_lost.inc_by(count as u64);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathered.borrow().is_empty()
    }
}

pub(super) use line::Outcome as LogOutcome;
