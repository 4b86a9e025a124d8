//! One connection to a TCP route.

use super::{Hello, hello, outgoing};
use crate::{
    balance::{Ask, InFlight, Outcome},
    proxy::{
        buffer::Buffer,
        connection::{Connection, Ends},
        io::Io,
        settings::Settings,
        table::{Group, Route, Tcp},
        tunnel::{Carried, Tunnel},
        upstream::{NoConnection, Upstream, Upstreams},
        worker::Worker,
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};
use tokio::net::TcpStream;

/// Instances that are tried for one connection: nothing was carried, so each may be.
const TRIES_MAX: usize = 8;

/// What of a status a connection comes nearest to, for the counts that routes have in common.
const CARRIED: u16 = 200;
const NOBODY: u16 = 503;
const UNREACHABLE: u16 = 502;

/// Serves a connection to `listen` to its end.
pub(in crate::proxy) async fn serve(
    worker: Rc<Worker>,
    (stream, first): (TcpStream, Option<Buffer>),
    ends: Ends,
    listen: SocketAddr,
    settings: Arc<Settings>,
) {
    let connection = Connection::new(worker.clone(), stream, ends, None, settings).behind(first);
    let name = match worker.table().wants_name(listen) {
        true => match greet(&connection).await {
            Some(name) => name,
            None => return,
        },
        false => None,
    };
    let found = worker.table().tcp(listen, name.as_deref()).map(|(route, group)| (route.clone(), group.clone()));
    let Some((route, group)) = found else {
        tracing::debug!(%listen, peer = %connection.ends.peer, "no route for this name");
        return connection.io.abort_on_close();
    };
    let Some(tcp) = route.tcp() else { return };
    let Some(_open) = Open::new(&route, tcp) else {
        tracing::debug!(route = %route.name, "a route has as many connections as it may");
        return connection.io.abort_on_close();
    };
    let mut counted = Counted::new(&worker, &route);
    match connect(&connection, tcp, &group).await {
        Ok((upstream, flight)) => {
            counted.status = CARRIED;
            let idle = tcp.idle_timeout;
            let carried = counted.carried.clone();
            let tunnel =
                Tunnel { upstream, behind: None, _flight: flight, meters: worker.shared.clone(), idle, carried };
            Box::new(tunnel).run(connection).await;
        }
        Err(status) => {
            counted.status = status;
            tracing::debug!(route = %route.name, status, missing = group.missing(), "a connection was not carried");
            connection.io.abort_on_close();
        }
    }
}

/// The name that the client asks for; none where it asks for none, or speaks no TLS. None of that: it is gone, or sends
/// too slowly what nobody can read.
async fn greet(connection: &Connection<TcpStream>) -> Option<Option<Box<str>>> {
    connection.deadline.set(connection.settings.header_timeout);
    let ahead = connection.input.borrow_mut().take();
    let mut buffer = match ahead {
        Some(buffer) => buffer,
        // No memory is held while nothing comes.
        None => match connection.io.next_within(&connection.worker.buffers, &connection.deadline).await {
            Ok(Some(buffer)) => buffer,
            _ => return None,
        },
    };
    let name = loop {
        match hello::read(buffer.filled()) {
            Hello::Name(name) => break Some(name),
            Hello::NoName | Hello::NotTls => break None,
            Hello::More => match connection.deadline.within(connection.io.fill(&mut buffer)).await {
                Ok(Ok(1..)) => {}
                _ => return None,
            },
        }
    };
    *connection.input.borrow_mut() = Some(buffer);
    Some(name)
}

/// An instance that takes the connection, and what it must be told before the client's bytes. An error is the status
/// that says why there is none.
async fn connect(
    connection: &Connection<TcpStream>,
    tcp: &Tcp,
    group: &Group,
) -> Result<(Box<Upstream>, InFlight), u16> {
    let worker = &connection.worker;
    let mut tried: Vec<u32> = Vec::new();
    while tried.len() < TRIES_MAX {
        let hash = match connection.ends.peer.ip().to_canonical() {
            IpAddr::V4(ip) => crate::balance::hash(&ip.octets()),
            IpAddr::V6(ip) => crate::balance::hash(&ip.octets()),
        };
        let ask = Ask { now_micros: worker.now_micros(), hash, tried: &tried };
        let picked = worker.pickers.borrow_mut().pick(group, &ask).map(|(member, endpoint)| (member, endpoint.clone()));
        let Some((member, mut endpoint)) = picked else { break };
        // What is spoken with it is the client's to know.
        endpoint.via = None;
        let flight = endpoint.state.begin();
        let began = worker.now_micros();
        connection.deadline.set(tcp.forward.connect_timeout);
        let mut outcome = Some(Outcome::Unreachable);
        for target in endpoint.targets.iter() {
            match connection.deadline.within(Upstreams::connect(worker, *target, &endpoint)).await {
                Ok(Ok(upstream)) => {
                    let micros = worker.now_micros().saturating_sub(began);
                    if introduce(connection, tcp, &upstream.io).await {
                        group.pool.settle(member, Outcome::Answered { status: CARRIED, micros }, worker.now_micros());
                        return Ok((upstream, flight));
                    }
                }
                Ok(Err(NoConnection::Full)) => outcome = None,
                Ok(Err(NoConnection::Exhausted(error))) => {
                    tracing::debug!(%target, %error, "no socket for an instance");
                    outcome = None;
                }
                Ok(Err(NoConnection::Refused(error))) => tracing::debug!(%target, %error, "an instance refused"),
                Err(_) => break,
            }
        }
        if let Some(outcome) = outcome {
            group.pool.settle(member, outcome, worker.now_micros());
        }
        tried.push(member);
    }
    Err(if tried.is_empty() { NOBODY } else { UNREACHABLE })
}

/// Tells the instance who the client is, where it wants that.
async fn introduce(connection: &Connection<TcpStream>, tcp: &Tcp, upstream: &Io<crate::proxy::wire::Wire>) -> bool {
    let Some(version) = tcp.prelude else { return true };
    let header = outgoing::header(version, connection.ends.peer, connection.ends.local);
    upstream.write_all(&header, &connection.deadline, tcp.forward.connect_timeout).await.is_ok()
}

/// A connection in the count of its route.
struct Open(Arc<Route>);

impl Open {
    /// None: there are as many as there may be.
    fn new(route: &Arc<Route>, tcp: &Tcp) -> Option<Self> {
        let before = tcp.open.fetch_add(1, Ordering::Relaxed);
        let open = Self(route.clone());
        (tcp.connections_max == 0 || before < tcp.connections_max).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(tcp) = self.0.tcp() {
            tcp.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What is counted of a connection when it ends, however that comes about.
struct Counted {
    worker: Rc<Worker>,
    route: Arc<Route>,
    began_micros: u64,
    status: u16,
    carried: Rc<Carried>,
}

impl Counted {
    fn new(worker: &Rc<Worker>, route: &Arc<Route>) -> Self {
        route.meters.shard(worker.id).begin();
        let began_micros = worker.now_micros();
        Self { worker: worker.clone(), route: route.clone(), began_micros, status: NOBODY, carried: Rc::default() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let micros = self.worker.now_micros().saturating_sub(self.began_micros);
        let (up, down) = (self.carried.up.get(), self.carried.down.get());
        self.route.meters.shard(self.worker.id).end(self.status, micros, up, down);
    }
}
