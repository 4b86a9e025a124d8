//! What is spoken with an upstream, where that is not HTTP/1.1 in the clear, and how it is known who it is.

use crate::{
    model::{Fingerprint, Instance, Trust},
    outbound,
};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{cell::RefCell, collections::HashMap, io, net::IpAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Ways that a worker remembers; beyond that it forgets all of them, and with them the sessions that could be resumed.
const CONFIGS_MAX: usize = 1024;

/// What is spoken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Via {
    /// HTTP/2, and not HTTP/1.1.
    pub h2: bool,
    /// Over TLS.
    pub tls: Option<Secure>,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secure {
    /// The name, or address, that its certificate must be for, and that it is asked for.
    pub name: Arc<str>,
    /// The one certificate that is good. None: one that an authority has signed which this host trusts.
    pub pin: Option<Fingerprint>,
}

impl Via {
    /// `http`, `https`, `h2` or `h2s`, as it stands before an upstream's address.
    pub fn scheme(via: Option<&Self>) -> &'static str {
        match via {
            None => "http",
            Some(Self { h2: false, .. }) => "https",
            Some(Self { tls: None, .. }) => "h2",
            Some(_) => "h2s",
        }
    }

    /// What an instance says of itself: `protocol` and `tls_name` of its meta. Others than the four are taken for HTTP.
    pub(super) fn of_instance(instance: &Instance) -> Option<Self> {
        let secure = || {
            let name = instance.meta.get("tls_name").unwrap_or(&instance.address).clone();
            Some(Secure { name, pin: None })
        };
        match &**instance.meta.get("protocol")? {
            "h2" => Some(Self { h2: true, tls: None }),
            "https" => Some(Self { h2: false, tls: secure() }),
            "h2s" => Some(Self { h2: true, tls: secure() }),
            _ => None,
        }
    }
}

/// What a worker knows of those at the other end: by it sessions are resumed.
#[derive(Default)]
pub(super) struct Configs(RefCell<HashMap<Via, Arc<ClientConfig>>>);

impl Configs {
    /// A session with whoever is there, if that is who it should be.
    pub(super) async fn connect(&self, via: &Via, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        let Some(secure) = &via.tls else { return Err(invalid("there is no name to verify")) };
        let name = match secure.name.parse::<IpAddr>() {
            Ok(ip) => ServerName::from(ip),
            Err(_) => ServerName::try_from(secure.name.to_string()).map_err(|_| invalid("the name is none for TLS"))?,
        };
        let known = self.0.borrow().get(via).cloned();
        let config = match known {
            Some(config) => config,
            None => {
                let trust = secure.pin.map_or(Trust::SystemRoots, Trust::Pinned);
                let made = outbound::tls_config(trust).await.map_err(io::Error::other)?;
                let mut made = ClientConfig::clone(&made);
                made.alpn_protocols = vec![if via.h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
                let made = Arc::new(made);
                let mut known = self.0.borrow_mut();
                if known.len() >= CONFIGS_MAX {
                    known.clear();
                }
                known.insert(via.clone(), made.clone());
                made
            }
        };
        let session = TlsConnector::from(config).connect(name, stream).await?;
        if via.h2 && session.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the upstream does not speak HTTP/2 over TLS"));
        }
        Ok(session)
    }
}
