//! How attempts that overlap share what there is.

use super::*;
use crate::camera::{accounts::Accounts, tests::a_device};
use futures_util::FutureExt;
use proptest::prelude::*;

/// That of an account of which nothing is known.
pub(crate) fn budget() -> Budget {
    Accounts::new(None, crate::base::Clock::real()).budget(&a_device())
}

/// One whose password was taken by these doors.
fn proven(doors: &[Door]) -> Budget {
    let budget = budget();
    for door in doors {
        now(begin(&budget, *door, 1).unwrap().unwrap().accepted());
    }
    budget
}

/// Nothing here waits for a store.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("at once")
}

/// An attempt without waiting for it.
fn begin(budget: &Budget, door: Door, cost: u32) -> Option<Result<Attempt<'_>, Locked>> {
    budget.try_begin(door, cost, Instant::now()).map(Result::ok).transpose()
}

#[tokio::test]
async fn two_refusals_by_any_door_end_it() {
    let budget = budget();
    begin(&budget, Door::Isapi, 1).unwrap().unwrap().refused(1).await;
    assert!(begin(&budget, Door::Rtsp, 1).is_none(), "streams wait until somebody has looked for a lock");
    budget.looked(Some(Ok(())), Instant::now()).await;
    begin(&budget, Door::Rtsp, 1).unwrap().unwrap().refused(1).await;
    let locked = begin(&budget, Door::Isapi, 1).unwrap().unwrap_err();
    assert!(locked.until.is_none() && locked.reason.contains("streams"), "{locked:?}");
}

#[tokio::test]
async fn sixteen_streams_together_spend_two() {
    let budget = budget();
    let a = begin(&budget, Door::Rtsp, 1).unwrap().unwrap();
    let b = begin(&budget, Door::Rtsp, 1).unwrap().unwrap();
    assert!(begin(&budget, Door::Rtsp, 1).is_none(), "the third waits for the first two");
    a.refused(1).await;
    budget.looked(None, Instant::now()).await;
    assert!(begin(&budget, Door::Rtsp, 1).is_none(), "one is spent, one is under way");
    b.accepted().await;
    assert!(begin(&budget, Door::Rtsp, 1).unwrap().is_ok(), "a success by this door forgets");
}

