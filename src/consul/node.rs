//! Nodes: this host, those that somebody named, and those that keys name.

use super::{fields::Fields, refusal::Refusal};
use crate::registry::{Named, Node, Owner};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};

/// The only one there is.
pub(super) const DATACENTER: &str = "dc1";

/// What is kept of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Words {
    pub id: String,
    pub address: String,
    pub meta: BTreeMap<String, String>,
    pub tagged: BTreeMap<String, String>,
}

/// A node as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub name: Arc<str>,
    pub words: Words,
    pub checks: Vec<Named>,
    pub created: u64,
    pub modified: u64,
    /// It is this one.
    pub is_ours: bool,
}

impl Host {
    /// This host.
    pub fn ours(name: &Arc<str>, address: &str, known: Option<&Node>) -> Self {
        let words = Words { address: address.to_owned(), ..Words::default() };
        let checks = known.map(|node| node.checks.clone()).unwrap_or_default();
        let modified = known.map_or(1, |node| node.modified);
        Self { name: name.clone(), words, checks, created: 1, modified, is_ours: true }
    }

    /// One that somebody named.
    pub fn named(node: &Node) -> Self {
        let words = serde_json::from_str(&node.words).unwrap_or_default();
        let Node { name, checks, created, modified, .. } = node.clone();
        Self { name, words, checks, created, modified, is_ours: false }
    }

    /// One that is only the place of an instance.
    pub fn place(name: &str, address: &str, created: u64, modified: u64) -> Self {
        let words = Words { address: address.to_owned(), ..Words::default() };
        Self { name: name.into(), words, checks: Vec::new(), created, modified, is_ours: false }
    }

    pub fn owner(&self) -> Owner {
        Owner::Node(self.name.clone())
    }

    /// Its id: as it was given, else one that its name always has.
    pub fn id(&self) -> String {
        match self.words.id.is_empty() && (self.is_ours || self.created > 0) {
            true => uuid_of(&self.name),
            false => self.words.id.clone(),
        }
    }

    /// Its addresses by name.
    pub fn tagged(&self) -> BTreeMap<String, String> {
        let mut all = self.words.tagged.clone();
        for name in ["lan", "wan"] {
            all.entry(name.to_owned()).or_insert_with(|| self.words.address.clone());
        }
        all
    }

    /// As lists of nodes show it.
    pub fn shape(&self) -> Value {
        json!({
            "ID": self.id(),
            "Node": &*self.name,
            "Address": self.words.address,
            "Datacenter": DATACENTER,
            "TaggedAddresses": self.tagged(),
            "Meta": self.words.meta,
            "CreateIndex": self.created,
            "ModifyIndex": self.modified,
        })
    }
}

impl Words {
    /// Of a registration.
    pub fn read(fields: &Fields) -> Result<Self, Refusal> {
        Ok(Self {
            id: fields.text("ID")?,
            address: fields.text("Address")?,
            meta: fields.named_texts("NodeMeta")?,
            tagged: fields.named_texts("TaggedAddresses")?,
        })
    }
}

/// An id that a name always has.
pub(super) fn uuid_of(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    uuid(&hex)
}

/// An id that nothing else has.
pub(super) fn new_uuid() -> String {
    uuid(&format!("{:032x}", rand::random::<u128>()))
}

fn uuid(hex: &str) -> String {
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}
