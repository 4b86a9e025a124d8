//! XML as devices write it: any namespace or none, matched by local name, bare `&` tolerated, all of it bounded.

use quick_xml::{Reader, events::Event};

/// How deep elements may nest. Devices use seven levels.
pub(super) const DEPTH_MAX: usize = 32;
/// How many elements an answer may have. The longest honest one, 256 channels of three streams, has about 30,000.
pub(super) const ELEMENTS_MAX: usize = 100_000;

/// One element. Attributes are dropped: nothing that is read lies in one (`size` on lists is known to lie).
#[derive(Debug, Default, PartialEq)]
pub(super) struct Node {
    /// Its name without a namespace prefix.
    pub name: String,
    /// The text directly in it, trimmed.
    pub text: String,
    /// The elements directly in it.
    pub children: Vec<Node>,
}

impl Node {
    /// The first child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// All children of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |c| c.name.eq_ignore_ascii_case(name))
    }

    /// The text at a path of names below; None where it is missing or empty.
    pub(super) fn text_at(&self, path: &[&str]) -> Option<&str> {
        let node = path.iter().try_fold(self, |node, name| node.child(name))?;
        (!node.text.is_empty()).then_some(node.text.as_str())
    }

    /// The number at a path of names below; None where it is missing or no number.
    pub(super) fn number_at<T: std::str::FromStr>(&self, path: &[&str]) -> Option<T> {
        self.text_at(path)?.parse().ok()
    }

    /// `true` or `false` at a path of names below.
    pub(super) fn flag_at(&self, path: &[&str]) -> Option<bool> {
        let text = self.text_at(path)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
}

/// Reads a whole document; the answer is its root element.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, String> {
    // Names typed on devices with other encodings must not make the whole answer unreadable.
    let text = String::from_utf8_lossy(bytes);
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    reader.config_mut().allow_dangling_amp = true;
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    let mut elements = 0_usize;
    loop {
        match reader.read_event().map_err(|e| clip(&e.to_string()))? {
            Event::Start(start) => {
                count(&mut elements, open.len())?;
                open.push(named(start.local_name().as_ref()));
            }
            Event::Empty(start) => {
                count(&mut elements, open.len())?;
                close(named(start.local_name().as_ref()), &mut open, &mut root)?;
            }
            Event::End(_) => {
                let node = open.pop().ok_or("an element ends that did not begin")?;
                close(node, &mut open, &mut root)?;
            }
            Event::Text(t) => append(&mut open, &t.decode().map_err(|e| clip(&e.to_string()))?),
            Event::CData(t) => append(&mut open, &t.decode().map_err(|e| clip(&e.to_string()))?),
            Event::GeneralRef(r) => {
                let name = r.decode().map_err(|e| clip(&e.to_string()))?;
                append(&mut open, &resolve(&name));
            }
            Event::DocType(_) => return Err("it has a document type, which no device sends".into()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if let Some(unclosed) = open.last() {
        return Err(format!("it ends inside <{}>", clip(&unclosed.name)));
    }
    root.ok_or_else(|| "it holds no element".to_owned())
}

fn count(elements: &mut usize, depth: usize) -> Result<(), String> {
    *elements += 1;
    if *elements > ELEMENTS_MAX {
        return Err(format!("it has more than the limit of {ELEMENTS_MAX} elements"));
    }
    if depth >= DEPTH_MAX {
        return Err(format!("its elements nest deeper than the limit of {DEPTH_MAX}"));
    }
    Ok(())
}

fn named(name: &[u8]) -> Node {
    Node { name: String::from_utf8_lossy(name).into_owned(), ..Node::default() }
}

fn close(mut node: Node, open: &mut [Node], root: &mut Option<Node>) -> Result<(), String> {
    if node.text.trim().len() != node.text.len() {
        node.text = node.text.trim().to_owned();
    }
    match open.last_mut() {
        Some(parent) => parent.children.push(node),
        None if root.is_none() => *root = Some(node),
        None => return Err("it has more than one root element".into()),
    }
    Ok(())
}

fn append(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(text);
    }
}

/// The text of `&name;`; what is not known stays as it was written.
fn resolve(name: &str) -> String {
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let known = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match name.strip_prefix('#') {
            Some(hex) if hex.starts_with(['x', 'X']) => number(&hex[1..], 16),
            Some(decimal) => number(decimal, 10),
            None => None,
        },
    };
    known.map_or_else(|| format!("&{name};"), String::from)
}

/// What a device wrote goes into errors; the start of it is enough to recognise it.
pub(super) fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    text.chars().take(CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_namespaces_a_prefix_and_none_read_alike() {
        let bodies = [
            r#"<?xml version="1.0" encoding="UTF-8"?><A version="2.0" xmlns="http://www.hikvision.com/ver20/XMLSchema"><b> 1 </b></A>"#,
            r#"<A xmlns="http://www.isapi.org/ver20/XMLSchema"><b version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema">1</b></A>"#,
            r#"<h:A xmlns:h="urn:psialliance-org"><h:b>1</h:b></h:A>"#,
            "\u{feff}\n<A><b>\n1</b></A>",
        ];
        for body in bodies {
            assert_eq!(parse(body.as_bytes()).unwrap().number_at::<u32>(&["b"]), Some(1), "{body}");
        }
    }

    #[test]
    fn a_bare_ampersand_is_text() {
        let node = parse(b"<n><name>Gate & Yard</name><b>a&amp;b &#x41;&#66; &nope;</b></n>").unwrap();
        assert_eq!(node.text_at(&["name"]), Some("Gate & Yard"));
        assert_eq!(node.text_at(&["b"]), Some("a&b AB &nope;"));
    }

    #[test]
    fn limits_are_named() {
        let deep = "<a>".repeat(DEPTH_MAX + 1);
        assert!(parse(deep.as_bytes()).unwrap_err().contains(&DEPTH_MAX.to_string()));
        let many = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS_MAX));
        assert!(parse(many.as_bytes()).unwrap_err().contains(&ELEMENTS_MAX.to_string()));
        assert!(parse(b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>").is_err());
        assert!(parse(b"<a><b></a>").is_err());
        assert!(parse(b"<a>").unwrap_err().contains("<a>"));
        assert!(parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn nothing_that_looks_like_xml_panics(text in "(<[a/!?]{0,2}[a-c&;#x0-9 '\"=-]{0,6}>?|[&;a]{0,3}){0,20}") {
            let _ = parse(text.as_bytes());
        }
    }
}
