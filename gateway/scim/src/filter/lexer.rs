//! Tokens of a filter, with the budgets.
use crate::error::ScimError;
use crate::filter::FilterLimits;

/// The recursion behind the parser is cheap, but not free: no setting goes above this.
const HARD_DEPTH: usize = 64;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'a> {
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    /// An attribute, an operator, a keyword, or a value without quotes.
    Word(&'a str),
    /// A text in quotes, escapes resolved.
    Text(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// Byte offset of its start.
    pub(super) at: usize,
    /// Byte offset behind its end.
    pub(super) end: usize,
}

pub(super) fn tokens<'a>(text: &'a str, limits: &FilterLimits) -> Result<Vec<Token<'a>>, ScimError> {
    if text.len() > limits.max_chars && text.chars().count() > limits.max_chars {
        return Err(ScimError::invalid_filter(format!("The filter is longer than {} characters.", limits.max_chars)));
    }
    let max_depth = limits.max_depth.min(HARD_DEPTH);
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let (mut at, mut depth) = (0usize, 0usize);
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        let kind = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'(' | b'[' => {
                depth += 1;
                if depth > max_depth {
                    return Err(ScimError::invalid_filter(format!("The filter nests deeper than {max_depth} levels.")));
                }
                at += 1;
                if byte == b'(' { Kind::Open } else { Kind::OpenBracket }
            }
            b')' | b']' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| unexpected(start, "a closing bracket without an opening one"))?;
                at += 1;
                if byte == b')' { Kind::Close } else { Kind::CloseBracket }
            }
            b'"' => {
                at = end_of_text(bytes, at + 1).ok_or_else(|| unexpected(start, "a text without its closing quote"))?;
                let value: String = serde_json::from_str(&text[start..at])
                    .map_err(|_| unexpected(start, "a text that is not a JSON string"))?;
                within(&value, limits)?;
                Kind::Text(value)
            }
            _ => {
                let len = bytes[at..].iter().position(|b| b" \t\r\n()[]\"".contains(b)).unwrap_or(bytes.len() - at);
                at += len;
                let word = &text[start..at];
                within(word, limits)?;
                Kind::Word(word)
            }
        };
        out.push(Token { kind, at: start, end: at });
    }
    if depth > 0 {
        return Err(unexpected(text.len(), "the end, with a bracket still open"));
    }
    Ok(out)
}

/// No value holds NUL, with or without quotes: databases and targets cut a text there or refuse it.
fn within(value: &str, limits: &FilterLimits) -> Result<(), ScimError> {
    if value.chars().count() > limits.max_value {
        return Err(long_value(limits));
    }
    if value.contains('\0') {
        return Err(ScimError::invalid_filter("A value in the filter contains NUL."));
    }
    Ok(())
}

fn long_value(limits: &FilterLimits) -> ScimError {
    ScimError::invalid_filter(format!("A value in the filter is longer than {} characters.", limits.max_value))
}

/// The place behind the closing quote.
fn end_of_text(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

pub(super) fn unexpected(at: usize, what: &str) -> ScimError {
    ScimError::invalid_filter(format!("The filter is malformed: {what} at position {}.", at + 1))
}
