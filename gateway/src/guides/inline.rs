//! What stands within a line: text, `code`, **strong**, links.

use super::values::names;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inline {
    /// Plain text.
    Text(String),
    /// Text that stands out: the label of a field or button.
    Strong(String),
    /// Code that is the same for everybody.
    Code(String),
    /// Code with a value of the instance in it: something to copy into a field.
    Value {
        /// The text, filled in.
        text: String,
        /// Whether everything in it is known. Else it says what has to stand there, and is not worth copying.
        complete: bool,
    },
    /// A link.
    Link {
        /// Its text.
        text: String,
        /// Where it leads.
        to: Target,
    },
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the web, by `https`.
    Web(String),
    /// To another guide, by its id.
    Guide(String),
    /// To a heading of the same guide, by its anchor.
    Anchor(String),
    /// To another page of `docs`, by its path from there, with an anchor if it has one: `troubleshooting.md#it-is-slow`.
    Page(String),
}

impl Target {
    fn parse(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#=&%+,@".contains(c);
        if text.is_empty() || !text.chars().all(plain) {
            return Err(format!("a link to {text:?} has signs that no address here needs"));
        }
        if text.starts_with("https://") {
            return Ok(Self::Web(text.to_owned()));
        }
        if text.contains(':') {
            return Err(format!("a link to {text:?}: links are https or relative"));
        }
        if let Some(anchor) = text.strip_prefix('#') {
            return Ok(Self::Anchor(anchor.to_owned()));
        }
        if let Some(page) = text.strip_prefix("../") {
            if page.contains("..") || page.starts_with('/') {
                return Err(format!("a link to {text:?} leads out of docs"));
            }
            return Ok(Self::Page(page.to_owned()));
        }
        match text.strip_suffix(".md") {
            Some(id) if !id.is_empty() && !id.contains(['/', '#', '.']) => Ok(Self::Guide(id.to_owned())),
            _ => Err(format!("a link to {text:?}: another guide is NAME.md, another page ../NAME.md")),
        }
    }
}

/// Reads a line, or what was joined to one.
///
/// # Errors
/// What is wrong, without the line.
pub(super) fn inlines(text: &str) -> Result<Vec<Inline>, String> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (piece, after) = if let Some(inner) = rest.strip_prefix("**") {
            let (strong, after) = inner.split_once("**").ok_or("** has no end")?;
            plain_text(strong)?;
            if strong.is_empty() || strong != strong.trim() {
                return Err("what stands between ** begins or ends with a blank, or is nothing".to_owned());
            }
            (Inline::Strong(strong.to_owned()), after)
        } else if let Some(inner) = rest.strip_prefix('`') {
            let (code, after) = inner.split_once('`').ok_or("` has no end")?;
            if code.is_empty() {
                return Err("there is nothing between two `".to_owned());
            }
            known_names(code)?;
            let code = code.to_owned();
            let value = names(&code).next().is_some();
            (if value { Inline::Value { text: code, complete: false } } else { Inline::Code(code) }, after)
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (text, after) = inner.split_once("](").ok_or("[ begins no link")?;
            let (to, after) = after.split_once(')').ok_or("a link has no end")?;
            plain_text(text)?;
            if text.is_empty() {
                return Err("a link has no text".to_owned());
            }
            (Inline::Link { text: text.to_owned(), to: Target::parse(to)? }, after)
        } else {
            plain.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        push(&mut out, &mut plain)?;
        out.push(piece);
        rest = after;
    }
    push(&mut out, &mut plain)?;
    if out.is_empty() {
        return Err("there is no text".to_owned());
    }
    Ok(out)
}

fn push(out: &mut Vec<Inline>, plain: &mut String) -> Result<(), String> {
    if !plain.is_empty() {
        plain_text(plain)?;
        out.push(Inline::Text(std::mem::take(plain)));
    }
    Ok(())
}

/// Signs that some reader of Markdown would take for more than themselves.
fn plain_text(text: &str) -> Result<(), String> {
    known_names(text)?;
    match text.chars().find(|c| "*_<\\~[]`|".contains(*c) || c.is_control()) {
        None if text.contains("![") || text.contains("&#") => {
            Err("images and entities are not in the subset".to_owned())
        }
        None => Ok(()),
        Some(c) => Err(format!("{c:?} outside of code: put it into backticks, or say it in words")),
    }
}

/// Every name in braces has to be one that is filled in.
pub(super) fn known_names(text: &str) -> Result<(), String> {
    match names(text).find(|(_, name)| !super::values::NAMES.contains(name)) {
        None => Ok(()),
        Some((_, name)) => Err(format!("{{{name}}} is nothing that is filled in")),
    }
}
