//! The text of `rpc.proto`, read: messages by their fields, for whoever has names instead of numbers.

use std::{collections::HashMap, sync::LazyLock};

/// Our own text.
pub(super) const TEXT: &str = include_str!("rpc.proto");

/// All of it. The text is a part of the program, and a test reads it.
pub(super) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::read(TEXT));

/// What kind of value a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes,
    String,
    Bool,
    Int64,
    Uint64,
    Uint32,
    /// By its name.
    Enum(String),
    /// By its name.
    Message(String),
}

/// One field of a message. Those of a `oneof` are fields like others on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: String,
    pub number: u32,
    pub kind: Kind,
    pub repeated: bool,
}

/// An enumeration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    /// With that of the message that it stands in.
    pub full_name: String,
    pub values: Vec<(String, i32)>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub asked: String,
    pub answered: String,
}

/// What a text says.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub messages: HashMap<String, Vec<Field>>,
    pub enums: HashMap<String, Values>,
    /// By their path on the wire.
    pub calls: HashMap<String, Call>,
}

impl Field {
    /// Its name as JSON has it where not as the text does.
    pub fn camel(&self) -> String {
        let mut upper = false;
        let mut name = String::new();
        for c in self.name.chars() {
            match c {
                '_' => upper = true,
                c if std::mem::take(&mut upper) => name.push(c.to_ascii_uppercase()),
                c => name.push(c),
            }
        }
        name
    }
}

impl Schema {
    /// Reads a text. What it does not know it passes over.
    pub fn read(text: &str) -> Self {
        let code: String =
            text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
        let mut words = Words(words(&code));
        let mut schema = Self::default();
        let mut package = String::new();
        while let Some(word) = words.next() {
            match word.as_str() {
                "package" => package = words.next().unwrap_or_default(),
                "service" => schema.service(&package, &mut words),
                "message" => schema.message(&mut words),
                "enum" => schema.enumeration("", &mut words),
                _ => {}
            }
        }
        // Whether a name is that of an enumeration is known only now.
        let Self { messages, enums, .. } = &mut schema;
        for field in messages.values_mut().flatten() {
            if let Kind::Message(name) = &field.kind
                && enums.contains_key(name)
            {
                field.kind = Kind::Enum(name.clone());
            }
        }
        schema
    }

    /// `Name { rpc Call(stream Asked) returns (stream Answered); … }`
    fn service(&mut self, package: &str, words: &mut Words) {
        let name = words.next().unwrap_or_default();
        words.next();
        while words.next().is_some_and(|word| word == "rpc") {
            let call = words.next().unwrap_or_default();
            let mut message = || {
                let mut inner = words.until(")");
                inner.pop()
            };
            let (asked, answered) = (message().unwrap_or_default(), message().unwrap_or_default());
            words.next();
            self.calls.insert(format!("/{package}.{name}/{call}"), Call { asked, answered });
        }
    }

    /// `Name { enum … oneof … { … } repeated kind name = 1; … }`
    fn message(&mut self, words: &mut Words) {
        let name = words.next().unwrap_or_default();
        words.next();
        let (mut fields, mut depth) = (Vec::new(), 1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "enum" => self.enumeration(&name, words),
                "oneof" => {
                    depth += 1;
                    words.next();
                    words.next();
                }
                "}" => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                first => {
                    let repeated = first == "repeated";
                    let kind = if repeated { words.next().unwrap_or_default() } else { word };
                    let rest = words.until(";");
                    let [name, _, number] = &rest[..] else { continue };
                    let number = number.parse().unwrap_or(0);
                    fields.push(Field { name: name.clone(), number, kind: Kind::of(&kind), repeated });
                }
            }
        }
        self.messages.insert(name, fields);
    }

    fn enumeration(&mut self, within: &str, words: &mut Words) {
        let name = words.next().unwrap_or_default();
        words.next();
        let full_name = if within.is_empty() { name.clone() } else { format!("{within}_{name}") };
        let mut values = Vec::new();
        for line in words.until("}").split(|word| word == ";") {
            if let [value, _, number] = line {
                values.push((value.clone(), number.parse().unwrap_or(0)));
            }
        }
        self.enums.insert(name, Values { full_name, values });
    }
}

impl Kind {
    fn of(word: &str) -> Self {
        match word {
            "bytes" => Self::Bytes,
            "string" => Self::String,
            "bool" => Self::Bool,
            "int64" => Self::Int64,
            "uint64" => Self::Uint64,
            "uint32" => Self::Uint32,
            name => Self::Message(name.to_owned()),
        }
    }
}

