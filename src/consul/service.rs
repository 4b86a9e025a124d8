//! Registrations of services: read, judged, turned into what the registry keeps. Pure.

use super::{
    check::{self, Usual},
    fields::Fields,
    refusal::Refusal,
};
use crate::registry::{Begun, Spec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

const META_MAX: usize = 64;
const META_KEY_BYTES_MAX: usize = 128;
const META_VALUE_BYTES_MAX: usize = 512;
const WEIGHT_MAX: u64 = 65_535;

/// What is kept of a service beside what the registry knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Words {
    pub id: String,
    /// As it was given: empty means the node's.
    pub address: String,
    /// In the order in which they were given.
    pub tags: Vec<String>,
    pub tagged: BTreeMap<String, Place>,
    pub passing: u64,
    pub warning: u64,
    pub tag_override: bool,
    pub socket: String,
}

/// An address under a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    #[serde(rename = "Address", alias = "address")]
    pub address: String,
    #[serde(rename = "Port", alias = "port")]
    pub port: u16,
}

/// What somebody registers.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub name: String,
    pub words: Words,
    pub port: u16,
    pub meta: BTreeMap<String, String>,
    pub checks: Vec<Begun>,
}

/// Reads a service; `name` is what its name is called there.
pub(super) fn read(fields: &Fields, name: &str) -> Result<Registration, Refusal> {
    let service = fields.text(name)?;
    if service.is_empty() {
        return Err(Refusal::bad("Missing service name"));
    }
    refuse_mesh(fields)?;
    let id = Some(fields.text("ID")?).filter(|id| !id.is_empty()).unwrap_or_else(|| service.clone());
    let address = fields.text("Address")?;
    if ["0.0.0.0", "::", "[::]"].contains(&address.as_str()) {
        return Err(Refusal::bad("Invalid service address"));
    }
    let meta = fields.named_texts("Meta")?;
    check_meta(&meta)?;
    let (passing, warning) = match fields.object("Weights")? {
        None => (1, 1),
        Some(weights) => (weights.number("Passing")?, weights.number("Warning")?),
    };
    if !(1..=WEIGHT_MAX).contains(&passing) || warning > WEIGHT_MAX {
        return Err(Refusal::bad(format!(
            "Invalid Weights: Passing must lie between 1 and {WEIGHT_MAX}, Warning between 0 and {WEIGHT_MAX}"
        )));
    }
    let port = fields.port("Port")?;
    let tagged = match fields.get("TaggedAddresses") {
        None => BTreeMap::new(),
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|e| Refusal::bad(format!("Request decode failed: json: field TaggedAddresses: {e}")))?,
    };
    let words = Words {
        tagged: with_usual(tagged, &address, port),
        id,
        address,
        tags: fields.texts("Tags")?,
        passing,
        warning,
        tag_override: fields.flag("EnableTagOverride")?,
        socket: fields.text("SocketPath")?,
    };
    let checks = checks(fields, &service, &words.id)?;
    Ok(Registration { name: service, words, port, meta, checks })
}

/// What belongs to the mesh is not served.
fn refuse_mesh(fields: &Fields) -> Result<(), Refusal> {
    let says = |name: &str| {
        fields.get(name).is_some_and(|value| match value {
            Value::Object(map) => map.values().any(|v| !matches!(v, Value::Null | Value::Bool(false))),
            Value::String(text) => !text.is_empty(),
            _ => true,
        })
    };
    match ["Kind", "Proxy", "Connect", "Locality"].into_iter().find(|name| says(name)) {
        Some(name) => Err(Refusal::left_out(&format!("services with {name}"))),
        None => Ok(()),
    }
}

fn check_meta(meta: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let bad = |why: String| Err(Refusal::bad(format!("Invalid Service Meta: {why}")));
    if meta.len() > META_MAX {
        return bad(format!("Node metadata cannot contain more than {META_MAX} key/value pairs"));
    }
    for (key, value) in meta {
        if key.is_empty() {
            return bad("Couldn't load metadata pair ('', ...): Key cannot be blank".to_owned());
        }
        let is_clean = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let why = if !is_clean {
            "Key contains invalid characters".to_owned()
        } else if key.len() > META_KEY_BYTES_MAX {
            format!("Key is too long (limit: {META_KEY_BYTES_MAX} characters)")
        } else if key.starts_with("consul-") {
            "Key prefix 'consul-' is reserved for internal use".to_owned()
        } else if value.len() > META_VALUE_BYTES_MAX {
            format!("Value is too long (limit: {META_VALUE_BYTES_MAX} characters)")
        } else {
            continue;
        };
        return bad(format!("Couldn't load metadata pair ('{key}', '{value}'): {why}"));
    }
    Ok(())
}

