//! The services: each tells what it was asked, or does what the path says.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

/// One for each prefix, and a place where nobody listens.
pub(super) struct Services {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) gone: SocketAddr,
}

impl Services {
    pub(super) fn new() -> Self {
        let addresses = (0..super::asks::APIS.len()).map(start).collect();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { addresses, gone }
    }
}

fn start(number: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || serve(socket, number));
        }
    });
    address
}

fn serve(mut socket: TcpStream, number: usize) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = request(&mut socket, &mut buffer) {
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if head.to_ascii_lowercase().contains("\r\nupgrade: echo\r\n") {
            return echo(socket, &head);
        }
        let closes = head.contains("HTTP/1.0") || head.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        let answer = answer(&head, &target, &body, number, closes);
        if socket.write_all(&answer).is_err() || closes {
            return;
        }
    }
}

pub(super) fn field(head: &str, name: &str) -> String {
    let found = head.lines().filter_map(|l| l.split_once(": ")).find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, v)| v.to_owned()).unwrap_or_default()
}

fn answer(head: &str, target: &str, body: &[u8], number: usize, closes: bool) -> Vec<u8> {
    let is_head = head.starts_with("HEAD ");
    let fields = format!("Content-Type: text/plain\r\nX-Origin: {number}\r\n");
    let whole = |status: &str, more: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status} X\r\n{fields}{more}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), if is_head { b"" } else { body }].concat()
    };
    if let Some((_, status)) = target.split_once("/status/") {
        return match status {
            "204" | "304" => format!("HTTP/1.1 {status} X\r\nX-Origin: {number}\r\nETag: \"v\"\r\n\r\n").into(),
            "301" => whole(status, "Location: http://elsewhere.example/x\r\n", b"moved"),
            _ => whole(status, "", format!("said {status}").as_bytes()),
        };
    }
    if target.ends_with("/big") {
        return whole("200", "", &vec![b'b'; 100_000]);
    }
    if target.ends_with("/cookie") {
        return whole("200", "Set-Cookie: a=b; Path=/\r\nCache-Control: no-store\r\n", b"cookie");
    }
    if target.ends_with("/chunked") {
        return match closes {
            true => format!("HTTP/1.1 200 X\r\n{fields}Connection: close\r\n\r\nin pieces").into(),
            false => format!(
                "HTTP/1.1 200 X\r\n{fields}Transfer-Encoding: chunked\r\n\r\n2\r\nin\r\n7\r\n pieces\r\n0\r\n\r\n"
            )
            .into(),
        };
    }
    let who = match target.starts_with("/ws") {
        true => format!("{} {} {}", field(head, "host"), field(head, "x-real-ip"), field(head, "x-forwarded-for")),
        false => String::new(),
    };
    let sum: u64 = body.iter().map(|b| u64::from(*b)).sum();
    let first = head.split(" HTTP/").next().unwrap_or_default();
    whole("200", "", format!("{first}\n{} {sum}\n{who}", body.len()).as_bytes())
}

fn echo(mut socket: TcpStream, head: &str) {
    let told = format!("{} {}", field(head, "x-real-ip"), field(head, "x-forwarded-for"));
    let answer = format!("HTTP/1.1 101 X\r\nUpgrade: echo\r\nConnection: Upgrade\r\nX-Told: {told}\r\n\r\n");
    let mut bytes = [0; 4096];
    let _ = socket.write_all(answer.as_bytes());
    while let Ok(n @ 1..) = socket.read(&mut bytes) {
        let _ = socket.write_all(&bytes[..n]);
    }
}

pub(super) fn request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = super::servers::fill_until(socket, buffer, |b| b.windows(4).position(|w| w == b"\r\n\r\n"))? + 4;
    let head = String::from_utf8_lossy(&buffer.drain(..end).collect::<Vec<_>>()).into_owned();
    if field(&head, "transfer-encoding").eq_ignore_ascii_case("chunked") {
        return Some((head, super::servers::chunks(socket, buffer)?));
    }
    let len: usize = field(&head, "content-length").parse().unwrap_or(0);
    super::servers::fill_until(socket, buffer, |b| (b.len() >= len).then_some(0))?;
    Some((head, buffer.drain(..len).collect()))
}
