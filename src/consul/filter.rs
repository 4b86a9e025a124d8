//! Expressions that choose elements: `ServiceTags contains "a" and not (ServiceMeta.zone == b)`. Pure.

use super::refusal::Refusal;
use regex::Regex;
use serde_json::Value;

/// The longest expression, and how deep parentheses go.
const BYTES_MAX: usize = 4_096;
const DEPTH_MAX: usize = 32;

/// What elements have to be like; the default takes all.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter(Option<Node>);

#[derive(Clone, Debug)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Test { path: Vec<String>, is: Test },
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    /// Something in a list, a name of a map, or a part of a text.
    Holds(String),
    Empty,
    Matches(Regex),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

impl Filter {
    pub fn read(text: &str) -> Result<Self, Refusal> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let bad = |why: String| Refusal::bad(format!("Failed to create boolean expression evaluator: {why}"));
        if text.len() > BYTES_MAX {
            return Err(bad(format!("the expression has more than {BYTES_MAX} bytes")));
        }
        let tokens = tokens(text).map_err(bad)?;
        let mut parser = Parser { tokens, at: 0 };
        let node = parser.any(0).map_err(bad)?;
        match parser.peek() {
            None => Ok(Self(Some(node))),
            Some(rest) => Err(bad(format!("{rest:?} is left over"))),
        }
    }

    /// Whether an element is as it has to be.
    pub fn takes(&self, element: &Value) -> bool {
        self.0.as_ref().is_none_or(|node| node.holds(element))
    }
}

impl Node {
    fn holds(&self, element: &Value) -> bool {
        match self {
            Self::And(a, b) => a.holds(element) && b.holds(element),
            Self::Or(a, b) => a.holds(element) || b.holds(element),
            Self::Not(node) => !node.holds(element),
            Self::Test { path, is } => test(element, path, is),
        }
    }
}

/// Lists on the way are gone through: one that is so is enough.
fn test(value: &Value, path: &[String], is: &Test) -> bool {
    let Some((name, rest)) = path.split_first() else { return is.holds(value) };
    match value {
        Value::Array(all) => all.iter().any(|one| test(one, path, is)),
        Value::Object(map) => match map.get(name) {
            Some(found) => test(found, rest, is),
            None => is.holds(&Value::Null),
        },
        _ => is.holds(&Value::Null),
    }
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Equal(wanted) => is(value, wanted),
            Self::Empty => match value {
                Value::Null => true,
                Value::Array(all) => all.is_empty(),
                Value::Object(map) => map.is_empty(),
                Value::String(text) => text.is_empty(),
                _ => false,
            },
            Self::Holds(wanted) => match value {
                Value::Array(all) => all.iter().any(|one| is(one, wanted)),
                Value::Object(map) => map.contains_key(wanted),
                Value::String(text) => text.contains(wanted.as_str()),
                _ => false,
            },
            Self::Matches(pattern) => match value {
                Value::String(text) => pattern.is_match(text),
                Value::Array(all) => all.iter().any(|one| one.as_str().is_some_and(|t| pattern.is_match(t))),
                _ => false,
            },
        }
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Number(number) => number.to_string() == wanted,
        Value::Bool(flag) => flag.to_string() == wanted,
        _ => false,
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let sign = ["==", "!=", "(", ")", "[", "]", "."].into_iter().find(|sign| rest.starts_with(sign));
        let is_word = |c: char| c.is_alphanumeric() || "_-/:%@".contains(c);
        let length = match (sign, first) {
            (Some(sign), _) => {
                all.push(Token::Sign(sign));
                sign.len()
            }
            (None, '"' | '`') => {
                let inner = &rest[1..];
                let end = inner.find(first).ok_or("a text does not end")?;
                all.push(Token::Text(inner[..end].to_owned()));
                end + 2
            }
            (None, c) if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                all.push(Token::Word(rest[..end].to_owned()));
                end
            }
            (None, c) => return Err(format!("no rule matches {c:?}")),
        };
        rest = rest[length..].trim_start();
    }
    Ok(all)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, wanted: &str) -> bool {
        self.takes(&Token::Word(wanted.to_owned()))
    }

    fn any(&mut self, depth: usize) -> Result<Node, String> {
        let mut node = self.all(depth)?;
        while self.word("or") {
            node = Node::Or(Box::new(node), Box::new(self.all(depth)?));
        }
        Ok(node)
    }

    fn all(&mut self, depth: usize) -> Result<Node, String> {
        let mut node = self.one(depth)?;
        while self.word("and") {
            node = Node::And(Box::new(node), Box::new(self.one(depth)?));
        }
        Ok(node)
    }

    fn one(&mut self, depth: usize) -> Result<Node, String> {
        if depth > DEPTH_MAX {
            return Err(format!("it is deeper than {DEPTH_MAX}"));
        }
        if self.word("not") {
            return Ok(Node::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.takes(&Token::Sign("(")) {
            let node = self.any(depth + 1)?;
            return match self.takes(&Token::Sign(")")) {
                true => Ok(node),
                false => Err("a parenthesis is not closed".to_owned()),
            };
        }
        self.test()
    }

    /// `value in Selector`, or `Selector` and what it is to be like.
    fn test(&mut self) -> Result<Node, String> {
        let begin = self.at;
        if let Some(Token::Text(value) | Token::Word(value)) = self.next() {
            let is_not = self.word("not");
            if self.word("in") {
                let path = self.selector()?;
                return Ok(negated(is_not, Node::Test { path, is: Test::Holds(value) }));
            }
        }
        self.at = begin;
        let path = self.selector()?;
        let (is_not, is) = match self.next() {
            Some(Token::Sign("==")) => (false, Test::Equal(self.value()?)),
            Some(Token::Sign("!=")) => (true, Test::Equal(self.value()?)),
            Some(Token::Word(word)) if word == "is" => {
                let is_not = self.word("not");
                match self.word("empty") {
                    true => (is_not, Test::Empty),
                    false => return Err("`is` wants `empty` or `not empty`".to_owned()),
                }
            }
            Some(Token::Word(word)) => {
                let is_not = word == "not";
                let word = if is_not { self.next() } else { Some(Token::Word(word)) };
                match word {
                    Some(Token::Word(word)) if word == "contains" => (is_not, Test::Holds(self.value()?)),
                    Some(Token::Word(word)) if word == "matches" => {
                        let pattern = self.value()?;
                        (is_not, Test::Matches(Regex::new(&pattern).map_err(|e| e.to_string())?))
                    }
                    other => return Err(format!("{other:?} is no operator")),
                }
            }
            other => return Err(format!("{other:?} is no operator")),
        };
        Ok(negated(is_not, Node::Test { path, is }))
    }

    /// `Service.Meta.zone`, `Service.Meta["a b"]`.
    fn selector(&mut self) -> Result<Vec<String>, String> {
        let mut path = Vec::new();
        loop {
            match self.next() {
                Some(Token::Word(word)) => path.push(word),
                Some(Token::Text(text)) if path.is_empty() => return Err(format!("{text:?} is no selector")),
                other => return Err(format!("{other:?} is no selector")),
            }
            while self.takes(&Token::Sign("[")) {
                match (self.next(), self.takes(&Token::Sign("]"))) {
                    (Some(Token::Text(text)), true) => path.push(text),
                    _ => return Err("a bracket holds a text in quotes".to_owned()),
                }
            }
            if !self.takes(&Token::Sign(".")) {
                return Ok(path);
            }
        }
    }

    /// A text, or bare words and numbers, dots included.
    fn value(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text),
            Some(Token::Word(mut word)) => {
                while self.takes(&Token::Sign(".")) {
                    match self.next() {
                        Some(Token::Word(next)) => word = format!("{word}.{next}"),
                        other => return Err(format!("{other:?} is no value")),
                    }
                }
                Ok(word)
            }
            other => Err(format!("{other:?} is no value")),
        }
    }
}

