//! Typed keyspaces: one byte of prefix, a name, a codec, a type.

use super::Error;
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;

/// How values of a keyspace are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Small and quick; the type's shape is the format.
    Postcard,
    /// Reads old rows after fields were added.
    Json,
}

/// A typed part of the store. A constant of the room that owns it: `const SEGMENTS: Keyspace<Segment> = …`.
pub struct Keyspace<V> {
    prefix: u8,
    name: &'static str,
    codec: Codec,
    _value: PhantomData<fn(V) -> V>,
}

// By hand, because deriving would ask the same of `V`.
impl<V> Clone for Keyspace<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Keyspace<V> {}

impl<V> Keyspace<V> {
    /// A keyspace. `prefix` is unique in the crate and not 0, which the store keeps for itself.
    pub const fn new(prefix: u8, name: &'static str, codec: Codec) -> Self {
        assert!(prefix != 0, "prefix 0 is the store's own");
        Self { prefix, name, codec, _value: PhantomData }
    }

    /// The first byte of every row.
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// For messages.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<V: Serialize> Keyspace<V> {
    pub(super) fn encode(&self, value: &V) -> Result<Vec<u8>, Error> {
        match self.codec {
            Codec::Postcard => postcard::to_stdvec(value).map_err(|e| e.to_string()),
            Codec::Json => serde_json::to_vec(value).map_err(|e| e.to_string()),
        }
        .map_err(|what| Error::Row { keyspace: self.name, what })
    }
}

impl<V: DeserializeOwned> Keyspace<V> {
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<V, Error> {
        match self.codec {
            Codec::Postcard => postcard::from_bytes(bytes).map_err(|e| e.to_string()),
            Codec::Json => serde_json::from_slice(bytes).map_err(|e| e.to_string()),
        }
        .map_err(|what| Error::Row { keyspace: self.name, what })
    }
}
