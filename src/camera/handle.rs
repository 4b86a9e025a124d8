//! The room's handle: verbs for others, one message each.

use super::{Config, Error, Snapshot};
use crate::model::DeviceId;
use std::sync::Arc;
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot, watch,
};

/// Requests that may wait. They come from people and reloads, a few a minute; more is a client gone wild.
pub(super) const COMMANDS_MAX: usize = 16;

/// What the handle asks of the task.
pub(super) enum Command {
    /// Make the cameras be what this says.
    Apply { config: Config, done: oneshot::Sender<()> },
    /// Give another try and begin this device's sessions anew.
    Reconnect { device: DeviceId, done: oneshot::Sender<Result<(), Error>> },
}

/// The cameras. Cheap to clone.
#[derive(Clone)]
pub struct Cameras {
    commands: mpsc::Sender<Command>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

impl Cameras {
    /// A handle over the task's ends.
    pub(super) fn new(commands: mpsc::Sender<Command>, snapshot: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self { commands, snapshot }
    }

    /// What is known, as it changes; twice a second at most.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Makes the cameras be what `config` says. Devices that did not change keep their sessions.
    /// Answers once changed and removed devices are torn down and the new ones are started.
    pub async fn apply(&self, config: Config) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.send(Command::Apply { config, done })?;
        answer.await.map_err(|_| Error::Stopped)
    }

    /// Gives a password that was refused another try, as far as that cannot lock the account, and begins the device's sessions anew.
    pub async fn reconnect(&self, device: &DeviceId) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.send(Command::Reconnect { device: device.clone(), done })?;
        answer.await.map_err(|_| Error::Stopped)?
    }

    fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.try_send(command).map_err(|e| match e {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Closed(_) => Error::Stopped,
        })
    }
}
