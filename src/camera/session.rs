//! One attempt at one stream: connect, log in, set up, play, receive, until it fails. Dropping the future ends it and
//! tells the camera.

use super::{
    Transport,
    budget::Door,
    failure::{Failure, FailureKind},
    format::{self, Tracks},
    intake::Intake,
    relay::Relay,
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
    codec::FrameFormat,
};
use std::{convert::Infallible, future::Future, time::Duration};
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
    if !stream.is_relayed() {
        return played(stream, publisher, url, interval).await;
    }
    let (relay, url) = Relay::open(&url).await?;
    tokio::select! {
        biased;
        outcome = played(stream, publisher, url, interval) => outcome,
        failure = relay.run() => Err(failure),
    }
}

/// A session from its login to its end.
async fn played(stream: &Stream, publisher: &Publisher, url: Url, interval: Duration) -> Result<Infallible, Failure> {
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
    receive(demuxed, Intake::new(stream, publisher, tracks, step, interval), stream.transport, hurry).await
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
    let mut session = within(step, "DESCRIBE", Session::describe(url, options)).await?;
    stream.shared.note_login(session.logs_in_by_basic());
    let (tracks, sound) = format::choose(session.streams(), session.sdp(), stream.audio).map_err(Failure::other)?;
    if sound.wants_relay() && stream.transport == Transport::Tcp && !stream.is_relayed() {
        stream.relay("its sound is described by a name that is no standard's");
        return Err(Failure::lost("its sound is described by another name; it is fetched anew"));
    }
    let carrier = match stream.transport {
        Transport::Tcp => Carrier::Tcp(TcpTransportOptions::default()),
        Transport::Udp => Carrier::Udp(UdpTransportOptions::default()),
    };
    for track in std::iter::once(tracks.video).chain(tracks.audio) {
        let options = SetupOptions::default().transport(carrier.clone()).frame_format(FrameFormat::MP4);
        within(step, "SETUP", session.setup(track, options)).await?;
    }
    // Cameras leave the RTP time of a track out, or get it wrong; a session is not given up for that.
    let play = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Permissive);
    let playing = within(step, "PLAY", session.play(play)).await?;
    let demuxed = playing.demuxed().map_err(|e| Failure::of_step("PLAY", &e))?;
    Ok((demuxed, (tracks, sound)))
}

/// retina itself waits for ever.
async fn within<T>(
    limit: Duration,
    step: &str,
    future: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, Failure> {
    match timeout(limit, future).await {
        Ok(outcome) => outcome.map_err(|e| Failure::of_step(step, &e)),
        Err(_) => Err(Failure::lost(format!("no answer to {step} within {limit:?}"))),
    }
}

/// Turns are short until the session's time is settled: it is anchored by when its first frames arrive. By UDP they stay
/// short: the kernel drops what does not fit into a socket's buffer until the next turn.
async fn receive(
    mut demuxed: Demuxed,
    mut intake: Intake<'_>,
    transport: Transport,
    hurry: Hurry,
) -> Result<Infallible, Failure> {
    let mut hurry = Some(hurry);
    let timer = sleep_until(intake.wake_at());
    tokio::pin!(timer);
    loop {
        tokio::select! {
            // A device that floods us is always ready with something and uses up the task's budget; the deadline must
            // not wait until it pauses.
            biased;
            () = unconstrained(&mut timer) => {
                intake.tick(tokio::time::Instant::now())?;
                timer.as_mut().reset(intake.wake_at());
            }
            item = demuxed.next() => {
                let item = item.ok_or_else(|| Failure::lost("the device ended the session"))?;
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
