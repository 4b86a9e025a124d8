//! A simulated Hik Device Gateway, polled and fetched. The first tests are named for what the poller that this one
//! replaces got wrong.

use super::*;
use crate::sim::{GatewayFault, ListFault, MemberFault};

fn gateway(devices: u32, channels: u32) -> Options {
    Options { kind: sim::DeviceKind::Gateway, devices, channels, ..Options::default() }
}

fn stream(sim: &Running, device: u32, channel: u32) -> String {
    format!("d1:{}/{channel}/main", sim.dev_index(device))
}

fn member<'a>(snapshot: &'a Snapshot, sim: &Running, device: u32) -> Option<&'a DeviceView> {
    let id = format!("d1:{}", sim.dev_index(device));
    snapshot.devices.iter().find(|d| d.id.as_str() == id)
}

impl Site {
    async fn runs(&self, streams: &[(u32, u32)]) {
        for (device, channel) in streams {
            self.until_state(&stream(&self.sim, *device, *channel), StreamState::Running).await;
        }
    }

    fn list_fault(&self, fault: ListFault) {
        self.sim.gateway(&GatewayFault::List(fault)).unwrap();
    }

    fn member_fault(&self, device: u32, fault: MemberFault) {
        self.sim.gateway(&GatewayFault::Member(device, fault)).unwrap();
    }

    /// How often the gateway has been asked for that.
    fn asked(&self, what: &str) -> u64 {
        self.sim.state()["behind"]["requests"][what].as_u64().unwrap_or(0)
    }

