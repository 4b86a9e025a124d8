//! What ffmpeg writes to stderr, as lines in our log: bounded in length and number.

use crate::base::Clock;
use crate::model::StreamKey;
use std::time::Duration;
use tokio::{io::AsyncReadExt, process::ChildStderr, time::Instant};

/// What is kept of a line.
const LINE_BYTES_MAX: usize = 400;
/// Lines that are logged within [`WINDOW`]; a damaged stream has a decoder complain of every picture.
const LINES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);

/// Splits bytes into lines and says which are worth logging. Pure.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    window: Option<Instant>,
    logged: u32,
    dropped: u64,
    last: Option<String>,
}

impl Lines {
    /// Takes bytes; the lines to log, and how many were left out before them.
    pub fn push(&mut self, bytes: &[u8], now: Instant) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => out.extend(self.end(now)),
                _ if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                _ => {}
            }
        }
        out
    }

    /// The last line that was written, logged or not.
    pub fn last(&self) -> Option<String> {
        self.last.clone()
    }

    fn end(&mut self, now: Instant) -> Option<(String, u64)> {
        let line: String =
            String::from_utf8_lossy(&std::mem::take(&mut self.line)).chars().filter(|c| !c.is_control()).collect();
        if line.trim().is_empty() {
            return None;
        }
        self.last = Some(line.clone());
        if self.window.is_none_or(|since| now.saturating_duration_since(since) >= WINDOW) {
            (self.window, self.logged) = (Some(now), 0);
        }
        if self.logged >= LINES_MAX {
            self.dropped += 1;
            return None;
        }
        self.logged += 1;
        Some((line, std::mem::take(&mut self.dropped)))
    }
}

/// Logs what comes until there is no more; the last line.
pub async fn follow(
    mut stderr: ChildStderr,
    stream: &StreamKey,
    clock: &Clock,
    last: &std::sync::Mutex<Option<String>>,
) {
    let mut lines = Lines::default();
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
        for (line, left_out) in lines.push(&buffer[..n], clock.now()) {
            tracing::warn!(%stream, line, left_out, "ffmpeg says");
        }
        *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = lines.last();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_length_and_number() {
        let now = Instant::now();
        let mut lines = Lines::default();
        let long = [vec![b'x'; 10_000], b"\n".to_vec()].concat();
        assert_eq!(lines.push(&long, now)[0].0.len(), LINE_BYTES_MAX);
        let many = b"the same\n".repeat(1000);
        assert_eq!(lines.push(&many, now).len(), LINES_MAX as usize - 1);
        let later = lines.push(b"\x1b[31mred\n\n", now + WINDOW);
        assert_eq!(later, [("[31mred".to_owned(), 1000 - u64::from(LINES_MAX) + 1)]);
        assert_eq!(lines.last().as_deref(), Some("[31mred"));
    }
}
