//! Requests one by one, right and wrong.

use super::{Answer, KEY, Talk, open, said_goodbye};
use crate::{
    sim,
    tests::harness::{Site, nvr},
};
use http_auth::{PasswordClient, PasswordParams};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::UdpSocket};

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_answered_as_the_rfc_says() {
    let site = Site::new(sim::Options { audio: true, ..nvr(1) }).await;
    let (daemon, _, address) = open(&site, "").await;
    let url = format!("rtsp://{address}/{KEY}");
    let mut talk = Talk::to(address).await;
    let options = talk.ask("OPTIONS", "*", &[]).await;
    assert!(options.status == 200 && options.header("Public").unwrap().contains("PLAY"));
    for (method, uri, headers, status) in [
        ("DESCRIBE", format!("rtsp://{address}/nvr/9/main"), vec![], 404),
        ("DESCRIBE", format!("rtsp://{address}/other/1/main"), vec![], 404),
        ("DESCRIBE", format!("rtsp://{address}/"), vec![], 404),
        ("DESCRIBE", format!("{url}?starttime=yesterday"), vec![], 400),
        ("DESCRIBE", format!("{url}?starttime=20200101T000000Z&endtime=20200101T000100Z"), vec![], 404),
        ("DESCRIBE", url.clone(), vec![("Require", "onvif-replay")], 551),
        ("DESCRIBE", url.clone(), vec![("Accept", "text/html")], 415),
        ("PLAY", url.clone(), vec![], 454),
        ("PAUSE", url.clone(), vec![], 454),
        ("TEARDOWN", url.clone(), vec![], 454),
        ("GET_PARAMETER", url.clone(), vec![], 200),
        ("GET_PARAMETER", url.clone(), vec![("Session", "1")], 454),
        ("SETUP", format!("{url}/trackID=1"), vec![], 461),
        ("SETUP", format!("{url}/trackID=1"), vec![("Transport", "RTP/AVP;multicast")], 461),
        ("SETUP", format!("{url}/trackID=1"), vec![("Transport", "RTP/AVP;unicast;client_port=0-1")], 461),
        ("SETUP", format!("{url}/trackID=3"), vec![("Transport", "RTP/AVP/TCP;interleaved=0-1")], 404),
        ("RECORD", url.clone(), vec![], 405),
        ("REDIRECT", url.clone(), vec![], 501),
    ] {
        let answer = talk.ask(method, &uri, &headers).await;
        assert_eq!(answer.status, status, "{method} {uri} {headers:?}");
    }
    let playing = talk.play(&url, &[("Range", "npt=0.000-"), ("Scale", "2")]).await;
    assert_eq!((playing.status, playing.header("Scale")), (200, Some("1.000")), "what is live has one pace");
    let info = playing.header("RTP-Info").unwrap().to_owned();
    let packets = talk.until(|packets| packets.len() > 50).await;
    for (channel, track) in info.split(',').enumerate() {
        let first = packets.iter().find(|(c, _)| usize::from(*c) == 2 * channel).map(|(_, p)| p).unwrap();
        let (seq, time) =
            (u16::from_be_bytes([first[2], first[3]]), u32::from_be_bytes([first[4], first[5], first[6], first[7]]));
        assert!(track.contains(&format!(";seq={seq};")), "{track} {seq}");
        let told: u32 = track.rsplit('=').next().unwrap().parse().unwrap();
        assert!(time.wrapping_sub(told) < 90_000, "{track} {time}");
    }
    for (method, uri, headers, status) in [
        ("SETUP", format!("{url}/trackID=1"), vec![("Transport", "RTP/AVP/TCP;interleaved=6-7")], 455),
        ("PLAY", url.clone(), vec![("Range", "smpte=0:10:00-")], 457),
        ("PLAY", url.clone(), vec![("Range", "clock=20260101T000000Z-")], 457),
        ("PLAY", url.clone(), vec![("Scale", "fast")], 400),
        ("PAUSE", url.clone(), vec![], 200),
        (
            "SETUP",
            format!("rtsp://{address}/nvr/1/sub/trackID=1"),
            vec![("Transport", "RTP/AVP/TCP;interleaved=6-7")],
            459,
        ),
        ("SETUP", format!("{url}/trackID=2"), vec![("Transport", "RTP/AVP/TCP;interleaved=0-1")], 461),
        ("GET_PARAMETER", url.clone(), vec![], 200),
        ("PLAY", url.clone(), vec![], 200),
        ("TEARDOWN", url.clone(), vec![], 200),
        ("PLAY", url.clone(), vec![], 454),
    ] {
        let answer = talk.ask(method, &uri, &headers).await;
        assert_eq!(answer.status, status, "{method} {uri} {headers:?}");
    }
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_ends_the_connection_with_a_word() {
    let site = Site::new(nvr(1)).await;
    let (daemon, api, address) = open(&site, "").await;
    let long = [b"OPTIONS * RTSP/1.0\r\nX: ".to_vec(), vec![b'x'; 20_000]].concat();
    for (bytes, status) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"\xff\xfe\r\n\r\n".to_vec(), 400),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: many\r\n\r\n".to_vec(), 400),
        (b"OPTIONS * RTSP/1.0\r\nContent-Length: 999999\r\n\r\n".to_vec(), 413),
        (long, 413),
    ] {
        let mut talk = Talk::to(address).await;
        talk.socket.write_all(&bytes).await.unwrap();
        assert_eq!(talk.answer().await.unwrap().status, status);
        assert!(!talk.more().await);
    }
    // Without a number it cannot be told what is answered.
    let mut talk = Talk::to(address).await;
    talk.socket.write_all(b"OPTIONS * RTSP/1.0\r\n\r\n").await.unwrap();
    assert_eq!(talk.answer().await.unwrap().status, 400);
    // Many at once are answered in their order.
    let many: String = (0..500).map(|n| format!("OPTIONS * RTSP/1.0\r\nCSeq: {n}\r\n\r\n")).collect();
    talk.socket.write_all(many.as_bytes()).await.unwrap();
    for n in 0..500 {
        assert_eq!(talk.answer().await.unwrap().header("CSeq"), Some(n.to_string().as_str()));
    }
    let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
    assert!(metrics.contains("skyvis_rtsp_answers_total{status=\"413\"} 2"), "{metrics}");
    daemon.stop().await;
    site.stop().await;
}

