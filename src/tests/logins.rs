//! Logins of a whole daemon: at peers that are not ours, and a wrong password in a process that is ended, killed and told to reload again and again.

use super::{
    harness::{Api, PASSWORD, Site, nvr, until},
    real_peers::GstCamera,
};
use crate::sim::{self, Asks, DeviceFault};
use serde_json::Value;

async fn until_locked(api: &Api) -> Value {
    until("the device locked", || async {
        let (status, body) = api.try_get("/api/v1/devices/nvr").await?;
        let device: Value = serde_json::from_slice(&body).ok().filter(|_| status == 200)?;
        (device["presence"] == "locked").then_some(device)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_costs_two_logins_over_stops_kills_and_reloads_and_a_right_one_is_taken_up_at_once() {
    let site = Site::new(nvr(2)).await;
    site.nvr.device(DeviceFault::Password(crate::base::Secret::new("Changed-2026")));
    let api = site.api();
    for n in 0..6 {
        let mut process = site.process("");
        until("the endpoint", || async { api.try_get("/healthz").await.map(drop) }).await;
        match n % 3 {
            // In the middle of whatever it does.
            0 => process.kill(),
            1 => {
                until_locked(&api).await;
                process.kill();
            }
            _ => assert!(process.terminate().await, "{}", process.log_text()),
        }
        assert!(site.nvr.logins_failed() <= 2, "{} logins were refused after start {n}", site.nvr.logins_failed());
    }
    let mut process = site.process("");
    let device = until_locked(&api).await;
    assert!(device["error"].as_str().is_some_and(|e| e.contains("password")), "{device}");
    for n in 0..10 {
        let streams = if n % 2 == 0 { "['main']" } else { "['main', 'sub']" };
        let text = site.config("").replace("user = 'admin'\n", &format!("user = 'admin'\nstreams = {streams}\n"));
        std::fs::write(site.config_file(), text).unwrap();
        let (status, body) = api.send("POST", "/api/v1/reload", &[]).await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    until_locked(&api).await;
    assert!(site.nvr.logins_failed() <= 2, "{} logins were refused", site.nvr.logins_failed());
    std::fs::write(site.config_file(), site.config("").replace(PASSWORD, "Changed-2026")).unwrap();
    api.until_state("nvr/1/main", "running").await;
    let device = api.json("/api/v1/devices/nvr").await;
    assert_eq!(
        (&device["presence"], &device["until"], &device["error"]),
        (&"online".into(), &Value::Null, &Value::Null)
    );
    assert!(site.nvr.logins_failed() <= 2, "{} logins were refused", site.nvr.logins_failed());
    assert!(!process.log_text().contains("Changed-2026") && !process.log_text().contains(PASSWORD));
    assert!(process.terminate().await);
    site.stop().await;
}

/// A site whose streams are GStreamer's; its ISAPI is the simulator's, with that password.
async fn with_streams_of(camera: &GstCamera, password: &str) -> (Site, crate::app::Daemon) {
    let password_there = crate::base::Secret::new(password);
    let site = Site::new(sim::Options { kind: sim::DeviceKind::Camera, password: password_there, ..nvr(1) }).await;
    let ours = format!("rtsp_port = {}", site.nvr.rtsp_addr.port());
    let text = site.config("").replace("kind = 'nvr'", "kind = 'camera'").replace(PASSWORD, password);
    let daemon = site.daemon_of(&text.replace(&ours, &format!("rtsp_port = {}", camera.port))).await;
    (site, daemon)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gstreamer_camera_is_fetched_by_basic() {
    let camera = GstCamera::asking("h264", "none", "basic");
    let (site, daemon) = with_streams_of(&camera, PASSWORD).await;
    site.api().until_state("nvr/1/main", "running").await;
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gstreamer_camera_with_another_password_is_locked_and_said_to_be() {
    let camera = GstCamera::asking("h264", "none", "digest");
    let (site, daemon) = with_streams_of(&camera, "Other-2026").await;
    let device = until_locked(&site.api()).await;
    assert!(device["error"].as_str().is_some_and(|e| e.contains("for its streams")), "{device}");
    site.api().until_state("nvr/1/main", "locked").await;
    daemon.stop().await;
    site.stop().await;
}

/// What curl says to one request over HTTPS: the status and the body.
async fn curl(site: &Site, arguments: &[&str]) -> (String, String) {
    let url = format!("https://{}/ISAPI/System/deviceInfo?a=b", site.nvr.https_addr.unwrap());
    let account = format!("admin:{PASSWORD}");
    let mut command = tokio::process::Command::new("curl");
    command.args(["-sS", "-k", "-u", &account, "-w", "\n%{http_code}"]).args(arguments).arg(url);
    let out = command.output().await.expect("curl is installed by ./test");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    (status.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_logs_in_at_the_simulator_by_every_login() {
    for (asks, arguments) in [
        (Asks::DigestMd5, &["--digest"][..]),
        (Asks::DigestSha256, &["--digest"]),
        (Asks::Basic, &["--basic"]),
        (Asks::DigestAndBasic, &["--anyauth"]),
        (Asks::DigestAndBasic, &["--basic"]),
    ] {
        let site = Site::new(sim::Options { http_auth: asks, https_port: Some(0), ..nvr(1) }).await;
        let (status, body) = curl(&site, arguments).await;
        assert!(status == "200" && body.contains("<model>"), "{asks:?} {arguments:?}: {status} {body}");
        assert_eq!(site.nvr.logins_failed(), 0, "{asks:?} {arguments:?}");
        site.stop().await;
    }
}
