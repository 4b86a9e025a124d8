//! Retention carried out: asks the pure decision, removes files, then directories that became empty, then rows.
//!
//! A crash in between leaves a row without a file, which the next sweep finds oldest again and removes.

use super::{
    Archive, Error,
    ageing::{Moment, Saved},
    index::Change,
    layout,
    retention::{self, Brief, ChannelBytes, DeviceBytes, Oldest, Reason, Victim},
};
use crate::{
    base::{Clock, Wall},
    disk::{Anchor, Space},
    model::{Range, StreamKey},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

/// Oldest segments of each stream that are shown to the first decision: mostly there is little or nothing to do.
const SHOWN_FIRST: usize = 4;
/// The same for the decisions that follow.
const SHOWN_MAX: usize = 64;
/// Decisions of one sweep; what is still over a limit then waits for the next sweep, so that a stop is heeded.
const ROUNDS_MAX: usize = 64;
const DAY: Duration = Duration::from_secs(86_400);

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, files that went because of `min_free`.
    pub for_space: u64,
}

/// Removes what the limits say.
pub(super) async fn sweep(archive: &Archive) -> Result<Swept, Error> {
    // Two at once would each see what the other has not yet taken off, and delete too much.
    let _alone = archive.0.sweeping.acquire().await.map_err(|_| Error::Stopped)?;
    let mut swept = Swept::default();
    let mut streams = BTreeSet::new();
    for round in 0..ROUNDS_MAX {
        let decision = decide(archive, if round == 0 { SHOWN_FIRST } else { SHOWN_MAX }).await?;
        remove(archive, &decision.victims).await?;
        for victim in &decision.victims {
            swept.segments += 1;
            swept.bytes += victim.bytes;
            swept.for_space += u64::from(victim.reason == Reason::Space);
            streams.insert(victim.stream.clone());
        }
        if !decision.more || decision.victims.is_empty() {
            break;
        }
    }
    age_ledger(archive, &streams).await?;
    if swept.segments > 0 {
        let Swept { segments, bytes, for_space } = swept;
        tracing::info!(segments, bytes, for_space, streams = streams.len(), "old footage removed");
        let data = json!({ "segments": segments, "bytes": bytes, "for_space": for_space, "streams": streams });
        archive.events().emit("segment.deleted", "", data);
    }
    Ok(swept)
}

/// Rows of gaps go with the footage that they lie between; those of a stream without footage once they are as old as it
/// might be.
async fn age_ledger(archive: &Archive, swept: &BTreeSet<StreamKey>) -> Result<(), Error> {
    let usage = archive.usage();
    for stream in swept {
        if let Some(oldest) = usage.get(stream).and_then(|of_stream| of_stream.oldest) {
            archive.ledger().age_out(archive, stream, oldest).await?;
        }
    }
    if !archive.ledger().is_to_age(archive.clock().now()) {
        return Ok(());
    }
    let (now, _) = archive.0.ageing.now(moment(archive.clock()), || None);
    let config = archive.config();
    for stream in archive.ledger_streams().await? {
        let days = config.retain_days(&stream);
        let cutoff = days.map_or(Range::ALL.from, |days| now.minus(DAY.saturating_mul(days)));
        archive.ledger().age_out(archive, &stream, cutoff).await?;
    }
    Ok(())
}

async fn decide(archive: &Archive, shown: usize) -> Result<retention::Decision, Error> {
    let (opened, index) = (archive.clone(), archive.index().clone());
    let usage = archive.usage();
    let growing = archive.growing().all();
    let keys: Vec<_> = usage.keys().cloned().collect();
    let (space, rows, aged_to) = archive
        .disk()
        .run(move |files| -> Result<_, Error> {
            let space = opened.enter(files)?.free_space().ok();
            let mut rows = Vec::new();
            for stream in keys {
                let (segments, complete) = index.oldest(&stream, shown)?;
                rows.push((stream, segments, complete));
            }
            Ok((space, rows, index.aged_to()?))
        })
        .await??;
    archive.publish_space(space);
    let grows = |s: &crate::model::Segment| growing.iter().any(|g| g.stream == s.stream && g.start == s.start);
    let oldest: Vec<Oldest> = rows
        .into_iter()
        .map(|(stream, segments, complete)| Oldest {
            stream,
            segments: segments
                .iter()
                .filter(|(_, s)| !grows(s))
                .map(|(taken, s)| Brief {
                    start: s.start,
                    taken: *taken,
                    end: taken.plus_micros(s.end().micros_since(s.start)),
                    bytes: s.bytes,
                })
                .collect(),
            complete,
        })
        .collect();
    let (mut bytes, mut channels) = (DeviceBytes::new(), ChannelBytes::new());
    for (stream, of_stream) in usage {
        *bytes.entry(stream.device.configured()).or_default() += of_stream.bytes;
        *channels.entry((stream.device, stream.channel)).or_default() += of_stream.bytes;
    }
    let now = age_from(archive, aged_to).await;
    Ok(retention::decide(&archive.config(), now, space, &bytes, &channels, &oldest))
}

/// The time that ages are measured by.
pub(super) async fn age_from(archive: &Archive, saved: Option<Saved>) -> Wall {
    let ageing = &archive.0.ageing;
    let (now, due) = ageing.now(moment(archive.clock()), || saved);
    if let Some(new) = due {
        match archive.index().set_aged_to(new).await {
            Ok(()) => ageing.saved(new),
            // A full disk is what the deletions make room on; it is written down with a later one.
            Err(error) => tracing::debug!(%error, "the time of retention could not be written down"),
        }
    }
    now
}

/// What ageing asks of the clock.
pub(super) fn moment(clock: &Clock) -> Moment {
    let wall = clock.read().wall;
    Moment { wall, at: clock.now(), stepped_micros: clock.last_step().map_or(0, |step| step.total_micros) }
}

async fn remove(archive: &Archive, victims: &[Victim]) -> Result<(), Error> {
    if victims.is_empty() {
        return Ok(());
    }
    let (opened, gone) = (archive.clone(), victims.to_vec());
    archive.disk().run(move |files| unlink(&opened.enter(files)?, opened.index(), &gone)).await??;
    let drop = |v: &Victim| Change::Drop { stream: v.stream.clone(), start: v.start };
    archive.apply_changes(victims.iter().map(drop).collect()).await
}

/// Blocks.
fn unlink(dir: &Anchor, index: &super::index::Index, victims: &[Victim]) -> Result<(), Error> {
    let mut hours: BTreeSet<PathBuf> = BTreeSet::new();
    for victim in victims {
        let Some(row) = index.row(&victim.stream, victim.start)? else { continue };
        let path = layout::path(&row.stream, row.start, row.name_suffix);
        dir.remove_file(&path)?;
        hours.extend(path.parent().map(Path::to_owned));
    }
    for hour in hours {
        // Hour, day, month, year; the stream's own directory stays. A new file may be on its way into the hour that
        // is now, which is why the writer makes its directory and its file in one go and tries twice.
        for up in hour.ancestors().take(4) {
            if !dir.remove_dir_if_empty(up).unwrap_or(false) {
                break;
            }
        }
    }
    Ok(())
}

/// The file system's space, as metrics show it.
pub(super) fn free_bytes(space: Option<Space>) -> i64 {
    i64::try_from(space.map_or(0, |s| s.free_bytes)).unwrap_or(i64::MAX)
}
