//! What orders certificates when they are due: one at a time, in the background, as often as it takes.

use super::{
    order::{self, Proof},
    schedule::{RETRY_FIRST, RETRY_MOST, renew_at},
};
use crate::{
    base::{Backoff, Clock, Secret},
    model::Trust,
    proxy::{
        config::HostPattern,
        tls::{self, Identity, Site, Tls},
    },
};
use std::{collections::HashMap, path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often it is looked what is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Where certificates are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The URL of the authority's directory.
    pub directory: String,
    /// Who is written to: `mailto:…`.
    pub contact: Vec<String>,
    /// The id and key (base64url) by which the authority knows a customer.
    pub external: Option<(String, Secret)>,
    /// Who the authority must be.
    pub trust: Trust,
    /// What is kept lies below this.
    pub dir: PathBuf,
}

/// What keeps certificates fresh.
pub struct AcmeTask {
    tls: Tls,
    clock: Clock,
    config: Config,
}

/// What is known of one entry's tries.
struct Tries {
    again_after: i64,
    backoff: Backoff,
    failures: u32,
}

impl AcmeTask {
    pub(in crate::proxy) fn new(tls: Tls, clock: Clock, config: Config) -> Self {
        Self { tls, clock, config }
    }

    /// Orders until `stop`. An order that is under way then is begun anew by the next start.
    pub async fn run(self, stop: CancellationToken) {
        let mut wanted = self.tls.wanted();
        let mut tries = HashMap::new();
        let ordering = async {
            loop {
                let sites = wanted.borrow_and_update().clone();
                for site in sites.iter() {
                    self.look(site, &mut tries).await;
                }
                tokio::select! {
                    () = self.clock.sleep(LOOK_EVERY) => {}
                    changed = wanted.changed() => if changed.is_err() { return },
                }
            }
        };
        tokio::select! {
            () = ordering => stop.cancelled().await,
            () = stop.cancelled() => {}
        }
    }

    /// Orders what is due for one entry.
    async fn look(&self, site: &Site, tries: &mut HashMap<PathBuf, Tries>) {
        let Identity::Acme { file } = &site.identity else { return };
        let now = self.clock.wall().millis().div_euclid(1000);
        let names: Vec<String> = site
            .names
            .iter()
            .filter_map(|name| match name {
                HostPattern::Exact(name) => Some(name.to_string()),
                HostPattern::Below(_) => None,
            })
            .collect();
        let path = file.clone();
        // The disk may take its time; nobody waits for it here.
        let kept = tokio::task::spawn_blocking(move || tls::validity_of(&path)).await.ok().flatten();
        // Spread by the file's name, so that it does not move from look to look.
        let spread = f64::from(crate::balance::hash(file.as_os_str().as_encoded_bytes()) as u32) / f64::from(u32::MAX);
        if kept.is_some_and(|validity| now < renew_at(validity, spread)) {
            tries.remove(file);
            return;
        }
        let tried = tries.entry(file.clone()).or_insert_with(|| Tries {
            again_after: i64::MIN,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
            failures: 0,
        });
        if now < tried.again_after {
            return;
        }
        // What cannot be proven in one way is tried in the other.
        let proof = if tried.failures.is_multiple_of(2) { Proof::Http } else { Proof::Tls };
        let label = site.label();
        tracing::info!(site = %label, ?proof, "ordering a certificate");
        match self.order(&names, proof, file.clone()).await {
            Ok(()) => {
                tracing::info!(site = %label, "a certificate was issued");
                self.tls.note(&label, None);
                tries.remove(file);
            }
            Err(fault) => {
                let pause = tried.backoff.next(rand::random());
                tried.failures += 1;
                tried.again_after = now.saturating_add(i64::try_from(pause.as_secs()).unwrap_or(i64::MAX));
                tracing::warn!(site = %label, ?proof, fault, again_in_s = pause.as_secs(), "no certificate was issued");
                self.tls.note(&label, Some(format!("no certificate was issued: {fault}").into()));
            }
        }
    }

    async fn order(&self, names: &[String], proof: Proof, file: PathBuf) -> Result<(), String> {
        let account = order::account(&self.config).await?;
        let pair = order::order(&account, names, proof, self.tls.challenges(), self.tls.provider()).await?;
        tls::check(pair.as_bytes(), self.tls.provider())?;
        let kept = tokio::task::spawn_blocking(move || super::files::keep(&file, pair.as_bytes()));
        kept.await.map_err(|e| e.to_string())?.map_err(|e| format!("the certificate cannot be kept: {e}"))
    }
}
