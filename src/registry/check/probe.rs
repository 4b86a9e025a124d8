//! One look at one instance. Bounded in time and in bytes, whatever the peer does; redirected only where the check says so.

use crate::{
    base::{Clock, units::format_duration},
    model::{Health, Trust},
    outbound::{Address, Client, Connection, Limits, Lookup, resolve},
    registry::{Aim, At, CheckKind, CheckTls, HttpAsk, OUTPUT_BYTES_MAX, Record, Talk},
};
use bytes::Bytes;
use http::{StatusCode, header};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use url::Url;

/// Who asks.
const AGENT: &str = concat!("skyvis/", env!("CARGO_PKG_VERSION"), " health check");
/// The limits of the room that asks for us are not to be met: a look has one limit, for all that it does.
const LIMITS_OF_LOOKS: u32 = 4;
/// As often is gone on to where a page sends; what sends further sends in a circle.
const REDIRECTS_MAX: usize = 10;
const GRPC_CHECK: &str = "/grpc.health.v1.Health/Check";
/// How a server of gRPC says that it does not know a service, and that it has no health to tell.
const NOT_FOUND: u32 = 5;
const UNIMPLEMENTED: u32 = 12;

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub health: Health,
    /// For people.
    pub output: String,
}

/// What looks need.
#[derive(Clone)]
pub(super) struct Prober {
    pub clock: Clock,
    pub lookup: Lookup,
}

impl Prober {
    /// Looks. Takes no longer than the check's timeout.
    pub async fn look(&self, aim: &Aim) -> Seen {
        let seen = self.ask(aim).await;
        seen.unwrap_or_else(|output| Seen { health: Health::Critical, output })
    }

    async fn ask(&self, aim: &Aim) -> Result<Seen, String> {
        let check = &aim.check;
        let limit = Limit { until: self.clock.now() + check.timeout, length: check.timeout };
        let own = || aim.record.as_deref().ok_or_else(|| "its instance is not known".to_owned());
        match &check.kind {
            CheckKind::Http(target) => {
                let page = match target.starts_with('/') {
                    true => page_of(own()?, target, &limit)?,
                    false => {
                        let page = self.page(target, &CheckTls::default(), &limit).await;
                        page.map_err(|why| format!("GET {target}: {why}"))?
                    }
                };
                let shown = page.shown.clone();
                let looked = http(page, "GET", &[], "", &limit).await;
                looked.map(|answer| answer.seen).map_err(|why| format!("GET {shown}: {why}"))
            }
            CheckKind::HttpAsk(ask) => self.follow((**ask).clone(), &limit).await,
            CheckKind::Tcp => connects(&instance(own()?, &limit)?, &limit).await,
            CheckKind::Grpc(service) => serves(&instance(own()?, &limit)?, service, &limit).await,
            CheckKind::At(at) => self.at(at, &limit).await,
        }
    }

    /// Asks, and whoever it is sent on to.
    async fn follow(&self, mut ask: HttpAsk, limit: &Limit) -> Result<Seen, String> {
        for _ in 0..=REDIRECTS_MAX {
            let failed = |why: String| format!("{} {}: {why}", ask.method, ask.url);
            let page = self.page(&ask.url, &ask.tls, limit).await.map_err(failed)?;
            let answer = http(page, &ask.method, &ask.headers, &ask.body, limit).await.map_err(failed)?;
            match answer.location.filter(|_| ask.follows) {
                None => return Ok(answer.seen),
                Some(to) => ask = sent_on(&ask, answer.status, &to).map_err(failed)?,
            }
        }
        Err(format!("{} {}: it is sent on more than {REDIRECTS_MAX} times", ask.method, ask.url))
    }

