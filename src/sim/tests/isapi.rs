//! ISAPI as clients of cameras know it.

use super::*;
use crate::sim::{ChannelFault, PictureAnswer};
use std::process::{Command, Stdio};

#[tokio::test]
async fn wrong_logins_lock_out_and_the_lock_counts_down() {
    let (sim, _group) = start(Options { wrong_logins_max: 3, ..Options::default() }).await;
    let check = "/ISAPI/Security/userCheck";
    let right = isapi(&sim, "GET", check, PASSWORD, "").await;
    assert!(right.status == 200 && right.text().contains("<statusValue>200</statusValue>"));
    for left in [2, 1] {
        let wrong = isapi(&sim, "GET", check, "Wrong-2026", "").await;
        assert_eq!(wrong.status, 401);
        assert!(wrong.text().contains(&format!("<retryLoginTime>{left}</retryLoginTime>")), "{}", wrong.text());
        assert!(wrong.text().contains("<lockStatus>unlock</lockStatus>"));
    }
    // RTSP counts with ISAPI.
    assert_eq!(describe(&sim, MAIN, "Wrong-2026").await.err().unwrap().status_code(), Some(401));
    let locked = isapi(&sim, "GET", "/ISAPI/System/deviceInfo", PASSWORD, "").await;
    assert_eq!(locked.status, 401, "the right password is refused too");
    assert!(locked.text().contains("<lockStatus>lock</lockStatus>"), "{}", locked.text());
    assert!(locked.text().contains("<unlockTime>1800</unlockTime>"), "trying began the lock anew: {}", locked.text());
    assert_eq!(describe(&sim, MAIN, PASSWORD).await.err().unwrap().status_code(), Some(401));
    assert_eq!(sim.logins_failed(), 5);
    // Asking without credentials costs nothing.
    let asked = http(sim.http_addr, "GET", check, None, "").await.text();
    assert!(asked.contains("<lockStatus>lock</lockStatus>") && sim.logins_failed() == 5);
    sim.device(DeviceFault::Unlock);
    assert_eq!(isapi(&sim, "GET", check, PASSWORD, "").await.status, 200);
}

#[tokio::test]
async fn the_challenge_is_the_devices_and_nonces_are_fresh() {
    for qop in [true, false] {
        let (sim, _group) = start(Options { http_qop: qop, ..Options::default() }).await;
        let ask = || http(sim.http_addr, "GET", "/ISAPI/System/status", None, "");
        let (one, two) = (ask().await, ask().await);
        let challenge = one.header("www-authenticate").unwrap();
        assert_eq!(challenge.starts_with("Digest qop=\"auth\", realm=\"IP Camera("), qop, "{challenge}");
        assert!(challenge.ends_with("stale=\"FALSE\""));
        assert_ne!(challenge, two.header("www-authenticate").unwrap());
        document(&sim, "/ISAPI/System/status").await;
    }
}

#[tokio::test]
async fn a_camera_and_an_nvr_have_their_own_documents() {
    let (camera, _group) = start(Options::default()).await;
    let (recorder, _group_too) = start(nvr(2)).await;
    let proxies = "/ISAPI/ContentMgmt/InputProxy/channels";
    let inputs = "/ISAPI/System/Video/inputs/channels";
    let status = |sim, path| async move { isapi(sim, "GET", path, PASSWORD, "").await.status };
    assert_eq!((status(&camera, proxies).await, status(&recorder, proxies).await), (403, 200));
    assert_eq!((status(&camera, inputs).await, status(&recorder, inputs).await), (200, 403));
    for sim in [&camera, &recorder] {
        for path in ["System/deviceInfo", "System/status", "System/time", "System/capabilities", "Event/triggers"] {
            document(sim, &format!("/ISAPI/{path}")).await;
        }
        document(sim, "/ISAPI/streaming/CHANNELS/102").await;
        let ports = document(sim, "/ISAPI/Security/adminAccesses").await;
        assert!(ports.contains(&format!("<protocol>RTSP</protocol>\n<portNo>{}</portNo>", sim.rtsp_addr.port())));
        sim.channel(1, ChannelFault::Picture(PictureAnswer::Broken)).unwrap();
        let picture = document(sim, "/ISAPI/Streaming/channels/101/picture").await;
        assert!(picture.contains("<subStatusCode>deviceError</subStatusCode>"));
        assert_eq!(status(sim, "/ISAPI/Streaming/channels/901").await, 403);
        assert_eq!(status(sim, "/ISAPI/Nothing/here").await, 404);
        assert_eq!(status(sim, "/elsewhere").await, 404);
        let search = "<CMSearchDescription><searchID>C7</searchID></CMSearchDescription>";
        let found = isapi(sim, "POST", "/ISAPI/ContentMgmt/search", PASSWORD, search).await;
        assert!(found.text().contains("<searchID>C7</searchID>") && found.text().contains("NO MATCHES"));
    }
    let list = document(&recorder, proxies).await;
    assert!(list.contains("size=\"4\"") && list.matches("<InputProxyChannel>").count() == 2, "the size is a lie");
    assert!(document(&recorder, "/ISAPI/ContentMgmt/Storage").await.contains("<hddType>SATA</hddType>"));
    assert_ne!(
        document(&camera, "/ISAPI/System/deviceInfo").await,
        document(&recorder, "/ISAPI/System/deviceInfo").await
    );
}

#[tokio::test]
async fn the_password_can_be_changed_by_its_owner() {
    let (sim, _group) = start(Options::default()).await;
    let path = "/ISAPI/Security/users/1";
    let body = |password| format!("<User><id>1</id><userName>admin</userName><password>{password}</password></User>");
    assert_eq!(isapi(&sim, "PUT", path, PASSWORD, &body("short")).await.status, 400);
    assert_eq!(isapi(&sim, "PUT", path, PASSWORD, &body("Other&amp;2026")).await.status, 200);
    assert_eq!(isapi(&sim, "GET", "/ISAPI/System/status", "Other&2026", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_from_pypi_are_content() {
    let python = std::env::var("PEERS_PYTHON")
        .expect("this test needs a python with hikvisionapi and pyhik: run ./test, which sets PEERS_PYTHON");
    for (kind, channels, http_auth) in [
        (DeviceKind::Camera, 1, Asks::DigestMd5),
        (DeviceKind::Nvr, 3, Asks::DigestMd5),
        (DeviceKind::Camera, 1, Asks::DigestSha256),
        (DeviceKind::Camera, 1, Asks::Basic),
        (DeviceKind::Camera, 1, Asks::DigestAndBasic),
    ] {
        let heartbeat = Duration::from_millis(300);
        let (sim, _group) = start(Options { kind, channels, heartbeat, http_auth, ..Options::default() }).await;
        let arguments = [
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/peers/hikvision_clients.py").to_owned(),
            sim.http_addr.to_string(),
            sim.control_addr.unwrap().to_string(),
            if kind == DeviceKind::Nvr { "nvr" } else { "camera" }.to_owned(),
            "admin".to_owned(),
            PASSWORD.to_owned(),
        ];
        let mut command = Command::new(&python);
        command.args(arguments).stdin(Stdio::null());
        let output = within(tokio::task::spawn_blocking(move || command.output())).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{kind:?} {http_auth:?}: {said}");
        assert_eq!(sim.logins_failed(), 0, "{kind:?} {http_auth:?}");
    }
}
