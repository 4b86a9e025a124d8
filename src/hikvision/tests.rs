//! Odd answers as they occur in the field, each under its name, against a scripted server.

use super::{answers, status, *};
use crate::base::{Kind, Secret, TaskGroup};
use md5::{Digest, Md5};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const USER: &str = "admin";
const PASSWORD: &str = "p@ss:/\"w ö%d";
const DEVICE_INFO: &str = include_str!("fixtures/nvr_device_info.xml");

fn tree(text: &str) -> xml::Node {
    xml::parse(text.as_bytes()).unwrap()
}

#[test]
fn identity_of_a_recorder() {
    let who = answers::identity(&tree(DEVICE_INFO)).unwrap();
    assert_eq!(who.model.as_deref(), Some("DS-7608NXI-X9"));
    assert_eq!(who.serial.as_deref(), Some("DS-7608NXI-X90820260101CCRRX10000001WCVU"));
    assert_eq!((who.kind.as_deref(), who.firmware.as_deref()), (Some("NVR"), Some("V4.62.999")));
}

#[test]
fn nvr_list_size_attribute_is_not_the_count() {
    let list = answers::proxied(&tree(include_str!("fixtures/nvr_proxy_channels.xml"))).unwrap();
    assert_eq!(list.iter().map(|c| c.id).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn channels_that_cannot_be_are_left_out_and_a_list_without_end_is_cut() {
    let entry = |id: u64| format!("<InputProxyChannel><id>{id}</id></InputProxyChannel>");
    let list = |ids: &[u64]| {
        let text: String = ids.iter().map(|id| entry(*id)).collect();
        answers::proxied(&tree(&format!("<InputProxyChannelList>{text}</InputProxyChannelList>"))).unwrap()
    };
    // Its stream would be 429,496,729,501; no key and no path could name it.
    assert_eq!(list(&[0, 7, 65_536, 4_294_967_295]).iter().map(|c| c.id).collect::<Vec<_>>(), [7]);
    assert_eq!(list(&(1..=5000).collect::<Vec<_>>()).len(), 512);
    let streams =
        "<StreamingChannelList><StreamingChannel><id>4294967201</id></StreamingChannel></StreamingChannelList>";
    assert!(answers::streams(&tree(streams)).unwrap().is_empty());
}

#[test]
fn a_channel_name_with_a_bare_ampersand_is_read_and_an_offline_camera_without_model_is_listed() {
    let list = answers::proxied(&tree(include_str!("fixtures/nvr_proxy_channels.xml"))).unwrap();
    let names: Vec<_> = list.iter().filter_map(|c| c.name.as_deref()).collect();
    assert_eq!(names, ["Gate & Yard", "Ramp & Door"]);
}

#[test]
fn channel_states_without_a_namespace_and_empty_slots_left_out() {
    let states = answers::states(&tree(include_str!("fixtures/nvr_proxy_status.xml"))).unwrap();
    let seen: Vec<_> = states.iter().map(|s| (s.id, s.online, s.detail.as_deref())).collect();
    assert_eq!(seen, [(1, true, None), (4, false, Some("netUnreachable")), (6, true, None)]);
}

#[test]
fn streams_of_a_camera_with_one_turned_off_and_a_frame_rate_of_full() {
    let list = answers::streams(&tree(include_str!("fixtures/camera_streams.xml"))).unwrap();
    let seen: Vec<_> = list.iter().map(|s| (s.id, s.channel, s.number, s.enabled, s.centi_fps)).collect();
    assert_eq!(seen, [(101, 1, 1, true, Some(2500)), (102, 1, 2, false, None)]);
    assert_eq!(list[0].codec.as_deref(), Some("H.265"));
}

#[test]
fn firmware_of_the_first_years_numbers_streams_from_one() {
    let list = answers::streams(&tree(include_str!("fixtures/first_years_streams.xml"))).unwrap();
    assert_eq!((list[0].id, list[0].channel, list[0].number), (1, 1, 1));
}

#[test]
fn names_and_the_rtsp_port_that_is_not_554() {
    let inputs = answers::inputs(&tree(include_str!("fixtures/camera_inputs.xml"))).unwrap();
    assert_eq!(inputs, [VideoInput { id: 1, name: Some("Dock 7".into()) }]);
    assert_eq!(answers::rtsp_port(&tree(include_str!("fixtures/admin_accesses.xml"))), Some(10554));
}

#[test]
fn the_lock_is_read_from_every_form_of_it() {
    let read = |text: &str| status::lock_state_of(text.as_bytes());
    let refused = read(include_str!("fixtures/user_check_refused.xml")).unwrap();
    assert_eq!((refused.locked, refused.retries_left), (false, Some(4)));
    let locked = read(include_str!("fixtures/user_check_locked.xml")).unwrap();
    assert_eq!((locked.locked, locked.unlock_s), (true, Some(1795)));
    let other = read(include_str!("fixtures/response_status_locked.xml")).unwrap();
    assert_eq!((other.locked, other.unlock_s, other.retries_left), (true, Some(600), Some(0)));
    assert_eq!(read(include_str!("fixtures/document_error.html")), None);
}

#[test]
fn not_supported_is_told_apart_from_not_allowed_and_from_broken() {
    let judge = |status, body: &str| status::judge("/p", status, body.as_bytes()).unwrap_err();
    for status in [400, 403, 404, 500] {
        let with_words = judge(status, include_str!("fixtures/not_supported.xml"));
        assert!(matches!(with_words, Error::Unsupported { .. }), "{with_words}");
        assert!(matches!(judge(status, "<html>"), Error::Unsupported { .. }), "{status} without a body");
    }
    assert!(matches!(judge(403, include_str!("fixtures/low_privilege.xml")), Error::Denied { .. }));
    let broken = judge(200, include_str!("fixtures/device_error.xml"));
    assert!(matches!(broken, Error::Device { .. }) && broken.to_string().contains("statusCode 3"), "{broken}");
    assert!(matches!(judge(503, ""), Error::Device { .. }));
    assert!(matches!(judge(200, "<html><body/></html>"), Error::Nonsense { .. }));
    assert!(answers::streams(&tree("<DeviceInfo/>")).is_err(), "another document is no empty list");
}

/// One request as the server saw it.
#[derive(Clone, Debug)]
struct Seen {
    path: String,
    authorization: Option<String>,
}

impl Seen {
    fn parameter(&self, name: &str) -> Option<String> {
        let text = self.authorization.as_ref()?;
        let tail = &text[text.find(&format!(" {name}="))? + name.len() + 2..];
        match tail.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().map(str::to_owned),
            None => tail.split(',').next().map(str::to_owned),
        }
    }

    /// Whether it answers a challenge with this nonce as one who knows the password does.
    fn proves(&self, nonce: &str, qop: bool) -> bool {
        let hash = |text: String| format!("{:x}", Md5::digest(text.as_bytes()));
        let (Some(realm), Some(uri)) = (self.parameter("realm"), self.parameter("uri")) else { return false };
        let ha1 = hash(format!("{USER}:{realm}:{PASSWORD}"));
        let ha2 = hash(format!("GET:{uri}"));
        let expected = if qop {
            let (nc, cnonce) = (self.parameter("nc").unwrap(), self.parameter("cnonce").unwrap());
            hash(format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"))
        } else {
            hash(format!("{ha1}:{nonce}:{ha2}"))
        };
        uri == self.path && self.parameter("response") == Some(expected)
    }
}

fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

fn challenge(nonce: &str, more: &str) -> String {
    format!("WWW-Authenticate: Digest realm=\"IP Camera(83813)\", nonce=\"{nonce}\", stale=\"FALSE\"{more}\r\n")
}

struct Server {
    client: Client,
    seen: Arc<Mutex<Vec<Seen>>>,
    _group: TaskGroup,
}

impl Server {
    /// A device whose every answer is `script(request, number of the request)`.
    async fn start(script: impl Fn(&Seen, usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let group = TaskGroup::new();
        let log = seen.clone();
        group.spawn("device", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                loop {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { break };
                        head.push(byte);
                    }
                    if head.is_empty() {
                        break;
                    }
                    let head = String::from_utf8(head).unwrap();
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    let authorization = head.lines().find_map(|l| l.strip_prefix("Authorization: ").map(str::to_owned));
                    let request = Seen { path, authorization };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    let bytes = script(&request, number);
                    let close = bytes.windows(17).any(|w| w == b"Connection: close");
                    if stream.write_all(&bytes).await.is_err() || close {
                        break;
                    }
                }
            }
        });
        let target = Target {
            host: "127.0.0.1".into(),
            port,
            tls: None,
            user: USER.into(),
            password: Secret::new(PASSWORD),
            timeout: Duration::from_secs(10),
        };
        Self { client: Client::new(target), seen, _group: group }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn digest_with_qop_keeps_one_challenge_and_counts_up() {
    let server = Server::start(|r, _| {
        if r.authorization.is_some() && r.proves("abc", true) {
            answer(200, "", DEVICE_INFO)
        } else {
            answer(401, &challenge("abc", ", qop=\"auth\""), include_str!("fixtures/document_error.html"))
        }
    })
    .await;
    for _ in 0..3 {
        server.client.identity().await.unwrap();
    }
    let counts: Vec<_> = server.seen().iter().filter_map(|s| s.parameter("nc")).collect();
    assert_eq!(counts, ["00000001", "00000002", "00000003"]);
    assert_eq!(server.seen().len(), 4, "one challenge for three requests");
}

#[tokio::test]
async fn digest_without_qop_and_a_basic_challenge_beside_it() {
    let server = Server::start(|r, _| {
        if r.proves("abc", false) {
            answer(200, "Connection: close\r\n", DEVICE_INFO)
        } else {
            let two = format!("WWW-Authenticate: Basic realm=\"/\"\r\n{}", challenge("abc", ""));
            answer(401, &format!("{two}Connection: close\r\n"), "")
        }
    })
    .await;
    server.client.identity().await.unwrap();
    server.client.identity().await.unwrap();
}

#[tokio::test]
async fn sha_256_is_answered_in_kind() {
    let server = Server::start(|r, _| match r.parameter("algorithm").as_deref() {
        Some("SHA-256") if r.parameter("response").unwrap().len() == 64 => answer(200, "", DEVICE_INFO),
        _ => answer(401, &challenge("abc", ", qop=\"auth\", algorithm=SHA-256"), ""),
    })
    .await;
    server.client.identity().await.unwrap();
}

#[tokio::test]
async fn a_device_that_knows_only_basic_is_given_basic() {
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let server = Server::start(move |r, _| {
        if r.authorization.as_deref() == Some(format!("Basic {pair}").as_str()) {
            answer(200, "", DEVICE_INFO)
        } else {
            answer(401, "WWW-Authenticate: Basic realm=\"DS-FB2127\"\r\n", "")
        }
    })
    .await;
    server.client.identity().await.unwrap();
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_nonce_tied_to_a_path_is_renewed_once_and_costs_no_login() {
    let server = Server::start(|r, _| {
        let nonce = format!("for{}", r.path);
        if r.authorization.is_some() && r.parameter("nonce").as_ref() == Some(&nonce) && r.proves(&nonce, true) {
            let body = if r.path.ends_with("deviceInfo") { DEVICE_INFO } else { "<AdminAccessProtocolList/>" };
            answer(200, "", body)
        } else {
            answer(401, &challenge(&nonce, ", qop=\"auth\""), "")
        }
    })
    .await;
    server.client.identity().await.unwrap();
    assert_eq!(server.client.rtsp_port().await.unwrap(), None);
    server.client.identity().await.unwrap();
}

#[tokio::test]
async fn that_nonces_are_tied_to_paths_is_learned_once() {
    let server = Server::start(|r, _| {
        let nonce = format!("for{}", r.path);
        if r.parameter("nonce").as_ref() == Some(&nonce) && r.proves(&nonce, true) {
            let body = if r.path.ends_with("deviceInfo") { DEVICE_INFO } else { "<AdminAccessProtocolList/>" };
            answer(200, "", body)
        } else {
            answer(401, &challenge(&nonce, ", qop=\"auth\""), "")
        }
    })
    .await;
    for _ in 0..4 {
        server.client.identity().await.unwrap();
        server.client.identity().await.unwrap();
        server.client.rtsp_port().await.unwrap();
    }
    let seen = server.seen();
    let elsewhere = |s: &&Seen| s.parameter("nonce").is_some_and(|nonce| nonce != format!("for{}", s.path));
    assert_eq!(seen.iter().filter(elsewhere).count(), 1, "a device may count each as a wrong login");
    assert!(seen.iter().any(|s| s.parameter("nc").as_deref() == Some("00000002")), "at one path a nonce is used again");
}

#[tokio::test]
async fn a_device_that_turns_from_basic_to_digest_is_followed_and_the_password_is_not_shown_again() {
    let server = Server::start(|r, n| match n {
        0 => answer(401, "WWW-Authenticate: Basic realm=\"DS-FB2127\"\r\n", ""),
        1 => answer(200, "", DEVICE_INFO),
        _ if r.authorization.is_some() && r.proves("abc", true) => answer(200, "", DEVICE_INFO),
        _ => answer(401, &challenge("abc", ", qop=\"auth\""), include_str!("fixtures/document_error.html")),
    })
    .await;
    server.client.identity().await.unwrap();
    assert!(server.client.sends_password_in_clear());
    server.client.identity().await.unwrap();
    assert!(!server.client.sends_password_in_clear());
    let basic = |s: &&Seen| s.authorization.as_ref().is_some_and(|a| a.starts_with("Basic"));
    assert_eq!(server.seen().iter().filter(basic).count(), 1);
}

#[tokio::test]
async fn a_401_without_a_challenge_is_nonsense_before_a_login_and_a_refusal_after_it() {
    let server = Server::start(|_, _| answer(401, "", "")).await;
    let error = server.client.identity().await.unwrap_err();
    assert!(matches!(&error, Error::Nonsense { detail, .. } if detail.contains("no challenge")), "{error}");
    let server = Server::start(|r, _| match r.authorization {
        None => answer(401, &challenge("abc", ""), ""),
        Some(_) => answer(401, "", ""),
    })
    .await;
    let error = server.client.identity().await.unwrap_err();
    assert!(matches!(error, Error::AuthRefused { answers: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_403_is_a_refusal_only_where_it_tells_of_the_lock() {
    for (body, locked) in [
        (include_str!("fixtures/response_status_locked.xml"), true),
        (include_str!("fixtures/gateway_locked_flat.json"), true),
        (include_str!("fixtures/low_privilege.xml"), false),
        (include_str!("fixtures/not_supported.xml"), false),
    ] {
        let server = Server::start(move |r, _| match r.authorization {
            None => answer(401, &challenge("abc", ""), ""),
            Some(_) => answer(403, "", body),
        })
        .await;
        let error = server.client.identity().await.unwrap_err();
        assert_eq!(matches!(error, Error::Locked { answers: 1, .. }), locked, "{error}");
        assert!(!matches!(error, Error::AuthRefused { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_stale_nonce_is_renewed_and_a_device_that_is_always_stale_is_left() {
    let stale = |n: usize| challenge(&format!("n{n}"), ", qop=\"auth\"").replace("FALSE", "TRUE");
    let server = Server::start(move |_, n| answer(401, &stale(n), "")).await;
    let error = server.client.identity().await.unwrap_err();
    assert!(matches!(error, Error::AuthRefused { answers: 0, .. }), "{error}");
    assert_eq!(server.seen().len(), 3, "asked, answered, answered the renewed one");
}

#[tokio::test]
async fn a_wrong_password_costs_one_login_and_tells_what_is_left() {
    let body = include_str!("fixtures/user_check_refused.xml");
    let server = Server::start(move |_, n| answer(401, &challenge(&format!("n{n}"), ", qop=\"auth\""), body)).await;
    let error = server.client.identity().await.unwrap_err();
    assert!(matches!(error, Error::AuthRefused { answers: 1, retries_left: Some(4) }), "{error}");
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(server.seen().iter().filter(|s| s.authorization.is_some()).count(), 1);
    assert!(!error.to_string().contains("p@ss"));
}

#[tokio::test]
async fn a_locked_account_is_seen_before_a_login_is_spent() {
    let body = include_str!("fixtures/user_check_locked.xml");
    let server = Server::start(move |_, _| answer(401, &challenge("n", ""), body)).await;
    let error = server.client.identity().await.unwrap_err();
    assert!(matches!(error, Error::Locked { answers: 0, unlock_s: Some(1795) }), "{error}");
    let lock = server.client.lock_state().await.unwrap().unwrap();
    assert!(lock.locked);
    assert!(server.seen().iter().all(|s| s.authorization.is_none()));
}

#[tokio::test]
async fn the_tree_without_isapi_in_front_is_found_after_a_404() {
    let server = Server::start(|r, _| match r.path.as_str() {
        "/System/deviceInfo" => answer(200, "", DEVICE_INFO),
        _ => answer(404, "", "<html>"),
    })
    .await;
    server.client.identity().await.unwrap();
    assert!(matches!(server.client.inputs().await.unwrap_err(), Error::Unsupported { status: 404, .. }));
    let paths: Vec<_> = server.seen().into_iter().map(|s| s.path).collect();
    assert_eq!(paths, ["/ISAPI/System/deviceInfo", "/System/deviceInfo", "/System/Video/inputs/channels"]);
}

#[tokio::test]
async fn a_404_of_one_path_does_not_change_the_others() {
    let server = Server::start(|r, _| match r.path.as_str() {
        "/ISAPI/System/deviceInfo" => answer(200, "", DEVICE_INFO),
        _ => answer(404, "", ""),
    })
    .await;
    assert!(server.client.inputs().await.is_err());
    server.client.identity().await.unwrap();
}

#[tokio::test]
async fn states_are_asked_one_by_one_where_the_list_is_missing() {
    let server = Server::start(|r, _| match r.path.as_str() {
        "/ISAPI/ContentMgmt/InputProxy/channels/2/status" => {
            answer(200, "", "<InputProxyChannelStatus><id>2</id><online>true</online></InputProxyChannelStatus>")
        }
        _ => answer(404, "", ""),
    })
    .await;
    let states = server.client.proxied_states(&[1, 2]).await.unwrap();
    assert_eq!(states, [ChannelState { id: 2, online: true, detail: None }]);
}

#[tokio::test]
async fn ten_megabytes_are_refused_by_a_named_limit() {
    let server = Server::start(|_, _| answer(200, "", &"x".repeat(10_000_000))).await;
    let error = server.client.identity().await.unwrap_err();
    assert!(matches!(error, Error::Nonsense { .. }), "{error}");
    assert!(error.to_string().contains(&BODY_BYTES_MAX.to_string()));
}
