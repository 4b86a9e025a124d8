//! Reads a tree key by key and collects what is wrong. Knows no key: `sections` names them.

use super::{
    env,
    fault::{Fault, Place},
    tree::{self, Node, Table, Value},
};
use crate::base::{nearest::nearest, units};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fmt,
    ops::RangeInclusive,
    time::Duration,
};

/// What a key of the contract that is not built yet may say, being its default.
pub(super) enum Unbuilt {
    Text(&'static str),
    Duration(&'static str),
    Flag(bool),
    Integer(i64),
    /// `[]`, `{}` or a section without keys.
    Empty,
}

/// Collects faults, and the keys that were asked for.
#[derive(Default)]
pub(super) struct Sink {
    faults: RefCell<Vec<Fault>>,
    unknown: RefCell<Vec<Unknown>>,
    known: RefCell<BTreeSet<String>>,
    /// What begins the keys of sections that may stand many times: no variable of the environment can name one of them.
    repeated: RefCell<BTreeSet<String>>,
    /// Set where the file was not understood as a whole: what seems to be missing may stand in the part that was not.
    pub(super) partial: Cell<bool>,
}

struct Unknown {
    place: Place,
    section: String,
    key: String,
    siblings: Vec<&'static str>,
}

/// One table of the file while it is read.
pub(super) struct Scope<'a> {
    /// Its name with a dot behind it; empty for the file itself.
    prefix: String,
    place: Place,
    table: &'a Table,
    sink: &'a Sink,
    asked: RefCell<Vec<&'static str>>,
}

impl Sink {
    /// Reads the file's outermost table.
    pub(super) fn read<T>(&self, table: &Table, read: impl FnOnce(&Scope<'_>) -> T) -> T {
        self.scope(String::new(), Place::File, table, read)
    }

    /// Every key that was asked for, with its section, without those that are not built.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    /// All faults, those of unknown keys among them.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let (known, repeated) = (self.known.into_inner(), self.repeated.into_inner());
        let of_env = known.iter().filter(|k| !repeated.iter().any(|prefix| k.starts_with(prefix))).cloned().collect();
        let mut faults = self.faults.into_inner();
        faults.extend(self.unknown.into_inner().into_iter().map(|unknown| match unknown.place.clone() {
            Place::Environment(name) => unknown.into_fault_of_variable(&name, &of_env),
            _ => unknown.into_fault(&known),
        }));
        faults
    }

    fn scope<T>(&self, prefix: String, place: Place, table: &Table, read: impl FnOnce(&Scope<'_>) -> T) -> T {
        let scope = Scope { prefix, place, table, sink: self, asked: RefCell::default() };
        let value = read(&scope);
        scope.finish();
        value
    }
}

impl Unknown {
    fn into_fault(self, known: &BTreeSet<String>) -> Fault {
        let problem = if let Some(near) = nearest(&self.key, self.siblings.iter().copied()) {
            format!("unknown key; did you mean `{near}`?")
        } else {
            match self.elsewhere(known).map(|path| path.rsplit_once('.')) {
                Some(Some((section, _))) => format!("unknown key here; it belongs into section `{section}`"),
                Some(None) => "unknown key here; it belongs to the top of the file, before any section".into(),
                None => format!("unknown key; known here are {}", self.siblings.join(", ")),
            }
        };
        Fault { key: format!("{}{}", self.section, self.key), place: self.place, problem }
    }

    fn into_fault_of_variable(self, name: &str, known: &BTreeSet<String>) -> Fault {
        let variables: Vec<String> = known.iter().map(|key| env::variable_of(key)).collect();
        let near = nearest(name, variables.iter().map(String::as_str)).map(str::to_owned);
        let problem = match near.or_else(|| self.elsewhere(known).map(|key| env::variable_of(key))) {
            Some(near) => format!("unknown key; did you mean {near}?"),
            None => format!("unknown key; known here are {}, or unset it", self.siblings.join(", ")),
        };
        Fault { key: format!("{}{}", self.section, self.key), place: self.place, problem }
    }

