//! Asking a device: who it is, which channels it has, which of them are there. Every login is taken from the budget.

use super::{
    DeviceKind,
    budget::{Budget, Door, Locked},
};
use crate::hikvision::{self, Client, Identity, StreamInfo};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// What a device has. Asked for now and then; names and streams change seldom.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Inventory {
    pub identity: Identity,
    /// By channel, with the name that people gave it.
    pub channels: BTreeMap<u32, Option<String>>,
    pub streams: Vec<StreamInfo>,
    pub rtsp_port: Option<u16>,
}

/// Whether one channel is there, and why not.
pub(super) type States = BTreeMap<u32, Result<(), String>>;

/// Why a poll came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No login may be tried.
    Locked(Locked),
    /// The device refused the login; the budget knows.
    Refused(String),
    /// Who answers is not proven to be the device, so that no login is sent to it.
    Untrusted(String),
    /// It did not answer.
    Silent(String),
    /// It answered and did not say what was asked for.
    Failed(String),
}

impl Trouble {
    /// The word that the metric uses.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Locked(_) => "locked",
            Self::Refused(_) => "refused",
            Self::Untrusted(_) => "untrusted",
            Self::Silent(_) => "silent",
            Self::Failed(_) => "failed",
        }
    }
}

/// One device's answers.
pub(super) struct Asker<'a> {
    pub kind: DeviceKind,
    pub client: &'a Client,
    pub budget: &'a Budget,
}

impl Asker<'_> {
    /// Looks, without logging in, whether the account is locked. It also shows whether anybody is there.
    pub(super) async fn look(&self) -> Result<(), Trouble> {
        let asked = match self.kind {
            DeviceKind::Camera | DeviceKind::Nvr => self.client.lock_state().await,
            DeviceKind::Gateway => self.client.gateway_lock_state().await,
        };
        let lock = match asked {
            Ok(lock) => lock,
            Err(e) => {
                self.budget.unseen();
                return Err(nobody(e));
            }
        };
        self.budget.looked(lock.map(|l| if l.locked { Err(l.unlock_s) } else { Ok(()) }), Instant::now()).await;
        match self.budget.locked(Instant::now()) {
            Some(locked) => Err(Trouble::Locked(locked)),
            None => Ok(()),
        }
    }

    /// The cheapest proof that the device is well and takes our login.
    pub(super) async fn identity(&self) -> Result<Identity, Trouble> {
        self.ask(async |c| c.identity().await).await?.map_err(|e| Trouble::Failed(e.to_string()))
    }

    /// Everything that the device has. Who it is and which cameras a recorder was given must be told; of the rest,
    /// what cannot be had now is taken from `before`.
    pub(super) async fn inventory(&self, before: Option<&Inventory>) -> Result<Inventory, Trouble> {
        let identity = self.identity().await?;
        let streams = match self.ask(async |c| c.streams().await).await? {
            Ok(streams) => streams,
            Err(e) => {
                tracing::debug!(error = %e, "no list of streams");
                before.map(|b| b.streams.clone()).unwrap_or_default()
            }
        };
        let rtsp_port = match self.ask(async |c| c.rtsp_port().await).await? {
            Ok(port) => port,
            Err(e) => {
                tracing::debug!(error = %e, "no list of ports");
                before.and_then(|b| b.rtsp_port)
            }
        };
        let proxied = match self.kind {
            DeviceKind::Camera | DeviceKind::Gateway => None,
            DeviceKind::Nvr => self.ask(async |c| c.proxied().await).await.and_then(had)?,
        };
        if let Some(proxied) = proxied {
            let channels = proxied.into_iter().map(|c| (c.id, c.name)).collect();
            return Ok(Inventory { identity, channels, streams, rtsp_port });
        }
        // A camera, or a recorder of cameras that are wired to it: its channels are its own inputs.
        let mut channels: BTreeMap<u32, Option<String>> = BTreeMap::new();
        for stream in &streams {
            channels.entry(stream.channel).or_insert_with(|| stream.name.clone());
        }
        if channels.is_empty() {
            // It has at least one input, whatever it answers.
            channels.insert(1, None);
        }
        for input in self.ask(async |c| c.inputs().await).await?.unwrap_or_default() {
            channels.entry(input.id).and_modify(|name| *name = input.name.or(name.take()));
        }
        Ok(Inventory { identity, channels, streams, rtsp_port })
    }

    /// Which of a recorder's channels are there. None where it does not tell.
    pub(super) async fn states(&self, known: &[u32]) -> Result<Option<States>, Trouble> {
        let states = self.ask(async |c| c.proxied_states(known).await).await.and_then(had)?;
        Ok(states.map(|states| states.into_iter().map(|s| (s.id, verdict(s))).collect()))
    }

    /// One request at the budget's cost. The inner error is an answer without what was asked for.
    pub(super) async fn ask<T>(
        &self,
        request: impl AsyncFnOnce(&Client) -> Result<T, hikvision::Error>,
    ) -> Result<Result<T, hikvision::Error>, Trouble> {
        let login = self.budget.begin(Door::Isapi, 2).await.map_err(Trouble::Locked)?;
        if login.careful {
            self.client.forget_challenge().await;
        }
        let refused = match request(self.client).await {
            Ok(answer) => {
                login.accepted().await;
                return Ok(Ok(answer));
            }
            Err(e @ hikvision::Error::AuthRefused { answers, .. }) => {
                login.refused(answers.max(1)).await;
                e
            }
            Err(e @ hikvision::Error::Locked { answers, unlock_s }) => {
                login.found_locked(answers, unlock_s, Instant::now()).await;
                e
            }
            Err(e) => {
                login.unanswered().await;
                let gone = matches!(e, hikvision::Error::Unreachable(_) | hikvision::Error::Untrusted(_));
                return if gone { Err(nobody(e)) } else { Ok(Err(e)) };
            }
        };
        let locked = self.budget.locked(Instant::now());
        Err(locked.map_or_else(|| Trouble::Refused(refused.to_string()), Trouble::Locked))
    }
}

/// The device was not had.
fn nobody(e: hikvision::Error) -> Trouble {
    match e {
        hikvision::Error::Untrusted(_) => Trouble::Untrusted(e.to_string()),
        e => Trouble::Silent(e.to_string()),
    }
}

/// What a model does not have, or an account may not read, is no trouble; nonsense is.
fn had<T>(answer: Result<T, hikvision::Error>) -> Result<Option<T>, Trouble> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(hikvision::Error::Unsupported { .. } | hikvision::Error::Denied { .. }) => Ok(None),
        Err(e) => Err(Trouble::Failed(e.to_string())),
    }
}

fn verdict(state: hikvision::ChannelState) -> Result<(), String> {
    match (state.online, state.detail) {
        (true, _) => Ok(()),
        (false, Some(detail)) => Err(format!("the recorder says: {detail}")),
        (false, None) => Err("the recorder says that it is offline".to_owned()),
    }
}
