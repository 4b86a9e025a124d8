//! How soon the ledger answers: 30 days of 100 cameras, each with a gap every 72 minutes, and of one whose camera fails
//! once a minute, which has as many rows as are ever kept of a stream.

use super::{Client, QUERIES, SEGMENT_SECONDS, begin, end, open, percentile, start, stream};
use rand::Rng;
use serde_json::{Value, json};
use skyvis::{
    archive::Archive,
    base::Wall,
    model::{Gap, GapCause, Segment, SessionId, StreamKey, Sum},
};
use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Ten minutes a file: how many there are matters for lists of files, not for gaps.
const FILE_SECONDS: u64 = 600;
/// Every so many files one is missing.
const MISSING_EVERY: u64 = 7;
/// Footage and gap in turns, half a minute each.
const FLAPPING: &str = "door/1/main";

/// Makes the index, unless an earlier run did.
pub fn lay(dir: &Path, cameras: u64, days: u64) -> Result<(), Box<dyn Error>> {
    if dir.join("laid").exists() {
        return Ok(());
    }
    open(dir, async |archive| {
        for n in 0..cameras {
            let is_there = |file: u64| file % MISSING_EVERY != n % MISSING_EVERY;
            lay_stream(archive, &stream(n), days * 86_400 / FILE_SECONDS, FILE_SECONDS, is_there).await?;
        }
        let files = days * 86_400 / SEGMENT_SECONDS;
        lay_stream(archive, &FLAPPING.parse()?, files, SEGMENT_SECONDS, |file| file % 2 == 0).await
    })?;
    Ok(fs::write(dir.join("laid"), "")?)
}

async fn lay_stream(
    archive: &Archive,
    stream: &StreamKey,
    files: u64,
    seconds: u64,
    is_there: impl Fn(u64) -> bool,
) -> Result<(), Box<dyn Error>> {
    let at = |file: u64| end().minus(Duration::from_secs((files - file) * seconds));
    let (mut rows, mut gaps) = (Vec::new(), Vec::new());
    for file in 0..files {
        if !is_there(file) {
            gaps.push(Gap { start: at(file), end: Some(at(file + 1)), cause: GapCause::Offline });
            continue;
        }
        let segment = Segment {
            stream: stream.clone(),
            start: at(file),
            duration_ticks: seconds * 90_000,
            bytes: 15_500_000,
            frames: 750,
            session: SessionId(7),
            index: u32::try_from(file)?,
            name_suffix: 0,
            closed: true,
            sum: Sum::Sha256([0; 32]),
        };
        rows.push((segment, None));
    }
    for rows in rows.chunks(super::BATCH as usize) {
        archive.insert(rows.to_vec()).await?;
    }
    for gaps in gaps.chunks(super::BATCH as usize) {
        archive.insert_gaps(stream, gaps).await?;
    }
    Ok(())
}

/// A daemon over the index is asked; percentiles in milliseconds.
pub fn measure(dir: &Path, cameras: u64, days: u64) -> Result<Value, Box<dyn Error>> {
    let (daemon, address, _) = start(dir)?;
    let mut client = Client::connect(address)?;
    let first = begin(days * super::SEGMENTS_A_DAY);
    let random = || {
        let mut rng = rand::rng();
        let from = rng.random_range(0..days * 86_400);
        // A range of nothing is refused.
        let to = rng.random_range(from + 1..=days * 86_400);
        let at = |seconds: u64| -> Wall { first.plus(Duration::from_secs(seconds)) };
        format!("from={}&to={}", at(from), at(to))
    };
    let whole = format!("from={first}&to={}", end());
    let camera = || stream(rand::rng().random_range(0..cameras));
    let mut run = |path: &dyn Fn() -> String, queries: usize| -> Result<Value, Box<dyn Error>> {
        let (mut times, mut pages, mut gaps) = (Vec::new(), 0, 0);
        for _ in 0..queries {
            let (path, mut cursor) = (path(), String::new());
            // Every page of it; each is one answer.
            loop {
                let began = Instant::now();
                let answer = client.get(&format!("{path}{cursor}"), None, true)?;
                times.push(began.elapsed());
                if answer.status != 200 {
                    return Err(format!("{path}: {}", answer.status).into());
                }
                let told: Value = serde_json::from_slice(&answer.body)?;
                pages += 1;
                gaps += told["gaps"].as_array().map_or(0, Vec::len);
                match told["next"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
        }
        let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        Ok(json!({ "p50_ms": p50, "p99_ms": p99, "answers": pages, "gaps": gaps }))
    };
    // What is read once for each stream is listed by the other index's figures.
    for n in 0..cameras {
        run(&|| format!("/api/v1/gaps?stream={}&{whole}", stream(n)), 1)?;
    }
    let result = json!({
        "of_a_camera_any_range": run(&|| format!("/api/v1/gaps?stream={}&{}", camera(), random()), QUERIES)?,
        "of_a_camera_all_days": run(&|| format!("/api/v1/gaps?stream={}&{whole}", camera()), QUERIES)?,
        "of_a_flapping_camera_any_range":
            run(&|| format!("/api/v1/gaps?stream={FLAPPING}&{}", random()), QUERIES / 20)?,
        "of_a_flapping_camera_all_days": run(&|| format!("/api/v1/gaps?stream={FLAPPING}&{whole}"), QUERIES / 200)?,
        "of_all_cameras_all_days_by_pages": run(&|| format!("/api/v1/gaps?{whole}"), 1)?,
        "of_all_cameras_a_day": run(&|| "/api/v1/gaps?limit=1000".to_owned(), QUERIES / 200)?,
    });
    drop(daemon);
    Ok(result)
}
