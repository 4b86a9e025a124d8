//! All cases and many mutants, through the whole proxy, to an origin that tells what it saw: alone, and behind servers
//! that read what we pass on in their own way.

use super::{
    cases::{self, Verdict},
    mutants::mutants,
    origins::{Entry, RawOrigin, between},
    rig::{Rig, statuses},
    walk::{End, Seen, walk},
};
use crate::proxy::h1::{Refusal, path};

/// Mutants of each run, others in each: the seed is in what fails. `FRAMING_MUTANTS` in the environment asks for more.
const MUTANTS: usize = 6000;
/// The same where another server stands between.
const MUTANTS_BETWEEN: usize = 3000;

fn count(default: usize) -> usize {
    std::env::var("FRAMING_MUTANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A request as far as all agree on it.
type Request = (String, Vec<u8>);

fn requests(entries: &[Entry], name: &str, sent: &[u8]) -> Vec<Request> {
    let mut requests = Vec::new();
    for entry in entries {
        match entry {
            Entry::Request { head, body } => {
                let method = head.split(' ').next().unwrap_or_default().to_owned();
                requests.push((method, body.clone()));
            }
            // Its begin was on the way when it broke.
            Entry::Part(_) => {}
            Entry::Garbage(bytes) => panic!("{name}: {} came of {}", bytes.escape_ascii(), sent.escape_ascii()),
        }
    }
    requests
}

/// With what a connection of HTTP/2 begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is due at the origin of these bytes, and whether a refusal ends it.
fn due(sent: &[u8]) -> (Vec<Seen>, Option<u16>) {
    // Whoever breaks off within the preface has asked nothing yet, whatever its begin would be in HTTP/1.1.
    if PREFACE.starts_with(sent) || sent.starts_with(PREFACE) {
        return (Vec::new(), None);
    }
    let (seen, end) = walk(sent, usize::MAX);
    let mut out = Vec::new();
    let mut due = Vec::new();
    for request in seen {
        if request.target == b"*" {
            continue;
        }
        let end = request.target.iter().position(|b| *b == b'?').unwrap_or(request.target.len());
        if path::normalise(&request.target[..end], true, &mut out).is_err() {
            return (due, Some(Refusal::AboveRoot.status()));
        }
        due.push(request);
    }
    match end {
        End::Refused(refusal) | End::Broken(refusal) => (due, Some(refusal.status())),
        End::Clean | End::Waiting => (due, None),
    }
}

fn wanted(due: &[Seen]) -> Vec<Request> {
    due.iter().map(|request| (request.method.escape_ascii().to_string(), request.body.clone())).collect()
}

#[test]
fn a_raw_origin_sees_of_every_case_what_it_must() {
    let origin = RawOrigin::new();
    let rig = Rig::to(origin.address());
    let mut faults = Vec::new();
    for case in cases::all() {
        let answers = rig.send(&case.sent);
        let seen = requests(&origin.take(), &case.name, &case.sent);
        let (due, _) = due(&case.sent);
        let methods: Vec<_> = due.iter().map(|request| request.method.clone()).collect();
        let told = statuses(&answers, &methods);
        let bodies: Vec<u8> = seen.iter().flat_map(|(_, body)| body.clone()).collect();
        let is_right = match case.verdict {
            Verdict::No(refusal) | Verdict::Broken(refusal) => seen.is_empty() && told == [refusal.status()],
            Verdict::Yes(count, body) => seen.len() == count && bodies == body && told == vec![200; count],
            Verdict::Unfinished => seen.is_empty() && told.iter().all(|status| *status >= 400),
        };
        if !is_right {
            faults.push(format!("{}: {:?} wanted, {} seen, {told:?} told", case.name, case.verdict, seen.len()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_raw_origin_sees_of_every_mutant_what_the_codec_takes() {
    let origin = RawOrigin::new();
    let rig = Rig::to(origin.address());
    let (seed, mut seen_requests) = (rand::random(), 0);
    for (name, sent) in mutants(seed, count(MUTANTS)) {
        let name = format!("{name} of {seed}");
        let answers = rig.send(&sent);
        let seen = requests(&origin.take(), &name, &sent);
        let (due, refused) = due(&sent);
        assert_eq!(seen, wanted(&due), "{name}: {}", sent.escape_ascii());
        seen_requests += seen.len();
        if let Some(status) = refused {
            let methods: Vec<_> = due.iter().map(|request| request.method.clone()).collect();
            assert_eq!(statuses(&answers, &methods).last(), Some(&status), "{name}: {}", sent.escape_ascii());
        }
    }
    assert!(seen_requests > MUTANTS / 20, "mutants are worth sending: {seen_requests} requests");
}

/// Whether these come among those, in order.
fn come_among(these: &[Request], those: &[Request]) -> bool {
    let mut rest = those.iter();
    these.iter().all(|one| rest.any(|other| other == one))
}

fn through(server: &'static str) {
    let between = between(server);
    let rig = Rig::to(between.address);
    let (mut passed, mut all) = (0, 0);
    let seed = rand::random();
    let cases = cases::all().into_iter().map(|case| (case.name, case.sent));
    let mutants = mutants(seed, count(MUTANTS_BETWEEN)).map(|(name, sent)| (format!("{name} of {seed}"), sent));
    for (name, sent) in cases.chain(mutants) {
        rig.send(&sent);
        let seen = requests(&between.origin.take(), &name, &sent);
        let due = wanted(&due(&sent).0);
        // It may refuse what we take; it never sees what we refuse, nor two in one.
        assert!(come_among(&seen, &due), "{server}: {name}: {seen:?} of {due:?}: {}", sent.escape_ascii());
        passed += seen.len();
        all += due.len();
    }
    assert!(passed * 10 > all * 8, "{server} passes on most: {passed} of {all}");
}

#[test]
fn nginx_reads_what_we_pass_on_as_we_do() {
    through("nginx");
}

#[test]
fn haproxy_reads_what_we_pass_on_as_we_do() {
    through("haproxy");
}

#[test]
fn apache_reads_what_we_pass_on_as_we_do() {
    through("apache2");
}
