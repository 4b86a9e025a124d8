//! Handshakes, each with one request, by as many clients as keep a core busy.

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    error::Error,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const CLIENTS: usize = 8;

/// How many were made within the window, all of the kind that is asked for.
pub fn shaken(address: SocketAddr, certificate: &Path, resumed: bool, window: Duration) -> Result<u64, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let until = Instant::now() + window;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut config =
                ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                    .with_protocol_versions(&[&rustls::version::TLS13])
                    .map(|builder| builder.with_root_certificates(roots.clone()).with_no_client_auth())
                    .map_err(|e| e.to_string());
            if let (Ok(config), false) = (&mut config, resumed) {
                config.resumption = Resumption::disabled();
            }
            thread::spawn(move || -> Result<u64, String> {
                let config = Arc::new(config?);
                let mut done = 0;
                while Instant::now() < until {
                    let kind = one(address, &config).map_err(|e| e.to_string())?;
                    if resumed && done > 0 && kind != Some(rustls::HandshakeKind::Resumed) {
                        return Err(format!("handshake {done} was not resumed"));
                    }
                    done += 1;
                }
                Ok(done)
            })
        })
        .collect();
    let mut sum = 0;
    for client in clients {
        sum += client.join().map_err(|_| "a client failed")??;
    }
    Ok(sum)
}

fn one(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Option<rustls::HandshakeKind>, Box<dyn Error>> {
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let session = ClientConnection::new(config.clone(), ServerName::try_from("bench.test")?)?;
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(b"GET /128 HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // Whether the end is said or only done is all one here.
    let _ = stream.read_to_end(&mut answer);
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        return Err("no answer".into());
    }
    Ok(stream.conn.handshake_kind())
}
