//! Each fault does what it says, to whom it says, and ends.

use super::*;
use crate::base::Secret;

#[tokio::test]
async fn drop_closes_once() {
    let (sim, _group) = start(nvr(2)).await;
    let (mut one, mut two) = (play(&sim, MAIN).await, play(&sim, "/Streaming/Channels/201").await);
    next_video(&mut one).await.unwrap();
    sim.channel(1, ChannelFault::Drop).unwrap();
    assert_ends(&mut one).await;
    let mut again = play(&sim, MAIN).await;
    assert!(next_video(&mut again).await.unwrap().key);
    assert!(next_video(&mut two).await.is_some(), "the other channel never notices");
}

#[tokio::test]
async fn offline_and_deleted_channels_leave_rtsp_and_the_lists() {
    let (sim, _group) = start(nvr(2)).await;
    for (fault, end) in [(ChannelFault::Offline, ChannelFault::Online), (ChannelFault::Delete, ChannelFault::Restore)] {
        let mut session = play(&sim, MAIN).await;
        next_video(&mut session).await.unwrap();
        sim.channel(1, fault).unwrap();
        assert_ends(&mut session).await;
        assert_eq!(describe(&sim, MAIN, PASSWORD).await.err().unwrap().status_code(), Some(404));
        let statuses = document(&sim, "/ISAPI/ContentMgmt/InputProxy/channels/status").await;
        let deleted = fault == ChannelFault::Delete;
        assert_eq!(statuses.contains("<id>1</id>"), !deleted);
        assert_eq!(statuses.contains("<online>false</online>"), !deleted);
        assert!(statuses.contains("<online>true</online>"), "channel 2 stays");
        let streams = document(&sim, "/ISAPI/Streaming/channels").await;
        assert!(!streams.contains("<id>101</id>") && streams.contains("<id>201</id>"));
        assert_eq!(isapi(&sim, "GET", "/ISAPI/Streaming/channels/101", PASSWORD, "").await.status, 403);
        sim.channel(1, end).unwrap();
        next_video(&mut play(&sim, MAIN).await).await.unwrap();
    }
}

#[tokio::test]
async fn silence_leaves_rtsp_alive_and_stall_nothing() {
    let (sim, _group) = start(Options { fps: 50, ..Options::default() }).await;
    let mut session = play(&sim, MAIN).await;
    next_video(&mut session).await.unwrap();
    sim.channel(1, ChannelFault::Silence).unwrap();
    let quiet = Duration::from_secs(1);
    while tokio::time::timeout(quiet, next_video(&mut session)).await.is_ok() {}
    describe(&sim, MAIN, PASSWORD).await.unwrap();
    sim.channel(1, ChannelFault::Resume).unwrap();
    assert!(next_video(&mut session).await.unwrap().key, "goes on where decoding can begin");

    sim.channel(1, ChannelFault::Stall).unwrap();
    while tokio::time::timeout(quiet, next_video(&mut session)).await.is_ok() {}
    let hanging = describe(&sim, MAIN, PASSWORD);
    assert!(tokio::time::timeout(quiet, hanging).await.is_err(), "connected, and no answer");
    sim.channel(1, ChannelFault::Resume).unwrap();
    next_video(&mut session).await.unwrap();
}

#[tokio::test]
async fn an_sdp_can_lack_video() {
    let (sim, _group) = start(Options { audio: true, ..Options::default() }).await;
    sim.channel(1, ChannelFault::NoVideo).unwrap();
    let session = describe(&sim, MAIN, PASSWORD).await.unwrap();
    assert_eq!(session.streams().iter().map(|s| s.media()).collect::<Vec<_>>(), ["audio"]);
    sim.channel(1, ChannelFault::Resume).unwrap();
    assert_eq!(describe(&sim, MAIN, PASSWORD).await.unwrap().streams().len(), 2);
}

#[tokio::test]
async fn a_device_without_bandwidth_refuses_new_sessions_and_keeps_those_that_play() {
    let (sim, _group) = start(Options::default()).await;
    let mut session = play(&sim, MAIN).await;
    next_video(&mut session).await.unwrap();
    sim.channel(1, ChannelFault::NoBandwidth).unwrap();
    let mut second = describe(&sim, MAIN, PASSWORD).await.unwrap();
    let refused = second.setup(0, SetupOptions::default()).await.unwrap_err();
    assert_eq!(refused.status_code(), Some(453), "{refused}");
    next_video(&mut session).await.unwrap();
    sim.channel(1, ChannelFault::Resume).unwrap();
    next_video(&mut play(&sim, MAIN).await).await.unwrap();
}

#[tokio::test]
async fn timestamps_jump_by_as_much_as_asked() {
    let (sim, _group) = start(Options::default()).await;
    let mut session = play(&sim, MAIN).await;
    let mut before = next_video(&mut session).await.unwrap();
    sim.channel(1, ChannelFault::Jump(60_000)).unwrap();
    loop {
        let now = next_video(&mut session).await.unwrap();
        assert_eq!(now.mark.counter, before.mark.counter + 1);
        match now.ticks - before.ticks {
            3_600 => before = now,
            jumped => break assert_eq!(jumped, 60 * 90_000 + 3_600),
        }
    }
    // A session that begins after the jump sees nothing of it.
    let mut later = play(&sim, MAIN).await;
    let first = next_video(&mut later).await.unwrap();
    assert!(first.ticks.abs() < 3 * 90_000, "{}", first.ticks);
}

