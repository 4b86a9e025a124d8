//! What playback asks of the archive.

use super::Error;
use crate::{
    archive::{self, Archive, Version},
    base::{Kind, Wall},
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

    /// The segment that begins just then.
    fn segment<'a>(&'a self, stream: &'a StreamKey, start: Wall) -> BoxFuture<'a, Result<Option<Segment>, Error>>;

    /// As of which changes the segments of a stream are listed: for as long as it stays the same, so do they. Does not
    /// wait.
    fn version(&self, stream: &StreamKey) -> Version;

    /// Where the samples of a segment lie; [`Error::Gone`] where it was removed meanwhile.
    fn table<'a>(&'a self, segment: &'a Segment) -> BoxFuture<'a, Result<Arc<SampleTable>, Error>>;

    /// The segment's file.
    fn path(&self, segment: &Segment) -> PathBuf;
}

impl Footage for Archive {
    fn segments<'a>(
        &'a self,
        stream: &'a StreamKey,
        range: Range,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Segment>, Error>> {
        Box::pin(async move { Ok(Archive::segments(self, stream, range, limit).await?) })
    }

    fn segment<'a>(&'a self, stream: &'a StreamKey, start: Wall) -> BoxFuture<'a, Result<Option<Segment>, Error>> {
        Box::pin(async move { Ok(Archive::segment(self, stream, start).await?) })
    }

    fn version(&self, stream: &StreamKey) -> Version {
        Archive::version(self, stream)
    }

    fn table<'a>(&'a self, segment: &'a Segment) -> BoxFuture<'a, Result<Arc<SampleTable>, Error>> {
        Box::pin(async move {
            Archive::table(self, segment).await.map_err(|e| match e.kind() {
                Kind::NotFound => Error::Gone,
                _ => e.into(),
            })
        })
    }

    fn path(&self, segment: &Segment) -> PathBuf {
        Archive::path(self, segment)
    }
}

impl From<archive::Error> for Error {
    fn from(error: archive::Error) -> Self {
        Self::Archive(error.to_string())
    }
}
