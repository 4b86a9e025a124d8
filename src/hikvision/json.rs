//! JSON as gateways write it: keys in any case, numbers with or without quotes, all of it bounded.

use super::xml::clip;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::{cell::Cell, fmt, str::FromStr};

/// How deep values may nest. Gateways use seven levels.
pub(super) const DEPTH_MAX: usize = 32;
/// How many values an answer may have. A page of a hundred devices has about 4,000.
pub(super) const VALUES_MAX: usize = 200_000;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Flag(bool),
    /// As a text, so that it reads alike with and without quotes.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The value of that key.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(entries) => entries.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value of that key, or all of it where there is no such key: gateways leave wrappers out.
    pub(super) fn unwrap_key(&self, key: &str) -> &Json {
        self.get(key).unwrap_or(self)
    }

    /// The text or number of that key; None where it is missing or empty.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Text(text) | Self::Number(text) => Some(text.trim()).filter(|t| !t.is_empty()),
            _ => None,
        }
    }

    /// The number of that key; None where it is missing or no number.
    pub(super) fn number<T: FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    /// `true` or `false` of that key.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Self::Flag(flag) => Some(*flag),
            Self::Text(t) | Self::Number(t) if t.eq_ignore_ascii_case("true") || t == "1" => Some(true),
            Self::Text(t) | Self::Number(t) if t.eq_ignore_ascii_case("false") || t == "0" => Some(false),
            _ => None,
        }
    }

    /// The list of that key. One object alone is a list of one; null, or nothing, is not an empty list.
    pub(super) fn list(&self, key: &str) -> Option<&[Json]> {
        match self.get(key)? {
            Self::List(list) => Some(list),
            one @ Self::Object(_) => Some(std::slice::from_ref(one)),
            _ => None,
        }
    }
}

/// Reads a whole document.
pub(super) fn parse(bytes: &[u8]) -> Result<Json, String> {
    // Names typed on devices with other encodings must not make the whole answer unreadable.
    let text = String::from_utf8_lossy(bytes);
    let mut reader = serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}').trim());
    let count = Cell::new(0);
    let value = Seed { count: &count, depth: 0 }.deserialize(&mut reader).map_err(|e| clip(&e.to_string()))?;
    reader.end().map_err(|e| clip(&e.to_string()))?;
    Ok(value)
}

/// Whether a body is meant to be JSON.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    bytes.trim_ascii_start().first() == Some(&b'{')
}

/// Reads one value and counts it.
#[derive(Clone, Copy)]
struct Seed<'a> {
    count: &'a Cell<usize>,
    depth: usize,
}

impl<'a> Seed<'a> {
    fn below<E: serde::de::Error>(self) -> Result<Seed<'a>, E> {
        match self.depth < DEPTH_MAX {
            true => Ok(Seed { depth: self.depth + 1, ..self }),
            false => Err(E::custom(format!("its values nest deeper than the limit of {DEPTH_MAX}"))),
        }
    }

    fn one<E: serde::de::Error>(self) -> Result<(), E> {
        self.count.set(self.count.get() + 1);
        match self.count.get() <= VALUES_MAX {
            true => Ok(()),
            false => Err(E::custom(format!("it has more than the limit of {VALUES_MAX} values"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        self.one().map_err(D::Error::custom::<D::Error>)?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(below)? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let below = self.below()?;
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            entries.push((key, access.next_value_seed(below)?));
        }
        Ok(Json::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spelling_does_not_matter() {
        for text in [r#"{"totalMatches":3,"on":true}"#, "\u{feff}\n{\"TotalMatches\" : \" 3\",\"On\":\"TRUE\"}\n"] {
            let value = parse(text.as_bytes()).unwrap();
            assert_eq!((value.number::<u32>("totalMatches"), value.flag("on")), (Some(3), Some(true)), "{text}");
            assert!(looks_like(text.as_bytes()));
        }
        assert!(!looks_like(b"<userCheck/>") && !looks_like(b""));
    }

    #[test]
    fn null_is_not_an_empty_list_and_one_object_is_a_list_of_one() {
        let value = parse(br#"{"a":null,"b":[],"c":{"id":1},"d":"x"}"#).unwrap();
        assert_eq!(value.list("a"), None);
        assert_eq!(value.list("b").map(<[Json]>::len), Some(0));
        assert_eq!(value.list("c").map(|l| l[0].number::<u8>("id")), Some(Some(1)));
        assert_eq!((value.list("d"), value.list("e")), (None, None));
    }

    #[test]
    fn limits_are_named() {
        let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        assert!(parse(deep.as_bytes()).unwrap_err().contains(&DEPTH_MAX.to_string()));
        let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
        assert!(parse(many.as_bytes()).unwrap_err().contains(&VALUES_MAX.to_string()));
        for text in ["", "{", "{} {}", "{\"a\":}", "nul"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn nothing_that_looks_like_json_panics(text in "([{}\\[\\],:\"]|null|true|-?[0-9]{1,30}(e[0-9]{1,4})?|\"a\"|\\\\u[d0-9a]{4}){0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