    async fn at(&self, at: &At, limit: &Limit) -> Result<Seen, String> {
        let client = self.place(&at.host.as_str().into(), at.port, limit).await?;
        let client = match &at.tls {
            Some(tls) => secured(client, tls),
            None => client,
        };
        match &at.talk {
            Talk::Connect => connects(&client, limit).await,
            Talk::Grpc(service) => serves(&client, service, limit).await,
            Talk::Ping => {
                let asked = limit.on("answer", client.ping()).await;
                asked.map_err(|why| format!("HTTP/2 {}: {why}", client.address()))?;
                Ok(passing(format!("HTTP/2 {} answers a ping", client.address())))
            }
            Talk::Datagram(text) => match timeout_at(limit.until, client.datagram(text.as_bytes())).await {
                Ok(Err(why)) => Err(format!("UDP {why}")),
                Ok(Ok(())) => Ok(passing(format!("UDP {} answers", client.address()))),
                Err(_) => Ok(passing(format!("UDP {} refuses nothing", client.address()))),
            },
        }
    }

    /// A host that is not the instance's own.
    async fn place(&self, host: &Arc<str>, port: u16, limit: &Limit) -> Result<Client, String> {
        let left = limit.until.saturating_duration_since(self.clock.now());
        let found = resolve(&self.lookup, host, port, left).await;
        let targets = found.map_err(|why| format!("`{host}` does not resolve: {why}"))?;
        Ok(client(host, port, targets.into(), limit))
    }

    /// What is fetched of a URL.
    async fn page(&self, target: &str, tls: &CheckTls, limit: &Limit) -> Result<Page, String> {
        let url = Url::parse(target).map_err(|e| format!("`{target}` is no URL: {e}"))?;
        let is_tls = url.scheme() == "https";
        let host = url.host_str().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let host: Arc<str> = host.trim_matches(['[', ']']).into();
        let port = url.port_or_known_default().unwrap_or_default();
        let client = self.place(&host, port, limit).await?;
        let client = if is_tls { secured(client, tls) } else { client };
        let path = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        Ok(Page { client, shown: target.to_owned(), path, authority })
    }
}

/// What is asked next where an answer sends on: as browsers do, and without what is meant for the first host alone.
fn sent_on(ask: &HttpAsk, status: StatusCode, to: &str) -> Result<HttpAsk, String> {
    let bad = || format!("it is sent on to `{}`, which is no URL of HTTP", plain(to.as_bytes()));
    let here = Url::parse(&ask.url).map_err(|e| e.to_string())?;
    let next = here.join(to).ok().filter(|url| ["http", "https"].contains(&url.scheme())).ok_or_else(bad)?;
    let mut ask = HttpAsk { url: next.to_string(), ..ask.clone() };
    if next.origin() != here.origin() {
        let is_own = |name: &str| ["host", "authorization", "cookie"].iter().any(|own| name.eq_ignore_ascii_case(own));
        ask.headers.retain(|(name, _)| !is_own(name));
    }
    let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if !keeps && ask.method != "HEAD" {
        (ask.method, ask.body) = ("GET".to_owned(), String::new());
    }
    Ok(ask)
}

fn secured(client: Client, tls: &CheckTls) -> Client {
    let client = client.over_tls(if tls.is_anyones { Trust::Anyone } else { Trust::SystemRoots });
    if tls.name.is_empty() { client } else { client.named(tls.name.as_str().into()) }
}

/// A page of the instance itself.
fn page_of(record: &Record, target: &str, limit: &Limit) -> Result<Page, String> {
    let client = instance(record, limit)?;
    let authority = client.address().to_string();
    Ok(Page { client, shown: format!("http://{authority}{target}"), path: target.into(), authority })
}

async fn connects(client: &Client, limit: &Limit) -> Result<Seen, String> {
    limit.on("connection", client.reach()).await?;
    Ok(passing(format!("{} takes connections", client.address())))
}

