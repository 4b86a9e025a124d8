//! Recorded footage by RTSP.

use super::{KEY, Talk, counters_by_ffmpeg, counters_by_gstreamer, open, said_goodbye, timestamps};
use crate::{
    base::Wall,
    model::VideoCodec,
    rtsp::play::{clock_text, moment},
    sim::{self, ChannelFault, Mark},
    tests::harness::{Api, Site, assert_consecutive, files, nvr, read_file},
};
use std::time::Duration;

/// The address of footage, with Hikvision's times.
fn footage(address: std::net::SocketAddr, from: Wall, to: Wall) -> String {
    format!("rtsp://{address}/{KEY}?starttime={}&endtime={}", clock_text(from), clock_text(to))
}

/// The first span once it is so long: begin and end.
async fn recorded(api: &Api, seconds: f64) -> (Wall, Wall) {
    api.until_recorded(KEY, seconds).await;
    let span = api.spans(KEY).await.remove(0);
    (span["start"].as_str().unwrap().parse().unwrap(), span["end"].as_str().unwrap().parse().unwrap())
}

/// Numbers of the pictures that lie in files, with the times at which they were taken, as if each lasted 40 ms.
fn in_files(site: &Site) -> Vec<(Wall, u64)> {
    let all = files(&site.recordings(), KEY);
    let of = |file: &std::path::PathBuf| {
        let read = read_file(file);
        (0..)
            .zip(read.marks)
            .map(|(n, mark): (i64, Mark)| (read.start.plus_micros(n * 40_000), mark.counter))
            .collect::<Vec<_>>()
    };
    all.iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn footage_is_what_was_recorded_by_tcp_and_udp_at_the_pace_of_the_clock() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let site = Site::new(sim::Options { codec, audio: true, ..nvr(1) }).await;
        let (daemon, api, address) = open(&site, "").await;
        let (start, _) = recorded(&api, 9.0).await;
        // From the first key frame at or before, over the end of a file or two.
        let (from, to) = (start.plus_micros(1_500_000), start.plus_micros(6_500_000));
        let url = footage(address, from, to);
        let began = tokio::time::Instant::now();
        let (tcp, udp, gst) = tokio::join!(
            counters_by_ffmpeg("tcp", &url, codec, &[]),
            counters_by_ffmpeg("udp", &url, codec, &[]),
            counters_by_gstreamer("tcp", &url, codec, 120, site.dir.path()),
        );
        assert!(began.elapsed() >= Duration::from_millis(4_500), "five seconds take their time: {:?}", began.elapsed());
        daemon.stop().await;
        let all = in_files(&site);
        let end = all.iter().filter(|(at, _)| *at < to).count();
        for (who, counters) in [("tcp", tcp), ("udp", udp), ("gstreamer", gst)] {
            assert_consecutive(&counters, who);
            assert!(counters.len() >= 115, "{who}: {} pictures", counters.len());
            let first = all.iter().position(|(_, counter)| *counter == counters[0]).unwrap();
            assert!(
                all[first].0 <= from && all[first].0.plus_micros(4_000_000) > from,
                "{who} begins at {}",
                all[first].0
            );
            let last = counters[counters.len() - 1];
            assert!(last.abs_diff(all[end - 1].1) <= if who == "gstreamer" { 40 } else { 1 }, "{who} ends with {last}");
        }
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_sought_paused_and_shown_faster() {
    let site = Site::new(sim::Options { audio: true, ..nvr(1) }).await;
    let (daemon, api, address) = open(&site, "").await;
    let (start, _) = recorded(&api, 12.0).await;
    let url = footage(address, start, start.plus_micros(10_000_000));
    let mut talk = Talk::to(address).await;
    // By the clock, to the end: what was played ends with a goodbye, and can be played again.
    let from = start.plus_micros(8_000_000);
    let range = format!("clock={}-", clock_text(from));
    let playing = talk.play(&url, &[("Range", &range)]).await;
    let told = playing.header("Range").unwrap().strip_prefix("clock=").unwrap().split('-').next().unwrap().to_owned();
    let told = moment(&told).unwrap();
    assert!(told <= from && told.plus_micros(4_000_000) > from, "{told}: the key frame at or before {from}");
    let packets = talk.until(|packets| said_goodbye(packets, 2)).await.to_vec();
    let pictures = timestamps(&packets, 0);
    let length = start.plus_micros(10_000_000).micros_since(told);
    let wanted = usize::try_from(length / 40_000).unwrap();
    assert!(pictures.len().abs_diff(wanted) <= 1, "{} pictures of {wanted}", pictures.len());
    assert!(!timestamps(&packets, 2).is_empty());
    let last = *pictures.last().unwrap();
    // By normal play time, at four times its pace: the time between pictures is a quarter, and no sound goes along.
    talk.packets.clear();
    let playing = talk.ask("PLAY", &url, &[("Range", "npt=2-8"), ("Scale", "4.0")]).await;
    assert_eq!((playing.status, playing.header("Scale")), (200, Some("4.000")));
    let packets = talk.until(|packets| said_goodbye(packets, 2)).await.to_vec();
    let pictures = timestamps(&packets, 0);
    assert!(pictures.windows(2).all(|p| p[1].wrapping_sub(p[0]) == 900), "{pictures:?}");
    assert!(pictures[0].wrapping_sub(last) < 900_000, "time goes on: {last} {}", pictures[0]);
    assert!((150..=250).contains(&pictures.len()), "{} pictures", pictures.len());
    assert!(timestamps(&packets, 2).is_empty());
    // Much faster, key frames alone do.
    talk.packets.clear();
    assert_eq!(talk.ask("PLAY", &url, &[("Range", "npt=0-"), ("Scale", "16")]).await.header("Scale"), Some("16.000"));
    let packets = talk.until(|packets| said_goodbye(packets, 2)).await;
    assert!((3..=12).contains(&timestamps(packets, 0).len()), "{}", timestamps(packets, 0).len());
    // Backwards nothing is shown, and that is said; eight times the speed is the same time in less.
    talk.packets.clear();
    let playing = talk.ask("PLAY", &url, &[("Range", "npt=0-"), ("Scale", "-1"), ("Speed", "8")]).await;
    assert_eq!((playing.header("Scale"), playing.header("Speed")), (Some("1.000"), Some("8.000")));
    talk.until(|packets| timestamps(packets, 0).len() >= 50).await;
    // Paused, nothing more comes; then it goes on where it stood.
    assert_eq!(talk.ask("PAUSE", &url, &[]).await.status, 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(talk.ask("GET_PARAMETER", &url, &[]).await.status, 200);
    let before = timestamps(&talk.packets, 0);
    talk.packets.clear();
    assert_eq!(talk.ask("PLAY", &url, &[("Speed", "8")]).await.status, 200);
    let packets = talk.until(|packets| said_goodbye(packets, 2)).await;
    let after = timestamps(packets, 0);
    assert!(after[0].wrapping_sub(*before.last().unwrap()) <= 3_700, "{:?} {}", before.last(), after[0]);
    assert!((before.len() + after.len()).abs_diff(250) <= 2, "{} and {}", before.len(), after.len());
    for (range, status) in [("npt=60-", 457), ("npt=5-4", 457), ("npt=now-", 457)] {
        assert_eq!(talk.ask("PLAY", &url, &[("Range", range)]).await.status, status, "{range}");
    }
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_crossed_at_once_and_reports_tell_the_time() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, address) = open(&site, "").await;
    let (start, _) = recorded(&api, 4.0).await;
    site.nvr.channel(1, ChannelFault::Offline).unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    site.nvr.channel(1, ChannelFault::Online).unwrap();
    api.until_recorded(KEY, 9.0).await;
    let spans = api.spans(KEY).await;
    assert!(spans.len() >= 2, "{spans:?}");
    let end: Wall = spans.last().unwrap()["end"].as_str().unwrap().parse().unwrap();
    let url = footage(address, start, end);
    let mut talk = Talk::to(address).await;
    assert_eq!(talk.play(&url, &[("Speed", "8")]).await.status, 200);
    let packets = talk.until(|packets| said_goodbye(packets, 1)).await;
    let pictures = timestamps(packets, 0);
    assert!(
        pictures.windows(2).all(|p| (1..=9_000).contains(&p[1].wrapping_sub(p[0]))),
        "no time in the gap: {pictures:?}"
    );
    let seconds: f64 = spans
        .iter()
        .map(|s| {
            let at = |name: &str| s[name].as_str().unwrap().parse::<Wall>().unwrap();
            at("end").micros_since(at("start")) as f64 / 1e6
        })
        .sum();
    assert!((pictures.len() as f64 - seconds * 25.0).abs() <= 5.0, "{} pictures of {seconds} s", pictures.len());
    // The last report says when its picture was taken: in the span behind the gap.
    let (_, last) = packets.iter().rfind(|(channel, packet)| *channel == 1 && packet[1] == 200).unwrap();
    let ntp = u32::from_be_bytes([last[8], last[9], last[10], last[11]]);
    let told = Wall::from_micros((i64::from(ntp) - 2_208_988_800) * 1_000_000);
    assert!((0..=2_000_000).contains(&end.micros_since(told)), "{told} {end}");
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_being_recorded_is_followed() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, address) = open(&site, "").await;
    let (start, _) = recorded(&api, 2.0).await;
    let url = footage(address, start, start.plus_micros(8_000_000));
    let counters = counters_by_ffmpeg("tcp", &url, VideoCodec::H264, &[]).await;
    assert_consecutive(&counters, "the tail");
    assert!(counters.len().abs_diff(200) <= 2, "{} pictures", counters.len());
    daemon.stop().await;
    site.stop().await;
}
