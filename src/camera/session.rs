//! One attempt at one stream: connect, log in, set up, play, receive, until it fails. Dropping the future ends it and
//! tells the camera.

use super::{
    Transport,
    budget::Door,
    failure::{Failure, FailureKind},
    flood::Signs,
    format::{self, Tracks},
    intake::Intake,
    relay::{Flow, Relay},
    sound::Sound,
    stream::Stream,
};
use crate::{base::lanes::Hurry, live::Publisher};
use futures_util::StreamExt;
use retina::{
    client::{
        Demuxed, InitialTimestampPolicy, PlayOptions, Session, SessionOptions, SetupOptions, TcpTransportOptions,
        Transport as Carrier, UdpTransportOptions,
    },
    codec::{CodecItem, FrameFormat},
};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    task::unconstrained,
    time::{sleep_until, timeout},
};
use url::Url;

/// A camera takes a connection at once or is not there.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long a new session waits for the device to see the end of an old one. A dead connection never tells.
const STALE_WAIT_MAX: Duration = Duration::from_secs(1);
/// What the camera's log shows of us.
const USER_AGENT: &str = concat!("skyvis/", env!("CARGO_PKG_VERSION"));

/// Runs one session to its end and says why it ended.
pub(super) async fn attempt(stream: &Stream, publisher: &Publisher, url: &str, interval: Duration) -> Failure {
    match session(stream, publisher, url, interval).await {
        Err(failure) => failure,
        Ok(never) => match never {},
    }
}

async fn session(stream: &Stream, publisher: &Publisher, url: &str, interval: Duration) -> Result<Infallible, Failure> {
    let url = Url::parse(url).map_err(|e| Failure::other(format!("its URL cannot be used: {e}")))?;
    let shared = &stream.shared;
    reachable(&url).await?;
    let stale = shared.sessions.stale_sessions();
    if stale.num_sessions > 0 {
        let _ = timeout(STALE_WAIT_MAX, shared.sessions.await_stale_sessions(&stale)).await;
    }
    let flow = Flow::default();
    if !stream.is_relayed() {
        return played(stream, publisher, url, (interval, flow)).await;
    }
    let (relay, url) = Relay::open(&url, flow.clone()).await?;
    tokio::select! {
        biased;
        outcome = played(stream, publisher, url, (interval, flow)) => outcome,
        failure = relay.run() => Err(failure),
    }
}

/// A session from its login to its end.
async fn played(
    stream: &Stream,
    publisher: &Publisher,
    url: Url,
    (interval, flow): (Duration, Flow),
) -> Result<Infallible, Failure> {
    let shared = &stream.shared;
    let step = shared.timings.borrow().timeout;
    let login = shared.budget.begin(Door::Rtsp, 1).await.map_err(Failure::of_lock)?;
    let hurry = shared.hub.hurry(&stream.key);
    let opened = open(stream, url, step).await;
    match &opened {
        Ok(_) => login.accepted().await,
        Err(failure) if failure.kind == FailureKind::Refused => login.refused(1).await,
        // Nothing was said about the login.
        Err(_) => login.unanswered().await,
    }
    let (demuxed, tracks) = opened?;
    receive(stream, demuxed, Intake::new(stream, publisher, tracks, step, interval), (hurry, flow)).await
}

/// Whether anybody takes connections there. Asked before a login is set aside for the attempt, so that a camera that
/// is switched off does not hold up the logins of others.
async fn reachable(url: &Url) -> Result<(), Failure> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = url.port().unwrap_or(554);
    match timeout(CONNECT_WAIT_MAX, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(Failure::lost(format!("cannot connect to {host} port {port}: {e}"))),
        Err(_) => Err(Failure::lost(format!("cannot connect to {host} port {port} within {CONNECT_WAIT_MAX:?}"))),
    }
}

