//! XML as Hikvision writes it: one element per line, two namespaces, a version on the root.

use std::fmt::{self, Display, Write};

/// An element: text or children.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// An element with nothing in it.
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: String::new(), text: String::new(), children: Vec::new() }
    }

    /// An element with text, escaped.
    pub fn text(name: &'static str, text: impl Display) -> Self {
        let text = text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        Self { text, ..Self::new(name) }
    }

    /// With one more attribute. The value is ours and needs no escaping.
    pub fn attribute(mut self, name: &str, value: impl Display) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.attributes, " {name}=\"{value}\"");
        self
    }

    /// With one more child.
    pub fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// With one more child that is only text.
    pub fn with(self, name: &'static str, text: impl Display) -> Self {
        self.child(Self::text(name, text))
    }

    /// With more children.
    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }
}

impl Display for Element {
    /// The element and a line end after each tag that stands alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, attributes, text, children } = self;
        if children.is_empty() {
            return writeln!(f, "<{name}{attributes}>{text}</{name}>");
        }
        writeln!(f, "<{name}{attributes}>")?;
        children.iter().try_for_each(|child| child.fmt(f))?;
        writeln!(f, "</{name}>")
    }
}
