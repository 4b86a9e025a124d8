//! What the API says of the daemon itself: who asks, and the config with where each of its values comes from.

use crate::{admin::auth::Role, base::Wall};
use schemars::JsonSchema;
use serde::Serialize;

/// The effective config as the API shows it.
#[derive(Clone, Debug, Default)]
pub struct ShownConfig {
    /// Its values, secrets blanked.
    pub effective: serde_json::Value,
    /// The file that it was read from; none where there is none.
    pub file: Option<String>,
    /// Where the values come from that are not defaults.
    pub sources: Vec<ConfigSource>,
}

/// Where one value of the config comes from.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConfigSource {
    /// Its name with its section; of a list of tables with its number, from 0: `device.0.id`.
    pub key: String,
    /// The line of the file; null where it is not from the file.
    pub line: Option<usize>,
    /// The variable of the environment; null where it is from the file.
    pub variable: Option<String>,
}

/// `/api/v1/config/sources`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct ConfigSourcesView {
    /// The config file; null where there is none.
    pub file: Option<String>,
    /// Every key that is set; what is not named has its default.
    pub sources: Vec<ConfigSource>,
}

/// `/api/v1/session`
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct SessionView {
    /// What whoever asks may do; null: nothing before a token was given.
    pub role: Option<Role>,
    /// When a session ends unless it is used; null without one.
    pub expires: Option<Wall>,
    /// Whether a token is asked for at all.
    pub needs_token: bool,
}
