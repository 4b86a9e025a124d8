//! The ledger of gaps over a whole daemon: each cause made for real at a simulated NVR, and what `/gaps` says held
//! against the counters in the pictures, to the frame.

use super::harness::{Api, Process, Site, counters_of_file, nvr, until};
use crate::{
    base::{Secret, Wall},
    hikvision,
    sim::{self, ChannelFault, DeviceFault},
};
use serde_json::Value;
use std::{fs, path::Path, time::Duration};

const KEY: &str = "nvr/1/main";
/// From one picture of the simulator to the next.
const FRAME_MS: i64 = 40;
/// What is shorter is no gap.
const JOIN_MS: i64 = 250;
/// Times of the API are whole milliseconds.
const ROUNDING_MS: i64 = 2;
/// Frames are placed in time as they arrive, on a machine that is busy.
const PLACED_MS: i64 = 400;

fn ms(value: &Value) -> i64 {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse::<Wall>().unwrap().millis()
}

async fn gaps(api: &Api, key: &str) -> Value {
    api.json(&format!("/api/v1/gaps?stream={key}")).await
}

fn causes(found: &Value) -> Vec<String> {
    found["gaps"].as_array().unwrap().iter().map(|g| g["cause"].as_str().unwrap().to_owned()).collect()
}

async fn until_open(api: &Api, key: &str, cause: &str) {
    until(&format!("an open gap of {key}, {cause}"), || async {
        let found = gaps(api, key).await;
        let last = found["gaps"].as_array()?.last()?.clone();
        (last["cause"] == cause && last["end"].is_null()).then_some(())
    })
    .await;
}

pub(super) async fn until_closed(api: &Api, key: &str, count: usize) {
    until(&format!("{count} closed gaps of {key}"), || async {
        let found = gaps(api, key).await;
        let all = found["gaps"].as_array()?;
        (all.len() >= count && all.iter().all(|g| !g["end"].is_null())).then_some(())
    })
    .await;
}

