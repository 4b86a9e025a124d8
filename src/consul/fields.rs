//! Bodies as the API's clients write them: names in any case, with underscores or without. Pure.

use super::{refusal::Refusal, time};
use crate::base::json::kind_of;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, time::Duration};

/// An object by plain names: lower case, no underscores.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(BTreeMap<String, Value>);

type Read<T> = Result<T, Refusal>;

fn wrong<T>(name: &str, found: &Value, wanted: &str) -> Read<T> {
    let kind = kind_of(found);
    Err(Refusal::bad(format!(
        "Request decode failed: json: cannot unmarshal {kind} into field {name} of type {wanted}"
    )))
}

impl Fields {
    /// Reads a body; an empty one is an object with nothing in it.
    pub fn read(body: &[u8]) -> Read<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let value = serde_json::from_slice(body).map_err(|e| Refusal::bad(format!("Request decode failed: {e}")))?;
        Self::of(&value, "body")
    }

    /// Of an object. Where a name stands twice in two cases, the last one counts.
    pub fn of(value: &Value, name: &str) -> Read<Self> {
        let plain = |map: &Map<String, Value>| {
            let named = map.iter().filter(|(_, value)| !value.is_null());
            Self(named.map(|(name, value)| (name.replace('_', "").to_lowercase(), value.clone())).collect())
        };
        match value {
            Value::Object(map) => Ok(plain(map)),
            Value::Null => Ok(Self::default()),
            other => wrong(name, other, "object"),
        }
    }

    /// Whether anything stands there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// What stands there.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(&name.to_lowercase())
    }

    /// A text; empty where there is none.
    pub fn text(&self, name: &str) -> Read<String> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => wrong(name, other, "string"),
        }
    }

    /// Yes or no; no where nothing is said.
    pub fn flag(&self, name: &str) -> Read<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text.is_empty() => Ok(false),
            Some(other) => wrong(name, other, "bool"),
        }
    }

    /// A whole number; 0 where there is none. Some clients write numbers as text.
    pub fn number(&self, name: &str) -> Read<u64> {
        match self.get(name) {
            None => Ok(0),
            Some(value) => {
                let text = value.as_str().and_then(|text| text.parse().ok());
                value.as_u64().or(text).map_or_else(|| wrong(name, value, "uint64"), Ok)
            }
        }
    }

    /// A port.
    pub fn port(&self, name: &str) -> Read<u16> {
        let number = self.number(name)?;
        u16::try_from(number).map_err(|_| Refusal::bad(format!("{number} is not a port")))
    }

    /// A length of time: text, or a number of nanoseconds. Zero where there is none.
    pub fn time(&self, name: &str) -> Read<Duration> {
        match self.get(name) {
            None => Ok(Duration::ZERO),
            Some(Value::String(text)) if text.is_empty() => Ok(Duration::ZERO),
            Some(Value::String(text)) => time::read(text).ok_or_else(|| {
                Refusal::bad(format!("Request decode failed: time: invalid duration {text:?} in {name}"))
            }),
            Some(value) => {
                value.as_u64().map_or_else(|| wrong(name, value, "time.Duration"), |n| Ok(Duration::from_nanos(n)))
            }
        }
    }

    /// Texts.
    pub fn texts(&self, name: &str) -> Read<Vec<String>> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(all)) => all
                .iter()
                .map(|one| one.as_str().map_or_else(|| wrong(name, one, "string"), |t| Ok(t.to_owned())))
                .collect(),
            Some(other) => wrong(name, other, "[]string"),
        }
    }

    /// Texts by name. Names are kept as they are.
    pub fn named_texts(&self, name: &str) -> Read<BTreeMap<String, String>> {
        match self.get(name) {
            None => Ok(BTreeMap::new()),
            Some(Value::Object(map)) => {
                let text = |(key, value): (&String, &Value)| match value.as_str() {
                    Some(text) => Ok((key.clone(), text.to_owned())),
                    None => wrong(&format!("{name}.{key}"), value, "string"),
                };
                map.iter().map(text).collect()
            }
            Some(other) => wrong(name, other, "map[string]string"),
        }
    }

    /// An object within.
    pub fn object(&self, name: &str) -> Read<Option<Self>> {
        self.get(name).map(|value| Self::of(value, name)).transpose()
    }

    /// Objects within.
    pub fn objects(&self, name: &str) -> Read<Vec<Self>> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(all)) => all.iter().map(|one| Self::of(one, name)).collect(),
            Some(other) => wrong(name, other, "array"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_case_that_clients_write() {
        let body = br#"{"name": "web", "service_id": "w", "TTL": "10s", "Timeout": 2000000000, "Meta": {"Ab_c": "x"}, "port": "80"}"#;
        let fields = Fields::read(body).unwrap();
        assert_eq!((fields.text("Name").unwrap(), fields.text("ServiceID").unwrap()), ("web".into(), "w".into()));
        assert_eq!(fields.time("ttl").unwrap(), Duration::from_secs(10));
        assert_eq!(fields.time("Timeout").unwrap(), Duration::from_secs(2));
        assert_eq!(fields.named_texts("Meta").unwrap().keys().next().unwrap(), "Ab_c");
        assert_eq!(fields.port("Port").unwrap(), 80);
        assert!(Fields::read(b"").unwrap().text("Name").unwrap().is_empty());
        for (body, wanted) in
            [("[]", "array into field body"), ("{", "Request decode failed"), ("\"x\"", "string into")]
        {
            let refusal = Fields::read(body.as_bytes()).unwrap_err();
            assert!(refusal.text.contains(wanted), "{}", refusal.text);
        }
        assert!(
            Fields::read(br#"{"Name": 1}"#).unwrap().text("Name").unwrap_err().text.contains("number into field Name")
        );
    }
}
