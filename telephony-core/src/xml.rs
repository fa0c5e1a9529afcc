//! XML documents, for carriers whose answer documents are XML: written without mistakes, and read back by simulators.
//!
//! With the feature `xml`. What the elements are called is the carrier's business.
//!
//! ```
//! use telephony_core::xml::Element;
//!
//! let document = Element::new("Response").with(Element::new("Say").attribute("language", "en-GB").text("<Hello> & welcome"));
//! assert_eq!(
//!     document.into_xml(),
//!     r#"<?xml version="1.0" encoding="UTF-8"?><Response><Say language="en-GB">&lt;Hello&gt; &amp; welcome</Say></Response>"#
//! );
//! ```

use std::{borrow::Cow, collections::BTreeMap};

use quick_xml::{
    Reader, Writer, XmlVersion,
    events::{BytesEnd, BytesStart, BytesText, Event},
};

/// An element being built: attributes, then a text, then children.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// An empty element.
    pub fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), text: String::new(), children: Vec::new() }
    }

    /// Adds an attribute.
    pub fn attribute(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    /// Adds an attribute, if there is a value for it.
    pub fn optional(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// Sets the text. Characters that XML 1.0 cannot hold are left out: one of them makes a document unreadable.
    pub fn text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    /// Adds a child.
    pub fn with(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Adds children.
    pub fn with_all(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }

    /// The document whose root this is, UTF-8.
    #[must_use]
    pub fn into_xml(self) -> String {
        let mut bytes = br#"<?xml version="1.0" encoding="UTF-8"?>"#.to_vec();
        let mut writer = Writer::new(&mut bytes);
        // Memory does not fail, and everything written is UTF-8.
        let written = self.write(&mut writer);
        debug_assert!(written.is_ok(), "writing into memory failed");
        String::from_utf8(bytes).unwrap_or_default()
    }

    fn write(&self, writer: &mut Writer<&mut Vec<u8>>) -> std::io::Result<()> {
        let mut start = BytesStart::new(self.name);
        for (name, value) in &self.attributes {
            start.push_attribute((*name, &*characters(value)));
        }
        if self.text.is_empty() && self.children.is_empty() {
            return writer.write_event(Event::Empty(start));
        }
        writer.write_event(Event::Start(start))?;
        if !self.text.is_empty() {
            writer.write_event(Event::Text(BytesText::new(&characters(&self.text))))?;
        }
        for child in &self.children {
            child.write(writer)?;
        }
        writer.write_event(Event::End(BytesEnd::new(self.name)))
    }
}

/// A text without the characters that XML 1.0 cannot hold, escaped or not: one of them makes the document unreadable.
///
/// Source: <https://www.w3.org/TR/xml/#charsets>
fn characters(text: &str) -> Cow<'_, str> {
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(allowed) { Cow::Borrowed(text) } else { text.chars().filter(|c| allowed(*c)).collect() }
}

/// An element that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Its text, all pieces joined.
    pub text: String,
    /// The elements in it, in order.
    pub children: Vec<Node>,
}

impl Node {
    /// Reads a document and returns its root.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().expand_empty_elements = true;
        let mut open: Vec<Self> = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => {
                    let mut node = Self { name: start.name().as_ref().to_owned(), ..Self::default() };
                    for attribute in start.attributes() {
                        let attribute = attribute.map_err(|error| error.to_string())?;
                        let value =
                            attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|error| error.to_string())?;
                        node.attributes.insert(attribute.key.as_ref().to_owned(), value.into_owned());
                    }
                    open.push(node);
                }
                Event::End(_) => {
                    let node = open.pop().unwrap_or_default();
                    open.last_mut().ok_or("an element is closed that was not open")?.children.push(node);
                }
                Event::Text(piece) => append(&mut open, &piece)?,
                Event::CData(piece) => append(&mut open, &piece)?,
                Event::GeneralRef(reference) => {
                    let text = quick_xml::escape::unescape(&format!("&{};", &*reference))
                        .map_err(|error| error.to_string())?
                        .into_owned();
                    append(&mut open, &text)?;
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let [document] = open.try_into().map_err(|_| "an element is not closed")?;
        let [root] = <[Self; 1]>::try_from(document.children).map_err(|_| "there is not one root")?;
        Ok(root)
    }
}

fn append(open: &mut [Node], text: &str) -> Result<(), String> {
    open.last_mut().ok_or("text outside the root")?.text.push_str(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let element = Element::new("Response")
            .with(
                Element::new("A").attribute("b", "1 & \"2\" <3>").optional("c", None::<&str>).text("<x> & \u{b}ü 'y'"),
            )
            .with_all([Element::new("D"), Element::new("D")]);
        let root = Node::parse(&element.into_xml()).unwrap();
        assert_eq!((root.name.as_str(), root.children.len()), ("Response", 3));
        let a = &root.children[0];
        assert_eq!(a.attributes, BTreeMap::from([("b".to_owned(), "1 & \"2\" <3>".to_owned())]));
        assert_eq!(a.text, "<x> & ü 'y'", "a control character is left out");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for bad in ["", "text", "<a>", "<a></b>", "<a/><b/>", "<a b=c/>", "<a>&unknown;</a>"] {
            assert!(Node::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = Node::parse(&text);
            let written = Element::new("A").attribute("b", text.clone()).text(&text).into_xml();
            proptest::prop_assert!(Node::parse(&written).is_ok());
        }
    }
}
