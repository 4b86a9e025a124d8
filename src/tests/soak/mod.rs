//! An evening's faults: cameras that drop, stall, fall silent, leave, are deleted, reboot with new parameter sets, change
//! their password, lock us out, answer garbage or refuse; disks that fill, a clock that is set, a daemon that is killed.
//! At the end every camera that is well is
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
mod usage;

use account::{Found, Hole, Row, account};
use faults::{Fault, Record, by_kind};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use site::Evening;
use std::time::Duration;
use tokio::time::Instant;
pub(super) use usage::Usage;

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
/// What is allocated may grow by so much over what it was when all had warmed up, whatever happened to be open.
const GROWTH_BYTES_MAX: u64 = 4 << 20;
/// And by what the store's cache keeps of a segment: its rows, their keys, and what was told of it; 1.4 KiB as measured.
const GROWTH_BYTES_PER_SEGMENT: u64 = 3 << 10;
/// Until the cache is full.
const CACHE_BYTES: u64 = 64 << 20;
/// Memory of its own may grow by more: an allocator keeps pages, a little for each thread, and more for a while after an
/// answer of 10 MB.
const KEPT_BYTES_MAX: u64 = 64 << 20;
/// Descriptors and tasks may differ by what happens to be open at the moment: a poll, a segment, a request.
const LOOSE_MAX: u64 = 12;
/// The daemon is killed in the first part of an evening only, one of so many: what its last process uses is watched for
/// the rest of it.
const KILLS_PART: u32 = 4;

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
        if warm.is_some() && fault.kills() {
            continue;
        }
        made.push(evening.make(fault, &mut die).await);
        tokio::time::sleep(die.random_range(Duration::ZERO..PAUSE_MOST)).await;
        if warm.is_none() && queue.is_empty() && begun.elapsed() >= length() / KILLS_PART {
            evening.until_all_record().await;
            warm = Some(evening.usage().await);
        }
        evening.look().await;
    }
    evening.until_all_record().await;
    let (warm, after) = (warm.unwrap(), evening.usage().await);
    let ended = evening.end().await;

    let (mut unexplained, mut untold) = (Vec::new(), Vec::new());
    let (mut lost, mut recorded, mut losses, mut segments) = (0, 0, 0, 0);
    for stream in &ended.streams {
        let found = account(&ended, stream);
        recorded += found.recorded;
        segments += found.segments;
        losses += found.losses.len();
        lost += found.losses.iter().map(|loss| loss.frames).sum::<u64>();
        // Every stream recorded when the ledger was asked: what it tells of later is before what a clock that was ahead
        // has filed, and yet to come.
        let rows: Vec<Row> = ended.rows[&stream.key].iter().filter(|row| row.end <= ended.asked).cloned().collect();
        untold.extend(untold_of(&made, &found, &rows).map(|what| format!("{}: {what}", stream.key)));
        let of_no_fault = found.losses.into_iter().filter(|loss| !made.iter().any(|m| m.explains(loss, &made)));
        unexplained.extend(of_no_fault.map(|loss| {
            let told: Vec<Row> = rows.iter().filter(|row| row.overlaps(&loss)).cloned().collect();
            (loss, told)
        }));
    }
    println!(
        "soak: seed {seed}, {} faults in {:?}: {:?}\nsoak: {recorded} pictures in \
         {segments} segments, {lost} lost in {losses} losses\nsoak: warm {warm}\nsoak: after {after}",
        made.len(),
        begun.elapsed(),
        by_kind(&made),
    );
    assert!(
        unexplained.is_empty(),
        "seed {seed}: no fault explains (what the ledger says beside it) {unexplained:#?}\nfaults made: {made:#?}"
    );
    assert!(untold.is_empty(), "seed {seed}: the ledger is wrong: {untold:#?}\nfaults made: {made:#?}");
    let growth = GROWTH_BYTES_MAX + (segments * GROWTH_BYTES_PER_SEGMENT).min(CACHE_BYTES);
    assert!(after.heap.bytes <= warm.heap.bytes + growth, "seed {seed}: {warm:?} grew to {after:?}");
    assert!(after.own_bytes <= warm.own_bytes + growth + KEPT_BYTES_MAX, "seed {seed}: {warm:?} grew to {after:?}");
    assert!(after.open_fds <= warm.open_fds + LOOSE_MAX, "seed {seed}: {warm:?} grew to {after:?}");
    assert!(after.tasks <= warm.tasks + LOOSE_MAX, "seed {seed}: {warm:?} grew to {after:?}");
}

/// Where the ledger and the footage differ: a hole that no row tells of, a row with a cause that no fault had, or
/// without the cause of the one fault that there was, a row where nothing is missing.
fn untold_of<'a>(made: &'a [Record], found: &'a Found, rows: &'a [Row]) -> impl Iterator<Item = String> + 'a {
    let struck = |hole: &'a Hole| made.iter().filter(|m| hole.intervals.iter().any(|i| m.struck(i)));
    let wanted = |hole: &&Hole| !made.iter().any(|m| hole.intervals.iter().any(|i| m.unwanted(i)));
    // A stream owes footage from its configuration on; a clock that was set back files before that.
    let owed_at_all = |hole: &&Hole| hole.end > found.begun;
    let of_holes = found.holes.iter().filter(owed_at_all).filter(wanted).filter_map(move |hole| {
        let told: Vec<&Row> = rows.iter().filter(|row| row.tells_of(hole)).collect();
        if !hole.is_told_by(&told) {
            return Some(format!("{hole:?} is told by {told:?} of {rows:?}"));
        }
        if let Some(row) = told.iter().find(|row| !struck(hole).any(|m| m.may_cause(&row.cause))) {
            return Some(format!("no fault that struck in {hole:?} is a cause of {row:?}"));
        }
        let owed = struck(hole).map(Record::owes).reduce(|one, other| one.filter(|_| one == other)).flatten();
        let owed = owed.filter(|owed| !told.is_empty() && told.iter().all(|row| row.cause != *owed))?;
        Some(format!("{hole:?} is not {owed} in {told:?}"))
    });
    let of_rows = rows
        .iter()
        .skip_while(|row| row.cause == "connecting")
        .filter(|row| {
            !found.holes.iter().any(|hole| row.tells_of(hole)) && !found.losses.iter().any(|l| row.lies_in(l))
        })
        .map(|row| format!("nothing is missing in {row:?}"));
    of_holes.chain(of_rows)
}
