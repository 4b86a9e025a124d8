//! A connection over TLS: the handshake, then the same as in the clear.

use super::{
    ahead::Ahead,
    connection::{Connection, Ends},
    h2,
    settings::Settings,
    tls,
    worker::Worker,
};
use std::{net::SocketAddr, rc::Rc, sync::Arc};
use tokio::net::TcpStream;

/// Serves a connection to its end. `listen` is the address of the configuration that it came to.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: Ahead<TcpStream>,
    (listen, ends): (SocketAddr, Ends),
    settings: Arc<Settings>,
) {
    let deadline = worker.deadlines.slot();
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
