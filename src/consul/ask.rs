//! What a request asks for beside its path: flags, how long it waits for news, which elements it wants.

use super::{filter::Filter, node::DATACENTER, refusal::Refusal, time};
use crate::serve::Request;
use http::StatusCode;
use std::time::Duration;

/// How long a read waits for news where it does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(300);
/// The longest that it does.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// So many wait at once before they wait less long. Whoever has gone away is not noticed before its time is up, and must not
/// hold a place for ten minutes that others lack.
const CROWD: usize = 4_096;
/// The longest that one of a crowd waits.
const CROWDED_WAIT_MAX: Duration = Duration::from_secs(30);
/// So much of its time longer, by chance, so that those who began together do not come back together.
const JITTER: u32 = 16;

/// The query of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    pairs: Vec<(String, String)>,
    /// News are what came after this; 0: whatever there is.
    pub index: u64,
    /// How long it waits for them.
    pub wait: Duration,
}

impl Ask {
    pub fn read(request: &Request) -> Result<Self, Refusal> {
        let mut ask = Self { pairs: request.query_pairs(), ..Self::default() };
        if ask.has("stale") && ask.has("consistent") {
            return Err(Refusal::bad("Cannot specify ?stale with ?consistent, conflicting semantics."));
        }
        ask.index = match ask.text("index").filter(|text| !text.is_empty()) {
            Some(text) => text.parse().map_err(|_| Refusal::bad("Invalid index"))?,
            None => 0,
        };
        let wait = match ask.text("wait").filter(|text| !text.is_empty()) {
            Some(text) => time::read(text).ok_or_else(|| Refusal::bad("Invalid wait time"))?,
            None => Duration::ZERO,
        };
        ask.wait = if wait.is_zero() { WAIT_DEFAULT } else { wait.min(WAIT_MAX) };
        let dc = ask.text("datacenter").or(ask.text("dc")).filter(|dc| !dc.is_empty());
        if dc.is_some_and(|dc| dc != DATACENTER) {
            return Err(Refusal::failed("No path to datacenter"));
        }
        for (name, usual) in [("ns", "default"), ("partition", "default"), ("peer", "")] {
            if ask.text(name).is_some_and(|text| !text.is_empty() && text != usual) {
                return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, format!("skyvis does not serve ?{name}=")));
            }
        }
        Ok(ask)
    }

    /// Whether a flag stands there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| n == name)
    }

    /// The first value of a name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// `?passing`: the one flag whose value is looked at.
    pub fn passing(&self) -> Result<bool, Refusal> {
        match self.text("passing") {
            None => Ok(false),
            Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(_) => Err(Refusal::bad("Invalid value for ?passing")),
        }
    }

    /// What elements have to be like.
    pub fn filter(&self) -> Result<Filter, Refusal> {
        self.text("filter").map_or_else(|| Ok(Filter::default()), Filter::read)
    }

    /// How long it waits beside so many others, with chance from 0 to 1.
    pub fn patience(&self, others: usize, random: f64) -> Duration {
        let wait = if others < CROWD { self.wait } else { self.wait.min(CROWDED_WAIT_MAX) };
        wait + (wait / JITTER).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn ask(query: &str) -> Result<Ask, Refusal> {
        Ask::read(&Request::local(Method::GET, format!("/v1/x?{query}").parse().unwrap(), ""))
    }

    #[test]
    fn queries_are_read_as_clients_write_them() {
        let blocking = ask("index=7&wait=120000ms&stale").unwrap();
        assert_eq!((blocking.index, blocking.wait), (7, Duration::from_secs(120)));
        assert_eq!((ask("wait=0").unwrap().wait, ask("wait=1h").unwrap().wait), (WAIT_DEFAULT, WAIT_MAX));
        assert!(ask("passing").unwrap().passing().unwrap() && ask("passing=1").unwrap().passing().unwrap());
        assert!(!ask("passing=false").unwrap().passing().unwrap());
        assert_eq!(ask("passing=x").unwrap().passing().unwrap_err().text, "Invalid value for ?passing");
        for (bad, text) in [
            ("index=-1", "Invalid index"),
            ("wait=abc", "Invalid wait time"),
            ("stale&consistent", "Cannot specify ?stale with ?consistent, conflicting semantics."),
            ("dc=dc2", "No path to datacenter"),
            ("ns=other", "skyvis does not serve ?ns="),
        ] {
            assert_eq!(ask(bad).unwrap_err().text, text);
        }
        assert!(ask("dc=dc1&ns=default&token=x").is_ok());
        let patience = |wait: &str, others| ask(&format!("wait={wait}")).unwrap().patience(others, 1.0);
        assert_eq!((patience("16s", 0), patience("10m", 0).as_secs()), (Duration::from_secs(17), 637));
        assert_eq!((patience("16s", CROWD), patience("10m", CROWD).as_secs()), (Duration::from_secs(17), 31));
    }
}
