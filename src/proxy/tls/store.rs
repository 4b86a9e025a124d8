//! What clients are shown: all certificates in force, swapped whole. Workers look, and never wait.
//!
//! The keys of tickets and the cache of sessions are made once and shared by all of it, so that a session begun before a
//! certificate was renewed is resumed after it.

use super::{Site, names::Names, pair::Pair, site::MinVersion};
use crate::proxy::{Error, acme::Challenges};
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions},
    sign::SingleCertAndKey,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// Sessions of clients that take no tickets.
const SESSIONS_MAX: usize = 10_000;
/// Tickets that a client of TLS 1.3 is given: browsers open connections in pairs, and use each ticket once.
const TICKETS: usize = 2;
/// What is spoken within, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificates in force. Cheap to clone.
#[derive(Clone)]
pub struct Tls(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) provider: Arc<CryptoProvider>,
    ticketer: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions + Send + Sync>,
    live: ArcSwap<Live>,
    challenges: Challenges,
    /// What hinders orders, by entry.
    notes: Mutex<HashMap<Arc<str>, Arc<str>>>,
    /// What is asked for; the task makes it so.
    pub(super) wanted: watch::Sender<Arc<[Site]>>,
    pub(super) states: watch::Sender<Arc<[SiteState]>>,
}

/// All of it at one time.
#[derive(Default)]
pub(super) struct Live {
    by_listen: HashMap<SocketAddr, Arc<Names>>,
    /// By the numbers of the names. None: there is no certificate that works.
    configs: Vec<Option<Arc<ServerConfig>>>,
}

/// How an entry does, for events, logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteState {
    /// Its name; see [`Site::label`].
    pub label: Arc<str>,
    /// Until when its certificate is valid, in seconds since 1970. None: there is none.
    pub not_after: Option<i64>,
    /// Why what should be in force is not.
    pub fault: Option<Arc<str>>,
}

impl Tls {
    pub(super) fn new(wanted: Arc<[Site]>) -> Result<Self, Error> {
        let broken = |e: rustls::Error| Error::Tls(e.to_string());
        Ok(Self(Arc::new(Inner {
            provider: Arc::new(aws_lc_rs::default_provider()),
            ticketer: aws_lc_rs::Ticketer::new().map_err(broken)?,
            sessions: ServerSessionMemoryCache::new(SESSIONS_MAX),
            live: ArcSwap::default(),
            challenges: Challenges::default(),
            notes: Mutex::default(),
            wanted: watch::Sender::new(wanted),
            states: watch::Sender::new(Arc::default()),
        })))
    }

    /// Other entries from now on; they are in force once they are read. Where is listened stays.
    pub fn apply(&self, sites: Vec<Site>) {
        self.0.wanted.send_if_modified(|wanted| {
            let is_other = **wanted != *sites;
            if is_other {
                *wanted = sites.into();
            }
            is_other
        });
    }

    /// What is asked for.
    pub(in crate::proxy) fn wanted(&self) -> watch::Receiver<Arc<[Site]>> {
        self.0.wanted.subscribe()
    }

    /// What authorities may look for.
    pub(in crate::proxy) fn challenges(&self) -> &Challenges {
        &self.0.challenges
    }

    pub(in crate::proxy) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.0.provider
    }

    /// Notes what hinders an entry's order, or that nothing does.
    pub(in crate::proxy) fn note(&self, label: &Arc<str>, fault: Option<Arc<str>>) {
        let mut notes = self.0.notes.lock().unwrap_or_else(PoisonError::into_inner);
        match &fault {
            Some(fault) => notes.insert(label.clone(), fault.clone()),
            None => notes.remove(label),
        };
        drop(notes);
        self.0.states.send_if_modified(|states| {
            let mut next = states.to_vec();
            let Some(state) = next.iter_mut().find(|state| state.label == *label) else { return false };
            state.fault = fault;
            let is_other = **states != *next;
            *states = next.into();
            is_other
        });
    }

    pub(super) fn noted(&self, label: &str) -> Option<Arc<str>> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner).get(label).cloned()
    }

    /// How the entries do.
    pub fn watch(&self) -> watch::Receiver<Arc<[SiteState]>> {
        self.0.states.subscribe()
    }

    /// Puts these in force, for all handshakes from now on.
    pub(super) fn put(&self, sites: &[Site], configs: Vec<Option<Arc<ServerConfig>>>) {
        let mut names: HashMap<SocketAddr, Names> = HashMap::new();
        for (entry, site) in sites.iter().enumerate() {
            names.entry(site.listen).or_default().add(entry, &site.names);
        }
        let by_listen = names.into_iter().map(|(listen, names)| (listen, Arc::new(names))).collect();
        self.0.live.store(Arc::new(Live { by_listen, configs }));
    }

    /// What a client gets that is shown this pair.
    pub(super) fn config(&self, pair: &Pair, min_version: MinVersion) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(self.0.provider.clone());
        let builder = builder.with_protocol_versions(min_version.versions())?.with_no_client_auth();
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.key.clone())));
        config.ticketer = self.0.ticketer.clone();
        config.session_storage = self.0.sessions.clone();
        config.send_tls13_tickets = TICKETS;
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    /// The entry for a client that connected there and names this, and what it gets.
    pub(super) fn choose(&self, listen: SocketAddr, name: Option<&str>) -> Chosen {
        let live = self.0.live.load();
        let Some(names) = live.by_listen.get(&listen) else { return Chosen::NotNamed };
        let entry = match name {
            Some(name) => names.find(name.as_bytes()),
            None => names.unnamed(),
        };
        let Some(entry) = entry else { return Chosen::NotNamed };
        match live.configs.get(entry).cloned().flatten() {
            Some(config) => Chosen::Entry { entry, names: names.clone(), config },
            None => Chosen::NoCertificate,
        }
    }
}

/// What is for a client.
pub(super) enum Chosen {
    Entry {
        entry: usize,
        names: Arc<Names>,
        config: Arc<ServerConfig>,
    },
    /// No entry is for its name.
    NotNamed,
    /// The entry has no certificate that works.
    NoCertificate,
}
