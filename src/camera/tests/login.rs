//! Logins of every kind that is in the field, and how many of them are spent.

use super::*;
use crate::{
    model::{Fingerprint, Trust},
    sim::Asks,
};

/// A site whose device is asked over HTTPS, with this as the pin.
async fn https(options: Options, pin: impl Fn(Fingerprint) -> Trust) -> Site {
    let options = Options { https_port: Some(0), ..options };
    Site::start_at(options, |config, sim| {
        config.devices[0].http_port = sim.https_addr.unwrap().port();
        config.devices[0].tls = Some(pin(sim.fingerprint().unwrap()));
    })
    .await
}

fn error(snapshot: &Snapshot) -> String {
    snapshot.devices.first().and_then(|d| d.error.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_camera_is_asked_over_https_by_its_pinned_certificate() {
    let site = https(nvr(2), Trust::Pinned).await;
    let shown = site.until_state("d1/2/main", StreamState::Running).await;
    assert_eq!(shown.reason, None);
    let snapshot = site.cameras.watch().borrow().clone();
    assert!(snapshot.devices[0].address.starts_with("https://127.0.0.1:"), "{}", snapshot.devices[0].address);
    site.stop().await;
}

#[tokio::test]
async fn a_certificate_that_changes_is_named_and_no_login_is_sent_until_it_is_pinned() {
    let site = https(Options::default(), Trust::Pinned).await;
    let mut reader = site.reader("d1/1/main").await;
    picture(&mut reader).await;
    // A device that keeps its connections would not show the new one yet.
    site.sim.device(DeviceFault::Certificate);
    site.sim.device(DeviceFault::Offline);
    end_of_session(&mut reader).await;
    site.sim.device(DeviceFault::Online);
    let seen = site.sim.fingerprint().unwrap();
    let snapshot = site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    let text = error(&snapshot);
    assert!(text.contains(&format!("certificate changed, seen {seen}")) && text.contains("tls_fingerprint"), "{text}");
    site.until_state("d1/1/main", StreamState::Locked).await;
    let played = site.sim.state()["channels"][0]["sessions_played"].clone();
    let asked = site.sim.state()["logins_accepted"].clone();
    site.until_polled("untrusted", 3).await;
    let state = site.sim.state();
    assert_eq!((&state["channels"][0]["sessions_played"], &state["logins_accepted"]), (&played, &asked));
    let mut config = site.config.clone();
    config.devices[0].tls = Some(Trust::Pinned(seen));
    site.cameras.apply(config).await.unwrap();
    site.until_state("d1/1/main", StreamState::Running).await;
    site.stop().await;
}

#[tokio::test]
async fn a_certificate_of_the_devices_own_making_is_not_trusted_unpinned_and_its_fingerprint_is_told() {
    let site = https(Options::default(), |_| Trust::SystemRoots).await;
    let snapshot = site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    let text = error(&snapshot);
    assert!(text.contains(&site.sim.fingerprint().unwrap().to_string()), "{text}");
    assert!(text.contains("certificate not trusted") && text.contains("no login is sent"), "{text}");
    assert_eq!((site.sim.logins_failed(), site.sim.state()["logins_accepted"].as_u64()), (0, Some(0)));
    site.stop().await;
}

#[tokio::test]
async fn every_login_in_the_field_opens_isapi_and_rtsp_and_none_is_refused() {
    for asks in [Asks::DigestSha256, Asks::DigestBoth, Asks::Basic, Asks::DigestAndBasic] {
        let options = Options { http_auth: asks, rtsp_auth: asks, ..Options::default() };
        let site = Site::start(options).await;
        site.until_state("d1/1/main", StreamState::Running).await;
        assert_eq!(site.sim.logins_failed(), 0, "{asks:?}");
        site.stop().await;
    }
    for options in [
        Options { http_qop: false, ..nvr(1) },
        Options { nonce_per_url: true, ..nvr(1) },
        Options { nonce_lifetime: Some(Duration::from_millis(100)), ..nvr(1) },
    ] {
        let site = Site::start(options).await;
        site.until_state("d1/1/main", StreamState::Running).await;
        site.until_polled("ok", 4).await;
        assert_eq!(site.sim.logins_failed(), 0);
        site.stop().await;
    }
}

#[tokio::test]
async fn firmware_that_asks_for_another_login_is_followed() {
    let site = Site::start(Options { http_auth: Asks::Basic, rtsp_auth: Asks::Basic, ..nvr(1) }).await;
    site.until_state("d1/1/main", StreamState::Running).await;
    for asks in [Asks::DigestMd5, Asks::DigestSha256, Asks::DigestAndBasic] {
        site.sim.device(DeviceFault::Asks(asks));
        site.until_polled("ok", 3).await;
        site.sim.channel(1, ChannelFault::Drop).unwrap();
        let reconnects = view(&site.cameras.watch().borrow(), "d1/1/main").unwrap().reconnects;
        site.until("reconnected", |s| view(s, "d1/1/main").is_some_and(|v| v.reconnects > reconnects)).await;
        assert_eq!(presence(&site.cameras.watch().borrow()), Some(Presence::Online), "{asks:?}");
    }
    site.stop().await;
}
