//! Logins of every kind that is in the field, and how many of them are spent.

use super::*;
use crate::{
    camera::session,
    model::{Fingerprint, Trust},
    rtsp::message::{Item, Parser},
    sim::Asks,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A site whose device is asked over HTTPS, with this as the pin.
async fn https(options: Options, pin: impl Fn(Fingerprint) -> Trust) -> Site {
    let options = Options { https_port: Some(0), ..options };
    Site::start_at(options, |config, sim| {
        config.devices[0].http_port = sim.https_addr.unwrap().port();
        config.devices[0].tls = Some(pin(sim.fingerprint().unwrap()));
        config.poll_interval = Duration::from_secs(60);
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
    let site = https(nvr(6), Trust::Pinned).await;
    for n in 1..=6 {
        site.until_state(&format!("d1/{n}/main"), StreamState::Running).await;
    }
    let logins = || site.sim.state()["logins_accepted"].as_u64().unwrap();
    // Back before it is missed: streams would be there again before the next poll.
    site.sim.device(DeviceFault::Certificate);
    site.sim.device(DeviceFault::Reboot(Duration::from_millis(1500)));
    site.until("all lost", |s| s.streams.iter().all(|v| v.state != StreamState::Running)).await;
    let before = logins();
    let seen = site.sim.fingerprint().unwrap();
    let snapshot = site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    let text = error(&snapshot);
    assert!(text.contains(&format!("certificate changed, seen {seen}")) && text.contains("tls_fingerprint"), "{text}");
    site.until("all locked", |s| s.streams.iter().all(|v| v.state == StreamState::Locked)).await;
    assert_eq!(logins(), before, "by ISAPI or by RTSP");
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

/// Waits for that many looks of a locked device, and fails where more logins were refused than `most`.
async fn spends(site: &Site, most: u64) {
    site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    site.until_polled("locked", 4).await;
    assert!(site.sim.logins_failed() <= most, "{} logins were refused", site.sim.logins_failed());
}

#[tokio::test]
async fn a_wrong_password_costs_two_logins_whatever_is_asked_for() {
    let wrong = |c: &mut Config| c.devices[0].password = Secret::new("nope");
    for asks in [Asks::DigestMd5, Asks::DigestSha256, Asks::DigestBoth, Asks::Basic, Asks::DigestAndBasic] {
        for hidden in [false, true] {
            let options = Options { http_auth: asks, rtsp_auth: asks, tells_lock: !hidden, ..nvr(4) };
            let site = Site::start_with(options, wrong).await;
            spends(&site, 2).await;
            site.stop().await;
        }
    }
    let options = Options { nonce_per_url: true, nonce_lifetime: Some(Duration::from_millis(1)), ..nvr(4) };
    let site = Site::start_with(options, wrong).await;
    spends(&site, 2).await;
    site.stop().await;
}

#[tokio::test]
async fn two_devices_at_one_account_spend_two_logins_together() {
    let site = Site::start_at(nvr(2), |c, sim| {
        c.devices.push(device("d2", sim, DeviceKind::Nvr, false));
        c.devices.iter_mut().for_each(|d| d.password = Secret::new("nope"));
    })
    .await;
    site.until("both locked", |s| s.devices.len() == 2 && s.devices.iter().all(|d| d.presence == Presence::Locked))
        .await;
    spends(&site, 2).await;
    site.stop().await;
}

#[tokio::test]
async fn a_stream_password_that_only_rtsp_refuses_costs_two() {
    // Its ISAPI takes the login and its RTSP never does: it asks for what the password is not proven by.
    let group = TaskGroup::new();
    let options = Options { password: Secret::new("Other-2026"), ..nvr(4) };
    let refusing = Simulator::start(options, &group).await.unwrap();
    let site = Site::start_with(nvr(4), |c| c.devices[0].rtsp_port = Some(refusing.rtsp_addr.port())).await;
    let snapshot = site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    assert!(error(&snapshot).contains("for its streams"), "{snapshot:?}");
    site.until_polled("locked", 4).await;
    assert_eq!((site.sim.logins_failed(), refusing.logins_failed()), (0, 2));
    site.stop().await;
}

#[tokio::test]
async fn a_lock_that_others_caused_is_shown_with_its_end_and_left_in_peace_and_ends_by_itself() {
    let options = Options { wrong_logins_max: 2, lock: Duration::from_secs(2), ..nvr(1) };
    let site = Site::start(options).await;
    site.until_state("d1/1/main", StreamState::Running).await;
    // Somebody else at this address guesses.
    let target = crate::hikvision::Target {
        host: site.sim.http_addr.ip().to_string(),
        port: site.sim.http_addr.port(),
        tls: None,
        user: "admin".into(),
        password: Secret::new("guess"),
        timeout: PATIENCE,
    };
    site.until_polled("ok", 1).await;
    let stranger = crate::hikvision::Client::new(target);
    while !matches!(stranger.identity().await, Err(crate::hikvision::Error::Locked { .. })) {}
    let snapshot = site.until("locked", |s| presence(s) == Some(Presence::Locked)).await;
    let (device, now) = (&snapshot.devices[0], Clock::real().wall());
    let left_s = device.until.unwrap().micros_since(now) / 1_000_000;
    assert!((0..=7).contains(&left_s), "{left_s}");
    assert!(device.error.as_ref().unwrap().contains("waits it out"), "{device:?}");
    let spent = site.sim.logins_failed();
    site.until("well again", |s| presence(s) == Some(Presence::Online)).await;
    assert_eq!(site.sim.logins_failed(), spent, "nothing was tried during the lock");
    let shown = site.until_state("d1/1/main", StreamState::Running).await;
    assert_eq!((shown.until, shown.reconnects), (None, 0), "what ran went on");
    site.stop().await;
}

#[tokio::test]
async fn a_lock_that_we_led_to_is_tried_once_after_it_ran_out_and_finds_the_password_put_right() {
    let options = Options { wrong_logins_max: 2, lock: Duration::from_secs(1), ..nvr(1) };
    let wrong = |c: &mut Config| c.devices[0].password = Secret::new("Mended-2026");
    let site = Site::start_with(options, wrong).await;
    let snapshot = site.until("lock", |s| s.devices.first().is_some_and(|d| d.until.is_some())).await;
    assert!(error(&snapshot).contains("refused the user or password and has locked"), "{snapshot:?}");
    assert_eq!(site.sim.logins_failed(), 2);
    site.sim.device(DeviceFault::Password(Secret::new("Mended-2026")));
    site.until_state("d1/1/main", StreamState::Running).await;
    assert_eq!(site.sim.logins_failed(), 2);
    site.stop().await;
}

#[tokio::test]
async fn basic_in_clear_works_and_is_warned_of_and_over_https_it_is_no_matter() {
    let basic = || Options { http_auth: Asks::Basic, ..Options::default() };
    let warning = |s: &Snapshot| s.devices.first().and_then(|d| d.warning.clone());
    let site = Site::start(basic()).await;
    site.until_state("d1/1/main", StreamState::Running).await;
    let snapshot = site.until("warning", |s| warning(s).is_some()).await;
    assert!(warning(&snapshot).unwrap().contains("in clear"));
    site.sim.device(DeviceFault::Asks(Asks::DigestAndBasic));
    site.until("no warning", |s| warning(s).is_none()).await;
    site.stop().await;
    let site = https(basic(), Trust::Pinned).await;
    let snapshot = site.until("online", |s| presence(s) == Some(Presence::Online)).await;
    assert_eq!(warning(&snapshot), None);
    site.stop().await;
}

/// What a device is answered that asks for both, Basic first.
#[tokio::test]
async fn digest_is_answered_by_streams_where_basic_stands_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/Streaming/Channels/101", listener.local_addr().unwrap());
    let group = TaskGroup::new();
    let (tell, answered) = tokio::sync::oneshot::channel();
    group.spawn("both", async move {
        drop(listener.accept().await);
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut parser = Parser::default();
        loop {
            assert!(socket.read_buf(parser.buffer()).await.unwrap() > 0, "it goes without an answer");
            while let Some(Item::Request(request)) = parser.take().unwrap() {
                if let Some(login) = request.header("Authorization") {
                    return tell.send(login.to_owned()).unwrap();
                }
                let cseq = request.header("CSeq").unwrap();
                let asks = "WWW-Authenticate: Basic realm=\"/\"\r\n\
                            WWW-Authenticate: Digest realm=\"IP Camera(C2875)\", nonce=\"0123abcd\", stale=\"FALSE\"";
                let said = format!("RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq}\r\n{asks}\r\n\r\n");
                socket.write_all(said.as_bytes()).await.unwrap();
            }
        }
    });
    let (stream, publisher) = super::odd_answers::bench();
    let login = tokio::select! {
        biased;
        login = answered => login.unwrap(),
        failure = session::attempt(&stream, &publisher, &url, Duration::from_millis(40)) => panic!("{failure}"),
    };
    assert!(login.starts_with("Digest ") && !login.contains("Basic"), "{login}");
    group.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_keepalive_whose_nonce_ran_out_ends_the_session_at_the_camera_and_the_next_begins_at_once() {
    let options = Options {
        nonce_lifetime: Some(Duration::from_millis(1500)),
        session_timeout: Duration::from_secs(4),
        ..Options::default()
    };
    let site = Site::start(options).await;
    let mut reader = site.reader("d1/1/main").await;
    let before = picture(&mut reader).await;
    end_of_session(&mut reader).await;
    let after = picture(&mut reader).await;
    assert_ne!(after.session, before.session);
    let gap_ms = after.wall.micros_since(before.wall) / 1000;
    assert!(gap_ms < 15_000, "{gap_ms}");
    assert_eq!(site.sim.logins_failed(), 0, "an old nonce is no wrong password");
    site.stop().await;
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
