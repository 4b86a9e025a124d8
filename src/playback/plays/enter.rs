//! Somebody wants to see a play: whether they may, and what is known of them from then on.

use super::{
    Error, Play, PlayId, Plays, Shown,
    authorize::Question,
    pass::{FILES, Pass},
    places::{Full, VisitId},
    rows::{Viewing, Who},
    tries::Origin,
};
use crate::{
    base::{Secret, Wall},
    model::Range,
    store::Batch,
};
use http::HeaderValue;
use serde_json::json;
use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// More visits than are remembered: one of them may be forgotten in so long.
const ALL_FULL_RETRY: Duration = Duration::from_secs(30);

/// What somebody proves themselves by.
#[derive(Clone, Debug)]
pub enum Given {
    /// Nothing.
    Nothing,
    /// A password, and the user name that came with it.
    Password {
        /// May be empty.
        user: String,
        /// As it was sent.
        password: Secret,
    },
}

/// A request for a play.
#[derive(Clone, Debug)]
pub struct Knock<'a> {
    /// Which play.
    pub play: &'a PlayId,
    /// What of it, as the pass signs it.
    pub target: &'a str,
    /// The pass that came with it.
    pub pass: Option<&'a str>,
    /// Password.
    pub given: Given,
    /// A browser that asks for the page, and will keep the pass that it gets: it has a visit of its own.
    pub keeps_pass: bool,
    /// From where.
    pub address: Option<IpAddr>,
    /// What it says that it is.
    pub agent: Option<&'a str>,
    /// For who decides instead of us.
    pub cookie: Option<&'a HeaderValue>,
}

/// Somebody who may see a play.
pub struct Entry {
    /// The play.
    pub play: Arc<Play>,
    plays: Plays,
    pass: Pass,
    who: Who,
    stop: CancellationToken,
}

/// Footage is on its way to somebody; the place is theirs until this is dropped.
pub struct Watching {
    plays: Plays,
    play: PlayId,
    visit: VisitId,
    viewing: Arc<Viewing>,
    stop: CancellationToken,
}

impl Plays {
    /// Lets somebody in, by a pass or by what they know.
    pub async fn enter(&self, knock: Knock<'_>) -> Result<Entry, Error> {
        let now = self.wall();
        let (play, stop) = self.known(knock.play)?;
        if play.revoked.is_some() {
            return Err(Error::Revoked);
        }
        if !play.is_open(now) {
            return Err(Error::Expired);
        }
        let pass = match self.pass_of(&play, &knock, now) {
            Some(pass) => pass,
            // What a playlist names lies in files that hold more than the play shows: a password opens none of them.
            None if knock.target != FILES => return Err(Error::NoPass),
            None => {
                self.weigh(&play, &knock).await?;
                self.begin(&play, &knock, now)
            }
        };
        let user = match knock.given {
            Given::Password { user, .. } => Some(user),
            Given::Nothing => None,
        };
        let who = Who { user, address: knock.address, agent: knock.agent.map(str::to_owned) };
        Ok(Entry { play, plays: self.clone(), pass, who, stop })
    }

    /// A pass that is good: not old, or of a visit that goes on.
    fn pass_of(&self, play: &Play, knock: &Knock<'_>, now: Wall) -> Option<Pass> {
        let pass = self.signer().read(&play.id, knock.target, knock.pass?)?;
        let goes_on = || self.with(|state, mono| state.places.is_known(&play.id, pass.visit, mono));
        (pass.is_fresh(now) || goes_on()).then_some(pass)
    }

    /// Whether what they know is enough.
    async fn weigh(&self, play: &Play, knock: &Knock<'_>) -> Result<(), Error> {
        let authorize = self.config().authorize;
        if authorize.is_none() && play.password.is_none() {
            return Ok(());
        }
        let origin = Origin::of(knock.address);
        let given = match (&knock.given, &authorize) {
            (Given::Nothing, None) => return Err(Error::PasswordNeeded),
            (Given::Nothing, Some(asking)) => {
                // Without a password there is nothing to guess, so this is no try.
                let _turn = self.asking_turn()?;
                let question = Question { play, given: &knock.given, address: knock.address, cookie: knock.cookie };
                return asking.ask(self.services(), question).await;
            }
            (given @ Given::Password { .. }, _) => given,
        };
        let delay = self.with(|state, mono| state.tries.begin(&play.id, origin, mono));
        let delay = delay.map_err(|wait| self.refused(play, origin, wait))?;
        if !delay.is_zero() {
            self.sleep(delay).await;
        }
        let judged = match (authorize, &play.password, given) {
            (Some(asking), _, given) => match self.asking_turn() {
                Ok(_turn) => {
                    let question = Question { play, given, address: knock.address, cookie: knock.cookie };
                    asking.ask(self.services(), question).await
                }
                Err(busy) => Err(busy),
            },
            (None, Some(hash), Given::Password { password, .. }) => self.verify(hash.clone(), password.clone()).await,
            (None, ..) => Ok(()),
        };
        self.with(|state, _| match &judged {
            Ok(()) => state.tries.right(&play.id, origin),
            Err(Error::WrongPassword) => {}
            Err(_) => state.tries.undo(&play.id, origin),
        });
        if matches!(judged, Err(Error::WrongPassword)) {
            self.meters().wrong.inc();
        }
        judged
    }

