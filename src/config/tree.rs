//! The file as a tree of values that know where they stood. Knows TOML, knows no key.

use super::fault::{Fault, Place};
use std::collections::BTreeMap;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

/// A table's values by key.
pub(super) type Table = BTreeMap<String, Node>;

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where its key stands, or itself where it is an element of a list.
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What TOML can say. Kinds that no key takes are `Other`, with what they are called.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<Node>),
    Table(Table),
    Other(&'static str),
    /// Text of the environment, whose type is that of the key which it is for.
    Raw(String),
}

impl Value {
    /// What a person calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Raw(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// What was understood of a file, and its faults of syntax.
pub(super) struct Parsed {
    pub(super) table: Table,
    pub(super) faults: Vec<Fault>,
    /// The line of the last fault behind which nothing can be believed: a broken `[header]` puts the keys below it
    /// into the wrong table.
    pub(super) unreliable: bool,
}

/// Reads TOML; goes on after a fault as well as it can.
pub(super) fn parse(text: &str) -> Parsed {
    let lines = Lines::of(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut faults = Vec::new();
    let mut unreliable = false;
    for error in errors {
        let offset = error.span().map_or(0, |s| s.start);
        let line = lines.at(offset);
        unreliable |= lines.text(text, line).trim_start().starts_with('[');
        let problem = format!("not TOML: {}", error.message().replace('\n', "; "));
        faults.push(Fault { place: Place::Line(line), key: String::new(), problem });
    }
    Parsed { table: table(document.get_ref(), &lines), faults, unreliable }
}

/// The full name of each key below `prefix` that has a value, and where it stands.
pub(super) fn places(table: &Table, prefix: &str, found: &mut Vec<(String, Place)>) {
    for (key, node) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match &node.value {
            Value::Table(inner) => places(inner, &name, found),
            Value::List(items) if items.iter().any(|item| matches!(item.value, Value::Table(_))) => {
                for (number, item) in items.iter().enumerate() {
                    if let Value::Table(inner) = &item.value {
                        places(inner, &format!("{name}.{number}"), found);
                    }
                }
            }
            _ => found.push((name, node.place.clone())),
        }
    }
}

/// Reads one value out of the environment, where it is written as TOML.
pub(super) fn parse_value(text: &str, place: &Place) -> Option<Value> {
    let parsed = DeValue::parse(text).ok()?;
    let mut node = node(&parsed, &Lines::of(text), 0);
    stand_at(&mut node, place);
    Some(node.value)
}

fn stand_at(node: &mut Node, place: &Place) {
    node.place = place.clone();
    if let Value::List(items) = &mut node.value {
        items.iter_mut().for_each(|n| stand_at(n, place));
    }
}

fn table(from: &DeTable<'_>, lines: &Lines) -> Table {
    from.iter().map(|(key, value)| (key.get_ref().to_string(), node(value, lines, key.span().start))).collect()
}

fn node(from: &Spanned<DeValue<'_>>, lines: &Lines, start: usize) -> Node {
    let value = match from.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Value::Integer(n),
            Err(_) => Value::Other("a number beyond 64 bits"),
        },
        DeValue::Float(_) => Value::Other("a number with a point"),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::List(list(items, lines)),
        DeValue::Table(inner) => Value::Table(table(inner, lines)),
    };
    Node { place: Place::Line(lines.at(start)), value }
}

fn list(items: &DeArray<'_>, lines: &Lines) -> Vec<Node> {
    items.iter().map(|item| node(item, lines, item.span().start)).collect()
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect())
    }

    /// The line, from 1, in which a byte stands.
    fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|begin| *begin <= offset)
    }

    fn text<'t>(&self, text: &'t str, line: usize) -> &'t str {
        let begin = self.0.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let end = self.0.get(line).copied().unwrap_or(text.len());
        text.get(begin..end).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let parsed = parse("a = 1\n\n[b]\nc = [\n 1,\n 2]\n[[d]]\ne = true\n[[d]]\n[d.f]\ng=1.5");
        assert!(parsed.faults.is_empty());
        let line = |n: &Node| n.place.clone();
        assert_eq!(line(&parsed.table["a"]), Place::Line(1));
        let Value::Table(b) = &parsed.table["b"].value else { panic!() };
        let Value::List(c) = &b["c"].value else { panic!() };
        assert_eq!(
            (line(&parsed.table["b"]), line(&b["c"]), line(&c[1])),
            (Place::Line(3), Place::Line(4), Place::Line(6))
        );
        let Value::List(d) = &parsed.table["d"].value else { panic!() };
        assert_eq!((line(&d[0]), line(&d[1])), (Place::Line(7), Place::Line(9)));
    }

    #[test]
    fn several_faults_of_syntax_are_seen_at_once() {
        let parsed = parse("a = \nb = 2\nb = 3\nc = 30s\nd = 1\n");
        let lines: Vec<_> = parsed.faults.iter().map(|f| f.place.clone()).collect();
        assert_eq!(lines, [Place::Line(1), Place::Line(3), Place::Line(4)]);
        assert!(parsed.table.contains_key("d") && !parsed.unreliable);
        assert!(parse("[a\nb = 1").unreliable);
    }
}
