//! What playback asks of the archive.

use super::Error;
use crate::{
    model::{Range, SampleTable, Segment, StreamKey},
    serve::BoxFuture,
};
use std::{path::PathBuf, sync::Arc};

/// Recorded footage as playback sees it: rows, tables and where files lie.
pub trait Footage: Send + Sync + 'static {
    /// Segments that overlap a range, sorted by start, the first `limit` of them. Those that still grow are among
    /// them.
    fn segments<'a>(
        &'a self,
        stream: &'a StreamKey,
        range: Range,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Segment>, Error>>;

    /// Where the samples of a segment lie.
    fn table<'a>(&'a self, segment: &'a Segment) -> BoxFuture<'a, Result<Arc<SampleTable>, Error>>;

    /// The segment's file.
    fn path(&self, segment: &Segment) -> PathBuf;
}
