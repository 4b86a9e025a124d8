//! A picture of one key frame: one ffmpeg that is given the frame and gives a JPEG.

use super::{
    Config, Error,
    process::{Pipes, Process},
    tool,
};
use crate::{
    base::{Kind, Wall},
    live::{Decoder, Undecoded},
    media::{
        fmp4::write::{self, FragmentTrack, empty_table, fragment, init_of_table},
        jpeg::PICTURE_BYTES_MAX,
    },
    model::{Frame, StreamFormat},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, watch},
    time::timeout,
};

/// One picture takes a tenth of a second; one that takes longer hangs.
const STILL_WAIT_MAX: Duration = Duration::from_secs(10);
/// At the same time, of all streams.
const STILLS_AT_ONCE_MAX: usize = 2;

/// Makes pictures.
pub struct Stills {
    config: watch::Receiver<Arc<Config>>,
    turns: Semaphore,
}

impl Stills {
    /// By the ffmpeg of this configuration, as it changes.
    pub fn new(config: watch::Receiver<Arc<Config>>) -> Self {
        Self { config, turns: Semaphore::new(STILLS_AT_ONCE_MAX) }
    }

    async fn make(&self, frame: Frame, width: Option<u16>) -> Result<Bytes, Error> {
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok();
        let wanted = self.config.borrow().ffmpeg.clone();
        let tool = tool::find(wanted.as_deref()).await?;
        let scale = width.map(|width| format!("-vf scale={width}:-2")).unwrap_or_default();
        let line = format!(
            "-hide_banner -nostats -loglevel error -threads 1 -analyzeduration 0 -f mp4 -i pipe:0 -frames:v 1 {scale} \
             -pix_fmt yuvj420p -c:v mjpeg -q:v 3 -f image2pipe pipe:1"
        );
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let (process, pipes) = Process::start(&tool, &arguments)?;
        let made = timeout(STILL_WAIT_MAX, talk(pipes, &frame)).await;
        drop(process);
        made.unwrap_or(Err(Error::Hangs(STILL_WAIT_MAX.as_secs())))
    }
}

impl Decoder for Stills {
    fn jpeg(&self, frame: Frame, width: Option<u16>) -> BoxFuture<'_, Result<Bytes, Undecoded>> {
        Box::pin(async move {
            let made = self.make(frame, width).await;
            made.map_err(|e| Undecoded { missing: e.kind() == Kind::NotFound, text: e.to_string() })
        })
    }
}

async fn talk(pipes: Pipes, frame: &Frame) -> Result<Bytes, Error> {
    let Pipes { mut stdin, stdout, mut stderr } = pipes;
    let format = StreamFormat { video: frame.format.video.clone(), audio: None };
    let sample = write::Sample { data: frame.data.clone(), duration: 3600, offset: 0, key: true };
    let fragment = fragment(1, FragmentTrack { first_ticks: 0, samples: vec![sample] }, None)?;
    let parts = [init_of_table(&empty_table(&format), Wall::default()), fragment.head, frame.data.to_vec()];
    let give = async move {
        for part in &parts {
            // One that ends early has said why.
            let _ = stdin.write_all(part).await;
        }
    };
    let (mut jpeg, mut said) = (Vec::new(), Vec::new());
    let most = PICTURE_BYTES_MAX as u64;
    let mut bounded = stdout.take(most + 1);
    let read = async { bounded.read_to_end(&mut jpeg).await.map_err(|e| Error::Nonsense(e.to_string())) };
    let mut first = (&mut stderr).take(400);
    let complain = async { first.read_to_end(&mut said).await };
    let ((), read, _) = tokio::join!(give, read, complain);
    read?;
    if jpeg.is_empty() {
        let said = String::from_utf8_lossy(&said).lines().next().map(str::to_owned);
        return Err(Error::Ended { status: "without a picture".to_owned(), said });
    }
    Ok(jpeg.into())
}