    /// The key of this name in another section. The one nearest to the top is the one that holds for all.
    fn elsewhere<'k>(&self, known: &'k BTreeSet<String>) -> Option<&'k String> {
        known.iter().filter(|k| k.rsplit('.').next() == Some(&self.key)).min_by_key(|k| k.len())
    }
}

impl<'a> Scope<'a> {
    /// Reports a fault of `key`, at its line, or at the section's where the key is not there.
    pub(super) fn fault(&self, key: &str, problem: impl Into<String>) {
        let place = self.table.get(key).map_or(&self.place, |n| &n.place);
        self.fault_at(place, key, problem);
    }

    /// Reports a fault of `key` at some place.
    pub(super) fn fault_at(&self, place: &Place, key: &str, problem: impl Into<String>) {
        let fault = Fault { place: place.clone(), key: format!("{}{key}", self.prefix), problem: problem.into() };
        self.sink.faults.borrow_mut().push(fault);
    }

    /// Where a key stands, if it is there.
    pub(super) fn place(&self, key: &'static str) -> Option<&'a Place> {
        self.node(key).map(|n| &n.place)
    }

    /// Whether a key is there, be it right or wrong.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.section_node(key).is_some()
    }

    /// Whether a key is there as a list without elements.
    pub(super) fn is_empty_list(&self, key: &'static str) -> bool {
        self.section_node(key).is_some_and(|n| as_list(n).is_ok_and(|l| l.is_empty()))
    }

    /// Reads a key that may be missing.
    pub(super) fn optional<T>(&self, key: &'static str, read: impl FnOnce(&Node) -> Result<T, String>) -> Option<T> {
        self.node(key).and_then(|node| read(node).map_err(|problem| self.fault(key, problem)).ok())
    }

    /// Reads a key, or takes its default.
    pub(super) fn value<T>(&self, key: &'static str, default: T, read: impl FnOnce(&Node) -> Result<T, String>) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// Reads a key that cannot be guessed. `None` after a fault.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(&Node) -> Result<T, String>,
    ) -> Option<T> {
        if self.node(key).is_none() {
            self.missing(key, example);
        }
        self.optional(key, read)
    }

    /// Reports a key that is not there and cannot be guessed.
    pub(super) fn missing(&self, key: &str, example: &str) {
        if !self.sink.partial.get() {
            self.fault(key, format!("missing; add for example {example}"));
        }
    }