/// Holds what `/gaps` says against the files: between two files whose counters follow one another there is no gap, and
/// everywhere else the gaps lie from the last frame to the next, as long as the counters that are missing.
pub(super) async fn assert_exact(api: &Api, key: &str) -> Vec<String> {
    let found = gaps(api, key).await;
    let listed = api.json(&format!("/api/v1/segments?stream={key}&limit=10000")).await;
    let mut gaps = found["gaps"].as_array().unwrap().iter().peekable();
    let mut last: Option<(u64, i64)> = None;
    let (mut missing_ms, mut begin, mut end_of_all) = (0, None, 0);
    for segment in listed["segments"].as_array().unwrap() {
        let counters = counters_of_file(Path::new(segment["path"].as_str().unwrap()));
        let start = ms(&segment["start"]);
        let (Some(first_counter), Some(last_counter)) = (counters.first(), counters.last()) else {
            panic!("{segment}")
        };
        begin.get_or_insert(start);
        if let Some((counter, end)) = last {
            let lost = i64::try_from(first_counter - counter - 1).unwrap();
            let mut at = end;
            while let Some(gap) = gaps.next_if(|gap| ms(&gap["start"]) < start - ROUNDING_MS) {
                let (from, to) = (ms(&gap["start"]), ms(&gap["end"]));
                assert!(
                    (from - at).abs() <= ROUNDING_MS,
                    "{key}: a gap begins at {from}, footage ends at {at}: {found}"
                );
                assert_eq!(gap["backfilled"], false);
                if !["schedule", "paused"].contains(&gap["cause"].as_str().unwrap()) {
                    missing_ms += to - from;
                }
                at = to;
            }
            if at == end {
                assert!(
                    lost * FRAME_MS <= JOIN_MS,
                    "{key}: {lost} frames are missing after {counter}, and no gap says so: {found}"
                );
            } else {
                assert!(
                    (at - start).abs() <= ROUNDING_MS,
                    "{key}: gaps end at {at}, footage begins at {start}: {found}"
                );
                let length = at - end;
                assert!((length - lost * FRAME_MS).abs() <= PLACED_MS, "{key}: {lost} frames are missing, {length} ms");
            }
        }
        end_of_all = start + segment["duration_ms"].as_i64().unwrap();
        last = Some((*last_counter, end_of_all));
    }
    assert!(gaps.next().is_none(), "{key}: a gap beyond the footage: {found}");
    let unwanted: i64 = found["gaps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|g| ["schedule", "paused"].contains(&g["cause"].as_str().unwrap()))
        .map(|g| ms(&g["end"]) - ms(&g["start"]))
        .sum();
    let wanted = end_of_all - begin.unwrap() - unwanted;
    let coverage = 1.0 - missing_ms as f64 / wanted as f64;
    assert!((found["coverage"].as_f64().unwrap() - coverage).abs() < 0.02, "{coverage}: {found}");
    causes(&found)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_a_camera_to_be_away_is_a_gap_with_its_cause_to_the_frame() {
    let site = Site::new(nvr(2)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded(KEY, 2.0).await;
    assert_eq!((causes(&gaps(&api, KEY).await).len(), gaps(&api, KEY).await["coverage"].as_f64()), (0, Some(1.0)));

    site.nvr.channel(1, ChannelFault::Offline).unwrap();
    until_open(&api, KEY, "offline").await;
    site.nvr.channel(1, ChannelFault::Online).unwrap();
    until_closed(&api, KEY, 1).await;
    api.until_recorded(KEY, 4.0).await;

    site.nvr.device(DeviceFault::Offline);
    until_open(&api, KEY, "unreachable").await;
    until_open(&api, "nvr/2/main", "unreachable").await;
    site.nvr.device(DeviceFault::Online);
    until_closed(&api, KEY, 2).await;
    api.until_recorded(KEY, 6.0).await;

    // The stream breaks while the recorder says that the camera is there.
    site.nvr.channel(1, ChannelFault::NoVideo).unwrap();
    site.nvr.channel(1, ChannelFault::Drop).unwrap();
    until_open(&api, KEY, "stream_error").await;
    site.nvr.channel(1, ChannelFault::Resume).unwrap();
    until_closed(&api, KEY, 3).await;
    api.until_recorded(KEY, 8.0).await;

    // Somebody changes the password; what is refused is not tried again, until somebody says so.
    site.nvr.device(DeviceFault::Password(Secret::new("somebody changed it")));
    site.nvr.channel(1, ChannelFault::Drop).unwrap();
    until_open(&api, KEY, "auth").await;
    site.nvr.device(DeviceFault::Password(Secret::new(super::harness::PASSWORD)));
    let (status, _) = api.send("POST", "/api/v1/devices/nvr/reconnect", &[]).await.unwrap();
    assert_eq!(status, 200);
    until_closed(&api, KEY, 4).await;
    api.until_recorded(KEY, 10.0).await;

    let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
    for cause in ["offline", "unreachable", "stream_error", "auth"] {
        let line = metrics
            .lines()
            .find(|l| l.starts_with(&format!("skyvis_recording_gap_seconds_total{{cause=\"{cause}\"}}")));
        let seconds: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(seconds > 0.0, "{line:?}");
    }
    let events: Vec<String> = daemon
        .rooms()
        .events
        .after(0, 10_000)
        .unwrap()
        .into_iter()
        .filter(|e| e.subject == KEY && e.kind.0.starts_with("gap."))
        .map(|e| e.kind.0)
        .collect();
    assert_eq!(events.iter().filter(|k| *k == "gap.closed").count(), events.len() / 2, "{events:?}");
    // Every stream in one answer, in pages.
    let all = api.json("/api/v1/gaps?limit=1").await;
    assert!(all["stream"].is_null() && all["next"].is_string(), "{all}");
    let rest = api.json(&format!("/api/v1/gaps?cursor={}", all["next"].as_str().unwrap())).await;
    let total = causes(&gaps(&api, KEY).await).len() + causes(&gaps(&api, "nvr/2/main").await).len();
    assert_eq!(1 + causes(&rest).len(), total, "{rest}");
    assert!(daemon.stop().await);

    // What is left tells the same to the next start.
    let daemon = site.daemon("").await;
    api.until_recorded(KEY, 11.0).await;
    until_closed(&api, KEY, 5).await;
    assert_eq!(assert_exact(&api, KEY).await, ["offline", "unreachable", "stream_error", "auth", "restart"]);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_others_have_locked_is_a_gap_of_its_own_until_the_lock_has_run_out() {
    let lock = Duration::from_secs(4);
    let site = Site::new(sim::Options { wrong_logins_max: 2, lock, ..nvr(1) }).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded(KEY, 2.0).await;
    // Somebody else at this address guesses, and then the session breaks.
    let target = hikvision::Target {
        host: site.nvr.http_addr.ip().to_string(),
        port: site.nvr.http_addr.port(),
        tls: None,
        user: "admin".into(),
        password: Secret::new("guess"),
        timeout: super::harness::PATIENCE,
    };
    let stranger = hikvision::Client::new(target);
    while !matches!(stranger.identity().await, Err(hikvision::Error::Locked { .. })) {}
    until("the lock to be seen", || async {
        (api.json("/api/v1/devices/nvr").await["presence"] == "locked").then_some(())
    })
    .await;
    let spent = site.nvr.logins_failed();
    site.nvr.channel(1, ChannelFault::Drop).unwrap();
    until_open(&api, KEY, "locked").await;
    until_closed(&api, KEY, 1).await;
    assert_eq!(site.nvr.logins_failed(), spent, "nothing was tried during the lock");
    api.until_recorded(KEY, 4.0).await;
    let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
    let line = metrics.lines().find(|l| l.starts_with("skyvis_recording_gap_seconds_total{cause=\"locked\"}"));
    assert!(line.is_some_and(|l| !l.ends_with(" 0") && !l.ends_with(" 0.0")), "{line:?}");
    assert!(daemon.stop().await);
    let daemon = site.daemon("").await;
    until_closed(&api, KEY, 2).await;
    api.until_recorded(KEY, 6.0).await;
    assert_eq!(assert_exact(&api, KEY).await, ["locked", "restart"]);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_derived_a_stop_is_noted_and_a_recorder_that_is_away_at_the_start_is_missed() {
    let site = Site::new(nvr(1)).await;
    let api = site.api();
    let mut process = site.process("");
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    api.until_recorded(KEY, 2.0).await;
    process.kill();

    let start = || Process::start(&site.config_file(), &site.dir.path().join("log"), &[]);
    let mut process = start();
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    api.until_recorded(KEY, 4.0).await;
    until_closed(&api, KEY, 1).await;
    assert!(process.terminate().await, "{}", process.log_text());

    // Away since before the start: its channels are those that it had.
    site.nvr.device(DeviceFault::Offline);
    let mut process = start();
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    until_open(&api, KEY, "unreachable").await;
    // Killed while a gap lasts: it goes on.
    process.kill();
    let mut process = start();
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    until_open(&api, KEY, "unreachable").await;
    site.nvr.device(DeviceFault::Online);
    until_closed(&api, KEY, 3).await;
    api.until_recorded(KEY, 6.0).await;
    assert_eq!(assert_exact(&api, KEY).await, ["crash", "restart", "unreachable"]);

    // The ledger survives a new index, and a lost store leaves what the footage says.
    let (status, _) = api.send("POST", "/api/v1/reindex", &[]).await.unwrap();
    assert_eq!((status, assert_exact(&api, KEY).await.len()), (200, 3));
    assert!(process.terminate().await, "{}", process.log_text());
    fs::remove_dir_all(site.dir.path().join("data/store")).unwrap();
    let mut process = start();
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    until("footage again", || async {
        let found = gaps(&api, KEY).await;
        (causes(&found).len() == 3 && api.stream(KEY).await["recording"] == true).then_some(())
    })
    .await;
    api.until_recorded(KEY, 8.0).await;
    assert_eq!(assert_exact(&api, KEY).await, ["unknown"; 3]);
    assert!(process.terminate().await);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_a_reload_and_a_schedule_stop_the_camera_too_and_are_no_loss() {
    let site = Site::new(nvr(2)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    for key in [KEY, "nvr/2/main"] {
        api.until_recorded(key, 2.0).await;
    }
    let (status, body) =
        api.send("POST", "/api/v1/streams/nvr/1/main/pause?reason=works%20in%20hall%203", &[]).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    api.until_state(KEY, "paused").await;
    let view = api.stream(KEY).await;
    assert_eq!(
        (&view["reason"], &view["pause"]["reason"]),
        (&"works in hall 3".into(), &"works in hall 3".into()),
        "{view}"
    );
    until("the session to end", || async { (site.nvr.sessions_open(1) == 0).then_some(()) }).await;
    until_open(&api, KEY, "paused").await;
    // A reload and a restart change nothing of it.
    api.send("POST", "/api/v1/reload", &[]).await.unwrap();
    assert!(daemon.stop().await);
    let daemon = site.daemon("").await;
    api.until_state(KEY, "paused").await;
    api.until_recorded("nvr/2/main", 4.0).await;
    let (status, _) = api.send("POST", "/api/v1/streams/nvr/1/main/resume", &[]).await.unwrap();
    assert_eq!(status, 200);
    api.until_state(KEY, "running").await;
    api.until_recorded(KEY, 4.0).await;
    let found = assert_exact(&api, KEY).await;
    assert_eq!(found[0], "paused", "{found:?}");
    assert!(found[1..].iter().all(|c| c == "connecting"), "{found:?}");

    // Outside of its hours a channel is not fetched, while its neighbour never notices.
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let hour =
        |ahead: i64| now.checked_add(jiff::SignedDuration::from_hours(ahead)).unwrap().strftime("%H:00").to_string();
    let schedule = format!("{}-{} UTC", hour(6), hour(8));
    let config = fs::read_to_string(site.config_file()).unwrap();
    let per_channel = format!("[device.recording]\nper_channel = {{ 1 = {{ schedule = '{schedule}' }} }}\n[recording]");
    fs::write(site.config_file(), config.replace("[recording]", &per_channel)).unwrap();
    let reconnects = api.stream("nvr/2/main").await["reconnects"].clone();
    let (status, body) = api.send("POST", "/api/v1/reload", &[]).await.unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    api.until_state(KEY, "paused").await;
    assert_eq!(api.stream(KEY).await["reason"], "schedule");
    until_open(&api, KEY, "schedule").await;
    until("the session to end", || async { (site.nvr.sessions_open(1) == 0).then_some(()) }).await;
    assert_eq!(api.stream("nvr/2/main").await["reconnects"], reconnects);

    // A channel that is no longer taken is missed by nobody.
    fs::write(site.config_file(), config.replace("user = 'admin'", "user = 'admin'\nchannels = [2]")).unwrap();
    let (status, _) = api.send("POST", "/api/v1/reload", &[]).await.unwrap();
    assert_eq!(status, 200);
    until("the gap to end", || async {
        let found = gaps(&api, KEY).await;
        found["gaps"].as_array()?.iter().all(|g| !g["end"].is_null()).then_some(())
    })
    .await;
    let (status, _) = api.send("POST", "/api/v1/streams/nvr/9/main/pause", &[]).await.unwrap();
    assert_eq!(status, 404);
    daemon.stop().await;
    site.stop().await;
}
