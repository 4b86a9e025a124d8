//! Care of the data directory while the daemon runs: a copy of the store, the index made anew.

use crate::{
    admin::{
        api::{Api, body},
        call::Call,
        failure::Failure,
    },
    base::Kind,
    serve::{Body, Response},
};
use http::{HeaderValue, header::CONTENT_DISPOSITION};
use std::{fs::File, io, sync::Arc};
use tokio_util::io::ReaderStream;

/// The copy before it is sent; one that a crash left is replaced by the next.
const COPY_NAME: &str = "backup.tmp";

/// Writes a consistent copy beside the store and streams it. Its name is gone from the directory before the first
/// byte is sent, so that nothing is left whatever becomes of the client.
pub(in crate::admin) async fn backup(api: Arc<Api>, _: Call) -> Result<Response, Failure> {
    let busy = |_| Failure::of_kind(Kind::Busy, "another backup is being made; try again when it is done");
    let permit = api.backups.clone().try_acquire_owned().map_err(busy)?;
    let (store, path) = (api.deps.store.clone(), api.config.data_dir.join(COPY_NAME));
    let made = tokio::task::spawn_blocking(move || {
        let made = store.backup(&path)?;
        let opened = File::open(&path).and_then(|f| std::fs::remove_file(&path).map(|()| f));
        Ok::<_, crate::store::Error>((made, opened))
    });
    let (made, opened) = made.await.map_err(|e| Failure::of_kind(Kind::Internal, e))??;
    let file = opened.map_err(|e: io::Error| Failure::of_kind(Kind::Storage, format!("the copy was lost: {e}")))?;
    let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), 64 << 10);
    let mut response = body("application/octet-stream", Body::sized(made.bytes, pieces));
    let name = format!("attachment; filename=\"skyvis-{}.backup\"", api.deps.clock.wall().millis());
    if let Ok(value) = HeaderValue::try_from(name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    drop(permit);
    Ok(response)
}