/// Connect, DESCRIBE, SETUP of each track, PLAY; each step within `step`.
async fn open(stream: &Stream, url: Url, step: Duration) -> Result<(Demuxed, (Tracks, Sound)), Failure> {
    let options = SessionOptions::default()
        .creds(Some(stream.credentials.clone()))
        .user_agent(USER_AGENT.to_owned())
        .session_group(stream.shared.sessions.clone());
    let mut session = within(stream, step, "DESCRIBE", Session::describe(url, options)).await?;
    let (tracks, sound) = format::choose(session.streams(), session.sdp(), stream.audio).map_err(Failure::other)?;
    if sound.wants_relay() && stream.transport == Transport::Tcp && !stream.is_relayed() {
        stream.relay("its sound is described by a name that is no standard's");
        return Err(Failure::lost("its sound is described by another name; it is fetched anew"));
    }
    let carrier = match stream.carrier() {
        Transport::Tcp => Carrier::Tcp(TcpTransportOptions::default()),
        Transport::Udp => Carrier::Udp(UdpTransportOptions::default()),
    };
    for track in std::iter::once(tracks.video).chain(tracks.audio) {
        let options = SetupOptions::default().transport(carrier.clone()).frame_format(FrameFormat::MP4);
        within(stream, step, "SETUP", session.setup(track, options)).await?;
    }
    // Cameras leave the RTP time of a track out, or get it wrong; a session is not given up for that.
    let play = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Permissive);
    let playing = within(stream, step, "PLAY", session.play(play)).await?;
    let demuxed = playing.demuxed().map_err(|e| Failure::of_step("PLAY", &e))?;
    Ok((demuxed, (tracks, sound)))
}

/// retina itself waits for ever.
async fn within<T>(
    stream: &Stream,
    limit: Duration,
    step: &str,
    future: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, Failure> {
    let (mut future, mut signs) = (pin!(future), Signs::default());
    let watched = poll_fn(|cx| match looked(future.as_mut().poll(cx), &mut signs) {
        // A relay bounds answers by itself.
        Poll::Pending if !stream.is_relayed() && signs.are_of_an_endless_answer() => Poll::Ready(None),
        found => found.map(Some),
    });
    match timeout(limit, watched).await {
        Ok(Some(outcome)) => outcome.map_err(|e| Failure::of_step(step, &e)),
        Ok(None) => Err(judged(stream, &signs, Failure::lost(format!("the answer to {step} has no end")))),
        Err(_) => Err(judged(stream, &signs, Failure::lost(format!("no answer to {step} within {limit:?}")))),
    }
}

/// Takes note of a look at a connection.
fn looked<T>(found: Poll<T>, signs: &mut Signs) -> Poll<T> {
    if found.is_pending() {
        signs.in_vain();
    }
    found
}

/// What a failure is, for which something was waited for in vain. After a flood, the sessions are bounded.
fn judged(stream: &Stream, signs: &Signs, failure: Failure) -> Failure {
    if !signs.are_of_a_flood() {
        return failure;
    }
    stream.relay("it sends all the while, and nothing whole comes of it");
    Failure::flood(format!("{}, though the device sent all the while", failure.text))
}

/// Turns are short until the session's time is settled: it is anchored by when its first frames arrive. By UDP they stay
/// short: the kernel drops what does not fit into a socket's buffer until the next turn.
async fn receive(
    stream: &Stream,
    mut demuxed: Demuxed,
    mut intake: Intake<'_>,
    (hurry, flow): (Hurry, Flow),
) -> Result<Infallible, Failure> {
    let (mut hurry, mut signs, transport) = (Some(hurry), Signs::default(), stream.carrier());
    let timer = sleep_until(intake.wake_at());
    tokio::pin!(timer);
    loop {
        tokio::select! {
            // A device that floods us is always ready with something and uses up the task's budget; the deadline must
            // not wait until it pauses.
            biased;
            () = unconstrained(&mut timer) => {
                let passed = intake.tick(tokio::time::Instant::now());
                passed.map_err(|f| if f.kind == FailureKind::Silent { judged(stream, &signs, f) } else { f })?;
                timer.as_mut().reset(intake.wake_at());
            }
            item = poll_fn(|cx| looked(demuxed.poll_next_unpin(cx), &mut signs)) => {
                let item = item.ok_or_else(|| Failure::lost("the device ended the session"))?;
                if matches!(item, Ok(CodecItem::VideoFrame(_))) {
                    signs.picture();
                    flow.picture();
                } else {
                    signs.beside();
                }
                match item {
                    Ok(item) => intake.take(item, demuxed.streams())?,
                    Err(error) => intake.trouble(&error)?,
                }
                // Of TCP nothing is lost in a long turn; a socket of datagrams holds less than one key frame more.
                if intake.is_settled() && transport == Transport::Tcp {
                    drop(hurry.take());
                }
                // The deadline moves with every frame; the timer is only set again where it would ring too late.
                if intake.wake_at() < timer.deadline() {
                    timer.as_mut().reset(intake.wake_at());
                }
            }
        }
    }
}
