//! A connection over TLS: who it is from, then the handshake, then the same as in the clear.

use super::{
    ahead::Ahead,
    connection::{Connection, Ends},
    h2,
    io::Io,
    prelude,
    settings::Settings,
    tls,
    worker::Worker,
};
use std::{net::SocketAddr, rc::Rc, sync::Arc};
use tokio::net::TcpStream;

/// Serves a connection to its end. `listen` is the address of the configuration that it came to.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    (listen, mut ends): (SocketAddr, Ends),
    settings: Arc<Settings>,
) {
    let deadline = worker.deadlines.slot();
    let limit = settings.header_timeout;
    let mut first = None;
    let io = Io::new(stream);
    if settings.proxy_protocol {
        let Some((behind, told)) = prelude::read(&worker, &io, (&deadline, limit), ends.peer).await else { return };
        first = Some(behind);
        if let Some((peer, local)) = told {
            ends = Ends { peer, local };
        }
    }
    let stream = Ahead::new(first, io.into_inner());
    let tls = worker.shared.tls.clone();
    let accepted = Box::pin(tls::accept(&worker, &tls, (listen, ends), stream, (&deadline, &settings))).await;
    drop(deadline);
    if let Some((session, secured)) = accepted {
        let secured = Some(Rc::new(secured));
        if session.get_ref().1.alpn_protocol() == Some(b"h2") {
            Box::pin(h2::serve(worker, session, ends, secured, settings)).await;
        } else {
            Connection::new(worker, session, ends, secured, settings).run().await;
        }
    }
}
