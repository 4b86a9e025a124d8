//! What something durable takes, as a line of a table, and what the disk alone takes for it.

use std::{
    error::Error,
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

/// Most that the disk is asked for.
const WRITES_MAX: usize = 2_000;

/// Prints a line: how many there were a second, the median and the 99th percentile. The median, for who goes on with it.
pub fn show(what: &str, took: Duration, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let rate = times.len() as f64 / took.as_secs_f64();
    println!("| {what} | {rate:.0} | {:.2?} | {:.2?} |", at(0.5), at(0.99));
    at(0.5)
}

/// What the disk takes for a durable append of 4 KiB.
pub fn floor(dir: &Path, writes: usize) -> Result<(), Box<dyn Error>> {
    let file = fs::File::create(dir.join("floor"))?;
    let (began, mut times) = (Instant::now(), Vec::new());
    for i in 0..writes.min(WRITES_MAX) {
        let one = Instant::now();
        file.write_all_at(&[0; 4096], i as u64 * 4096)?;
        file.sync_data()?;
        times.push(one.elapsed());
    }
    show("pwrite + fdatasync of 4 KiB", began.elapsed(), times);
    Ok(std::io::stdout().flush()?)
}
