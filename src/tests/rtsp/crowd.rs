//! Many who watch, and some who do not read.

use super::{KEY, Talk, open, timestamps};
use crate::{
    sim,
    tests::harness::{Site, nvr, until},
};

fn metric(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_viewers_and_some_who_do_not_read_cost_one_reader_and_no_frame() {
    // So much that what waits in sockets is soon full.
    let site = Site::new(sim::Options { bits_per_second: 8_000_000, ..nvr(1) }).await;
    let (daemon, api, address) = open(&site, "").await;
    let url = format!("rtsp://{address}/{KEY}");
    let mut deaf = Vec::new();
    for _ in 0..10 {
        let mut talk = Talk::to(address).await;
        assert_eq!(talk.play(&url, &[]).await.status, 200);
        deaf.push(talk);
    }
    let watch = async || {
        let mut talk = Talk::to(address).await;
        assert_eq!(talk.play(&url, &[]).await.status, 200);
        let packets = talk.until(|packets| timestamps(packets, 0).len() >= 150).await;
        let numbers = packets.iter().filter(|(c, _)| *c == 0).map(|(_, p)| u16::from_be_bytes([p[2], p[3]]));
        let numbers: Vec<u16> = numbers.collect();
        assert!(numbers.windows(2).all(|n| n[1] == n[0].wrapping_add(1)), "nothing is left out for who reads");
    };
    futures_util::future::join_all((0..10).map(|_| watch())).await;
    assert_eq!(api.stream(KEY).await["readers"], 2, "the recorder, and one for all who watch");
    let cut = "skyvis_rtsp_cut_total{reason=\"does not read\"}";
    let metrics = until("those who do not read are cut", || async {
        let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
        (metric(&metrics, cut) == 10).then_some(metrics)
    })
    .await;
    assert_eq!(metric(&metrics, "skyvis_rtsp_viewers{transport=\"tcp\"}"), 0, "{metrics}");
    drop(deaf);
    daemon.stop().await;
    site.assert_nothing_is_missing(KEY);
    site.stop().await;
}
