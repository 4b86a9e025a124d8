//! Requests that are answered in this process: no socket in between. The handler and its body run on the runtime that the
//! handlers have, never here, since they wait for disks; here are only the client's socket and two short queues.

use super::{
    chunks::{Chunks, Send, Turned},
    connection::{Connection, Next},
    deadline::Deadline,
    h1::{self, Body, Method, Refusal, RequestHead, Version},
    io::Transport,
    pour,
    record::Record,
    send::{self, Fault},
    splice::{SPLICE_BYTES_MIN, send_ahead},
    talk,
};
use crate::serve::{Handler, ListenerKind, Peer, Pour, Request, RequestParts, Response, problem};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::{future::poll_fn, io, net::SocketAddr, pin::pin, sync::Arc, task::Poll, time::Duration};
use tokio::sync::{mpsc, oneshot};

/// Pieces on their way from one thread to the other, in each direction: one is sent while the next is made.
const PIECES_WAITING_MAX: usize = 2;
/// A whole request body must be here within this time of being asked for.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// A client that sends nothing more is waited for so long: it may have half-closed and still read.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(30);

/// A request for a handler.
pub(super) struct Job {
    pub(super) request: Option<RequestParts>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) record: Record,
    pub(super) body_max: u64,
    pub(super) body: Body,
    pub(super) expects: bool,
}

/// An answer's head, how long its body is, and the kernel's way to it.
type Head = (http::response::Parts, Option<u64>, Option<Box<dyn Pour>>);

/// What a handler said.
struct Said {
    head: Head,
    /// What is to be sent of it piece by piece.
    rest: Option<crate::serve::Body>,
}

/// What of the answer comes from the other thread: its head, then its pieces.
struct Coming {
    head: oneshot::Receiver<Head>,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    /// What a client that asked for it says once it may leave HTTP.
    heard: Option<talk::Heard>,
}

/// The request as handlers read it; None where it cannot be one.
pub(super) fn take<C: Transport>(connection: &Connection<C>, head: &RequestHead, bytes: &[u8]) -> Option<RequestParts> {
    let mut headers = http::HeaderMap::with_capacity(16);
    for field in head.fields(bytes).filter(|field| !field.is_dropped) {
        let name = http::HeaderName::from_bytes(field.name).ok()?;
        headers.append(name, http::HeaderValue::from_bytes(field.value).ok()?);
    }
    if let Some(protocol) = head.upgrade(bytes) {
        headers.insert(http::header::UPGRADE, http::HeaderValue::from_bytes(protocol).ok()?);
    }
    let client = connection.client.address(head, bytes, &connection.settings.trusted);
    Some(RequestParts {
        method: http::Method::from_bytes(head.method_bytes(bytes)).ok()?,
        uri: http::Uri::try_from(head.target(bytes)).ok()?,
        headers,
        peer: Peer {
            address: Some(SocketAddr::new(client, connection.ends.peer.port())),
            listener: ListenerKind::Proxy,
        },
        stopping: connection.worker.shared.stopping.clone(),
    })
}