    /// Reads a list, element by element; faults stand at the element's line.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        default: Vec<T>,
        read: impl Fn(&Node) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(items) = self.optional(key, as_list) else { return default };
        let read_one = |item: &Node| read(item).map_err(|problem| self.fault_at(&item.place, key, problem)).ok();
        items.iter().filter_map(read_one).collect()
    }

    /// Reads a section; one that is missing is read as an empty one, so that its defaults are those of its reader.
    pub(super) fn section<T>(&self, key: &'static str, read: impl FnOnce(&Scope<'_>) -> T) -> T {
        let empty = Table::new();
        let node = self.section_node(key);
        let (place, table) = match node.map(|n| (&n.place, &n.value)) {
            Some((place, Value::Table(table))) => (place, table),
            Some((_, other)) => {
                self.fault(key, format!("is {}; it must be a section, `[{}{key}]`", other.kind(), self.prefix));
                (&self.place, &empty)
            }
            None => (&self.place, &empty),
        };
        self.sink.scope(format!("{}{key}.", self.prefix), place.clone(), table, read)
    }

    /// Reads a table of tables, the names of which are not known beforehand.
    pub(super) fn entries<T>(&self, key: &'static str, mut read: impl FnMut(&str, &Scope<'_>) -> T) -> Vec<T> {
        let table = match self.section_node(key).map(|n| &n.value) {
            None => return Vec::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.fault(key, format!("is {}; it must be a table of tables, {{ NAME = {{ … }} }}", other.kind()));
                return Vec::new();
            }
        };
        self.sink.repeated.borrow_mut().insert(format!("{}{key}.", self.prefix));
        let mut all = Vec::new();
        for (name, node) in table.iter() {
            match &node.value {
                Value::Table(table) => {
                    let prefix = format!("{}{key}.{name}.", self.prefix);
                    all.push(self.sink.scope(prefix, node.place.clone(), table, |scope| read(name, scope)));
                }
                other => self.fault_at(&node.place, key, format!("{name} is {}; it must be a table", other.kind())),
            }
        }
        all
    }

    /// Reads a table of texts, the names of which are not known beforehand, in the order of the names.
    pub(super) fn texts(&self, key: &'static str) -> Vec<(String, String)> {
        let table = match self.node(key).map(|n| &n.value) {
            None => return Vec::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.fault(key, format!("is {}; it must be a table of texts, {{ \"NAME\" = \"…\" }}", other.kind()));
                return Vec::new();
            }
        };
        let read = |(name, node): (&String, &Node)| match as_text(node) {
            Ok(text) => Some((name.clone(), text)),
            Err(problem) => {
                self.fault_at(&node.place, key, format!("{name} {problem}"));
                None
            }
        };
        table.iter().filter_map(read).collect()
    }

    /// Refuses a key that has its place elsewhere, in words of its own.
    pub(super) fn misplaced(&self, key: &'static str, problem: &str) {
        if self.section_node(key).is_some() {
            self.fault(key, problem);
        }
    }

    /// Reads sections of one name that may stand many times.
    pub(super) fn sections<T>(&self, key: &'static str, mut read: impl FnMut(&Scope<'_>) -> T) -> Vec<T> {
        let wanted = format!("it must stand in double brackets, `[[{}{key}]]`", self.prefix);
        let items = match self.section_node(key).map(|n| &n.value) {
            None => return Vec::new(),
            Some(Value::List(items)) => items,
            Some(other) => {
                self.fault(key, format!("is {}; {wanted}", other.kind()));
                return Vec::new();
            }
        };
        self.sink.repeated.borrow_mut().insert(format!("{}{key}.", self.prefix));
        let mut all = Vec::new();
        for item in items {
            match &item.value {
                Value::Table(table) => {
                    let prefix = format!("{}{key}.", self.prefix);
                    all.push(self.sink.scope(prefix, item.place.clone(), table, &mut read));
                }
                other => self.fault_at(&item.place, key, format!("is {}; {wanted}", other.kind())),
            }
        }
        all
    }

    /// A key of the contract that is not built yet: only its default passes.
    pub(super) fn not_built(&self, key: &'static str, default: Unbuilt) {
        let Some(node) = self.section_node(key) else { return };
        let same = match default {
            Unbuilt::Text(text) => as_text(node).is_ok_and(|t| t == text),
            Unbuilt::Duration(text) => as_duration(node).is_ok_and(|d| Ok(d) == units::parse_duration(text)),
            Unbuilt::Flag(flag) => as_flag(node) == Ok(flag),
            Unbuilt::Integer(n) => as_integer(node) == Ok(n),
            Unbuilt::Empty => match &node.value {
                Value::Table(table) => table.is_empty(),
                _ => as_list(node).is_ok_and(|l| l.is_empty()),
            },
        };
        if !same {
            self.fault(key, "not built yet in this version; remove it");
        }
    }

    fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.sink.known.borrow_mut().insert(format!("{}{key}", self.prefix));
        self.section_node(key)
    }

    /// As `node`, for what is not listed among the known keys.
    fn section_node(&self, key: &'static str) -> Option<&'a Node> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.table.get(key)
    }

    fn finish(self) {
        let siblings = self.asked.into_inner();
        for (key, node) in self.table.iter().filter(|(key, _)| !siblings.contains(&key.as_str())) {
            self.sink.unknown.borrow_mut().push(Unknown {
                place: node.place.clone(),
                section: self.prefix.clone(),
                key: key.clone(),
                siblings: siblings.clone(),
            });
        }
    }
}