fn proof(challenge: &str, password: &str, uri: &str) -> String {
    let mut client = PasswordClient::try_from(challenge).unwrap();
    let parameters = PasswordParams { username: "me", password, uri, method: "DESCRIBE", body: Some(&[]) };
    client.respond(&parameters).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_proved_by_either_digest_and_wrong_ones_end_it() {
    let site = Site::new(nvr(1)).await;
    let (daemon, _, address) = open(&site, "token = 'let-me-see'").await;
    let url = format!("rtsp://{address}/{KEY}");
    let challenges =
        |answer: &Answer| answer.headers("WWW-Authenticate").into_iter().map(str::to_owned).collect::<Vec<_>>();
    for (n, algorithm) in ["SHA-256", ""].into_iter().enumerate() {
        let mut talk = Talk::to(address).await;
        assert_eq!(talk.ask("OPTIONS", &url, &[]).await.status, 200, "anybody may ask that");
        let refused = talk.ask("DESCRIBE", &url, &[]).await;
        assert_eq!(refused.status, 401);
        let challenges = challenges(&refused);
        assert_eq!(
            (challenges.len(), challenges[n].contains("SHA-256")),
            (2, algorithm == "SHA-256"),
            "{challenges:?}"
        );
        let right = proof(&challenges[n], "let-me-see", &url);
        assert_eq!(talk.ask("DESCRIBE", &url, &[("Authorization", &right)]).await.status, 200);
        let mut other = Talk::to(address).await;
        let answer = other.ask("DESCRIBE", &url, &[("Authorization", &right)]).await;
        assert_eq!(answer.status, 401, "what was heard on another connection proves nothing");
        let basic = other.ask("DESCRIBE", &url, &[("Authorization", "Basic bWU6bGV0LW1lLXNlZQ==")]).await;
        assert_eq!(basic.status, 401);
    }
    let mut talk = Talk::to(address).await;
    let challenges = challenges(&talk.ask("DESCRIBE", &url, &[]).await);
    let wrong = proof(&challenges[1], "let-me-in", &url);
    for _ in 0..5 {
        assert_eq!(talk.ask("DESCRIBE", &url, &[("Authorization", &wrong)]).await.status, 401);
    }
    assert!(!talk.more().await, "so many wrong ones end the connection");
    let mut talk = Talk::to(address).await;
    let challenge = talk.ask("DESCRIBE", &url, &[]).await.header("WWW-Authenticate").unwrap().to_owned();
    let right = proof(&challenge, "let-me-see", &url);
    let answer = talk.ask("DESCRIBE", &url, &[("Authorization", &right)]).await;
    assert_eq!(
        (answer.status, answer.header("Retry-After").is_some()),
        (503, true),
        "and the turn is over for a while"
    );
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_bring_pictures_and_reports_to_the_ports_that_were_named() {
    let site = Site::new(nvr(1)).await;
    let (daemon, _, address) = open(&site, "").await;
    let url = format!("rtsp://{address}/{KEY}");
    let (rtp, rtcp) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let ports = format!("{}-{}", rtp.local_addr().unwrap().port(), rtcp.local_addr().unwrap().port());
    let mut talk = Talk::to(address).await;
    let set_up = talk.set_up(&format!("{url}/trackID=1"), &format!("RTP/AVP;unicast;client_port={ports}")).await;
    let transport = set_up.header("Transport").unwrap().to_owned();
    assert!(transport.contains(&format!("client_port={ports};server_port=")), "{transport}");
    let ssrc = transport.split("ssrc=").nth(1).unwrap().split(';').next().unwrap();
    let ssrc = u32::from_str_radix(ssrc, 16).unwrap();
    assert_eq!(talk.ask("PLAY", &url, &[]).await.status, 200);
    let mut packet = [0; 2000];
    let mut last = None;
    for _ in 0..100 {
        let len = tokio::time::timeout(Duration::from_secs(20), rtp.recv(&mut packet)).await.unwrap().unwrap();
        assert!(len > 12 && len <= 1400 && packet[0] == 0x80 && packet[8..12] == ssrc.to_be_bytes());
        let number = u16::from_be_bytes([packet[2], packet[3]]);
        assert!(last.is_none_or(|last: u16| number == last.wrapping_add(1)), "{last:?} {number}");
        last = Some(number);
    }
    let len = tokio::time::timeout(Duration::from_secs(20), rtcp.recv(&mut packet)).await.unwrap().unwrap();
    assert!(len >= 28 && packet[1] == 200 && packet[4..8] == ssrc.to_be_bytes());
    assert_eq!(talk.ask("TEARDOWN", &url, &[]).await.status, 200);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_the_daemon_says_goodbye() {
    let site = Site::new(nvr(1)).await;
    let (daemon, _, address) = open(&site, "").await;
    let mut talk = Talk::to(address).await;
    assert_eq!(talk.play(&format!("rtsp://{address}/{KEY}"), &[]).await.status, 200);
    talk.until(|packets| packets.len() > 20).await;
    let (stopped, _) = tokio::join!(daemon.stop(), talk.until(|packets| said_goodbye(packets, 1)));
    assert!(stopped);
    site.stop().await;
}
