//! Streams as the network and the camera's settings make them: lossy datagrams, every sort of sound, parameter sets within
//! the stream alone.

use super::*;
use crate::sim::Sound;

#[tokio::test]
async fn packets_lost_on_the_way_are_counted_and_pictures_go_on_at_the_next_key_frame() {
    let site = Site::start_with(Options { key_interval: Duration::from_millis(400), ..Options::default() }, |config| {
        config.devices[0].transport = Transport::Udp;
    })
    .await;
    let mut reader = site.reader("d1/1/main").await;
    let mut last = counter(&picture(&mut reader).await);
    for _ in 0..20 {
        let frame = picture(&mut reader).await;
        assert_eq!(counter(&frame), last + 1, "datagrams on loopback come whole");
        last += 1;
    }
    site.sim.channel(1, ChannelFault::Lose(30)).unwrap();
    let mut losses = 0;
    while losses < 3 {
        let frame = picture(&mut reader).await;
        if counter(&frame) != last + 1 {
            assert!(frame.key, "what follows a loss begins with a key frame");
            losses += 1;
        }
        last = counter(&frame);
    }
    site.sim.channel(1, ChannelFault::Lose(0)).unwrap();
    let shown =
        site.until("lost packets are shown", |s| view(s, "d1/1/main").is_some_and(|v| v.packets_lost >= 3)).await;
    assert_eq!(view(&shown, "d1/1/main").unwrap().reconnects, 0, "one session all along");
    assert!(!site.metrics.render().contains("skyvis_stream_packets_lost_total{stream=\"d1/1/main\"} 0"));
    assert!(site.metrics.render().contains("skyvis_stream_packets_lost_total{stream=\"d1/1/main\"}"));
    site.stop().await;
}

#[tokio::test]
async fn a_stream_of_datagrams_that_ends_is_noticed_and_fetched_again() {
    let site = Site::start_with(Options::default(), |config| config.devices[0].transport = Transport::Udp).await;
    let mut reader = site.reader("d1/1/main").await;
    picture(&mut reader).await;
    site.sim.channel(1, ChannelFault::Silence).unwrap();
    assert!(end_of_session(&mut reader).await.contains("no frame came for"));
    site.sim.channel(1, ChannelFault::Resume).unwrap();
    assert!(picture(&mut reader).await.key);
    site.stop().await;
}

#[tokio::test]
async fn every_sort_of_sound_is_kept_stored_or_named() {
    for (sound, codec, handling, rfc6381, rate) in [
        (Sound::Aac, "aac", AudioHandling::Copy, Some("mp4a.40.2"), 16_000),
        (Sound::Alaw, "g711a", AudioHandling::Flac, Some("flac"), 8_000),
        (Sound::Ulaw, "g711u", AudioHandling::Flac, Some("flac"), 8_000),
        (Sound::L16, "l16", AudioHandling::Flac, Some("flac"), 16_000),
        // By a relay, which calls it by its right name.
        (Sound::Pcm, "l16", AudioHandling::Flac, Some("flac"), 16_000),
        (Sound::Mp2, "mp2", AudioHandling::Dropped, None, 0),
    ] {
        let site = Site::start(Options { audio: true, sound, ..Options::default() }).await;
        let mut reader = site.reader("d1/1/main").await;
        let mut sounds: Vec<i64> = Vec::new();
        let mut pictures = 0;
        while pictures < 25 || (rfc6381.is_some() && sounds.len() < 10) {
            let Some(Delivery::Frame(f)) = within("frame", reader.next()).await else { panic!("frames without a gap") };
            match f.track {
                TrackKind::Video => pictures += 1,
                TrackKind::Audio => sounds.push(f.ticks),
            }
            let format = f.format.audio.as_ref();
            assert_eq!(format.map(|a| a.rfc6381.as_str()), rfc6381, "{sound:?}");
            assert_eq!(format.map_or(0, |a| a.sample_rate), rate, "{sound:?}");
        }
        assert!(sounds.windows(2).all(|w| w[1] > w[0]), "{sound:?}: {sounds:?}");
        let shown = site.until_state("d1/1/main", StreamState::Running).await.audio.unwrap();
        assert_eq!((shown.codec.as_str(), shown.handling), (codec, handling), "{:?}", shown.reason);
        assert_eq!(shown.reason.is_none(), handling == AudioHandling::Copy);
        site.stop().await;
    }
}

#[tokio::test]
async fn sound_that_is_not_wanted_is_not_fetched_and_shown_as_off() {
    let site = Site::start_with(Options { audio: true, ..Options::default() }, |c| c.devices[0].audio = false).await;
    let mut reader = site.reader("d1/1/main").await;
    assert!(picture(&mut reader).await.format.audio.is_none());
    let shown = site.until_state("d1/1/main", StreamState::Running).await.audio.unwrap();
    assert_eq!((shown.codec.as_str(), shown.handling), ("aac", AudioHandling::Off));
    site.stop().await;
}

#[tokio::test]
async fn parameter_sets_within_the_stream_alone_and_shared_packets_lose_no_picture() {
    for codec in [VideoCodec::H264, VideoCodec::H265] {
        let site = Site::start(Options { codec, in_band: true, aggregate: true, ..Options::default() }).await;
        let mut reader = site.reader("d1/1/main").await;
        let first = picture(&mut reader).await;
        assert!(first.key, "{codec:?}");
        let mut last = counter(&first);
        for _ in 0..40 {
            last += 1;
            assert_eq!(counter(&picture(&mut reader).await), last, "{codec:?}");
        }
        site.stop().await;
    }
}
