//! The rules, pure: what a turn makes of a state. Time is passed in.

use super::*;
use crate::registry::{
    draft::{Draft, Due, Finished},
    pace::Moment,
    record::Verdict,
    state::State,
};

const S: Moment = 1_000_000;

/// One turn, which is durable at once.
fn turn<T>(state: &mut State, now: Moment, work: impl FnOnce(&mut Draft<'_>) -> T) -> (T, Turn) {
    let mut draft = Draft::new(state, now, WALL.plus(Duration::from_micros(now)));
    let answer = work(&mut draft);
    let Finished { staged, effects, at_once, .. } = draft.finish();
    let is_empty = staged.is_empty();
    if !is_empty {
        state.take(staged);
    }
    let effects = at_once.into_iter().chain(effects).map(|e| (e.what, e.at)).collect();
    (answer, Turn { wrote: !is_empty, effects })
}

struct Turn {
    wrote: bool,
    effects: Vec<(Due, Option<Moment>)>,
}

impl Turn {
    /// What was said last of a deadline.
    fn at(&self, what: &Due) -> Option<Option<Moment>> {
        self.effects.iter().rev().find(|(w, _)| w == what).map(|(_, at)| *at)
    }
}

fn ttl(id: &str) -> Due {
    Due::Ttl(key("web", id))
}

fn removal(id: &str) -> Due {
    Due::Removal(key("web", id))
}

fn put(state: &mut State, now: Moment, id: &str, spec: Spec) -> (Result<(u64, bool), Error>, Turn) {
    let spec = Arc::new(spec);
    let (answer, turn) = turn(state, now, |d| d.register(&key("web", id), &spec, None, Source::Api, None));
    (answer.map(|c| (c.revision, c.changed)), turn)
}

fn health(state: &State, id: &str) -> Health {
    state.record(&key("web", id)).unwrap().health()
}

#[test]
fn the_same_again_renews_and_takes_no_revision() {
    let mut state = State { revision: 1, catalog: 1, ..State::default() };
    let with_ttl = |port| Spec { ttl: Some(seconds(5)), ..spec(port) };
    let (answer, first) = put(&mut state, 10 * S, "a", with_ttl(1));
    assert_eq!((answer.unwrap(), first.at(&ttl("a"))), ((2, true), Some(Some(15 * S))));
    let (answer, again) = put(&mut state, 12 * S, "a", with_ttl(1));
    assert_eq!((answer.unwrap(), again.at(&ttl("a")), again.wrote), ((2, false), Some(Some(17 * S)), false));
    let (answer, other) = put(&mut state, 13 * S, "a", with_ttl(2));
    assert_eq!((answer.unwrap(), other.wrote, state.revision), ((3, true), true, 3));
    let record = state.record(&key("web", "a")).unwrap();
    assert_eq!((record.created, record.modified, record.defined), (2, 3, 3));
    assert_eq!(record.since, WALL.plus(seconds(10)), "its health is what it was since it was made");
}

#[test]
fn a_ttl_that_runs_out_takes_it_out_at_once_and_away_later_and_a_renewal_brings_it_back() {
    let mut state = State { revision: 1, ..State::default() };
    put(&mut state, 0, "a", Spec { ttl: Some(seconds(5)), ..spec(1) }).0.unwrap();
    let (_, out) = turn(&mut state, 5 * S, |d| d.expire(&[ttl("a")]));
    assert_eq!(health(&state, "a"), Health::Critical);
    assert_eq!((out.at(&ttl("a")), out.at(&removal("a"))), (Some(None), Some(Some(10 * S))));
    let reason = state.record(&key("web", "a")).unwrap().reason().unwrap();
    assert_eq!(&*reason, "not renewed within its ttl of 5s");

    let (renewed, back) = turn(&mut state, 7 * S, |d| d.renew(&key("web", "a")));
    assert!(renewed.unwrap().1.changed && back.wrote);
    assert_eq!((back.at(&ttl("a")), back.at(&removal("a"))), (Some(Some(12 * S)), Some(None)));
    assert_eq!(health(&state, "a"), Health::Passing);
    let (renewed, again) = turn(&mut state, 8 * S, |d| d.renew(&key("web", "a")));
    assert!(!renewed.unwrap().1.changed && !again.wrote, "a renewal in time writes nothing");

    turn(&mut state, 13 * S, |d| d.expire(&[ttl("a")]));
    let revision = state.revision;
    let (_, gone) = turn(&mut state, 18 * S, |d| d.expire(&[removal("a")]));
    assert!(state.record(&key("web", "a")).is_none() && state.services.is_empty());
    assert_eq!((state.revision, gone.at(&removal("a"))), (revision + 1, Some(None)));
    let (renewed, _) = turn(&mut state, 19 * S, |d| d.renew(&key("web", "a")));
    assert!(matches!(renewed, Err(Error::NoInstance(_))), "who is gone is told to register again");
}

#[test]
fn what_is_due_and_is_not_so_any_more_does_nothing() {
    let mut state = State { revision: 1, ..State::default() };
    put(&mut state, 0, "a", Spec { ttl: Some(seconds(5)), ..spec(1) }).0.unwrap();
    put(&mut state, 0, "a", spec(1)).0.unwrap();
    let (_, turn_) = turn(&mut state, 9 * S, |d| d.expire(&[ttl("a"), removal("a"), ttl("b"), Due::Lease(3)]));
    assert!(!turn_.wrote && turn_.effects.iter().all(|(_, at)| at.is_none()));
    assert_eq!(health(&state, "a"), Health::Passing);
}

#[test]
fn a_check_decides_and_its_word_is_for_the_definition_that_it_looked_at() {
    let mut state = State { revision: 1, ..State::default() };
    let checked = |port| Spec {
        check: Some(Check::new(CheckKind::Http("/health".into()))),
        deregister_after: Some(seconds(30)),
        ..spec(port)
    };
    let (_, first) = put(&mut state, 0, "a", checked(1));
    assert_eq!(health(&state, "a"), Health::Critical, "nobody has looked yet");
    assert_eq!(first.at(&removal("a")), Some(Some(30 * S)));
    let defined = |state: &State| state.record(&key("web", "a")).unwrap().defined;
    let report = |state: &mut State, now, defined, health, output: &str| {
        turn(state, now, |d| d.report(&key("web", "a"), defined, health, output))
    };
    let now = defined(&state);
    let (news, passing) = report(&mut state, S, now, Health::Passing, "200 OK");
    assert!(news.unwrap().changed);
    assert_eq!((health(&state, "a"), passing.at(&removal("a"))), (Health::Passing, Some(None)));
    let (news, quiet) = report(&mut state, 2 * S, now, Health::Passing, "200 OK again");
    assert!(!news.unwrap().changed && !quiet.wrote, "what says the same wakes nobody");

    report(&mut state, 3 * S, now, Health::Critical, "refused").0.unwrap();
    let (_, other) = report(&mut state, 4 * S, now, Health::Warning, "slow");
    assert_eq!((health(&state, "a"), other.at(&removal("a"))), (Health::Warning, Some(None)));
    report(&mut state, 5 * S, now, Health::Critical, "refused").0.unwrap();
    // Registered again with other tags: the same place, looked at in the same way.
    let tagged = Spec { tags: ["x".into()].into(), ..checked(1) };
    let (_, again) = put(&mut state, 20 * S, "a", tagged);
    assert_eq!((health(&state, "a"), again.at(&removal("a"))), (Health::Critical, None), "its time runs on");
    assert_eq!(defined(&state), now);
    // Another port is another place.
    put(&mut state, 21 * S, "a", checked(2)).0.unwrap();
    assert_eq!(state.record(&key("web", "a")).unwrap().reason().as_deref(), Some("not checked yet"));
    let (late, _) = report(&mut state, 22 * S, now, Health::Passing, "of the old port");
    assert!(matches!(late, Err(Error::Outdated(_))), "{late:?}");
}

#[test]
fn the_file_wins_and_nobody_else_changes_what_it_names() {
    let mut state = State { revision: 1, ..State::default() };
    put(&mut state, 0, "a", spec(1)).0.unwrap();
    let file = |all: &[(&str, Spec)]| -> Vec<StaticInstance> {
        all.iter().map(|(id, s)| StaticInstance { key: key("web", id), spec: Arc::new(s.clone()) }).collect()
    };
    let checked = Spec { check: Some(Check::new(CheckKind::Tcp)), deregister_after: Some(seconds(30)), ..spec(4) };
    let wanted = file(&[("a", spec(2)), ("b", spec(3)), ("c", checked)]);
    let (answer, one) = turn(&mut state, S, |d| d.set_static(&wanted, &[]));
    assert_eq!((answer.unwrap().revision, state.revision), (3, 3), "one revision for all of it");
    assert_eq!(one.at(&removal("c")), Some(None), "nobody would bring it back");
    assert_eq!(state.record(&key("web", "a")).unwrap().spec.port, 2);
    let (again, quiet) = turn(&mut state, 2 * S, |d| d.set_static(&wanted, &[]));
    assert!(!again.unwrap().changed && !quiet.wrote, "a reload that changes nothing writes nothing");
    assert!(matches!(put(&mut state, 3 * S, "a", spec(9)).0, Err(Error::ReadOnly(_))));
    for id in ["a", "b"] {
        let (answer, _) = turn(&mut state, 3 * S, |d| d.deregister(&key("web", id)));
        assert!(matches!(answer, Err(Error::ReadOnly(_))));
    }
    put(&mut state, 4 * S, "mine", spec(5)).0.unwrap();
    let (_, _) = turn(&mut state, 5 * S, |d| d.set_static(&file(&[("b", spec(3))]), &[]).unwrap());
    let ids: Vec<_> = state.records().map(|r| r.key.id.to_string()).collect();
    assert_eq!(ids, ["b", "mine"]);
    let name = "web".parse().unwrap();
    turn(&mut state, 6 * S, |d| d.deregister_service(&name).unwrap());
    let ids: Vec<_> = state.records().map(|r| r.key.id.to_string()).collect();
    assert_eq!(ids, ["b"]);
    let (answer, _) = turn(&mut state, 7 * S, |d| d.deregister_service(&name));
    assert!(matches!(answer, Err(Error::ReadOnly(_))));
}

#[test]
fn who_comes_back_under_another_name_replaces_its_dead_self() {
    let mut state = State { revision: 1, ..State::default() };
    put(&mut state, 0, "old", Spec { ttl: Some(seconds(5)), ..spec(1) }).0.unwrap();
    put(&mut state, 0, "twin", spec(1)).0.unwrap();
    assert_eq!(
        state.instances, 2,
        "two that live may share a port: one of them says so falsely, and we cannot know which"
    );
    turn(&mut state, 6 * S, |d| d.expire(&[ttl("old")]));
    put(&mut state, 7 * S, "new", Spec { ttl: Some(seconds(5)), ..spec(1) }).0.unwrap();
    let ids: Vec<_> = state.records().map(|r| r.key.id.to_string()).collect();
    assert_eq!(ids, ["new", "twin"]);
}

#[test]
fn names_keep_where_they_led_until_they_lead_elsewhere() {
    use crate::registry::draft::Resolved;
    let mut state = State { revision: 1, ..State::default() };
    let named = Arc::new(Spec::new("web.example.com", 80));
    let leads = |to: &[&str], problem: Option<&str>| Resolved {
        targets: to.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>().into(),
        problem: problem.map(Into::into),
    };
    let lost = leads(&[], Some("gone"));
    turn(&mut state, 0, |d| d.register(&key("web", "a"), &named, Some(&lost), Source::Api, None).unwrap());
    let record = |state: &State| state.record(&key("web", "a")).unwrap().clone();
    assert!(!record(&state).instance().is_routable() && record(&state).reason().as_deref() == Some("gone"));
    let resolved = |state: &mut State, r: &Resolved| {
        turn(state, S, |d| d.resolved(&key("web", "a"), "web.example.com", r)).1.wrote
    };
    let found = leads(&["10.0.0.1:80"], None);
    assert!(resolved(&mut state, &found) && record(&state).instance().is_routable());
    assert!(!resolved(&mut state, &found), "no news");
    assert!(resolved(&mut state, &lost));
    let kept = record(&state).instance();
    assert!(kept.is_routable() && kept.reason.as_deref() == Some("gone"), "the last good addresses stay");
    assert!(!turn(&mut state, S, |d| d.resolved(&key("web", "a"), "other", &found)).1.wrote);
}

#[test]
fn a_verdict_is_cut_at_a_character() {
    let long = Verdict::new(Health::Critical, &"摄".repeat(5_000));
    assert!(long.output.len() <= 4_096 && long.output.len() > 4_090);
}

#[test]
fn leases_take_their_keys_with_them_in_one_revision() {
    let mut state = State { revision: 1, ..State::default() };
    let ((id, ttl), granted) = turn(&mut state, 0, |d| d.grant(7, seconds(1), || 0).unwrap());
    assert_eq!((id, ttl, state.revision), (7, seconds(2), 1), "a grant is no revision");
    assert_eq!(granted.at(&Due::Lease(7)), Some(Some(2 * S)));
    let write = |key: &str, lease| Txn {
        success: vec![Op::Put {
            key: key.to_owned().into(),
            value: Some("v".into()),
            lease: Some(lease),
            when: When::Always,
        }],
        ..Txn::default()
    };
    for (key, lease) in [("a", 7), ("b", 7), ("c", 0)] {
        turn(&mut state, S, |d| d.txn(&write(key, lease)).unwrap());
    }
    let (refused, _) = turn(&mut state, S, |d| d.txn(&write("d", 8)));
    assert!(matches!(refused, Err(Error::NoLease(8))));
    // Written again without it, a key stays.
    turn(&mut state, S, |d| d.txn(&write("b", 0)).unwrap());
    let (_, kept) = turn(&mut state, S, |d| d.keep_alive(7).unwrap());
    assert!(!kept.wrote && kept.at(&Due::Lease(7)) == Some(Some(3 * S)));
    // In the very turn in which it runs out, something is put under it.
    let before = state.revision;
    turn(&mut state, 3 * S, |d| {
        d.txn(&write("e", 7)).unwrap();
        d.expire(&[Due::Lease(7)]);
    });
    let keys: Vec<_> = state.space.entries().keys().map(|k| show(k)).collect();
    assert_eq!((keys, state.revision), (vec!["b".to_owned(), "c".to_owned()], before + 2));
    let last = state.space.log.from(state.revision).next().unwrap().clone();
    assert_eq!(last.changes.len(), 2, "all of its keys at once");
    assert!(state.leases.is_empty());
    let (gone, _) = turn(&mut state, 4 * S, |d| d.keep_alive(7));
    assert!(matches!(gone, Err(Error::NoLease(7))));
}
