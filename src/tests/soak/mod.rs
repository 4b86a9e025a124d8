//! An evening's faults: cameras that drop, stall, fall silent, leave, are deleted, reboot with new parameter sets, change
//! their password, lock us out, answer garbage or refuse; disks that fill. At the end every camera that is well is
//! recording, nothing has leaked, and every loss is explained by a fault that was made.
//!
//! ```text
//! site: simulated NVRs + a daemon in a process of its own ── faults: one after another, by a seeded die
//! account: the counters in every recorded picture ── what is missing lies within a fault that touched its stream
//! ```
//!
//! A short evening by default; by hand `benches/rig/soak --minutes 240`.

mod account;
mod faults;
mod site;

use account::{Loss, Row, losses};
use faults::{Fault, Record};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use site::{Evening, Usage};
use std::time::Duration;
use tokio::time::Instant;

/// How long faults are made, in seconds; more by hand.
fn length() -> Duration {
    let seconds = std::env::var("SOAK_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}

/// The die's seed, to play an evening again.
fn seed() -> u64 {
    std::env::var("SOAK_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random)
}

/// Longest pause between two faults.
const PAUSE_MOST: Duration = Duration::from_millis(3000);
/// So many faults lie between two lines about what the daemon uses; a slope is seen in them.
const TOLD_EVERY: usize = 25;
/// Memory may grow so much over what it was when all had warmed up: caches fill, an allocator keeps some.
const GROWTH_BYTES_MAX: u64 = 48 << 20;
/// Descriptors and tasks may differ by what happens to be open at the moment: a poll, a segment, a request.
const LOOSE_MAX: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn an_evening_of_faults_leaves_every_camera_recording_nothing_leaked_and_every_loss_explained() {
    let seed = seed();
    let mut die = StdRng::seed_from_u64(seed);
    let mut evening = Evening::begin().await;
    let faults = Fault::all(&evening);
    evening.until_all_record().await;
    // Each once, so that a short evening has seen all; then at random.
    let mut queue: Vec<Fault> = faults.clone();
    let (begun, mut made, mut warm) = (Instant::now(), Vec::<Record>::new(), None::<Usage>);
    while begun.elapsed() < length() || !queue.is_empty() {
        let next = die.random_range(0..queue.len().max(1));
        let fault = if queue.is_empty() { *faults.choose(&mut die).unwrap() } else { queue.swap_remove(next) };
        made.push(evening.make(fault, &mut die).await);
        tokio::time::sleep(die.random_range(Duration::ZERO..PAUSE_MOST)).await;
        if warm.is_none() && queue.is_empty() {
            evening.until_all_record().await;
            warm = Some(evening.usage().await);
        }
        if made.len().is_multiple_of(TOLD_EVERY) {
            println!("soak: after {} faults {:?}", made.len(), evening.usage().await);
        }
    }
    evening.until_all_record().await;
    let (warm, after) = (warm.unwrap(), evening.usage().await);
    let ended = evening.end().await;

    let (mut unexplained, mut untold) = (Vec::new(), Vec::new());
    let (mut lost, mut recorded) = (0, 0);
    for stream in &ended.streams {
        let found = losses(&ended, stream);
        recorded += found.recorded;
        lost += found.losses.iter().map(Loss::frames).sum::<u64>();
        untold.extend(
            untold_of(&made, &found.losses, &ended.rows[&stream.0]).map(|what| format!("{}: {what}", stream.0)),
        );
        unexplained.extend(found.losses.into_iter().filter(|loss| !made.iter().any(|m| m.explains(loss, &made))));
    }
    println!(
        "soak: seed {seed}, {} faults in {:?}; {recorded} pictures recorded, {lost} lost; warm {warm:?}, after {after:?}",
        made.len(),
        begun.elapsed(),
    );
    assert!(unexplained.is_empty(), "seed {seed}: no fault explains {unexplained:#?}\nfaults made: {made:#?}");
    assert!(untold.is_empty(), "seed {seed}: the ledger is wrong: {untold:#?}\nfaults made: {made:#?}");
    assert!(after.resident_bytes <= warm.resident_bytes + GROWTH_BYTES_MAX, "seed {seed}: {warm:?} grew to {after:?}");
    assert!(after.open_fds <= warm.open_fds + LOOSE_MAX, "seed {seed}: {warm:?} grew to {after:?}");
    assert!(after.tasks <= warm.tasks + LOOSE_MAX, "seed {seed}: {warm:?} grew to {after:?}");
    assert_eq!(after.panics, 0, "seed {seed}");
}

/// Where the ledger and the pictures differ: a loss that no row tells of, a row with a cause that no fault had, a row
/// where nothing is missing.
fn untold_of<'a>(made: &'a [Record], losses: &'a [Loss], rows: &'a [Row]) -> impl Iterator<Item = String> + 'a {
    let of_losses = losses.iter().filter(|loss| !made.iter().any(|m| m.unwanted(loss))).filter_map(move |loss| {
        let told: Vec<&Row> = rows.iter().filter(|row| row.tells_of(loss)).collect();
        let strange = told.iter().find(|row| !made.iter().any(|m| m.struck(loss) && m.may_cause(&row.cause)));
        if !loss.is_told_by(&told) {
            return Some(format!("{loss:?} is told by {told:?} of {rows:?}"));
        }
        strange.map(|row| format!("no fault that struck in {loss:?} is a cause of {row:?}"))
    });
    let of_rows = rows
        .iter()
        .skip_while(|row| row.cause == "connecting")
        .filter(|row| !losses.iter().any(|loss| row.tells_of(loss)))
        .map(|row| format!("nothing is missing in {row:?}"));
    of_losses.chain(of_rows)
}
