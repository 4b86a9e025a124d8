//! Who is served, and whom a datagram is for.

use super::{Error, stun};
use bytes::Bytes;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// Sessions at once: a thousand who watch, and those who come and go.
pub(in crate::playback) const SESSIONS_MAX: usize = 2_048;
/// Sessions of one address: an office behind one, with a wall of tiles open here and there.
pub(in crate::playback) const SESSIONS_PER_ADDRESS_MAX: usize = 256;
/// Addresses that one viewer may be heard from, as networks change under a telephone.
const SOURCES_PER_SESSION_MAX: usize = 8;
/// What waits to be looked at by one session. Viewers have little to say; what is too much is lost, as on a network.
const WAITING_MAX: usize = 64;

/// What reaches a session.
pub(super) enum Heard {
    /// A datagram, by UDP.
    Datagram(SocketAddr, Bytes),
    /// A connection that called this session.
    Link(SocketAddr, Arc<TcpStream>),
    /// What came by one.
    Linked(SocketAddr, Bytes),
    /// One is over.
    Unlinked(SocketAddr),
}

/// All sessions.
#[derive(Default)]
pub(super) struct Board(Mutex<State>);

#[derive(Default)]
struct State {
    by_id: HashMap<String, Arc<Post>>,
    /// By the name that datagrams call.
    by_name: HashMap<String, Arc<Post>>,
    by_source: HashMap<SocketAddr, Arc<Post>>,
    by_address: HashMap<Option<IpAddr>, usize>,
}

/// Where a session is reached.
pub(super) struct Post {
    pub(super) id: String,
    name: String,
    address: Option<IpAddr>,
    pub(super) inbox: mpsc::Sender<Heard>,
    pub(super) stop: CancellationToken,
}

/// A session's place, until it is dropped.
pub(super) struct Place {
    board: Arc<Board>,
    pub(super) post: Arc<Post>,
    sources: Vec<SocketAddr>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for somebody from there.
    pub(super) fn has_room(&self, address: Option<IpAddr>) -> Result<(), Error> {
        self.state().has_room(address)
    }

    /// A place for a session that is called by `name`, and what reaches it.
    pub(super) fn enter(
        self: &Arc<Self>,
        name: String,
        address: Option<IpAddr>,
        stop: CancellationToken,
    ) -> Result<(Place, mpsc::Receiver<Heard>), Error> {
        let (inbox, heard) = mpsc::channel(WAITING_MAX);
        // Who knows it may end the session: nobody guesses it.
        let id = format!("{:032x}", rand::random::<u128>());
        let mut state = self.state();
        state.has_room(address)?;
        let post = Arc::new(Post { id: id.clone(), name: name.clone(), address, inbox, stop });
        *state.by_address.entry(address).or_default() += 1;
        state.by_id.insert(id, post.clone());
        state.by_name.insert(name, post.clone());
        Ok((Place { board: self.clone(), post, sources: Vec::new() }, heard))
    }

    /// The session of an id.
    pub(super) fn of_id(&self, id: &str) -> Option<Arc<Post>> {
        self.state().by_id.get(id).cloned()
    }

    /// The session that a first packet calls.
    pub(super) fn called(&self, packet: &[u8]) -> Option<Arc<Post>> {
        self.state().by_name.get(stun::callee(packet)?).cloned()
    }

    /// Hands a datagram on to whom it is for; false: to nobody.
    pub(super) fn hand(&self, source: SocketAddr, datagram: &[u8]) -> bool {
        let post = match stun::is_stun(datagram) {
            // What calls somebody by name proves who sends it, to whom it is handed.
            true => self.called(datagram),
            false => self.state().by_source.get(&source).cloned(),
        };
        post.is_some_and(|post| post.inbox.try_send(Heard::Datagram(source, Bytes::copy_from_slice(datagram))).is_ok())
    }
}

impl State {
    fn has_room(&self, address: Option<IpAddr>) -> Result<(), Error> {
        if self.by_id.len() >= SESSIONS_MAX {
            return Err(Error::Full(SESSIONS_MAX));
        }
        if self.by_address.get(&address).is_some_and(|open| *open >= SESSIONS_PER_ADDRESS_MAX) {
            return Err(Error::AddressFull(SESSIONS_PER_ADDRESS_MAX));
        }
        Ok(())
    }
}

impl Place {
    /// What comes from there is this session's, which was proved.
    pub(super) fn is_at(&mut self, source: SocketAddr) {
        if self.sources.contains(&source) || self.sources.len() >= SOURCES_PER_SESSION_MAX {
            return;
        }
        self.sources.push(source);
        self.board.state().by_source.insert(source, self.post.clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.board.state();
        state.by_id.remove(&self.post.id);
        state.by_name.remove(&self.post.name);
        for source in &self.sources {
            // Another one may be there by now.
            if state.by_source.get(source).is_some_and(|post| Arc::ptr_eq(post, &self.post)) {
                state.by_source.remove(source);
            }
        }
        if let Some(open) = state.by_address.get_mut(&self.post.address) {
            *open -= 1;
            if *open == 0 {
                state.by_address.remove(&self.post.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(board: &Arc<Board>, name: &str, address: &str) -> Result<(Place, mpsc::Receiver<Heard>), Error> {
        board.enter(name.into(), Some(address.parse().unwrap()), CancellationToken::new())
    }

    #[test]
    fn what_was_not_proved_is_nobodys_and_nothing_is_left_of_who_went() {
        let board = Arc::new(Board::default());
        let (mut place, mut heard) = enter(&board, "a", "192.0.2.1").unwrap();
        let (here, media) = ("192.0.2.1:5000".parse().unwrap(), [128, 1]);
        assert!(!board.hand(here, &media));
        place.is_at(here);
        assert!(board.hand(here, &media));
        assert!(matches!(heard.try_recv(), Ok(Heard::Datagram(source, bytes)) if source == here && bytes[..] == media));
        for _ in 0..WAITING_MAX {
            assert!(board.hand(here, &media));
        }
        assert!(!board.hand(here, &media), "what nobody looks at is lost");
        // Of many addresses some are known.
        (0..100).for_each(|n| place.is_at(SocketAddr::new(here.ip(), n)));
        assert_eq!(board.state().by_source.len(), SOURCES_PER_SESSION_MAX);
        let id = place.post.id.clone();
        assert!(board.of_id(&id).is_some());
        drop(place);
        let state = board.state();
        assert!(state.by_id.is_empty() && state.by_name.is_empty() && state.by_source.is_empty());
        assert!(state.by_address.is_empty());
    }

    #[test]
    fn one_address_does_not_take_all_places() {
        let board = Arc::new(Board::default());
        let mut all = Vec::new();
        for n in 0..SESSIONS_PER_ADDRESS_MAX {
            all.push(enter(&board, &format!("a{n}"), "192.0.2.1").unwrap());
        }
        assert!(matches!(enter(&board, "b", "192.0.2.1"), Err(Error::AddressFull(_))));
        while all.len() < SESSIONS_MAX {
            let address = format!("10.0.{}.{}", all.len() / 200, all.len() % 200);
            all.push(enter(&board, &format!("c{}", all.len()), &address).unwrap());
        }
        assert!(matches!(enter(&board, "d", "192.0.2.9"), Err(Error::Full(_))));
        assert!(board.has_room(Some("192.0.2.9".parse().unwrap())).is_err());
        all.truncate(1);
        assert!(enter(&board, "d", "192.0.2.9").is_ok());
    }
}