/// Words and signs of a text.
struct Words(std::vec::IntoIter<String>);

impl Words {
    fn next(&mut self) -> Option<String> {
        self.0.next()
    }

    /// All up to a sign, which is taken too.
    fn until(&mut self, end: &str) -> Vec<String> {
        self.0.by_ref().take_while(|word| word != end).collect()
    }
}

fn words(code: &str) -> std::vec::IntoIter<String> {
    let mut all: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in code.chars() {
        let is_word = c.is_alphanumeric() || matches!(c, '_' | '.' | '"');
        match all.last_mut() {
            Some(last) if is_word && in_word => last.push(c),
            _ if c.is_whitespace() => {}
            _ => all.push(c.into()),
        }
        in_word = is_word;
    }
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field as one line, its number first.
    type Line = (u32, String);

    /// What the types of `wire.rs` say of themselves, by the attributes of their fields.
    fn written() -> HashMap<String, Vec<Line>> {
        let mut messages: HashMap<String, Vec<Line>> = HashMap::new();
        let mut oneofs: HashMap<String, String> = HashMap::new();
        let (mut name, mut tag) = (String::new(), None);
        for line in include_str!("wire.rs").lines().map(str::trim) {
            let between = |from: &str, to: &str| line.split(from).nth(1)?.split(to).next().map(str::to_owned);
            if let Some(of) = between("pub struct ", " {") {
                name = of;
                messages.entry(name.clone()).or_default();
            } else if let Some(of) = between("pub enum ", " {") {
                name = oneofs[&of].clone();
            } else if let Some(of) = between("oneof = \"", "\"") {
                oneofs.insert(of, name.clone());
            } else if let Some(number) = between("tag = \"", "\"") {
                let kind = line.split(['(', ' ', ',']).nth(1).unwrap_or("").to_owned();
                tag = Some((number.parse().unwrap(), kind, line.contains("repeated")));
            } else if let Some((number, kind, repeated)) = tag.take() {
                // What a message's field holds stands in its type.
                let inner = line.trim_end_matches(',').trim_end_matches(['>', ')']);
                let inner = inner.rsplit(['<', '(', ' ']).next().unwrap_or("").to_owned();
                let kind = if kind == "message" { inner } else { kind };
                messages.get_mut(&name).unwrap().push((number, format!("{kind} {repeated}")));
            }
        }
        messages
    }

    #[test]
    fn the_types_are_those_of_the_text() {
        let schema = Schema::read(TEXT);
        let line = |f: &Field| {
            let kind = match &f.kind {
                Kind::Bytes => "bytes".to_owned(),
                Kind::String => "string".to_owned(),
                Kind::Bool => "bool".to_owned(),
                Kind::Int64 => "int64".to_owned(),
                Kind::Uint64 => "uint64".to_owned(),
                Kind::Uint32 => "uint32".to_owned(),
                Kind::Enum(_) => "int32".to_owned(),
                Kind::Message(name) => name.replace("HashKV", "HashKv"),
            };
            (f.number, format!("{kind} {}", f.repeated))
        };
        let mut written = written();
        assert!(
            schema.messages.len() > 40 && schema.calls.len() == 21,
            "{} {}",
            schema.messages.len(),
            schema.calls.len()
        );
        for (name, fields) in &schema.messages {
            let mut of_text: Vec<Line> = fields.iter().map(line).collect();
            let mut of_type =
                written.remove(&name.replace("HashKV", "HashKv")).unwrap_or_else(|| panic!("no type {name}"));
            of_text.sort();
            of_type.sort();
            assert_eq!(of_type, of_text, "{name}");
        }
        assert!(written.is_empty(), "types that the text does not have: {written:?}");
        let watch = &schema.calls["/etcdserverpb.Watch/Watch"];
        assert_eq!((watch.asked.as_str(), watch.answered.as_str()), ("WatchRequest", "WatchResponse"));
        for call in schema.calls.values() {
            assert!(
                schema.messages.contains_key(&call.asked) && schema.messages.contains_key(&call.answered),
                "{call:?}"
            );
        }
        let order = &schema.enums["SortOrder"];
        assert_eq!((order.full_name.as_str(), order.values.len()), ("RangeRequest_SortOrder", 3));
    }
}