/// Reads text. Text of the environment may be written with or without quotes.
pub(super) fn as_text(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::Text(text) => Ok(text.clone()),
        Value::Raw(raw) => match raw.starts_with(['"', '\'']).then(|| tree::parse_value(raw, &node.place)).flatten() {
            Some(Value::Text(text)) => Ok(text),
            _ => Ok(raw.clone()),
        },
        other => Err(format!("is {}; it must be text in quotes", other.kind())),
    }
}

/// Reads `true` or `false`.
pub(super) fn as_flag(node: &Node) -> Result<bool, String> {
    match &node.value {
        Value::Flag(flag) => Ok(*flag),
        Value::Raw(raw) => raw.trim().parse().map_err(|_| format!("`{}` is not true or false", clip(raw))),
        other => Err(format!("is {}; it must be true or false, without quotes", other.kind())),
    }
}

/// Reads a whole number.
pub(super) fn as_integer(node: &Node) -> Result<i64, String> {
    match &node.value {
        Value::Integer(n) => Ok(*n),
        Value::Raw(raw) => raw.trim().parse().map_err(|_| format!("`{}` is not a whole number", clip(raw))),
        other => Err(format!("is {}; it must be a whole number, without quotes", other.kind())),
    }
}

/// Reads a list. In the environment it is written as in TOML, or with commas between.
fn as_list(node: &Node) -> Result<Vec<Node>, String> {
    let not_toml = "begins like a list and is not one; write for example [\"a\", \"b\"], or a,b";
    match &node.value {
        Value::List(items) => Ok(items.clone()),
        Value::Raw(raw) if raw.trim_start().starts_with('[') => match tree::parse_value(raw.trim(), &node.place) {
            Some(Value::List(items)) => Ok(items),
            _ => Err(not_toml.into()),
        },
        Value::Raw(raw) => {
            let parts = raw.split(',').map(str::trim).filter(|part| !part.is_empty());
            let node = |part: &str| Node { place: node.place.clone(), value: Value::Raw(part.to_owned()) };
            Ok(parts.map(node).collect())
        }
        other => Err(format!("is {}; it must be a list in square brackets", other.kind())),
    }
}

/// Reads `"30s"`.
pub(super) fn as_duration(node: &Node) -> Result<Duration, String> {
    match &node.value {
        Value::Text(text) | Value::Raw(text) => units::parse_duration(text).map_err(|e| e.to_string()),
        other => Err(format!("is {}; it must be a duration in quotes, for example \"30s\"", other.kind())),
    }
}

/// Reads `"500GiB"`. A bare 0 needs no unit.
pub(super) fn as_size(node: &Node) -> Result<u64, String> {
    match &node.value {
        Value::Text(text) | Value::Raw(text) => units::parse_size(text).map_err(|e| e.to_string()),
        Value::Integer(0) => Ok(0),
        other => Err(format!("is {}; it must be a size in quotes, for example \"500GiB\"", other.kind())),
    }
}

/// Reads one of some words.
pub(super) fn as_choice<T: Copy>(node: &Node, choices: &[(&'static str, T)]) -> Result<T, String> {
    let text = as_text(node)?;
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    Err(match nearest(&text, words.iter().copied()) {
        Some(near) => format!("`{}` is unknown; did you mean \"{near}\"?", clip(&text)),
        None => format!("`{}` is unknown; it must be one of \"{}\"", clip(&text), words.join("\", \"")),
    })
}

/// Refuses what is out of bounds. `show` writes a value as it stands in the file.
pub(super) fn within<T: PartialOrd, S: fmt::Display>(
    value: T,
    bounds: &RangeInclusive<T>,
    show: impl Fn(&T) -> S,
) -> Result<T, String> {
    if bounds.contains(&value) {
        return Ok(value);
    }
    Err(format!("must lie between {} and {}, not {}", show(bounds.start()), show(bounds.end()), show(&value)))
}

/// The beginning of a text, for messages.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(64).filter(|c| !c.is_control()).collect()
}