async fn serves(client: &Client, service: &str, limit: &Limit) -> Result<Seen, String> {
    let asked = limit.on("answer", client.call(GRPC_CHECK, &request(service))).await;
    let judged = asked.and_then(|reply| match reply.code {
        0 => serving(&reply.message),
        NOT_FOUND => Err(format!("the server does not know the service `{service}`")),
        UNIMPLEMENTED => Err("the server has no service grpc.health.v1.Health".to_owned()),
        code => Err(format!("code {code}, {}", plain(reply.text.as_bytes()))),
    });
    match judged {
        Ok(()) => Ok(passing(format!("gRPC {}: SERVING", client.address()))),
        Err(why) => Err(format!("gRPC {}: {why}", client.address())),
    }
}

/// What is fetched.
struct Page {
    client: Client,
    path: String,
    authority: String,
    /// As people write it.
    shown: String,
}

/// What came of it.
struct Answer {
    seen: Seen,
    status: StatusCode,
    /// Where it sends on to, if it does.
    location: Option<String>,
}

/// How long a look may take, all in all.
struct Limit {
    until: Instant,
    length: Duration,
}

impl Limit {
    /// Waits for the `part` of a look that is worked on.
    async fn on<T, E: ToString>(&self, part: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, String> {
        match timeout_at(self.until, work).await {
            Ok(done) => done.map_err(|e| plain(e.to_string().as_bytes())),
            Err(_) => Err(format!("no {part} within {}", format_duration(self.length))),
        }
    }
}

/// Whoever is registered there.
fn instance(record: &Record, limit: &Limit) -> Result<Client, String> {
    if record.targets.is_empty() {
        let why = record.unresolved.as_deref();
        return Err(why.map_or_else(|| format!("`{}` leads nowhere", record.spec.address), ToOwned::to_owned));
    }
    Ok(client(&record.spec.address, record.spec.port, record.targets.clone(), limit))
}

fn client(host: &str, port: u16, targets: Arc<[SocketAddr]>, limit: &Limit) -> Client {
    let never = limit.length * LIMITS_OF_LOOKS;
    let limits = Limits { connect: never, total: never, idle: never, body_bytes_max: OUTPUT_BYTES_MAX };
    Client::new(Address::Tcp { host: host.to_owned(), port }, limits).at(targets)
}

fn passing(output: String) -> Seen {
    Seen { health: Health::Passing, output }
}

async fn http(
    page: Page,
    method: &str,
    headers: &[(String, String)],
    body: &str,
    limit: &Limit,
) -> Result<Answer, String> {
    let mut request = http::Request::builder().method(method).uri(&page.path);
    let is_own = |name: &str| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let usual = [("host", page.authority.as_str()), ("user-agent", AGENT), ("accept", "text/plain, text/*, */*")];
    for (name, value) in usual.into_iter().filter(|(name, _)| !is_own(name)) {
        request = request.header(name, value);
    }
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
        request = request.header(name, value);
    }
    let request = request.header(header::CONNECTION, "close").body(Bytes::copy_from_slice(body.as_bytes()));
    let request = request.map_err(|e| e.to_string())?;
    let connection: Connection = limit.on("connection", page.client.connect()).await?;
    let answer = limit.on("answer", connection.download(request)).await?;
    let status = answer.status();
    let sends = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer.headers().get(header::LOCATION).filter(|_| sends).and_then(|to| to.to_str().ok());
    let location = location.map(ToOwned::to_owned);
    let mut body = answer.into_body();
    let mut text = Vec::new();
    // An answer that breaks off is none. Of a long one, its begin is enough.
    while let Some(piece) = limit.on("end of its answer", body.next()).await? {
        text.extend_from_slice(&piece);
        if text.len() >= OUTPUT_BYTES_MAX {
            break;
        }
    }
    let text = plain(&text);
    let told = if text.is_empty() { String::new() } else { format!(", {text}") };
    let output = format!("{method} {}: {status}{told}", page.shown);
    let health = match status {
        _ if status.is_success() => Health::Passing,
        StatusCode::TOO_MANY_REQUESTS => Health::Warning,
        _ => Health::Critical,
    };
    Ok(Answer { seen: Seen { health, output }, status, location })
}

