//! What the configuration says of services: some that are always there, and where they are keys.

use super::Spec;
use crate::model::InstanceKey;
use std::sync::Arc;

/// `[registry]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Instances of the file. Nobody else can change them, and they stay until the file does not name them any more.
    pub instances: Vec<StaticInstance>,
    /// Keys `<prefix><service>/<instance>` are instances, and instances are such keys; empty: not so.
    pub service_prefix: String,
}

/// An instance of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticInstance {
    /// Who it is.
    pub key: InstanceKey,
    /// What it is.
    pub spec: Arc<Spec>,
}
