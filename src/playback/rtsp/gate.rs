//! Who may watch: the token's digest, MD5 or SHA-256, any user; what wrong ones cost; and how many may be connected.

use crate::{
    base::{Clock, Secret},
    playback::plays::tries::{Origin, Tries},
    rtsp::{digest::Credentials, message::Request},
};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// What clients are told that the password is for.
pub(super) const REALM: &str = "skyvis";
/// Connections at once. A thousand viewers and those who come and go.
const CONNECTIONS_MAX: usize = 4_096;
/// Of these, who has not shown yet that they may watch.
const STRANGERS_MAX: usize = 256;

/// The door that all come by.
pub(super) struct Gate {
    token: Option<Secret>,
    tries: Mutex<Tries<Origin>>,
    clock: Clock,
    inside: AtomicUsize,
    strangers: AtomicUsize,
}

/// What is said to who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// They may.
    Welcome,
    /// They are to prove it.
    Prove,
    /// What they proved is wrong; the answer comes only after so long.
    Wrong(Duration),
    /// Too many were wrong: no more are looked at for so long.
    TooMany(Duration),
    /// Nobody may from there.
    Never,
}

/// A connection that is counted, until it is dropped.
pub(super) struct Ticket {
    gate: Arc<Gate>,
    stranger: bool,
}

impl Gate {
    pub(super) fn new(token: Option<Secret>, clock: Clock) -> Arc<Self> {
        let (inside, strangers) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { token, tries: Mutex::default(), clock, inside, strangers })
    }

    /// A place for a connection; None where there is none.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Ticket> {
        let below = |n: &AtomicUsize, max| {
            n.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1)).is_ok()
        };
        if !below(&self.strangers, STRANGERS_MAX) {
            return None;
        }
        let ticket = Ticket { gate: self.clone(), stranger: true };
        below(&self.inside, CONNECTIONS_MAX).then_some(()).or_else(|| {
            // Dropping the ticket takes one off both.
            self.inside.fetch_add(1, Ordering::Relaxed);
            None
        })?;
        Some(ticket)
    }

    /// Whether the request's sender may watch. `nonce` is what this connection was told to prove it with.
    pub(super) fn judge(&self, request: &Request, peer: IpAddr, nonce: Option<&str>) -> Word {
        let Some(token) = self.token.as_ref().filter(|token| !token.is_empty()) else {
            return if peer.to_canonical().is_loopback() { Word::Welcome } else { Word::Never };
        };
        let all = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
        let given = all.filter_map(|(_, value)| Credentials::parse(value)).next();
        // What was proved with another connection's number is no wrong try: it was right there.
        let Some(given) = given.filter(|given| nonce == Some(&given.nonce)) else { return Word::Prove };
        let origin = Origin::of(Some(peer));
        let now = self.clock.read().mono_micros;
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        match tries.begin(&origin, origin, now) {
            Err(wait) => Word::TooMany(wait),
            Ok(_) if given.proves(&request.method, &given.username, REALM, token.expose()) => {
                tries.right(&origin, origin);
                Word::Welcome
            }
            Ok(delay) => Word::Wrong(delay),
        }
    }
}

impl Ticket {
    /// It is no stranger's any more.
    pub(super) fn known(&mut self) {
        if std::mem::take(&mut self.stranger) {
            self.gate.strangers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_known(&self) -> bool {
        !self.stranger
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.known();
        self.gate.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::digest::{Algorithm, challenge};
    use bytes::Bytes;

    fn asked(header: Option<String>) -> Request {
        let headers = header.map(|value| ("authorization".to_owned(), value)).into_iter().collect();
        Request { method: "DESCRIBE".into(), uri: "rtsp://h/n/1/main".into(), headers, body: Bytes::new() }
    }

    fn answer(algorithm: Algorithm, password: &str, nonce: &str) -> Request {
        let challenge = challenge(algorithm, REALM, nonce, true, false);
        let mut client = http_auth::PasswordClient::try_from(challenge.as_str()).unwrap();
        let uri = "rtsp://h/n/1/main";
        let parameters =
            http_auth::PasswordParams { username: "anybody", password, uri, method: "DESCRIBE", body: Some(&[]) };
        asked(Some(client.respond(&parameters).unwrap()))
    }

    #[test]
    fn the_token_opens_by_either_algorithm_and_wrong_ones_cost_time_and_then_the_turn() {
        let gate = Gate::new(Some(Secret::new("open sesame")), Clock::real());
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!(gate.judge(&asked(None), here, None), Word::Prove);
        for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
            let right = answer(algorithm, "open sesame", "00ff");
            assert_eq!(gate.judge(&right, here, Some("00ff")), Word::Welcome);
            assert_eq!(gate.judge(&right, here, Some("00fe")), Word::Prove, "another connection's");
            assert_eq!(gate.judge(&right, here, None), Word::Prove);
        }
        let wrong = answer(Algorithm::Md5, "open", "00ff");
        let delays: Vec<Word> = (0..6).map(|_| gate.judge(&wrong, here, Some("00ff"))).collect();
        assert_eq!(delays[0], Word::Wrong(Duration::ZERO));
        assert!(matches!(delays[4], Word::Wrong(delay) if delay > Duration::from_secs(1)), "{delays:?}");
        assert!(matches!(delays[5], Word::TooMany(wait) if wait > Duration::from_secs(30)), "{delays:?}");
        let right = answer(Algorithm::Sha256, "open sesame", "00ff");
        assert!(matches!(gate.judge(&right, here, Some("00ff")), Word::TooMany(_)));
        assert_eq!(gate.judge(&right, there, Some("00ff")), Word::Welcome);
    }

    #[test]
    fn without_a_token_only_this_host_may() {
        for token in [None, Some(Secret::new(""))] {
            let gate = Gate::new(token, Clock::real());
            let of = |peer: &str| gate.judge(&asked(None), peer.parse().unwrap(), None);
            assert_eq!(
                (of("127.0.0.9"), of("::1"), of("::ffff:127.0.0.1")),
                (Word::Welcome, Word::Welcome, Word::Welcome)
            );
            assert_eq!((of("192.0.2.1"), of("2001:db8::1")), (Word::Never, Word::Never));
        }
    }

    #[test]
    fn strangers_are_few_and_who_is_known_makes_room() {
        let gate = Gate::new(None, Clock::real());
        let mut all: Vec<Ticket> = std::iter::from_fn(|| gate.enter()).collect();
        assert_eq!(all.len(), STRANGERS_MAX);
        while all.len() < CONNECTIONS_MAX {
            all.iter_mut().for_each(Ticket::known);
            all.extend(std::iter::from_fn(|| gate.enter()));
        }
        all.iter_mut().for_each(Ticket::known);
        assert!(all.len() == CONNECTIONS_MAX && gate.enter().is_none());
        all.pop();
        assert!(gate.enter().is_some());
        drop(all);
        assert_eq!((gate.inside.load(Ordering::Relaxed), gate.strangers.load(Ordering::Relaxed)), (0, 0));
    }
}
