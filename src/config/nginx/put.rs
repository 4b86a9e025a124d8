//! Our TOML, as it is put together.

use std::fmt::Write;

/// One route, or another table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Said above it.
    pub(super) comments: Vec<String>,
    keys: Vec<(&'static str, String)>,
}

impl Table {
    /// A text.
    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        self.raw(key, quoted(value));
    }

    /// A list of texts.
    pub(super) fn texts<T: AsRef<str>>(&mut self, key: &'static str, values: &[T]) {
        if !values.is_empty() {
            self.raw(key, list(values));
        }
    }

    /// What is TOML already. A key that is there is changed.
    pub(super) fn raw(&mut self, key: &'static str, value: String) {
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => self.keys.push((key, value)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(known, _)| *known == key).map(|(_, value)| value.as_str())
    }

    /// Writes it below its header.
    pub(super) fn write(&self, header: &str, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(out);
        for comment in &self.comments {
            let _ = writeln!(out, "# {}", one_line(comment));
        }
        let _ = writeln!(out, "{header}");
        for (key, value) in &self.keys {
            let _ = writeln!(out, "{key} = {value}");
        }
    }
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn list<T: AsRef<str>>(values: &[T]) -> String {
    format!("[{}]", values.iter().map(|v| quoted(v.as_ref())).collect::<Vec<_>>().join(", "))
}

/// Pairs within a line.
pub(super) fn table(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{} = {value}", quoted(key))).collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// What a file says cannot end a comment.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Table {
    /// The keys of another one, behind those that are there.
    pub(super) fn take_keys(&mut self, other: Self) {
        other.keys.into_iter().for_each(|(key, value)| self.raw(key, value));
    }
}