fn negated(is_not: bool, node: Node) -> Node {
    if is_not { Node::Not(Box::new(node)) } else { node }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_of_clients_hold_where_they_should() {
        let web = json!({
            "Node": { "Node": "n1", "Meta": {} },
            "Service": { "Service": "web", "Tags": ["a", "urlprefix-/x"], "Meta": { "zone": "b", "a b": "c" }, "Port": 80, "Address": "10.0.0.1" },
            "Checks": [{ "Status": "passing" }, { "Status": "critical" }],
        });
        for (text, holds) in [
            ("Service.Tags contains \"a\"", true),
            ("Service.Tags contains b", false),
            ("a in Service.Tags", true),
            ("\"b\" not in Service.Tags", true),
            ("Service.Meta.zone == b and Service.Port == 80", true),
            ("Service.Meta.zone != b or Service.Port != 80", false),
            ("Service.Meta[\"a b\"] == `c`", true),
            ("Service.Meta.none is empty", true),
            ("Service.Tags is not empty", true),
            ("Node.Meta is empty", true),
            ("zone in Service.Meta", true),
            ("not (Service.Service == web)", false),
            ("Service.Service matches \"^w.b$\"", true),
            ("Service.Service not matches \"^w\"", false),
            ("Service.Address == 10.0.0.1", true),
            ("Checks.Status == critical", true),
            ("Service.Service == x or Service.Service == web and Node.Node == n1", true),
            ("", true),
        ] {
            assert_eq!(Filter::read(text).unwrap().takes(&web), holds, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for bad in
            ["==", "a ==", "a b c", "(a == b", "a == b)", "a is", "a matches \"(\"", "a == \"b", "#", "\"a\" == b"]
        {
            let text = Filter::read(bad).unwrap_err().text;
            assert!(text.starts_with("Failed to create boolean expression evaluator"), "{bad}: {text}");
        }
        assert!(Filter::read(&"(".repeat(4_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_fall(text in "[a-c.()\\[\\]\"`=! ]{0,60}") {
            if let Ok(filter) = Filter::read(&text) {
                filter.takes(&json!({ "a": ["b"] }));
            }
        }
    }
}
