//! Nonsense from a device is named where it belongs, harms nobody else, and no secret is ever told.

use super::harness::{PASSWORD, Process, Site, nvr, until};
use crate::sim::{ChannelFault, DeviceFault};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_video_is_named_on_that_stream_alone_and_a_clock_that_jumps_harms_none() {
    let site = Site::new(nvr(2)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    for key in ["nvr/1/main", "nvr/2/main"] {
        api.until_recorded(key, 1.0).await;
    }
    site.nvr.channel(1, ChannelFault::Jump(3_600_000)).unwrap();
    until("the jump is counted", || async {
        let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
        metrics.contains("skyvis_stream_timestamp_jumps_total{stream=\"nvr/1/main\"} 1").then_some(())
    })
    .await;
    api.until_recorded("nvr/1/main", 5.0).await;
    assert_eq!(api.stream("nvr/1/main").await["reconnects"], 0);
    assert_eq!(api.spans("nvr/1/main").await.len(), 1);

    site.nvr.channel(1, ChannelFault::NoVideo).unwrap();
    site.nvr.channel(1, ChannelFault::Drop).unwrap();
    until("the missing video is named", || async {
        let view = api.stream("nvr/1/main").await;
        view["reason"].as_str().filter(|r| r.contains("video")).map(str::to_owned)
    })
    .await;
    site.nvr.channel(1, ChannelFault::Resume).unwrap();
    api.until_state("nvr/1/main", "running").await;
    assert_eq!(api.stream("nvr/2/main").await["reconnects"], 0);
    daemon.stop().await;
    site.assert_nothing_is_missing("nvr/2/main");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_huge_answers_of_isapi_are_named_and_running_streams_go_on() {
    let site = Site::new(nvr(1)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded("nvr/1/main", 1.0).await;
    for fault in [DeviceFault::Garbage, DeviceFault::Huge] {
        site.nvr.device(fault);
        let error = until("the answer is named", || async {
            api.json("/api/v1/devices/nvr").await["error"].as_str().filter(|e| !e.is_empty()).map(str::to_owned)
        })
        .await;
        assert!(error.len() < 500, "an error is a sentence: {error}");
        assert_eq!(api.stream("nvr/1/main").await["state"], "running", "frames are evidence enough");
        site.nvr.device(DeviceFault::Sane);
        until("the error to go", || async { api.json("/api/v1/devices/nvr").await["error"].is_null().then_some(()) })
            .await;
    }
    daemon.stop().await;
    site.assert_nothing_is_missing("nvr/1/main");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_is_in_no_log_line_no_answer_and_no_metric() {
    let site = Site::new(nvr(1)).await;
    let config = site.config("").replacen("data_dir", "log.level = 'debug'\ndata_dir", 1);
    fs::write(site.config_file(), config).unwrap();
    let mut process = Process::start(&site.config_file(), &site.dir.path().join("log"), &[]);
    let api = site.api();
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    api.until_recorded("nvr/1/main", 1.0).await;
    let mut told = String::new();
    for path in [
        "status",
        "devices",
        "devices/nvr",
        "media-urls",
        "streams",
        "config",
        "openapi.json",
        "recordings?stream=nvr/1/main",
    ] {
        told += &String::from_utf8_lossy(&api.get(&format!("/api/v1/{path}")).await);
    }
    told += &String::from_utf8_lossy(&api.get("/metrics").await);
    // A refused login is where a password is most easily told.
    site.nvr.device(DeviceFault::Password(crate::base::Secret::new("another")));
    site.nvr.channel(1, ChannelFault::Drop).unwrap();
    told += &until("the refusal", || async {
        let text = String::from_utf8_lossy(&api.get("/api/v1/devices/nvr").await).into_owned();
        text.contains("locked").then_some(text)
    })
    .await;
    assert!(process.terminate().await);
    told += &process.log_text();
    assert!(told.contains("\"***\"") && told.len() > 2000, "this test looks at what it should: {} bytes", told.len());
    for spelling in [PASSWORD, "Sk7%21vis%23p%40ss"] {
        assert!(!told.contains(spelling), "{}", &told[told.find(spelling).unwrap().saturating_sub(300)..]);
    }
    site.stop().await;
}
