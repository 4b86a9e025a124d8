//! Does the tree still add up to its sums? Small keyspaces are read through before the store is given out, so that a
//! start stays within two seconds; the rest in the background, with the result in the log and in `Store::health`.

use super::{Error, handle::Inner, home::damaged, sums::Sum, walk::Walker};
use std::sync::atomic::Ordering;

/// Rows read through at open, at most.
pub(super) const ROWS_AT_OPEN_MAX: u64 = 200_000;
/// Bytes read through at open, at most.
pub(super) const BYTES_AT_OPEN_MAX: u64 = 64 << 20;

/// What is left to read after the limits at open.
pub(super) type Later = Vec<u8>;

/// Checks what every open checks: the commit number, that all keyspaces are named, and the small ones. Blocks.
pub(super) fn at_open(inner: &Inner, rows_max: u64, bytes_max: u64) -> Result<Later, Error> {
    let meta = inner.state().meta.clone();
    if let Some(last) = inner.home().last_commit()
        && last > meta.commit
    {
        let what = format!("commit {last} was answered, but the newest one found is {}", meta.commit);
        return Err(damaged(&inner.home().dir, what));
    }
    let mut by_size: Vec<(u8, Sum)> = meta.sums.into_iter().collect();
    by_size.sort_by_key(|(_, sum)| sum.bytes);
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    let mut later = Later::new();
    for (prefix, sum) in by_size {
        rows = rows.saturating_add(sum.raw_rows);
        bytes = bytes.saturating_add(sum.bytes);
        if rows > rows_max || bytes > bytes_max {
            later.push(prefix);
        } else {
            keyspace(inner, prefix)?;
        }
    }
    Ok(later)
}

/// Reads the keyspaces that were too large for the open. Stops early, with `Ok(false)`, where the store is closing. Blocks.
pub(super) fn in_background(inner: &Inner, later: &[u8]) -> Result<bool, Error> {
    for prefix in later {
        if !keyspace(inner, *prefix)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads one keyspace through. False where the store is closing.
fn keyspace(inner: &Inner, prefix: u8) -> Result<bool, Error> {
    let mut found = Sum::default();
    let mut walker = Walker::begin(inner, vec![prefix], prefix.checked_add(1).map(|next| vec![next]));
    loop {
        if inner.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let step = walker.step()?;
        for change in &step.changes {
            if let Some(old) = &change.old {
                found.remove(&change.key, old);
            }
            if let Some(new) = &change.new {
                found.add(&change.key, new);
            }
        }
        for (key, value) in &step.rows {
            found.add(key, value);
        }
        if let Some(meta) = step.finished {
            let expected = meta.sums.get(&prefix).cloned().unwrap_or_default();
            return if found.same_rows(&expected) {
                Ok(true)
            } else {
                let what = format!(
                    "keyspace `{}` holds {} rows of {} bytes where {} rows of {} bytes were written, or their content changed",
                    expected.name, found.rows, found.bytes, expected.rows, expected.bytes
                );
                Err(damaged(&inner.home().dir, what))
            };
        }
    }
}
