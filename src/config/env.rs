//! The environment as a source of keys: `SKYVIS_<SECTION>__<KEY>`, and the names that the sites' old systems used.

use super::{
    fault::{Fault, Place},
    tree::{Node, Table, Value},
};
use std::collections::BTreeMap;

/// What every variable of ours begins with.
const PREFIX: &str = "SKYVIS_";
/// Names the file itself, so it is no key of it.
const FILE_VARIABLE: &str = "SKYVIS_CONFIG";
/// Variables of older systems and the key that each sets. An empty one counts as unset: compose files pass those on.
const OLD_NAMES: [(&str, [&str; 2]); 2] =
    [("WAN_ENDPOINT", ["proxy", "wan_endpoint"]), ("NOTIFY_PREFIX", ["notify", "prefix"])];
/// Sets the port of the first `proxy.listen`.
const OLD_PORT: &str = "NGINX_PORT";

/// The variables of a process and the name of its host. Passed in, so that a test can make one up.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: BTreeMap<String, String>,
    host_name: String,
}

impl Env {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        Self::new(variables, rustix::system::uname().nodename().to_string_lossy())
    }

    /// An environment made up of these variables on a host of this name.
    pub fn new<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
        host_name: impl Into<String>,
    ) -> Self {
        let variables = variables.into_iter().map(|(n, v)| (n.into(), v.into())).collect();
        Self { variables, host_name: host_name.into() }
    }

    /// One variable; an empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// The file that the environment names.
    pub fn config_file(&self) -> Option<&str> {
        self.get(FILE_VARIABLE)
    }

    /// The name of the host.
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// The port that an older system's variable gives to the first `proxy.listen`, with the variable's name. What
    /// sets the list under its own name outweighs it.
    pub(super) fn old_proxy_port(&self) -> Option<(&'static str, &str)> {
        let own_name = variable_of("proxy.listen");
        let port = self.get(OLD_PORT).filter(|_| !self.variables.contains_key(&own_name))?;
        Some((OLD_PORT, port))
    }

    /// Lays the variables over what the file said.
    pub(super) fn lay_over(&self, table: &mut Table) -> Vec<Fault> {
        for (name, path) in OLD_NAMES {
            if let Some(value) = self.get(name) {
                // The only obstacle is a section that is no table, which is a fault of the file already.
                let _ = insert(table, &path, name, value);
            }
        }
        let ours = self.variables.iter().filter(|(name, _)| name.starts_with(PREFIX) && *name != FILE_VARIABLE);
        let mut faults = Vec::new();
        for (name, value) in ours {
            let lower = name[PREFIX.len()..].to_ascii_lowercase();
            let path: Vec<&str> = lower.split("__").collect();
            if let Err(problem) = insert(table, &path, name, value) {
                faults.push(Fault { place: Place::Environment(name.clone()), key: path.join("."), problem });
            }
        }
        faults
    }
}

/// The variable that sets a key: `recording.retain_days` is set by `SKYVIS_RECORDING__RETAIN_DAYS`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

fn insert(table: &mut Table, path: &[&str], name: &str, value: &str) -> Result<(), String> {
    let place = || Place::Environment(name.to_owned());
    match path {
        [] => Ok(()),
        [key] => match table.get(*key).map(|n| &n.value) {
            Some(Value::Table(_)) => Err(format!("is a section and not a key; name the key, as in {name}__KEY")),
            Some(Value::List(items)) if items.iter().any(|i| matches!(i.value, Value::Table(_))) => {
                Err("can be set in the file only; unset the variable".into())
            }
            _ => {
                table.insert((*key).to_owned(), Node { place: place(), value: Value::Raw(value.to_owned()) });
                Ok(())
            }
        },
        [section, rest @ ..] => {
            let node = table
                .entry((*section).to_owned())
                .or_insert_with(|| Node { place: place(), value: Value::Table(Table::new()) });
            match &mut node.value {
                Value::Table(inner) => insert(inner, rest, name, value),
                _ => Err(format!("`{section}` is not a section; what it holds can be set in the file only")),
            }
        }
    }
}
