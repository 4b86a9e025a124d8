//! Cameras that come and go, and faults of one that must not reach another.

use super::harness::{Site, counters_of_file, files, nvr, until};
use crate::{
    model::Profile,
    sim::{ChannelFault, DeviceFault},
};
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn an_offline_channel_stops_and_records_again_while_its_neighbour_never_notices() {
    let site = Site::new(nvr(2)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    for key in ["nvr/1/main", "nvr/2/main"] {
        api.until_recorded(key, 1.0).await;
    }
    site.nvr.channel(1, ChannelFault::Offline).unwrap();
    api.until_state("nvr/1/main", "offline").await;
    let away = site.nvr.last_counter(1, Profile::Main);
    let open = api.json("/api/v1/devices/nvr").await;
    assert_eq!(open["presence"], "online", "one channel is not the device: {open}");

    site.nvr.channel(1, ChannelFault::Online).unwrap();
    api.until_state("nvr/1/main", "running").await;
    until("footage of after the return", || async {
        let newest =
            files(&site.recordings(), "nvr/1/main").into_iter().rfind(|f| f.extension().is_some_and(|e| e == "mp4"))?;
        counters_of_file(&newest).last().filter(|c| **c > away + 25).copied()
    })
    .await;
    until("two spans with a gap between", || async {
        let spans = api.spans("nvr/1/main").await;
        (spans.len() == 2).then_some(())
    })
    .await;
    daemon.stop().await;
    site.assert_nothing_is_missing("nvr/2/main");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_channel_leaves_the_table_of_urls_and_a_restored_one_returns() {
    let site = Site::new(nvr(2)).await;
    let more = "";
    let text = site.config(more).replace("[hikvision]\n", "[hikvision]\nage_out = '2s'\n");
    let daemon = site.daemon_of(&text).await;
    let api = site.api();
    let rows = async || -> BTreeSet<u64> {
        let table = api.json("/api/v1/media-urls").await;
        table["items"].as_array().unwrap().iter().map(|r| r["channel"].as_u64().unwrap()).collect()
    };
    until("both rows", || async { (rows().await == BTreeSet::from([1, 2])).then_some(()) }).await;
    site.nvr.channel(2, ChannelFault::Delete).unwrap();
    until("the row to age out", || async { (rows().await == BTreeSet::from([1])).then_some(()) }).await;
    site.nvr.channel(2, ChannelFault::Restore).unwrap();
    until("the row to return", || async { (rows().await == BTreeSet::from([1, 2])).then_some(()) }).await;
    api.until_state("nvr/2/main", "running").await;
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_or_silent_camera_is_noticed_and_fetched_again() {
    let site = Site::new(nvr(2)).await;
    let daemon = site.daemon("").await;
    let api = site.api();
    api.until_recorded("nvr/1/main", 1.0).await;
    for fault in [ChannelFault::Stall, ChannelFault::Silence, ChannelFault::Drop] {
        let before = api.stream("nvr/1/main").await["reconnects"].as_u64().unwrap();
        site.nvr.channel(1, fault).unwrap();
        until(&format!("a reconnect after {fault:?}"), || async {
            let view = api.stream("nvr/1/main").await;
            (view["reconnects"].as_u64()? > before || view["state"] == "backoff").then_some(())
        })
        .await;
        site.nvr.channel(1, ChannelFault::Resume).unwrap();
        api.until_state("nvr/1/main", "running").await;
    }
    daemon.stop().await;
    site.assert_nothing_is_missing("nvr/2/main");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_costs_two_logins_at_most_and_is_named() {
    let site = Site::new(nvr(2)).await;
    site.nvr.device(DeviceFault::Password(crate::base::Secret::new("somebody changed it")));
    let daemon = site.daemon("").await;
    let api = site.api();
    let device = until("locked", || async {
        let (status, body) = api.try_get("/api/v1/devices/nvr").await?;
        let device: serde_json::Value = serde_json::from_slice(&body).ok().filter(|_| status == 200)?;
        (device["presence"] == "locked").then_some(device)
    })
    .await;
    assert!(device["error"].as_str().is_some_and(|e| e.contains("password")), "{device}");
    // Several polls later nothing more was tried.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert!(site.nvr.logins_failed() <= 2, "{} logins were spent", site.nvr.logins_failed());
    daemon.stop().await;
    site.stop().await;
}
