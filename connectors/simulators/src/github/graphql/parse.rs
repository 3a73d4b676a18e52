//! A bounded reader of GraphQL documents: operations, fragments, variables, directives.

use std::collections::HashMap;

use serde_json::Value;

/// More tokens than any sensible query has.
const MAX_TOKENS: usize = 10_000;
/// The deepest nesting of selections, values or types.
const MAX_DEPTH: usize = 24;

/// Where something stands in the document, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Debug)]
pub(super) struct Document {
    pub(super) operations: Vec<Operation>,
    pub(super) fragments: HashMap<String, Fragment>,
}

#[derive(Debug)]
pub(super) struct Operation {
    /// `query`, `mutation` or `subscription`.
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) variables: Vec<Variable>,
    pub(super) selections: Vec<Selection>,
}

#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    /// As written: `[String!]!`.
    pub(super) kind: String,
    pub(super) default: Option<Term>,
}

#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) on: String,
    pub(super) selections: Vec<Selection>,
}

#[derive(Debug)]
pub(super) struct Selection {
    pub(super) what: What,
    pub(super) directives: Vec<Directive>,
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum What {
    Field { alias: Option<String>, name: String, arguments: Arguments, selections: Vec<Selection> },
    Spread(String),
    Inline { on: Option<String>, selections: Vec<Selection> },
}

/// Names and values in round brackets.
pub(super) type Arguments = Vec<(String, Term)>;
/// A name behind an `@`, and its arguments.
pub(super) type Directive = (String, Arguments);

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Variable(String),
    Literal(Value),
    /// An enum value.
    Word(String),
    List(Vec<Term>),
    Object(Arguments),
}

/// A syntax error.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Mark(&'static str),
    Name(String),
    Literal(Value),
    End,
}

const MARKS: [&str; 14] = ["...", "!", "$", "&", "(", ")", ":", "=", "@", "[", "]", "{", "}", "|"];

fn tokens(text: &str) -> Result<Vec<(Token, Place)>, Wrong> {
    let mut found = Vec::new();
    let mut place = Place { line: 1, column: 1 };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let wrong = |message: &str| Wrong { message: message.to_owned(), place };
        if found.len() > MAX_TOKENS {
            return Err(wrong("This query is too large"));
        }
        let length = if c.is_whitespace() || c == ',' || c == '\u{feff}' {
            c.len_utf8()
        } else if c == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(mark) = MARKS.iter().find(|m| rest.starts_with(**m)) {
            found.push((Token::Mark(mark), place));
            mark.len()
        } else if c.is_ascii_alphabetic() || c == '_' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            found.push((Token::Name(name.to_owned()), place));
            name.len()
        } else if c.is_ascii_digit() || c == '-' {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
            let number = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let value = serde_json::from_str(number).map_err(|_| wrong("A number is malformed"))?;
            found.push((Token::Literal(value), place));
            number.len()
        } else if c == '"' {
            let (value, length) = string(rest).ok_or_else(|| wrong("A string is malformed"))?;
            found.push((Token::Literal(Value::String(value)), place));
            length
        } else {
            return Err(wrong("Parse error on an unexpected character"));
        };
        let (taken, left) = rest.split_at(length);
        for c in taken.chars() {
            if c == '\n' {
                place.line += 1;
                place.column = 1;
            } else {
                place.column += 1;
            }
        }
        rest = left;
    }
    found.push((Token::End, place));
    Ok(found)
}

/// A string at the beginning of a text, and how many bytes it takes.
fn string(text: &str) -> Option<(String, usize)> {
    if let Some(rest) = text.strip_prefix("\"\"\"") {
        let end = rest.find("\"\"\"")?;
        return Some((rest.get(..end)?.trim().to_owned(), end + 6));
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            '"' if !escaped => {
                let quoted = text.get(..=at)?;
                // The escapes are those of JSON.
                return serde_json::from_str(quoted).ok().map(|s| (s, at + 1));
            }
            _ => escaped = c == '\\' && !escaped,
        }
    }
    None
}

pub(super) fn document(text: &str) -> Result<Document, Wrong> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let mut document = Document { operations: Vec::new(), fragments: HashMap::new() };
    while *parser.peek() != Token::End {
        if *parser.peek() == Token::Mark("{") {
            document.operations.push(Operation {
                kind: "query".to_owned(),
                name: None,
                variables: Vec::new(),
                selections: parser.selections(0)?,
            });
            continue;
        }
        match parser.name()?.as_str() {
            "fragment" => {
                let name = parser.name()?;
                parser.word("on")?;
                let on = parser.name()?;
                let selections = parser.selections(0)?;
                document.fragments.insert(name, Fragment { on, selections });
            }
            kind @ ("query" | "mutation" | "subscription") => {
                let kind = kind.to_owned();
                let operation = parser.operation(kind)?;
                document.operations.push(operation);
            }
            other => {
                let message = format!("Parse error on {other:?} (IDENTIFIER)");
                return Err(parser.wrong(message));
            }
        }
    }
    Ok(document)
}

