//! Services, their instances, and the catalog of all of them at one moment.

use crate::base::Wall;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::Arc,
};

/// The longest name of a service or an instance, in bytes: that of a DNS name.
pub const NAME_BYTES_MAX: usize = 253;
/// The heaviest weight of an instance. Sites write 1000.
pub const WEIGHT_MAX: u32 = 65_535;

/// A name that cannot be one; says what is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{shown}` is not the name of {what}; use 1 to {NAME_BYTES_MAX} bytes of text without `/` and control characters"
)]
pub struct BadName {
    what: &'static str,
    shown: String,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                match is_name(text) {
                    true => Ok(Self(text.into())),
                    false => Err(BadName { what: $what, shown: text.chars().take(NAME_BYTES_MAX).collect() }),
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a service: text that can be a segment of a path, since other registries make paths of it.
    ServiceName,
    "a service"
);
name!(
    /// The name of an instance within its service.
    InstanceId,
    "an instance"
);

fn is_name(text: &str) -> bool {
    let is_dots = text == "." || text == "..";
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !is_dots && !text.contains(|c: char| c == '/' || c.is_control())
}

/// One instance among all: what outlives a change of the catalog is kept by this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceKey {
    /// Its service.
    pub service: ServiceName,
    /// Its name there.
    pub id: InstanceId,
}

/// What checks say of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All is well, or nothing is checked.
    Passing,
    /// It serves, and says that something is amiss.
    Warning,
    /// It does not serve.
    Critical,
    /// Somebody took it out.
    Maintenance,
}

impl Health {
    /// Whether requests may go there.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Passing | Self::Warning)
    }

    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Maintenance => "maintenance",
        }
    }
}

/// Who registered an instance, and so who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The configuration file: read-only elsewhere.
    Config,
    /// Our own API.
    Api,
    /// The Consul-compatible front.
    Consul,
    /// The etcd-compatible front.
    Etcd,
}

/// One address that serves a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Who it is.
    pub key: InstanceKey,
    /// Where it serves: an IP address or a host name, as it was registered.
    pub address: Arc<str>,
    /// Its TCP port.
    pub port: u16,
    /// Its share of requests beside the others; 0: none.
    pub weight: u32,
    /// Words that routes choose by.
    pub tags: BTreeSet<Arc<str>>,
    /// What it says of itself.
    pub meta: BTreeMap<Arc<str>, Arc<str>>,
    /// What checks say.
    pub health: Health,
    /// Why it is not passing, or has no target: for people.
    pub reason: Option<Arc<str>>,
    /// Who registered it.
    pub source: Source,
    /// The addresses that it resolves to now, best first; none where a host name resolves to none.
    pub targets: Arc<[SocketAddr]>,
    /// Since when its health is what it is.
    pub since: Wall,
    /// The revision that made it.
    pub created: u64,
    /// The revision that changed it last.
    pub modified: u64,
}

impl Instance {
    /// Whether requests may go there.
    pub fn is_routable(&self) -> bool {
        self.health.is_live() && self.weight > 0 && !self.targets.is_empty()
    }

    /// Whether it carries all of them.
    pub fn has_tags(&self, tags: &BTreeSet<Arc<str>>) -> bool {
        tags.is_subset(&self.tags)
    }
}

/// A named service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Those that serve it, by id, well or not.
    pub instances: Vec<Arc<Instance>>,
    /// The revision that changed any of it last.
    pub modified: u64,
}

/// All services at one moment. Cheap to copy where little changes: services that did not change are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Grows with every visible change.
    pub revision: u64,
    /// Services that have instances, by name.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
}

impl Catalog {
    /// A service by its name.
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// How many instances there are.
    pub fn instances(&self) -> usize {
        self.services.values().map(|service| service.instances.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_segments_of_a_path() {
        for good in ["web-api", "a", "A.b_c:1", "摄像", &"x".repeat(NAME_BYTES_MAX)] {
            assert_eq!(good.parse::<ServiceName>().unwrap().as_str(), good);
        }
        for bad in ["", "a/b", "a\0", "a\n", ".", "..", &"x".repeat(NAME_BYTES_MAX + 1)] {
            let error = bad.parse::<InstanceId>().unwrap_err().to_string();
            assert!(error.contains("is not the name of an instance"), "{error}");
        }
    }
}
