//! The grammar: `or` of `and` of terms. Depth was bounded by the lexer.
use serde_json::Value;

use super::lexer::{Kind, Token, tokens, unexpected};
use super::{Filter, FilterLimits, Op, Test, Then};
use crate::error::ScimError;
use crate::path::AttrPath;
use crate::quirks::{Quirks, unquoted_value};

pub(super) fn parse(text: &str, limits: &FilterLimits, quirks: &mut Quirks) -> Result<Filter, ScimError> {
    let mut parser = Parser::new(text, limits, quirks)?;
    if parser.tokens.is_empty() {
        return Err(ScimError::invalid_filter("The filter is empty."));
    }
    let filter = parser.or(false)?;
    parser.end()?;
    Ok(filter)
}

pub(super) fn parse_value_path(
    text: &str,
    limits: &FilterLimits,
    quirks: &mut Quirks,
) -> Result<(AttrPath, Filter, Option<String>), ScimError> {
    let not_a_path =
        || ScimError::invalid_path("That is not a path: expected attribute[filter] or attribute[filter].sub.");
    let mut parser = Parser::new(text, limits, quirks).map_err(|e| ScimError::invalid_path(e.detail))?;
    let attr = match parser.next() {
        Some(Token { kind: Kind::Word(word), .. }) => AttrPath::read(word).ok_or_else(not_a_path)?,
        _ => return Err(not_a_path()),
    };
    if attr.attr.is_empty() || attr.sub.is_some() || !parser.bracket_follows() {
        return Err(not_a_path());
    }
    let (filter, end) = parser.brackets()?;
    let sub = parser.sub_behind(end).map_err(|_| not_a_path())?;
    parser.end().map_err(|_| not_a_path())?;
    Ok((attr, filter, sub))
}

struct Parser<'a, 'q> {
    tokens: Vec<Token<'a>>,
    at: usize,
    len: usize,
    clauses: usize,
    limits: FilterLimits,
    quirks: &'q mut Quirks,
}

impl<'a, 'q> Parser<'a, 'q> {
    fn new(text: &'a str, limits: &FilterLimits, quirks: &'q mut Quirks) -> Result<Self, ScimError> {
        Ok(Self { tokens: tokens(text, limits)?, at: 0, len: text.len(), clauses: 0, limits: *limits, quirks })
    }

    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn end(&self) -> Result<(), ScimError> {
        match self.peek() {
            None => Ok(()),
            Some(token) => Err(unexpected(token.at, "something behind the end of the expression")),
        }
    }

    fn missing(&self, what: &str) -> ScimError {
        let at = self.peek().map_or(self.len, |t| t.at);
        unexpected(at, &format!("expected {what}"))
    }

    fn keyword(&mut self, word: &str) -> bool {
        let hit = matches!(self.peek(), Some(Token { kind: Kind::Word(w), .. }) if w.eq_ignore_ascii_case(word));
        if hit {
            self.at += 1;
        }
        hit
    }

    fn or(&mut self, inside: bool) -> Result<Filter, ScimError> {
        let mut parts = vec![self.and(inside)?];
        while self.keyword("or") {
            parts.push(self.and(inside)?);
        }
        Filter::any(parts).ok_or_else(|| self.missing("an expression"))
    }

    fn and(&mut self, inside: bool) -> Result<Filter, ScimError> {
        let mut parts = vec![self.term(inside)?];
        while self.keyword("and") {
            parts.push(self.term(inside)?);
        }
        Filter::all(parts).ok_or_else(|| self.missing("an expression"))
    }