/// Has the handler answer, and sends what it says.
pub(super) async fn answer<C: Transport>(connection: &Connection<C>, job: Job) -> Next {
    let Job { request, handler, record, body_max, body, expects } = job;
    let Some(request) = request else {
        return super::answer::refuse_rest(connection, &record, Refusal::Target).await;
    };
    let (body_in, body_out) = mpsc::channel(PIECES_WAITING_MAX);
    let switches = request.headers.contains_key(http::header::UPGRADE);
    let mut request = Request::from_parts(request, talk::stream_of(body_out), BODY_TIMEOUT);
    let mut heard = None;
    if switches {
        let (sender, receiver) = mpsc::channel(PIECES_WAITING_MAX);
        (heard, request) = (Some(sender), request.switchable(talk::stream_of(receiver)));
    }
    let coming = run(connection, request, handler, heard);
    let has_body = matches!(body, Body::Length(1..) | Body::Chunked);
    // Who sends none is not waited for.
    let body_in = has_body.then_some(body_in);
    let mut reading = pin!(async {
        let Some(body_in) = body_in else { return Ok(()) };
        read_body(connection, &record, body, body_max, expects, body_in).await
    });
    let mut all_read = !has_body;
    let mut fault = None;
    let mut replying = pin!(reply(connection, &record, coming, has_body));
    let next = poll_fn(|cx| {
        if !all_read && fault.is_none() {
            match futures_util::FutureExt::poll_unpin(&mut reading, cx) {
                Poll::Ready(Ok(())) => all_read = true,
                Poll::Ready(Err(Fault::Gone)) => return Poll::Ready(Next::Abort),
                // The handler sees a body that breaks off, and says what it thinks of it.
                Poll::Ready(Err(other)) => fault = Some(other),
                Poll::Pending => {}
            }
        }
        futures_util::FutureExt::poll_unpin(&mut replying, cx)
    })
    .await;
    match next {
        Next::Request | Next::Close if !all_read => Next::Linger,
        next => next,
    }
}

impl Said {
    /// `kernel`: it may carry the body.
    fn of(response: Response, kernel: bool, head_only: bool) -> Self {
        let (head, mut body) = response.into_parts();
        let len = body.len();
        let pour = body.take_pour().filter(|_| kernel && !head_only && len.is_some_and(|len| len >= SPLICE_BYTES_MIN));
        let rest = (pour.is_none() && !head_only && len != Some(0)).then_some(body);
        Self { head: (head, len, pour), rest }
    }
}

/// Starts the handler where handlers run, unless what it says is at hand. It ends when nobody takes its answer any more.
fn run<C: Transport>(
    connection: &Connection<C>,
    request: Request,
    handler: Arc<dyn Handler>,
    heard: Option<talk::Heard>,
) -> Coming {
    let (head_in, head) = oneshot::channel();
    let (piece_in, pieces) = mpsc::channel(PIECES_WAITING_MAX);
    let (kernel, head_only) = (connection.io.is_plain(), request.head_only);
    let mut at_hand = handler.at_hand(&request).map(|response| Said::of(response, kernel, head_only));
    if let Some(said) = at_hand.take_if(|said| said.rest.is_none()) {
        // The other end is right here.
        let _ = head_in.send(said.head);
        return Coming { head, pieces, heard };
    }
    connection.worker.shared.handlers.spawn("handler", async move {
        let said = match at_hand {
            Some(said) => said,
            None => tokio::select! {
                response = handler.handle(request) => Said::of(response, kernel, head_only),
                () = piece_in.closed() => return,
            },
        };
        let (Ok(()), Some(body)) = (head_in.send(said.head), said.rest) else { return };
        let mut body = pin!(body);
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = piece_in.closed() => return,
            };
            let piece = match frame {
                None => return,
                Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => Err(error),
            };
            if piece_in.send(piece).await.is_err() {
                return;
            }
        }
    });
    Coming { head, pieces, heard }
}

/// Hands the request's body over, as the handler takes it.
async fn read_body<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    body: Body,
    limit: u64,
    expects: bool,
    into: mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), Fault> {
    let deadline = connection.worker.deadlines.slot();
    if expects && connection.input.borrow().is_none() {
        let Connection { io, takes, .. } = connection;
        io.write_all(h1::CONTINUE, &deadline, takes).await.map_err(|_| Fault::Gone)?;
    }
    let outcome = pass_body(connection, record, body, limit, &deadline, &into).await;
    if outcome.is_err() {
        // Full or not: a body that just ends would be taken for whole.
        let _ = into.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
    }
    outcome
}