struct Parser {
    tokens: Vec<(Token, Place)>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(t, _)| t)
    }

    fn place(&self) -> Place {
        let found = self.tokens.get(self.at).or(self.tokens.last());
        found.map_or(Place { line: 1, column: 1 }, |(_, place)| *place)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn wrong(&self, message: impl Into<String>) -> Wrong {
        Wrong { message: message.into(), place: self.place() }
    }

    fn unexpected(&self) -> Wrong {
        self.wrong(match self.peek() {
            Token::Mark(mark) => format!("Parse error on {mark:?}"),
            Token::Name(name) => format!("Parse error on {name:?} (IDENTIFIER)"),
            Token::Literal(value) => format!("Parse error on {value}"),
            Token::End => "Unexpected end of document".to_owned(),
        })
    }

    /// Takes this mark if it is the next.
    fn mark(&mut self, mark: &'static str) -> bool {
        let there = *self.peek() == Token::Mark(mark);
        if there {
            self.at += 1;
        }
        there
    }

    fn expect(&mut self, mark: &'static str) -> Result<(), Wrong> {
        if self.mark(mark) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn name(&mut self) -> Result<String, Wrong> {
        match self.peek() {
            Token::Name(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Wrong> {
        match self.peek() {
            Token::Name(name) if name == word => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.unexpected()),
        }
    }

    fn operation(&mut self, kind: String) -> Result<Operation, Wrong> {
        let name = match self.peek() {
            Token::Name(_) => Some(self.name()?),
            _ => None,
        };
        let mut variables = Vec::new();
        if self.mark("(") {
            while !self.mark(")") {
                self.expect("$")?;
                let name = self.name()?;
                self.expect(":")?;
                let kind = self.kind(0)?;
                let default = if self.mark("=") { Some(self.term(0)?) } else { None };
                variables.push(Variable { name, kind, default });
            }
        }
        self.directives()?;
        Ok(Operation { kind, name, variables, selections: self.selections(0)? })
    }

    fn deeper(&self, depth: usize) -> Result<usize, Wrong> {
        if depth == MAX_DEPTH {
            return Err(self.wrong("This query is nested too deeply"));
        }
        Ok(depth + 1)
    }

    fn kind(&mut self, depth: usize) -> Result<String, Wrong> {
        let depth = self.deeper(depth)?;
        let mut kind = if self.mark("[") {
            let inner = self.kind(depth)?;
            self.expect("]")?;
            format!("[{inner}]")
        } else {
            self.name()?
        };
        if self.mark("!") {
            kind.push('!');
        }
        Ok(kind)
    }

    fn selections(&mut self, depth: usize) -> Result<Vec<Selection>, Wrong> {
        let depth = self.deeper(depth)?;
        self.expect("{")?;
        let mut selections = Vec::new();
        while !self.mark("}") {
            selections.push(self.selection(depth)?);
        }
        if selections.is_empty() {
            return Err(self.wrong("Parse error on \"}\": a selection is empty"));
        }
        Ok(selections)
    }

    fn selection(&mut self, depth: usize) -> Result<Selection, Wrong> {
        let place = self.place();
        if self.mark("...") {
            let on = match self.peek() {
                Token::Name(name) if name == "on" => {
                    self.at += 1;
                    Some(self.name()?)
                }
                Token::Name(_) => {
                    let name = self.name()?;
                    return Ok(Selection { what: What::Spread(name), directives: self.directives()?, place });
                }
                _ => None,
            };
            return Ok(Selection {
                directives: self.directives()?,
                what: What::Inline { on, selections: self.selections(depth)? },
                place,
            });
        }
        let first = self.name()?;
        let (alias, name) = if self.mark(":") { (Some(first), self.name()?) } else { (None, first) };
        let arguments = self.arguments()?;
        let directives = self.directives()?;
        let selections = if *self.peek() == Token::Mark("{") { self.selections(depth)? } else { Vec::new() };
        Ok(Selection { what: What::Field { alias, name, arguments, selections }, directives, place })
    }

    fn arguments(&mut self) -> Result<Arguments, Wrong> {
        let mut arguments = Vec::new();
        if self.mark("(") {
            while !self.mark(")") {
                let name = self.name()?;
                self.expect(":")?;
                arguments.push((name, self.term(0)?));
            }
        }
        Ok(arguments)
    }

    fn directives(&mut self) -> Result<Vec<Directive>, Wrong> {
        let mut directives = Vec::new();
        while self.mark("@") {
            let name = self.name()?;
            directives.push((name, self.arguments()?));
        }
        Ok(directives)
    }

    fn term(&mut self, depth: usize) -> Result<Term, Wrong> {
        let depth = self.deeper(depth)?;
        if !matches!(self.peek(), Token::Mark("$" | "[" | "{") | Token::Name(_) | Token::Literal(_)) {
            return Err(self.unexpected());
        }
        Ok(match self.next() {
            Token::Mark("$") => Term::Variable(self.name()?),
            Token::Mark("[") => {
                let mut list = Vec::new();
                while !self.mark("]") {
                    list.push(self.term(depth)?);
                }
                Term::List(list)
            }
            Token::Name(word) => match word.as_str() {
                "true" => Term::Literal(true.into()),
                "false" => Term::Literal(false.into()),
                "null" => Term::Literal(Value::Null),
                _ => Term::Word(word),
            },
            Token::Literal(value) => Term::Literal(value),
            Token::Mark(_) | Token::End => {
                let mut object = Vec::new();
                while !self.mark("}") {
                    let name = self.name()?;
                    self.expect(":")?;
                    object.push((name, self.term(depth)?));
                }
                Term::Object(object)
            }
        })
    }
}