/// An IP address has its own name among the others.
fn with_usual(mut tagged: BTreeMap<String, Place>, address: &str, port: u16) -> BTreeMap<String, Place> {
    let kind = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => "ipv4",
        Ok(IpAddr::V6(_)) => "ipv6",
        Err(_) => return tagged,
    };
    for side in ["lan", "wan"] {
        let place = Place { address: address.to_owned(), port };
        tagged.entry(format!("{side}_{kind}")).or_insert(place);
    }
    tagged
}

/// `Check`, then `Checks`.
fn checks(fields: &Fields, service: &str, id: &str) -> Result<Vec<Begun>, Refusal> {
    let all: Vec<Fields> = fields.object("Check")?.into_iter().chain(fields.objects("Checks")?).collect();
    let usual = |n: usize| Usual {
        id: if all.len() == 1 { format!("service:{id}") } else { format!("service:{id}:{}", n + 1) },
        name: format!("Service '{service}' check"),
    };
    all.iter().enumerate().map(|(n, one)| check::read(one, &usual(n))).collect()
}

impl Registration {
    /// What the registry keeps of it, on a node that is there.
    pub fn spec(&self, node: &Arc<str>, node_address: &str) -> Spec {
        let address = if self.words.address.is_empty() { node_address } else { &self.words.address };
        Spec {
            weight: u32::try_from(self.words.passing).unwrap_or(1),
            tags: self.words.tags.iter().filter(|tag| !tag.is_empty()).map(|tag| tag.as_str().into()).collect(),
            meta: self.meta.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
            node: Some(node.clone()),
            // Texts and numbers can always be written.
            words: Some(serde_json::to_string(&self.words).unwrap_or_default().into()),
            ..Spec::new(address, self.port)
        }
    }
}

impl Words {
    /// Its addresses by name.
    pub fn tagged_shape(&self) -> Value {
        json!(self.tagged)
    }

    /// Its weights.
    pub fn weights_shape(&self) -> Value {
        json!({ "Passing": self.passing, "Warning": self.warning })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::How;
    use std::time::Duration;

    fn of(body: &str) -> Result<Registration, Refusal> {
        read(&Fields::read(body.as_bytes()).unwrap(), "Name")
    }

    #[test]
    fn what_clients_send_is_read() {
        let web =
            of(r#"{"name":"web","id":"web-1","address":"10.0.0.1","port":80,"tags":["b","a"],"check":{"ttl":"10s"}}"#)
                .unwrap();
        assert_eq!((web.name.as_str(), web.words.id.as_str(), web.port), ("web", "web-1", 80));
        assert_eq!(web.words.tags, ["b", "a"]);
        assert_eq!(web.checks[0].asked.how, How::Ttl(Duration::from_secs(10)));
        assert_eq!(web.words.tagged["lan_ipv4"].address, "10.0.0.1");
        let spec = web.spec(&"n1".into(), "10.0.0.9");
        assert_eq!((&*spec.address, spec.weight, spec.node.as_deref()), ("10.0.0.1", 1, Some("n1")));
        let two =
            of(r#"{"Name":"a","Check":{"TTL":"1s"},"Checks":[{"TTL":"2s"},{"TTL":"3s","CheckID":"c"}]}"#).unwrap();
        let ids: Vec<_> = two.checks.iter().map(|c| c.asked.id.to_string()).collect();
        assert_eq!(ids, ["service:a:1", "service:a:2", "c"]);
        assert_eq!(&*two.spec(&"n1".into(), "10.0.0.9").address, "10.0.0.9", "none of its own: the node's");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (body, text) in [
            ("{}", "Missing service name"),
            (r#"{"Name":"a","Address":"0.0.0.0"}"#, "Invalid service address"),
            (r#"{"Name":"a","Kind":"connect-proxy"}"#, "skyvis does not serve services with Kind"),
            (r#"{"Name":"a","Connect":{"Native":true}}"#, "skyvis does not serve services with Connect"),
            (
                r#"{"Name":"a","Meta":{"b c":"d"}}"#,
                "Invalid Service Meta: Couldn't load metadata pair ('b c', 'd'): Key contains invalid characters",
            ),
        ] {
            assert_eq!(of(body).unwrap_err().text, text, "{body}");
        }
        assert!(
            of(r#"{"Name":"a","Connect":{},"Proxy":null,"Weights":{"Passing":0}}"#)
                .unwrap_err()
                .text
                .contains("Weights")
        );
        assert!(of(r#"{"Name":"a","Connect":{"Native":false}}"#).is_ok());
    }
}