    /// Waits until so many more lists were asked for.
    async fn lists_more(&self, count: u64) {
        let until = self.asked("devicelist") + count;
        within("lists", async {
            while self.asked("devicelist") < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    fn gateway_view(&self) -> DeviceView {
        self.cameras.watch().borrow().devices[0].clone()
    }

    /// Sessions set up on one channel so far.
    fn sessions(&self, device: u32, channel: u32) -> u64 {
        let flat = usize::try_from(self.sim.channel_behind(device, channel)).unwrap();
        self.sim.state()["channels"][flat - 1]["sessions_played"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn defect_1_a_match_list_of_null_purges_nothing() {
    let site = Site::start(gateway(2, 1)).await;
    site.runs(&[(1, 1), (2, 1)]).await;
    for fault in [ListFault::Null, ListFault::Empty, ListFault::HalfPage, ListFault::WrongTotals] {
        site.list_fault(fault);
        site.lists_more(6).await;
        let now = site.cameras.watch().borrow().clone();
        assert_eq!((now.devices.len(), now.streams.len(), now.media_urls.len()), (3, 2, 2), "{fault:?}: {now:#?}");
        assert!(now.streams.iter().all(|s| s.state == StreamState::Running), "{fault:?}: {now:#?}");
        if fault != ListFault::Empty {
            let doubt = site.gateway_view();
            assert!(doubt.error.as_ref().is_some_and(|e| e.contains("no device is given up")), "{fault:?}: {doubt:?}");
            assert_eq!(doubt.presence, Presence::Online);
        }
    }
    site.list_fault(ListFault::Sane);
    site.until("no doubt", |s| s.devices[0].error.is_none()).await;
    assert_eq!((site.sessions(1, 1), site.sessions(2, 1)), (1, 1), "no session was begun anew");
    site.stop().await;
}

#[tokio::test]
async fn defect_2_a_url_that_changed_is_picked_up_and_begins_that_stream_alone_anew() {
    let site = Site::start(gateway(2, 2)).await;
    site.runs(&[(1, 1), (1, 2), (2, 1), (2, 2)]).await;
    site.member_fault(1, MemberFault::Move(2));
    // The session that runs at the old place is lost; only then can the change be known so soon.
    site.sim.channel(site.sim.channel_behind(1, 2), ChannelFault::Drop).unwrap();
    let moved = site
        .until("the new URL", |s| s.media_urls.iter().any(|row| row.channel == 2 && row.media_url.contains("moved1")))
        .await;
    assert_eq!(moved.media_urls.iter().filter(|row| row.media_url.contains("moved")).count(), 1);
    within("a session at the new place", async {
        while site.sessions(1, 2) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    site.runs(&[(1, 2)]).await;
    for (device, channel) in [(1, 1), (2, 1), (2, 2)] {
        assert_eq!(site.sessions(device, channel), 1, "{device}/{channel} never noticed");
    }
    site.stop().await;
}

#[tokio::test]
async fn defect_3_a_channel_that_is_added_is_fetched_and_one_that_is_removed_is_not() {
    let site = Site::start(gateway(1, 1)).await;
    site.runs(&[(1, 1)]).await;
    site.member_fault(1, MemberFault::AddChannel(3));
    site.runs(&[(1, 3)]).await;
    assert_eq!(site.sessions(1, 1), 1);
    let channels = |s: &Snapshot| s.devices[1].channels.iter().map(|c| c.channel).collect::<Vec<_>>();
    assert_eq!(channels(&site.cameras.watch().borrow().clone()), [1, 3], "by the device's own numbers");
    site.member_fault(1, MemberFault::ChannelsNull(true));
    site.member_fault(1, MemberFault::AddChannel(2));
    let asked = site.asked("channelinfo");
    within("channels to be asked for", async {
        while site.asked("channelinfo") < asked + 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(channels(&site.cameras.watch().borrow().clone()), [1, 3], "null says nothing");
    site.member_fault(1, MemberFault::ChannelsNull(false));
    site.runs(&[(1, 2)]).await;
    site.stop().await;
}

#[tokio::test]
async fn defect_4_an_offline_device_keeps_its_row_for_a_while_and_only_its_streams_end() {
    let site = Site::start_with(gateway(2, 1), |config| config.age_out = Duration::from_secs(3)).await;
    site.runs(&[(1, 1), (2, 1)]).await;
    site.member_fault(1, MemberFault::Offline(Some(3)));
    let off = site.until_state(&stream(&site.sim, 1, 1), StreamState::Offline).await;
    assert!(off.reason.as_ref().is_some_and(|r| r.contains("cannot reach it over the network")), "{off:?}");
    let snapshot = site.cameras.watch().borrow().clone();
    let away = member(&snapshot, &site.sim, 1).unwrap();
    assert_eq!((away.presence, away.channels[0].presence), (Presence::Offline, Presence::Offline));
    assert_eq!(snapshot.media_urls.len(), 2, "its row is kept for a while");
    site.until("its row to age out", |s| s.media_urls.len() == 1).await;
    assert_eq!(site.cameras.watch().borrow().devices.len(), 3, "it is still known");
    site.member_fault(1, MemberFault::Online);
    site.runs(&[(1, 1)]).await;
    site.until("its row to return", |s| s.media_urls.len() == 2).await;
    assert_eq!((site.sessions(1, 1), site.sessions(2, 1)), (2, 1));
    site.stop().await;
}

#[tokio::test]
async fn defect_5_an_answer_of_errors_changes_nothing_and_is_shown() {
    let site = Site::start(gateway(2, 1)).await;
    site.runs(&[(1, 1), (2, 1)]).await;
    for (fault, word) in [(ListFault::Error, "networkError"), (ListFault::Busy, "503")] {
        site.list_fault(fault);
        site.until(word, |s| s.devices[0].error.as_ref().is_some_and(|e| e.contains(word))).await;
        site.lists_more(4).await;
        let now = site.cameras.watch().borrow().clone();
        assert_eq!((now.devices.len(), now.media_urls.len()), (3, 2), "{fault:?}");
    }
    for fault in [DeviceFault::Garbage, DeviceFault::Huge] {
        site.sim.device(fault.clone());
        site.until("nonsense", |s| s.devices[0].error.as_ref().is_some_and(|e| e.contains("makes no sense"))).await;
        site.sim.device(DeviceFault::Sane);
        site.list_fault(ListFault::Sane);
        site.until("sense", |s| s.devices[0].error.is_none()).await;
    }
    assert_eq!((site.sessions(1, 1), site.sessions(2, 1)), (1, 1));
    site.stop().await;
}

#[tokio::test]
async fn defect_6_a_login_that_fails_is_told_keeps_all_that_is_known_and_costs_two_tries_at_most() {
    let site = Site::start(gateway(3, 2)).await;
    site.runs(&[(1, 1), (2, 1), (3, 2)]).await;
    site.sim.device(DeviceFault::Password(Secret::new("somebody changed it")));
    let locked = site.until("locked", |s| s.devices[0].presence == Presence::Locked).await;
    assert!(locked.devices[0].error.as_ref().is_some_and(|e| e.contains("password")), "{locked:#?}");
    assert_eq!((locked.devices.len(), locked.media_urls.len()), (4, 6));
    assert!(locked.streams.iter().all(|s| s.state == StreamState::Running), "what runs goes on");
    // Streams that are lost must not try on their own.
    for device in 1..=3 {
        site.sim.channel(site.sim.channel_behind(device, 1), ChannelFault::Drop).unwrap();
    }
    for device in 1..=3 {
        site.until_state(&stream(&site.sim, device, 1), StreamState::Locked).await;
    }
    assert!(site.sim.logins_failed() <= 2, "{} logins were spent", site.sim.logins_failed());
    site.sim.device(DeviceFault::Password(Options::default().password));
    site.cameras.reconnect(&id("d1")).await.unwrap();
    site.runs(&[(1, 1), (2, 1), (3, 1)]).await;
    assert!(site.sim.logins_failed() <= 2, "{} logins were spent on the way", site.sim.logins_failed());
    site.stop().await;
}

#[tokio::test]
async fn a_sleeping_device_is_told_as_asleep_and_its_row_does_not_age() {
    let site = Site::start(gateway(2, 1)).await;
    site.runs(&[(1, 1), (2, 1)]).await;
    site.member_fault(1, MemberFault::Sleep);
    let asleep = site.until_state(&stream(&site.sim, 1, 1), StreamState::Offline).await;
    assert!(asleep.reason.as_ref().is_some_and(|r| r.contains("asleep")), "{asleep:?}");
    site.lists_more(10).await;
    tokio::time::sleep(2 * site.config.age_out).await;
    let now = site.cameras.watch().borrow().clone();
    assert_eq!(now.media_urls.len(), 2, "sleep is not offline: {now:#?}");
    site.member_fault(1, MemberFault::Online);
    site.runs(&[(1, 1)]).await;
    assert_eq!(site.sessions(2, 1), 1);
    site.stop().await;
}

#[tokio::test]
async fn devices_are_added_and_a_deleted_one_ages_out_with_its_streams() {
    let site = Site::start(gateway(2, 1)).await;
    site.runs(&[(1, 1), (2, 1)]).await;
    site.member_fault(3, MemberFault::Restore);
    site.runs(&[(3, 1)]).await;
    assert!(site.metrics.render().contains(&stream(&site.sim, 2, 1)));
    site.member_fault(2, MemberFault::Delete);
    let gone = stream(&site.sim, 2, 1);
    site.until("the deleted one to leave", |s| view(s, &gone).is_none() && s.media_urls.len() == 2).await;
    assert_eq!(site.cameras.watch().borrow().devices.len(), 3);
    assert!(!site.metrics.render().contains(&gone), "what is gone is not counted");
    site.member_fault(2, MemberFault::Restore);
    site.runs(&[(2, 1)]).await;
    assert_eq!((site.sessions(1, 1), site.sessions(3, 1)), (1, 1));
    site.stop().await;
}

#[tokio::test]
async fn a_list_of_many_pages_and_one_without_statuses_is_understood() {
    // None of them has a channel 9: what is tried here is the list.
    let site = Site::start_with(gateway(230, 1), |config| config.devices[0].channels = vec![9]).await;
    site.until("all devices", |s| s.devices.len() == 231).await;
    site.list_fault(ListFault::SecondPage);
    site.until("an error", |s| s.devices[0].error.is_some()).await;
    site.lists_more(10).await;
    assert_eq!(site.cameras.watch().borrow().devices.len(), 231, "half a list deletes nothing");
    site.list_fault(ListFault::NoStatus);
    site.member_fault(207, MemberFault::Offline(None));
    let sim = site.sim.clone();
    site.until("the filter to tell", |s| {
        let offline = |d: &&DeviceView| d.presence == Presence::Offline;
        member(s, &sim, 207).as_ref().is_some_and(offline) && s.devices.iter().filter(offline).count() == 1
    })
    .await;
    site.stop().await;
}

#[tokio::test]
async fn only_wanted_channels_and_both_streams_are_taken_and_one_device_is_begun_anew_alone() {
    let site = Site::start_with(gateway(2, 3), |config| {
        config.devices[0].channels = vec![2, 9];
        config.devices[0].profiles = vec![Profile::Main, Profile::Sub];
    })
    .await;
    site.runs(&[(1, 2), (2, 2)]).await;
    let sub = stream(&site.sim, 1, 2).replace("main", "sub");
    site.until_state(&sub, StreamState::Running).await;
    let now = site.cameras.watch().borrow().clone();
    assert_eq!(now.streams.len(), 4, "{now:#?}");
    assert!(now.media_urls.iter().all(|row| row.media_url.ends_with("/MAIN/TCP") && !row.media_url.contains('@')));
    let one = format!("d1:{}", site.sim.dev_index(1));
    site.cameras.reconnect(&id(&one)).await.unwrap();
    within("sessions anew", async {
        while site.sessions(1, 2) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(site.sessions(2, 2), 2);
    assert!(site.cameras.reconnect(&id("d1:NOT-THERE")).await.is_err());
    site.stop().await;
}

#[tokio::test]
async fn a_gateway_that_leaves_the_configuration_takes_its_devices_along() {
    let site = Site::start(gateway(2, 1)).await;
    site.runs(&[(1, 1), (2, 1)]).await;
    let mut config = site.config.clone();
    config.devices[0].enabled = false;
    site.cameras.apply(config.clone()).await.unwrap();
    let off = site.cameras.watch().borrow().clone();
    assert_eq!((off.devices.len(), off.streams.len()), (1, 0), "{off:#?}");
    config.devices[0].enabled = true;
    site.cameras.apply(config.clone()).await.unwrap();
    site.runs(&[(1, 1), (2, 1)]).await;
    config.devices.clear();
    site.cameras.apply(config).await.unwrap();
    let none = site.cameras.watch().borrow().clone();
    assert_eq!((none.devices.len(), none.streams.len()), (0, 0));
    assert!(!site.metrics.render().contains("\"d1"));
    site.stop().await;
}

#[tokio::test]
async fn a_gateway_that_is_away_loses_no_device_and_is_back_soon() {
    let site = Site::start_with(gateway(2, 1), |config| config.poll_interval = Duration::from_secs(3600)).await;
    site.runs(&[(1, 1), (2, 1)]).await;
    site.sim.device(DeviceFault::Offline);
    let away = site.until("offline", |s| s.devices[0].presence == Presence::Offline).await;
    assert!(away.devices.len() == 3 && away.devices[1..].iter().all(|d| d.presence == Presence::Offline), "{away:#?}");
    site.sim.device(DeviceFault::Online);
    site.runs(&[(1, 1), (2, 1)]).await;
    site.stop().await;
}
