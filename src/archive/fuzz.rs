//! Rows of the index, read from any bytes and used as what they seem to be: for fuzzing.

use super::{
    index::{Mark, StreamUsage},
    old::OldTable,
};
use crate::{
    media::vod::{Cut, Source, plan_hls_playlist, plan_hls_segment, plan_mp4},
    model::{Range, SampleTable, Segment},
};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// Bytes of a row, behind one that says which kind of row they are.
pub fn rows(data: &[u8]) {
    let Some((kind, row)) = data.split_first() else { return };
    match kind % 6 {
        0 => again::<Segment>(row),
        1 => again::<SampleTable>(row),
        2 => {
            let _ = postcard::from_bytes::<OldTable>(row).map(SampleTable::from);
        }
        3 => again::<Mark>(row),
        4 => again::<StreamUsage>(row),
        _ => footage(row),
    }
}

/// A row that is read is written as a row that is read the same.
fn again<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(row: &[u8]) {
    let Ok(read) = postcard::from_bytes::<T>(row) else { return };
    let written = postcard::to_stdvec(&read).expect("what was read can be written");
    assert_eq!(postcard::from_bytes::<T>(&written).as_ref(), Ok(&read));
}

/// A segment's row and its table, played.
fn footage(rows: &[u8]) {
    let Ok((segment, rest)) = postcard::take_from_bytes::<Segment>(rows) else { return };
    let Ok((table, _)) = postcard::take_from_bytes::<SampleTable>(rest) else { return };
    play(segment, table);
}

/// Plans the playback of a segment: an error where its table cannot be.
pub fn play(segment: Segment, table: SampleTable) {
    segment.end();
    let sources = [Source { segment, table: Arc::new(table) }];
    let _ = plan_mp4(&sources, Range::ALL);
    for cut in [Cut::WHOLE, Cut::GROWING] {
        let parts = plan_hls_playlist(&sources, Range::ALL, cut);
        for part in parts.iter().flatten().take(8) {
            let _ = plan_hls_segment(&sources[0], &part.range);
        }
    }
}
