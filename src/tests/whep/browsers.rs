//! Browsers and players that are not ours.

use super::{KEY, Site, TOKEN, nvr, open, peer, python, sim};
use crate::sim::Sound;
use std::{path::Path, process::Stdio, time::Duration};

/// What the browser says of it.
async fn chromium_watches(way: &str) -> String {
    let site = Site::new(sim::Options { audio: true, sound: Sound::Ulaw, ..nvr(1) }).await;
    let (daemon, _, proxy) = open(&site).await;
    let browser = tokio::process::Command::new(python())
        .arg(peer("whep_browser.py"))
        .arg(format!("http://{proxy}/vod/nothing"))
        .arg(format!("http://{proxy}/media/{KEY}/whep"))
        .arg(TOKEN)
        .arg(site.dir.path())
        .arg(way)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let out = tokio::time::timeout(Duration::from_secs(150), browser.wait_with_output()).await.unwrap().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    if let Some(shots) = std::env::var_os("KEEP_SCREENSHOTS") {
        let _ = std::fs::copy(site.dir.path().join("whep.png"), Path::new(&shots).join(format!("whep_{way}.png")));
    }
    assert!(out.status.success(), "{said}");
    daemon.stop().await;
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_watches_without_a_freeze() {
    eprintln!("{}", chromium_watches("udp").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_watches_where_datagrams_do_not_go_through() {
    eprintln!("{}", chromium_watches("tcp").await);
}
