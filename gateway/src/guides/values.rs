//! What is filled into a guide.

use super::inline::Inline;
use super::{Block, Item};

/// The names that stand in braces in a guide.
pub(super) const NAMES: [&str; 3] = ["base_url", "key", "instance_name"];

/// Shown where the key is not known (it is shown once, when it is made).
const NO_KEY: &str = "<your key>";

/// The values of an instance.
#[derive(Clone, Debug)]
pub struct Values {
    base_url: String,
    key: Option<String>,
    name: String,
}

impl Values {
    /// The SCIM base URL of an instance, its key if it is known, its name, and its id.
    ///
    /// Commands in guides name the instance in double quotes. Where its name has signs in it that mean something to a
    /// shell there, or to Markdown, the id stands in its place.
    pub fn new(base_url: &str, key: Option<&str>, name: &str, id: &str) -> Self {
        let harmless = |c: char| !c.is_control() && !"\"$`\\!{}".contains(c) && !bidi(c);
        let name = if !name.is_empty() && name.chars().all(harmless) { name } else { id };
        Self { base_url: base_url.to_owned(), key: key.map(str::to_owned), name: name.to_owned() }
    }

    /// A text with the values in it, and whether all of them are known.
    pub(super) fn fill(&self, text: &str) -> (String, bool) {
        let mut out = String::with_capacity(text.len());
        let mut complete = true;
        let mut rest = text;
        while let Some((before, name, after)) = placeholder(rest) {
            out.push_str(before);
            match name {
                "base_url" => out.push_str(&self.base_url),
                "instance_name" => out.push_str(&self.name),
                _ => {
                    complete &= self.key.is_some();
                    out.push_str(self.key.as_deref().unwrap_or(NO_KEY));
                }
            }
            rest = after;
        }
        out.push_str(rest);
        (out, complete)
    }

    fn inlines(&self, inlines: &[Inline]) -> Vec<Inline> {
        let one = |inline: &Inline| match inline {
            Inline::Text(text) => Inline::Text(self.fill(text).0),
            Inline::Strong(text) => Inline::Strong(self.fill(text).0),
            Inline::Code(text) => Inline::Code(text.clone()),
            Inline::Value { text, .. } => {
                let (text, complete) = self.fill(text);
                Inline::Value { text, complete }
            }
            Inline::Link { text, to } => Inline::Link { text: text.clone(), to: to.clone() },
        };
        inlines.iter().map(one).collect()
    }

    pub(super) fn block(&self, block: &Block) -> Block {
        let item = |item: &Item| Item {
            text: self.inlines(&item.text),
            below: item.below.iter().map(|one| self.inlines(one)).collect(),
        };
        let row = |cells: &Vec<Vec<Inline>>| cells.iter().map(|cell| self.inlines(cell)).collect();
        match block {
            Block::Heading { anchor, text } => Block::Heading { anchor: anchor.clone(), text: text.clone() },
            Block::Paragraph(text) => Block::Paragraph(self.inlines(text)),
            Block::Steps(items) => Block::Steps(items.iter().map(item).collect()),
            Block::Bullets(items) => Block::Bullets(items.iter().map(item).collect()),
            Block::Table { head, rows } => Block::Table { head: row(head), rows: rows.iter().map(row).collect() },
            Block::Code { language, text, .. } => {
                let (text, complete) = self.fill(text);
                Block::Code { language: language.clone(), text, complete }
            }
        }
    }
}

/// Signs that turn the direction of what follows, so that a name reads as another.
fn bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// The first name in braces, with what stands before and after it: `a {key} b` is `a `, `key`, ` b`.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (at, name) = names(text).find(|(_, name)| NAMES.contains(name))?;
    Some((&text[..at], name, &text[at + name.len() + 2..]))
}

/// Whatever looks like a name in braces, known or not, with where its brace is.
pub(super) fn names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices('{').filter_map(|(at, _)| {
        let inner = &text[at + 1..];
        let name = &inner[..inner.find(|c: char| !c.is_ascii_lowercase() && c != '_')?];
        (!name.is_empty() && inner[name.len()..].starts_with('}')).then_some((at, name))
    })
}