    fn refused(&self, play: &Play, origin: Origin, wait: Duration) -> Error {
        self.meters().refused.inc();
        tracing::debug!(play = %play.id, ?origin, ?wait, "a password was not looked at, too many were wrong");
        Error::Refused(wait)
    }

    /// A visit for somebody who was let in without a pass.
    fn begin(&self, play: &Play, knock: &Knock<'_>, now: Wall) -> Pass {
        let issued = seconds(now);
        let fresh = || VisitId(rand::random());
        if knock.keeps_pass {
            return Pass { visit: fresh(), issued };
        }
        let user = match &knock.given {
            Given::Password { user, .. } => user.as_str(),
            Given::Nothing => "",
        };
        let agent = knock.agent.unwrap_or_default();
        let address = knock.address.map(|a| a.to_canonical().to_string()).unwrap_or_default();
        let same = self.signer().visit_of(&play.id, &format!("{address}\0{user}\0{agent}"));
        self.with(|state, mono| {
            // Where places are few, two answers at once to who keeps no link are two who watch.
            let visit = match play.viewers_max.is_some() && state.places.is_open(&play.id, same) {
                true => fresh(),
                false => same,
            };
            // The names of what a playlist lists stay the same when it is fetched again.
            let began = state.places.get(&play.id, visit, mono).map(|viewing| viewing.began());
            Pass { visit, issued: began.map_or(issued, seconds) }
        })
    }
}

/// Whole seconds since the epoch.
fn seconds(at: Wall) -> u64 {
    u64::try_from(at.micros()).unwrap_or(0) / 1_000_000
}

impl Entry {
    /// A pass for something of the play: a file by its name, or [`super::FILES`].
    pub fn sign(&self, target: &str) -> String {
        self.plays.signer().sign(&self.play.id, self.pass, target)
    }

    /// The pass for the page, the playlist and the whole file.
    pub fn pass(&self) -> String {
        self.sign(FILES)
    }

    /// Whether there is a place for them, or they have it.
    pub fn has_place(&self) -> Result<(), Error> {
        let full = self
            .plays
            .with(|state, mono| state.places.room(&self.play.id, self.pass.visit, self.play.viewers_max, mono));
        full.map_err(|full| self.full(full))
    }

    /// They are still there.
    pub fn stays(&self) {
        self.plays.with(|state, mono| state.places.touch(&self.play.id, self.pass.visit, mono));
    }

    /// Takes a place, and has it written down that they watch: durable before the first byte goes.
    pub async fn watch(&self, footage: Option<Range>) -> Result<Watching, Error> {
        let now = self.plays.wall();
        let begin = || Arc::new(Viewing::new(&self.play, self.pass.visit, self.who.clone(), now));
        let (id, visit) = (&self.play.id, self.pass.visit);
        let viewing = self.plays.with(|state, mono| {
            let viewing = state.places.take(id, visit, self.play.viewers_max, mono, begin)?;
            state.places.open(id, visit);
            Ok(viewing)
        });
        let viewing = viewing.map_err(|full| self.full(full))?;
        // From here on the place is given back whatever happens.
        let watching = Watching {
            plays: self.plays.clone(),
            play: id.clone(),
            visit,
            viewing: viewing.clone(),
            stop: self.stop.clone(),
        };
        viewing.answered(footage, now);
        if !viewing.kept.load(Ordering::Acquire) {
            let batch = viewing.write(Batch::new())?;
            if let Err(error) = self.plays.store().commit(batch).await {
                viewing.unwritten();
                return Err(Error::Unwritten(error));
            }
            if !viewing.kept.swap(true, Ordering::AcqRel) {
                self.plays.meters().views.inc();
                let data = json!({ "stream": self.play.stream.to_string(), "address": self.who.address });
                self.plays.events().emit("play.viewed", id, data);
            }
        }
        Ok(watching)
    }

    fn full(&self, full: Full) -> Error {
        self.plays.meters().full.inc();
        match full {
            Full::Play(wait) => Error::Full(wait.max(Duration::from_secs(1))),
            Full::All => Error::Full(ALL_FULL_RETRY),
        }
    }

    /// What of time the play shows; live, this moment.
    pub fn range(&self) -> Range {
        match self.play.shown {
            Shown::Recorded(range) => range,
            Shown::Live => Range { from: self.plays.wall(), to: self.plays.wall() },
        }
    }
}

impl Watching {
    /// Bytes were handed over.
    pub fn sent(&self, bytes: u64) {
        self.viewing.sent(bytes, self.plays.wall());
    }

    /// Bytes of what the camera sends now were handed over.
    pub fn showed(&self, bytes: u64) {
        self.viewing.showed(bytes, self.plays.wall());
    }

    /// Fires when the play is taken back or its time is over.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.plays.with(|state, mono| state.places.close(&self.play, self.visit, mono));
    }
}