/// Text of a peer as a line: bounded, and without what moves a terminal's cursor.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(OUTPUT_BYTES_MAX)]);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.trim().to_owned()
}

/// `HealthCheckRequest { service }` in the encoding of protocol buffers.
fn request(service: &str) -> Vec<u8> {
    const SERVICE: u8 = 1 << 3 | 2;
    if service.is_empty() {
        return Vec::new();
    }
    let mut message = vec![SERVICE];
    let mut length = service.len();
    while length > 0x7f {
        message.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(service.as_bytes());
    message
}

/// Whether `HealthCheckResponse { status }` says that it serves.
fn serving(message: &[u8]) -> Result<(), String> {
    let status = status(message).ok_or("what it says of its health cannot be read")?;
    match status {
        1 => Ok(()),
        0 => Err("UNKNOWN".to_owned()),
        2 => Err("NOT_SERVING".to_owned()),
        3 => Err("SERVICE_UNKNOWN".to_owned()),
        other => Err(format!("status {other}")),
    }
}

/// The field `status` (1, a number); 0 where it is left out. Others are passed over.
fn status(mut rest: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match key & 7 {
            0 => {
                let value = varint(&mut rest)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, left) = rest.split_first()?;
        *rest = left;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_two_messages_of_grpc_health_are_written_and_read() {
        assert!(request("").is_empty());
        assert_eq!(request("a.B"), [0x0a, 3, b'a', b'.', b'B']);
        assert_eq!(request(&"x".repeat(300))[..3], [0x0a, 0xac, 2]);
        assert_eq!((status(&[]), status(&[8, 1]), status(&[8, 2, 8, 3])), (Some(0), Some(1), Some(3)));
        // Fields of later versions, of all kinds.
        let more = [0x12, 2, 9, 9, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x28, 0x80, 1, 8, 1];
        assert_eq!(status(&more), Some(1));
        for bad in
            [&[8][..], &[8, 0x80], &[0x12, 5, 1], &[0x0b], &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]]
        {
            assert_eq!(status(bad), None, "{bad:?}");
        }
        assert_eq!(serving(&[8, 2]), Err("NOT_SERVING".to_owned()));
    }

    #[test]
    fn what_is_sent_on_takes_no_secrets_to_others_and_no_body_where_it_becomes_a_get() {
        let headers = ["Authorization", "X-A", "host"].map(|name| (name.to_owned(), "v".to_owned())).to_vec();
        let (url, body) = ("http://a:1/x/y?z".to_owned(), "b".to_owned());
        let ask = HttpAsk { url, body, method: "POST".to_owned(), headers, follows: true, tls: CheckTls::default() };
        let sent = |status: u16, to: &str| sent_on(&ask, StatusCode::from_u16(status).unwrap(), to);
        let near = sent(307, "../w").unwrap();
        assert_eq!((near.url.as_str(), near.method.as_str(), near.body.as_str()), ("http://a:1/w", "POST", "b"));
        assert_eq!(near.headers, ask.headers);
        for other in ["http://a:2/", "https://a:1/", "//b:1/"] {
            let far = sent(302, other).unwrap();
            assert_eq!((far.method.as_str(), far.body.as_str()), ("GET", ""), "{other}");
            assert_eq!(far.headers, [("X-A".to_owned(), "v".to_owned())], "{other}");
        }
        for bad in ["file:///etc/passwd", "ftp://a/", "http://"] {
            assert!(sent(301, bad).unwrap_err().contains("no URL of HTTP"), "{bad}");
        }
    }

    #[test]
    fn what_a_peer_says_is_one_bounded_line() {
        assert_eq!(plain(b"  a\r\n\x1b[2Jb\xff "), "a   [2Jb\u{fffd}");
        assert_eq!(plain(&[b'x'; 10_000]).len(), OUTPUT_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = serving(&bytes);
            plain(&bytes);
        }
    }
}