    /// A term; `inside` the brackets of a value path there is no value path.
    fn term(&mut self, inside: bool) -> Result<Filter, ScimError> {
        let opens = |t: Option<&Token<'_>>| matches!(t, Some(Token { kind: Kind::Open, .. }));
        if opens(self.peek()) {
            return self.group(inside);
        }
        if opens(self.tokens.get(self.at + 1)) && self.keyword("not") {
            return Ok(Filter::Not(Box::new(self.group(inside)?)));
        }
        let Some(Token { kind: Kind::Word(word), at, .. }) = self.peek().cloned() else {
            return Err(self.missing("an attribute, 'not' or '('"));
        };
        let path = AttrPath::read(word).ok_or_else(|| unexpected(at, "not an attribute path"))?;
        self.at += 1;
        self.clauses += 1;
        if self.clauses > self.limits.max_clauses {
            return Err(ScimError::invalid_filter(format!(
                "The filter has more than {} comparisons.",
                self.limits.max_clauses
            )));
        }
        if self.bracket_follows() {
            if inside || path.sub.is_some() {
                return Err(self.missing("no '[' here: value paths do not nest"));
            }
            let (filter, end) = self.brackets()?;
            let then = match self.sub_behind(end)? {
                Some(sub) => Some(Then { sub, test: self.test()? }),
                None => None,
            };
            return Ok(Filter::ValuePath { attr: path, filter: Box::new(filter), then });
        }
        Ok(match self.test()? {
            Test::Present => Filter::Present(path),
            Test::Compare(op, value) => Filter::Compare { path, op, value },
        })
    }

    fn group(&mut self, inside: bool) -> Result<Filter, ScimError> {
        self.at += 1;
        let filter = self.or(inside)?;
        match self.next() {
            Some(Token { kind: Kind::Close, .. }) => Ok(filter),
            Some(token) => Err(unexpected(token.at, "expected ')'")),
            None => Err(self.missing("')'")),
        }
    }

    /// Whether `[` stands right behind the token just taken.
    fn bracket_follows(&self) -> bool {
        let end = self.at.checked_sub(1).and_then(|n| self.tokens.get(n)).map(|t| t.end);
        matches!(self.peek(), Some(Token { kind: Kind::OpenBracket, at, .. }) if Some(*at) == end)
    }

    /// `[filter]`, and the place behind it.
    fn brackets(&mut self) -> Result<(Filter, usize), ScimError> {
        self.at += 1;
        let filter = self.or(true)?;
        match self.next() {
            Some(Token { kind: Kind::CloseBracket, end, .. }) => Ok((filter, end)),
            Some(token) => Err(unexpected(token.at, "expected ']'")),
            None => Err(self.missing("']'")),
        }
    }

    /// `.sub`, if it stands right behind `]`.
    fn sub_behind(&mut self, end: usize) -> Result<Option<String>, ScimError> {
        let sub = match self.peek() {
            Some(Token { kind: Kind::Word(word), at, .. }) if *at == end => {
                let sub = word
                    .strip_prefix('.')
                    .filter(|name| crate::path::is_name(name))
                    .ok_or_else(|| unexpected(*at, "expected '.' and a sub-attribute"))?;
                Some(sub.to_owned())
            }
            _ => None,
        };
        if sub.is_some() {
            self.at += 1;
        }
        Ok(sub)
    }

    fn test(&mut self) -> Result<Test, ScimError> {
        let Some(Token { kind: Kind::Word(word), at, .. }) = self.next() else {
            self.at -= 1;
            return Err(self.missing("an operator"));
        };
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Test::Present);
        }
        let op =
            Op::read(word).ok_or_else(|| unexpected(at, "expected an operator (eq ne co sw ew gt ge lt le pr)"))?;
        let value = match self.next() {
            Some(Token { kind: Kind::Text(text), .. }) => Value::String(text),
            Some(Token { kind: Kind::Word(word), at, .. }) => scalar(self.bare_value(word, at)?, at)?,
            _ => {
                self.at -= 1;
                return Err(self.missing("a value"));
            }
        };
        Ok(Test::Compare(op, value))
    }

    /// true, false, null, a number; else a text that lacks its quotes.
    fn bare_value(&mut self, word: &str, at: usize) -> Result<Value, ScimError> {
        match serde_json::from_str::<Value>(word) {
            Ok(value) => Ok(value),
            Err(_) => unquoted_value::text(word, self.quirks).ok_or_else(|| unexpected(at, "a value without quotes")),
        }
    }
}

/// A value is a text, a number, true, false or null; `{}` is JSON too, and none of these.
fn scalar(value: Value, at: usize) -> Result<Value, ScimError> {
    if value.is_object() || value.is_array() {
        return Err(unexpected(at, "expected a text in quotes, a number, true, false or null"));
    }
    Ok(value)
}
