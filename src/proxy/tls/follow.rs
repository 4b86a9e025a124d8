//! Keeps what is in force in step with the files. A new pair that does not work leaves the old one in force, and is told.
//!
//! Files are looked at by their times, sizes and inodes: that sees a rename, a symbolic link that points elsewhere and a
//! mount that was exchanged alike, where a watch of the kernel sees some of it. Looking costs two calls a pair.

use super::{
    Site, SiteState, Tls,
    pair::{BadPair, Pair, Stamp, load, stamp},
};
use crate::{base::Clock, proxy::Error};
use rustls::{ServerConfig, crypto::CryptoProvider};
use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often files are looked at.
pub(in crate::proxy) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Certificate and key.
type Paths = (PathBuf, PathBuf);
type Stamps = (Option<Stamp>, Option<Stamp>);

/// What keeps the certificates in step.
pub struct TlsTask {
    tls: Tls,
    clock: Clock,
    known: Known,
}

/// What is known of the files.
#[derive(Default)]
struct Known {
    files: HashMap<Paths, Loaded>,
    /// What was made of it, by entry, and of which pair.
    made: Vec<(Site, Option<Arc<ServerConfig>>, Option<Pair>)>,
}

/// One pair of files.
struct Loaded {
    seen: Stamps,
    /// The last one that worked.
    pair: Option<Pair>,
    /// Why those of `seen` do not.
    fault: Option<BadPair>,
    /// The fault has been there at two looks: it is no pair of which one half is still to come.
    is_sure: bool,
}

/// The certificates, read once, and what follows them. Not having one that works is no reason not to start: it is told,
/// and the other entries are served.
pub(in crate::proxy) fn build(sites: Vec<Site>, clock: Clock) -> Result<(Tls, TlsTask), Error> {
    let tls = Tls::new(sites.into())?;
    let mut known = Known::default();
    known.look(&tls.0.wanted.borrow(), &tls.0.provider);
    // There is nothing to wait for at the start.
    known.files.values_mut().for_each(|loaded| loaded.is_sure = true);
    known.put(&tls);
    Ok((tls.clone(), TlsTask { tls, clock, known }))
}

impl TlsTask {
    /// Follows the files and the configuration until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Self { tls, clock, mut known } = self;
        let mut wanted = tls.0.wanted.subscribe();
        let following = async {
            loop {
                tokio::select! {
                    () = clock.sleep(LOOK_EVERY) => {}
                    changed = wanted.changed() => if changed.is_err() { return },
                }
                let sites = wanted.borrow_and_update().clone();
                let provider = tls.0.provider.clone();
                // Files may lie on a disk that hangs, and then only this hangs.
                let looked = tokio::task::spawn_blocking(move || {
                    let changed = known.look(&sites, &provider);
                    (known, changed)
                });
                match looked.await {
                    Ok((looked, changed)) => {
                        known = looked;
                        if changed {
                            known.put(&tls);
                        }
                    }
                    Err(error) => return tracing::error!(%error, "certificates are no longer followed"),
                }
            }
        };
        tokio::select! {
            () = following => stop.cancelled().await,
            () = stop.cancelled() => {}
        }
    }
}

impl Known {
    /// Looks at all files, and reads those that changed. True where there is something to put in force or to tell.
    fn look(&mut self, sites: &[Site], provider: &CryptoProvider) -> bool {
        let mut changed =
            self.made.len() != sites.len() || self.made.iter().zip(sites).any(|(made, site)| made.0 != *site);
        let mut files = HashMap::new();
        for site in sites {
            let (cert, key) = site.files();
            let paths = (cert.to_owned(), key.to_owned());
            if files.contains_key(&paths) {
                continue;
            }
            let before = self.files.remove(&paths);
            let seen = (stamp(cert), stamp(key));
            let loaded = match before {
                Some(mut loaded) if loaded.seen == seen => {
                    changed |= loaded.fault.is_some() && !loaded.is_sure;
                    loaded.is_sure = true;
                    loaded
                }
                before => {
                    changed = true;
                    let (pair, fault) = match load(cert, key, provider) {
                        Ok(pair) => (Some(pair), None),
                        Err(fault) => (before.and_then(|loaded| loaded.pair), Some(fault)),
                    };
                    Loaded { seen, pair, fault, is_sure: false }
                }
            };
            files.insert(paths, loaded);
        }
        self.files = files;
        if self.made.len() != sites.len() {
            self.made.clear();
        }
        self.made.resize_with(sites.len(), || (sites[0].clone(), None, None));
        for (made, site) in self.made.iter_mut().zip(sites) {
            if made.0 != *site {
                *made = (site.clone(), None, None);
            }
        }
        changed
    }

    /// Puts in force what is known, and tells how it is.
    fn put(&mut self, tls: &Tls) {
        let mut states = Vec::new();
        for (site, config, of) in &mut self.made {
            let (cert, key) = site.files();
            let Some(loaded) = self.files.get(&(cert.to_owned(), key.to_owned())) else { continue };
            let is_same = matches!((&loaded.pair, &of), (Some(a), Some(b)) if Arc::ptr_eq(&a.key, &b.key));
            let mut fault = loaded.fault.as_ref().filter(|_| loaded.is_sure).map(|fault| fault.0.as_str().into());
            if let Some(pair) = loaded.pair.as_ref().filter(|_| !is_same) {
                match tls.config(pair, site.min_version) {
                    Ok(made) => (*config, *of) = (Some(Arc::new(made)), Some(pair.clone())),
                    Err(error) => fault = Some(error.to_string().into()),
                }
            }
            let label = site.label();
            // What hinders the order says more than that there is no file.
            fault = tls.noted(&label).or(fault);
            states.push(SiteState { label, not_after: of.as_ref().map(|pair| pair.validity.not_after), fault });
        }
        let (sites, configs): (Vec<_>, Vec<_>) =
            self.made.iter().map(|(site, config, _)| (site.clone(), config.clone())).unzip();
        tls.put(&sites, configs);
        tls.0.states.send_if_modified(|before| {
            let is_other = **before != *states;
            *before = states.into();
            is_other
        });
    }
}