#[tokio::test]
async fn a_success_by_isapi_does_not_forgive_rtsp() {
    let budget = budget();
    for _ in 0..2 {
        begin(&budget, Door::Rtsp, 1).unwrap().unwrap().refused(1).await;
        if let Some(Ok(poll)) = begin(&budget, Door::Isapi, 2) {
            assert!(poll.careful);
            poll.accepted().await;
        }
    }
    assert!(budget.locked(Instant::now()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_out_with_a_margin_and_shown_alike_meanwhile() {
    let budget = budget();
    budget.looked(Some(Err(Some(10))), Instant::now()).await;
    let first = budget.locked(Instant::now()).unwrap();
    assert!(first.reason.contains("waits it out") && first.until_wall.is_some(), "{first:?}");
    tokio::time::advance(Duration::from_millis(4_400)).await;
    budget.looked(Some(Err(Some(6))), Instant::now()).await;
    assert_eq!(budget.locked(Instant::now()).unwrap(), first, "counted down, not begun anew");
    tokio::time::advance(Duration::from_millis(5_600)).await;
    assert!(budget.locked(Instant::now()).is_some());
    tokio::time::advance(LOCK_MARGIN).await;
    assert!(budget.locked(Instant::now()).is_none());
    for _ in 0..2 {
        begin(&budget, Door::Isapi, 2).unwrap().unwrap().refused(1).await;
    }
    assert_eq!(budget.locked(Instant::now()).unwrap().until, None, "our own refusals led there");
    budget.looked(Some(Err(Some(1800))), Instant::now()).await;
    let locked = budget.locked(Instant::now()).unwrap();
    assert!(locked.until.is_some() && locked.reason.contains("refused the user or password"), "{locked:?}");
    budget.looked(Some(Ok(())), Instant::now()).await;
    begin(&budget, Door::Isapi, 2).unwrap().unwrap().refused(1).await;
    assert!(begin(&budget, Door::Isapi, 2).unwrap().is_err(), "once after the lock, and no more");
}

#[tokio::test]
async fn only_a_device_that_told_a_lock_is_believed_that_there_is_none() {
    let budget = budget();
    let login = begin(&budget, Door::Isapi, 1).unwrap().unwrap();
    login.found_locked(1, Some(1800), Instant::now()).await;
    budget.looked(Some(Ok(())), Instant::now()).await;
    assert!(budget.locked(Instant::now()).is_some(), "it tells its users alone");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_does_not_hold_up_a_door_that_took_the_password() {
    let budget = proven(&[Door::Isapi]);
    let hanging = begin(&budget, Door::Rtsp, 1).unwrap().unwrap();
    assert!(begin(&budget, Door::Isapi, 2).is_none());
    let began = Instant::now();
    budget.begin(Door::Isapi, 2).await.unwrap().accepted().await;
    assert_eq!(began.elapsed(), RESERVED_FOR);
    hanging.refused(1).await;
    assert!(begin(&budget, Door::Isapi, 2).unwrap().unwrap().careful, "a late verdict still counts");
}

#[tokio::test(start_paused = true)]
async fn many_that_hang_with_a_password_that_nobody_took_are_two() {
    let budget = budget();
    let _hanging = [begin(&budget, Door::Rtsp, 1).unwrap().unwrap(), begin(&budget, Door::Rtsp, 1).unwrap().unwrap()];
    tokio::time::advance(RESERVED_FOR * 3).await;
    assert!(begin(&budget, Door::Rtsp, 1).is_none() && begin(&budget, Door::Isapi, 2).is_none());
}

#[tokio::test(start_paused = true)]
async fn many_streams_that_hang_do_not_keep_the_poll_from_asking() {
    let budget = proven(&[Door::Isapi, Door::Rtsp]);
    let hang = async || loop {
        let login = budget.begin(Door::Rtsp, 1).await.unwrap();
        tokio::time::sleep(RESERVED_FOR * 5).await;
        login.unanswered().await;
    };
    let streams = futures_util::future::join_all((0..64).map(|_| hang()));
    let polls = async {
        for _ in 0..10 {
            let began = Instant::now();
            budget.begin(Door::Isapi, 2).await.unwrap().accepted().await;
            assert!(began.elapsed() <= RESERVED_FOR, "{:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        biased;
        _ = streams => unreachable!("they hang for ever"),
        done = tokio::time::timeout(Duration::from_secs(600), polls) => done.unwrap(),
    }
}

#[tokio::test]
async fn an_attempt_that_nobody_answered_costs_nothing_and_one_that_was_ended_does_unless_the_password_was_taken() {
    let fresh = budget();
    for _ in 0..10 {
        begin(&fresh, Door::Rtsp, 1).unwrap().unwrap().unanswered().await;
    }
    drop(begin(&fresh, Door::Isapi, 1).unwrap().unwrap());
    drop(begin(&fresh, Door::Isapi, 1).unwrap().unwrap());
    let locked = begin(&fresh, Door::Isapi, 2).unwrap().unwrap_err();
    assert!(locked.until.is_some() && locked.reason.contains("ended before"), "{locked:?}");
    let taken = proven(&[Door::Isapi]);
    for _ in 0..10 {
        drop(begin(&taken, Door::Rtsp, 1).unwrap().unwrap());
    }
    assert!(begin(&taken, Door::Isapi, 2).unwrap().is_ok());
}

proptest! {
    /// With a password that is always wrong, however attempts overlap, two logins are refused at most.
    #[test]
    fn never_more_than_two_logins_are_refused(
        taken_before in any::<bool>(),
        steps in proptest::collection::vec((0_u8..3, any::<bool>()), 0..40),
    ) {
        let budget = if taken_before { proven(&[Door::Isapi, Door::Rtsp]) } else { budget() };
        let mut open = Vec::new();
        let mut refused = 0;
        for (step, rtsp) in steps {
            let (door, cost) = if rtsp { (Door::Rtsp, 1) } else { (Door::Isapi, 2) };
            match step {
                0 => open.extend(begin(&budget, door, cost).and_then(Result::ok).map(|a| (a, cost))),
                1 if !open.is_empty() => {
                    let (attempt, cost) = open.remove(0);
                    let times = if attempt.careful { 1 } else { cost };
                    refused += times;
                    now(attempt.refused(times));
                    now(budget.looked(Some(Ok(())), Instant::now()));
                }
                _ => drop(open.pop()),
            }
            prop_assert!(refused <= crate::camera::lockout::REFUSALS_MAX);
        }
    }
}
