//! Those who play by HLS: the playlist each second, and each segment once.

use crate::{http::Client, servers::Pages};
use std::{
    error::Error,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const POLL_EVERY: Duration = Duration::from_secs(1);

pub fn playlist(of: &Pages, client: &mut Client) -> Result<String, Box<dyn Error>> {
    let answer = client.get(&of.path("live.m3u8"), None, true)?;
    if answer.status != 200 {
        return Err(format!("{} for the playlist", answer.status).into());
    }
    Ok(String::from_utf8(answer.body)?)
}

/// The segments of a playlist, each by its number and its address.
fn segments(text: &str) -> Vec<(u64, String)> {
    let names = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let number = |name: &str| name.strip_prefix("live/")?.split('.').next()?.parse().ok();
    names.filter_map(|name| Some((number(name)?, name.to_owned()))).collect()
}

/// Keeps files as those of `from` are, a file before the playlist that names it.
pub fn copy(from: &Pages, to: &Path, (ready, stop): (&AtomicBool, &AtomicBool)) -> Result<(), String> {
    let fail = |error: Box<dyn Error>| error.to_string();
    let mut client = Client::connect(from.address).map_err(|e| e.to_string())?;
    let mut last = None;
    while !stop.load(Ordering::Relaxed) {
        let text = playlist(from, &mut client).map_err(fail)?;
        for (number, name) in segments(&text) {
            if last.is_none_or(|last| number > last) {
                let answer = client.get(&from.path(&name), None, true).map_err(|e| e.to_string())?;
                fs::write(to.join(format!("live/{number}.m4s")), answer.body).map_err(|e| e.to_string())?;
                last = Some(number);
            }
        }
        let new = to.join("live.m3u8.new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, to.join("live.m3u8"))).map_err(|e| e.to_string())?;
        ready.store(last.is_some(), Ordering::Relaxed);
        thread::sleep(POLL_EVERY / 2);
    }
    Ok(())
}

/// One of `of` who play until `end`; the bytes of media that they were sent.
pub fn watch(server: &Pages, n: usize, of: usize, end: Instant) -> Result<u64, String> {
    let fail = |error: Box<dyn Error>| error.to_string();
    // Not all at the same moment.
    thread::sleep(POLL_EVERY * u32::try_from(n).unwrap_or(0) / u32::try_from(of).unwrap_or(1).max(1));
    let mut client = Client::connect(server.address).map_err(|e| e.to_string())?;
    let (mut last, mut bytes) = (None, 0);
    while Instant::now() < end {
        let begun = Instant::now();
        let all = segments(&playlist(server, &mut client).map_err(fail)?);
        let from = all.len().saturating_sub(if last.is_none() { 1 } else { all.len() });
        for (number, name) in &all[from..] {
            if last.is_none_or(|last| *number > last) {
                let answer = client.get(&server.path(name), None, false).map_err(|e| e.to_string())?;
                if answer.status != 200 {
                    return Err(format!("{} for {name}", answer.status));
                }
                bytes += answer.bytes;
                last = Some(*number);
            }
        }
        thread::sleep(POLL_EVERY.saturating_sub(begun.elapsed()));
    }
    Ok(bytes)
}
