//! What becomes of one request, for the counts and the log. It is written when this is dropped, however that comes about.

use super::{
    access_log::{Line, LogOutcome},
    h1::{Edits, Method, Version},
    table::{Action, Route},
    worker::Worker,
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

/// The client went away before an answer: never sent, only counted and logged.
pub(super) const CLIENT_GONE: u16 = 499;

/// One request.
pub(super) struct Record {
    worker: Rc<Worker>,
    /// None where no route was found.
    route: Option<Arc<Route>>,
    pub(super) method: Method,
    pub(super) version: Version,
    /// The client would ask again on this connection.
    pub(super) keep_alive: bool,
    pub(super) began_micros: u64,
    /// 0: not yet.
    ended_micros: Cell<u64>,
    status: Cell<u16>,
    /// Bytes of the request's body that went on.
    pub(super) received: Cell<u64>,
    /// Bytes that the client was sent.
    pub(super) sent: Cell<u64>,
    /// The answer broke off.
    pub(super) cut: Cell<bool>,
    /// Why there is no answer of an upstream; empty: there is, or it needs none.
    pub(super) reason: Cell<&'static str>,
    /// Whole lines that the answer's head has more, whoever gives it.
    pub(super) lines: RefCell<Vec<u8>>,
    line: Option<Box<Line>>,
}

impl Record {
    pub(super) fn new(
        worker: Rc<Worker>,
        route: Option<Arc<Route>>,
        (method, version, keep_alive): (Method, Version, bool),
        line: Option<Box<Line>>,
    ) -> Self {
        let began_micros = worker.now_micros();
        if let Some(route) = &route {
            route.meters.shard(worker.id).begin();
        }
        Self {
            worker,
            route,
            method,
            version,
            keep_alive,
            began_micros,
            ended_micros: Cell::new(0),
            status: Cell::new(CLIENT_GONE),
            received: Cell::new(0),
            sent: Cell::new(0),
            cut: Cell::new(false),
            reason: Cell::new(""),
            lines: RefCell::default(),
            line,
        }
    }

    /// The client is being sent this.
    pub(super) fn answered(&self, status: u16, bytes: u64) {
        self.status.set(status);
        self.sent.set(self.sent.get() + bytes);
    }

    /// It is refused for this.
    pub(super) fn refused(&self, name: &'static str) {
        self.reason.set(name);
    }

    /// What the route changes in an answer of ours: in what it was told to say, not in our word that it cannot.
    pub(super) fn edits(&self, status: u16) -> Option<&Edits> {
        let route = self.route.as_ref()?;
        let is_said = status < 400 || matches!(route.action, Action::Respond(_));
        route.response_edits.as_ref().filter(|_| is_said)
    }

    /// Nothing more is done for it. When that is.
    pub(super) fn end(&self) -> u64 {
        let now = self.worker.now_micros();
        self.ended_micros.set(now);
        now
    }

    /// It is tried again.
    pub(super) fn retry(&self) {
        if let Some(route) = &self.route {
            route.meters.shard(self.worker.id).retry();
        }
    }

    /// Which instance it went to.
    pub(super) fn upstream(&self, name: &Arc<str>) {
        if let Some(line) = &self.line {
            line.upstream(name);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = match self.ended_micros.get() {
            0 => self.worker.now_micros(),
            ended => ended,
        };
        let micros = ended.saturating_sub(self.began_micros);
        let (status, received, sent) = (self.status.get(), self.received.get(), self.sent.get());
        match &self.route {
            Some(route) => route.meters.shard(self.worker.id).end(status, micros, received, sent),
            None => drop(self.worker.shared.meters.unrouted.inc()),
        }
        if let Some(line) = self.line.take() {
            let route = self.route.as_ref().map_or("", |route| &route.name);
            let cut = self.cut.get();
            let reason = match (self.reason.get(), status) {
                ("", CLIENT_GONE) => Some("client_gone"),
                ("", _) => None,
                (reason, _) => Some(reason),
            };
            let outcome = LogOutcome { route, status, micros, received, sent, cut, reason };
            self.worker.lines.write(&line, &outcome);
        }
    }
}