async fn pass_body<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    body: Body,
    limit: u64,
    deadline: &Deadline,
    into: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), Fault> {
    let (mut chunks, mut data) = (Chunks::default(), 0);
    loop {
        let mut buffer = send::from_client(connection, deadline).await?;
        let (ended, rest) = match body {
            Body::Length(len) => {
                let mine = usize::try_from(len - data).unwrap_or(usize::MAX).min(buffer.len());
                let rest = buffer.filled()[mine..].to_vec();
                buffer.truncate(mine);
                data += mine as u64;
                (data == len, rest)
            }
            _ => match chunks.turn(&mut buffer, Send::Raw, &mut data).map_err(Fault::Unsound)? {
                Turned::More => (false, Vec::new()),
                Turned::End { rest, .. } => (true, rest),
            },
        };
        record.received.set(data);
        if data > limit {
            return Err(Fault::TooLong);
        }
        let piece = Bytes::copy_from_slice(buffer.filled());
        // A handler that takes no more of it has its reasons; the rest is read all the same, within its limits.
        if !piece.is_empty() {
            let _ = into.send(Ok(piece)).await;
        }
        if !rest.is_empty() {
            buffer.clear();
            buffer.append(&rest);
            *connection.input.borrow_mut() = Some(buffer);
        }
        if ended {
            return Ok(());
        }
    }
}

/// Sends the answer as it comes.
async fn reply<C: Transport>(connection: &Connection<C>, record: &Record, mut coming: Coming, has_body: bool) -> Next {
    let head = match watched(connection, !has_body, &mut coming.head).await {
        Watched::Gone => return Next::Abort,
        Watched::Came(head) => head.ok(),
    };
    let ((mut parts, len, pour), own) = match head {
        Some(head) => (head, None),
        None => failed().await,
    };
    if let Some(heard) = coming.heard.take_if(|_| parts.status == http::StatusCode::SWITCHING_PROTOCOLS) {
        let protocol = parts.headers.remove(http::header::UPGRADE);
        return switch(connection, record, (&parts, protocol), (&mut coming.pieces, heard)).await;
    }
    let bare = parts.status.is_informational() || matches!(parts.status.as_u16(), 204 | 304);
    let framing = match (len, record.version) {
        _ if bare => Body::None,
        (Some(len), _) => Body::Length(len),
        (None, Version::Http11) => Body::Chunked,
        (None, Version::Http10) => Body::UntilClose,
    };
    let closes =
        parts.headers.get(http::header::CONNECTION).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"close"));
    let stay = record.keep_alive && !closes && framing != Body::UntilClose && connection.may_stay();
    let mut out = connection.worker.buffers.head();
    write_head(&mut out.bytes, &parts, &connection.worker.date());
    h1::write_framing(&mut out.bytes, framing);
    h1::write_connection(&mut out.bytes, record.version, stay, None);
    out.bytes.extend_from_slice(b"\r\n");
    record.answered(parts.status.as_u16(), 0);
    let nothing = record.method == Method::Head || bare;
    // Where the kernel sends what follows, it goes out with the first of that.
    let ahead = match pour {
        Some(_) => connection.io.with(|to| to.plain().map_or(0, |to| send_ahead(to, &out.bytes))),
        None => 0,
    };
    let mut whole = ahead == out.bytes.len() || send_to(connection, &out.bytes[ahead..]).await;
    drop(out);
    let mut left = len;
    if let (true, Some(pour), Some(len)) = (whole, pour, len) {
        whole = pour::pour(connection, pour, len, &record.sent).await.is_some();
        left = Some(0);
        connection.worker.shared.meters.spliced_bytes.inc_by(record.sent.get());
    }
    while whole && !nothing && left != Some(0) {
        let piece = match &own {
            Some(bytes) => Some(Ok(bytes.clone())),
            None => match watched(connection, !has_body, Box::pin(coming.pieces.recv())).await {
                Watched::Gone => return Next::Abort,
                Watched::Came(piece) => piece,
            },
        };
        let Some(piece) = piece else { break };
        let Ok(piece) = piece else {
            whole = false;
            break;
        };
        left = left.map(|left| left.saturating_sub(piece.len() as u64));
        whole = send_piece(connection, record, &piece, framing == Body::Chunked).await;
    }
    if framing == Body::Chunked && whole && !nothing {
        whole = send_to(connection, b"0\r\n\r\n").await;
    }
    match (whole && (nothing || matches!(left, None | Some(0))), stay) {
        (true, true) => Next::Request,
        (true, false) => Next::Close,
        (false, _) => {
            record.cut.set(true);
            Next::Abort
        }
    }
}