#[tokio::test]
async fn the_picture_changes_its_size_within_the_stream() {
    let (sim, _group) = start(Options::default()).await;
    let mut session = play(&sim, MAIN).await;
    next_video(&mut session).await.unwrap();
    sim.channel(1, ChannelFault::Resize(320, 192)).unwrap();
    let changed = async {
        loop {
            let CodecItem::VideoFrame(frame) = session.next().await.unwrap().unwrap() else { continue };
            if frame.has_new_parameters() {
                break frame.is_random_access_point();
            }
        }
    };
    assert!(within(changed).await, "new parameters come with a key frame");
    let Some(retina::codec::ParametersRef::Video(video)) = session.streams()[0].parameters() else { panic!() };
    assert_eq!(video.pixel_dimensions(), (320, 192));
    assert!(matches!(sim.channel(1, ChannelFault::Resize(321, 192)), Err(Error::Options(_))));
    assert!(matches!(sim.channel(2, ChannelFault::Drop), Err(Error::NoChannel(2))));
}

#[tokio::test]
async fn a_device_goes_away_and_comes_back_at_the_same_address() {
    let (sim, _group) = start(Options::default()).await;
    let mut session = play(&sim, MAIN).await;
    next_video(&mut session).await.unwrap();
    let refused = |address| async move {
        let gone = async {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within(gone).await;
    };
    let back = |address| async move {
        let there = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within(there).await;
    };
    sim.device(DeviceFault::Offline);
    assert_ends(&mut session).await;
    refused(sim.http_addr).await;
    refused(sim.rtsp_addr).await;
    sim.device(DeviceFault::Online);
    back(sim.http_addr).await;
    back(sim.rtsp_addr).await;
    next_video(&mut play(&sim, MAIN).await).await.unwrap();

    sim.device(DeviceFault::Reboot(Duration::from_millis(200)));
    refused(sim.http_addr).await;
    back(sim.http_addr).await;
    back(sim.rtsp_addr).await;
    assert!(document(&sim, "/ISAPI/System/status").await.contains("<totalRebootCount>1</totalRebootCount>"));
}

#[tokio::test]
async fn a_changed_password_is_asked_for_and_open_sessions_go_on() {
    let (sim, _group) = start(Options::default()).await;
    let mut session = play(&sim, MAIN).await;
    next_video(&mut session).await.unwrap();
    sim.device(DeviceFault::Password(Secret::new("Other-2026")));
    assert_eq!(describe(&sim, MAIN, PASSWORD).await.err().unwrap().status_code(), Some(401));
    describe(&sim, MAIN, "Other-2026").await.unwrap();
    assert_eq!(isapi(&sim, "GET", "/ISAPI/System/deviceInfo", "Other-2026", "").await.status, 200);
    next_video(&mut session).await.unwrap();
}

#[tokio::test]
async fn isapi_answers_nonsense_on_demand() {
    let (sim, _group) = start(Options::default()).await;
    let ask = || isapi(&sim, "GET", "/ISAPI/System/deviceInfo", PASSWORD, "");
    sim.device(DeviceFault::Garbage);
    let garbage = ask().await;
    assert!(garbage.status == 200 && std::str::from_utf8(&garbage.body).is_err());
    sim.device(DeviceFault::Huge);
    assert_eq!(ask().await.body.len(), 10 * 1024 * 1024);
    sim.device(DeviceFault::Sane);
    assert!(ask().await.text().contains("<model>"));
}

#[tokio::test]
async fn the_control_port_does_what_the_methods_do() {
    let (sim, _group) = start(nvr(2)).await;
    let control = sim.control_addr.unwrap();
    let state = |answer: Answer| serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap();
    let begin = state(http(control, "GET", "/", None, "").await);
    assert_eq!((&begin["online"], &begin["channels"][1]["online"]), (&true.into(), &true.into()));
    let after = state(http(control, "POST", "/channels/2/offline", None, "").await);
    assert_eq!((&after["channels"][1]["online"], &after["channels"][0]["online"]), (&false.into(), &true.into()));
    assert_eq!(after, sim.state());
    let resized = state(http(control, "POST", "/channels/1/resize?width=320&height=192", None, "").await);
    assert_eq!(resized["channels"][0]["width"], 320);
    for (path, status) in [
        ("/channels/1/jump?ms=-500", 200),
        ("/channels/1/motion?active=true", 200),
        ("/device/password?new=Other-2026", 200),
        ("/device/offline", 200),
        ("/device/online", 200),
        ("/channels/1/jump", 400),
        ("/channels/1/resize?width=1&height=2", 400),
        ("/channels/3/drop", 404),
        ("/channels/1/explode", 404),
        ("/device/explode", 404),
        ("/", 404),
    ] {
        assert_eq!(http(control, "POST", path, None, "").await.status, status, "{path}");
    }
    assert_eq!(isapi(&sim, "GET", "/ISAPI/System/status", "Other-2026", "").await.status, 200);
}
