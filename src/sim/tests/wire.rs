//! RTSP by hand: what no well-behaved client sends.

use super::*;
use crate::rtsp::message;

async fn connect(sim: &Running) -> TcpStream {
    within(TcpStream::connect(sim.rtsp_addr)).await.unwrap()
}

/// Sends a request and gives the status and head of its answer.
async fn ask(socket: &mut TcpStream, request: &str) -> (u16, String) {
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(socket.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
}

async fn assert_closed(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = within(socket.read_to_end(&mut rest)).await;
}

/// A request of this connection with the credentials that its challenge asks for.
async fn authorized(socket: &mut TcpStream, method: &str, uri: &str, headers: &str) -> (u16, String) {
    let (status, head) = ask(socket, &format!("{method} {uri} RTSP/1.0\r\nCSeq: 1\r\n\r\n")).await;
    assert_eq!(status, 401);
    let challenge = head.lines().find_map(|l| l.strip_prefix("WWW-Authenticate: ")).unwrap();
    assert!(!challenge.contains("qop") && !challenge.contains("algorithm"), "{challenge}");
    let mut client = http_auth::PasswordClient::try_from(challenge).unwrap();
    let parameters = http_auth::PasswordParams { username: "admin", password: PASSWORD, uri, method, body: Some(&[]) };
    let authorization = client.respond(&parameters).unwrap();
    let request = format!("{method} {uri} RTSP/1.0\r\nCSeq: 2\r\nAuthorization: {authorization}\r\n{headers}\r\n");
    ask(socket, &request).await
}

#[tokio::test]
async fn options_needs_no_login_and_odd_requests_get_their_status() {
    let (sim, _group) = start(Options::default()).await;
    let mut socket = connect(&sim).await;
    let (status, head) = ask(&mut socket, "OPTIONS * RTSP/1.0\r\nCSeq: 9\r\n\r\n").await;
    assert!(status == 200 && head.contains("CSeq: 9\r\n") && head.contains("GET_PARAMETER"), "{head}");
    for (method, uri, headers, expected) in [
        ("GET_PARAMETER", "rtsp://h/", "", 454),
        ("PLAY", "rtsp://h/", "", 454),
        ("ANNOUNCE", "rtsp://h/", "", 501),
        ("SETUP", "rtsp://h/trackID=1", "Transport: RTP/AVP;multicast;port=5000-5001\r\n", 461),
        ("SETUP", "rtsp://h/trackID=2", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", 404),
        ("SETUP", "rtsp://h/trackID=1", "Transport: RTP/AVP/TCP;unicast;interleaved=255\r\n", 461),
        ("TEARDOWN", "rtsp://h/", "", 500),
    ] {
        let mut socket = connect(&sim).await;
        assert_eq!(authorized(&mut socket, method, uri, headers).await.0, expected, "{method} {uri}");
    }
}

#[tokio::test]
async fn a_session_that_falls_silent_is_ended() {
    let (sim, _group) = start(Options { session_timeout: Duration::from_millis(200), ..Options::default() }).await;
    let mut socket = connect(&sim).await;
    let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let (status, head) = authorized(&mut socket, "SETUP", "rtsp://h/Streaming/Channels/101/trackID=1", transport).await;
    assert!(status == 200 && head.contains("Session:        "), "{head}");
    assert_eq!(sim.sessions_open(1), 1);
    assert_closed(&mut socket).await;
    assert_eq!(sim.sessions_open(1), 0);
}

#[tokio::test]
async fn nonsense_ends_its_own_connection_only() {
    let (sim, group) = start(Options::default()).await;
    let long = vec![b'x'; 2 * message::HEAD_MAX_BYTES];
    for nonsense in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), b"\xff\xfe\r\n\r\n", &long] {
        let mut socket = connect(&sim).await;
        // It may close before all was sent.
        let _ = socket.write_all(nonsense).await;
        assert_closed(&mut socket).await;
    }
    next_video(&mut play(&sim, MAIN).await).await.unwrap();
    assert_eq!(group.panics(), 0);
}