async fn send_to<C: Transport>(connection: &Connection<C>, bytes: &[u8]) -> bool {
    connection.send(bytes).await.is_ok()
}

async fn send_piece<C: Transport>(connection: &Connection<C>, record: &Record, piece: &[u8], framed: bool) -> bool {
    if piece.is_empty() {
        return true;
    }
    let sent = match framed {
        false => send_to(connection, piece).await,
        true => {
            let line = h1::size_line(piece.len() as u64);
            send_to(connection, line.as_bytes()).await
                && send_to(connection, piece).await
                && send_to(connection, b"\r\n").await
        }
    };
    record.sent.set(record.sent.get() + piece.len() as u64);
    sent
}

/// What is said for a handler that failed, and its body.
async fn failed() -> (Head, Option<Bytes>) {
    let detail = "skyvis failed on this request; its log says more";
    let failed: Response = problem(http::StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail);
    let (parts, body) = failed.into_parts();
    let bytes = body.collect().await.unwrap_or_default();
    ((parts, Some(bytes.len() as u64), None), Some(bytes))
}

/// The client gets what it asked for: from here on it is no HTTP.
async fn switch<C: Transport>(
    connection: &Connection<C>,
    record: &Record,
    (parts, protocol): (&http::response::Parts, Option<http::HeaderValue>),
    (pieces, heard): (&mut mpsc::Receiver<io::Result<Bytes>>, talk::Heard),
) -> Next {
    let mut out = connection.worker.buffers.head();
    write_head(&mut out.bytes, parts, &connection.worker.date());
    h1::write_connection(&mut out.bytes, record.version, true, protocol.as_ref().map(http::HeaderValue::as_bytes));
    out.bytes.extend_from_slice(b"\r\n");
    record.answered(parts.status.as_u16(), 0);
    if !send_to(connection, &out.bytes).await {
        return Next::Abort;
    }
    drop(out);
    talk::talk(connection, record, pieces, heard).await
}

/// Without what is said of the connection and of the body's length.
fn write_head(out: &mut Vec<u8>, parts: &http::response::Parts, date: &[u8; 29]) {
    use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or("Answer").as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut field = |name: &[u8], value: &[u8]| {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    if !parts.headers.contains_key(DATE) {
        field(b"date", date);
    }
    for (name, value) in &parts.headers {
        if ![CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            field(name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

pub(super) enum Watched<T> {
    Came(T),
    Gone,
}

/// Waits for the other thread; `watch`: meanwhile the client is looked after.
pub(super) async fn watched<C: Transport, T>(
    connection: &Connection<C>,
    watch: bool,
    mut future: impl Future<Output = T> + Unpin,
) -> Watched<T> {
    let mut armed = false;
    connection.deadline.clear();
    poll_fn(|cx| {
        if let Poll::Ready(value) = futures_util::FutureExt::poll_unpin(&mut future, cx) {
            return Poll::Ready(Watched::Came(value));
        }
        if watch && connection.poll_gone(cx).is_ready() {
            return Poll::Ready(Watched::Gone);
        }
        connection.pack_input();
        if connection.half_closed.get() && !armed {
            armed = true;
            connection.deadline.set(HALF_CLOSED_MAX);
        }
        connection.deadline.poll(cx).map(|_| Watched::Gone)
    })
    .await
}
