//! SQL with named parameters: `:user_name`. A statement is cut into text and names once; values are
//! only ever bound, so nothing that a client sends becomes SQL.
//!
//! The lexical rules are those of each database: PostgreSQL 15 chapter 4.1, MariaDB's "String Literals",
//! "Identifier Names" and "Comment Syntax", sqlite.org/lang.html.

use std::fmt;

use super::dialect::Dialect;

/// The longest statement, in bytes.
const LONGEST: usize = 20_000;
/// The most places of parameters in one statement.
const MOST_NAMES: usize = 200;

/// One part of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// SQL as it stands.
    Sql(String),
    /// A parameter, by its name.
    Name(String),
}

/// A statement that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pieces: Vec<Piece>,
}

/// Why a text is no statement, for the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The byte where it was seen.
    pub(super) at: usize,
    /// What is wrong, and what to write.
    pub(super) what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at + 1, self.what)
    }
}

/// What a statement may begin with. Anything else (transactions, sessions, files, schemas) is not
/// the business of provisioning, and some of it would reach beyond the database (`ATTACH`, `COPY`).
const BEGINNINGS: [&str; 9] = ["SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "CALL"];

impl Statement {
    /// Reads a statement as a database would.
    pub(super) fn read(dialect: Dialect, text: &str) -> Result<Self, Mistake> {
        let mistake = |at: usize, what: &str| Mistake { at, what: what.to_owned() };
        if text.len() > LONGEST {
            return Err(mistake(0, "the statement is too long"));
        }
        if let Some(at) = text.find('\0') {
            return Err(mistake(at, "a NUL character cannot stand in a statement"));
        }
        let pieces = Reader { dialect, text, at: 0, from: 0, pieces: Vec::new(), names: 0, first: None }.read()?;
        Ok(Self { pieces })
    }

    /// The names of its parameters, in the order of their places; one per place.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            Piece::Sql(_) => None,
        })
    }

    /// The statement with what `place` gives for each parameter: its number from 1 on.
    pub(super) fn render(&self, mut place: impl FnMut(usize) -> String) -> String {
        let mut number = 0;
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Sql(sql) => out.push_str(sql),
                Piece::Name(_) => {
                    number += 1;
                    out.push_str(&place(number));
                }
            }
        }
        out
    }

    /// The statement as it was written.
    #[cfg(test)]
    fn written(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Sql(sql) => sql.clone(),
                Piece::Name(name) => format!(":{name}"),
            })
            .collect()
    }
}

struct Reader<'a> {
    dialect: Dialect,
    text: &'a str,
    at: usize,
    /// Where the SQL begins that is not yet a piece.
    from: usize,
    pieces: Vec<Piece>,
    names: usize,
    /// The first word.
    first: Option<String>,
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn in_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit()
}

impl Reader<'_> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn mistake<T>(&self, at: usize, what: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake { at, what: what.into() })
    }

    fn read(mut self) -> Result<Vec<Piece>, Mistake> {
        while let Some(byte) = self.byte(0) {
            self.one(byte)?;
        }
        match self.first.as_deref() {
            None => return self.mistake(0, "the statement is empty"),
            Some(first) if !BEGINNINGS.contains(&first) => {
                return self.mistake(
                    0,
                    format!(
                        "a statement begins with one of {}; transactions are the gateway's own business",
                        BEGINNINGS.join(", ")
                    ),
                );
            }
            Some(_) => {}
        }
        if self.from < self.text.len() {
            self.pieces.push(Piece::Sql(self.text[self.from..].to_owned()));
        }
        Ok(self.pieces)
    }

    /// Reads one token, or one character of no interest.
    fn one(&mut self, byte: u8) -> Result<(), Mistake> {
        let mysql = self.dialect == Dialect::MariaDb;
        let postgres = self.dialect == Dialect::Postgres;
        let sqlite = self.dialect == Dialect::Sqlite;
        match byte {
            b'\'' => self.quoted(b'\'', mysql),
            b'"' => self.quoted(b'"', mysql),
            b'`' if !postgres => self.quoted(b'`', false),
            b'[' if sqlite => self.bracketed(),
            b'-' if self.byte(1) == Some(b'-') && self.dashes_comment() => {
                self.skip_line();
                Ok(())
            }
            b'#' if mysql => {
                self.skip_line();
                Ok(())
            }
            b'/' if self.byte(1) == Some(b'*') => self.block_comment(),
            b'$' if postgres => self.dollar(),
            b':' => self.colon(),
            b'?' if !postgres => self.mistake(self.at, "parameters are named, as in :user_name; ? is none"),
            b'@' | b'$' if sqlite && self.byte(1).is_some_and(starts_word) => {
                self.mistake(self.at, "parameters are written with a colon, as in :user_name")
            }
            b';' => self.semicolon(),
            _ if starts_word(byte) => self.word(),
            _ if byte.is_ascii_digit() => {
                self.begun();
                while self.byte(0).is_some_and(in_word) {
                    self.at += 1;
                }
                Ok(())
            }
            _ => {
                if !byte.is_ascii_whitespace() && byte != b'(' {
                    self.begun();
                }
                self.at += 1;
                Ok(())
            }
        }
    }

    /// Notes that the statement begins with something that is no word.
    fn begun(&mut self) {
        if self.first.is_none() {
            self.first = Some(String::new());
        }
    }

    /// MariaDB takes two dashes for a comment only before a blank or the end.
    fn dashes_comment(&self) -> bool {
        self.dialect != Dialect::MariaDb || self.byte(2).is_none_or(|byte| byte.is_ascii_whitespace() || byte < 0x20)
    }

    fn skip_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        // PostgreSQL ends a line at a carriage return as well (src/backend/parser/scan.l, `newline`).
        let ends = |byte: &u8| *byte == b'\n' || (self.dialect == Dialect::Postgres && *byte == b'\r');
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }

    /// A literal or identifier in quotes, which are doubled within; `escapes`: a backslash escapes.
    fn quoted(&mut self, quote: u8, escapes: bool) -> Result<(), Mistake> {
        self.begun();
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            self.at += 1;
            if escapes && byte == b'\\' {
                if self.byte(0).is_none() {
                    break;
                }
                self.at += 1;
            } else if byte == quote {
                if self.byte(0) != Some(quote) {
                    return Ok(());
                }
                self.at += 1;
            }
        }
        self.mistake(start, format!("this {} has no end", quote as char))
    }

    fn bracketed(&mut self) -> Result<(), Mistake> {
        self.begun();
        let start = self.at;
        match self.text.as_bytes()[start..].iter().position(|byte| *byte == b']') {
            Some(end) => {
                self.at = start + end + 1;
                Ok(())
            }
            None => self.mistake(start, "this [ has no end"),
        }
    }

    fn block_comment(&mut self) -> Result<(), Mistake> {
        let start = self.at;
        let rest = &self.text[start..];
        if self.dialect == Dialect::MariaDb && (rest.starts_with("/*!") || rest.starts_with("/*M!")) {
            return self.mistake(start, "a comment that is executed cannot be read here; write the statement out");
        }
        self.at += 2;
        let mut depth = 1_usize;
        while self.byte(0).is_some() {
            match (self.byte(0), self.byte(1)) {
                (Some(b'*'), Some(b'/')) => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                // Only PostgreSQL's comments nest.
                (Some(b'/'), Some(b'*')) if self.dialect == Dialect::Postgres => {
                    self.at += 2;
                    depth += 1;
                }
                _ => self.at += 1,
            }
        }
        // SQLite lets the end of the statement end it; what follows could then not be told apart.
        self.mistake(start, "this comment has no end")
    }

    /// `$tag$ … $tag$`, or PostgreSQL's own `$1`.
    fn dollar(&mut self) -> Result<(), Mistake> {
        self.begun();
        let start = self.at;
        let rest = &self.text.as_bytes()[start + 1..];
        if rest.first().is_some_and(u8::is_ascii_digit) {
            return self.mistake(start, "parameters are named, as in :user_name; $1 is none");
        }
        let tag = rest.iter().position(|byte| !in_word(*byte)).unwrap_or(rest.len());
        if rest.get(tag) != Some(&b'$') {
            self.at += 1;
            return Ok(());
        }
        let delimiter = &self.text[start..start + tag + 2];
        let body = start + delimiter.len();
        match self.text[body..].find(delimiter) {
            Some(end) => {
                self.at = body + end + delimiter.len();
                Ok(())
            }
            None => self.mistake(start, format!("this {delimiter} has no end")),
        }
    }

    /// A parameter, a cast (`::`), an assignment (`:=`), or a slice (`a[1:2]`).
    fn colon(&mut self) -> Result<(), Mistake> {
        self.begun();
        match self.byte(1) {
            Some(b':' | b'=') => {
                self.at += 2;
                Ok(())
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let start = self.at;
                self.at += 1;
                while self.byte(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                    self.at += 1;
                }
                if self.byte(0).is_some_and(|byte| byte >= 0x80 || byte == b'$') {
                    return self.mistake(start, "a parameter's name has letters without accents, digits and _ only");
                }
                self.names += 1;
                if self.names > MOST_NAMES {
                    return self.mistake(start, format!("a statement has at most {MOST_NAMES} parameters"));
                }
                if self.from < start {
                    self.pieces.push(Piece::Sql(self.text[self.from..start].to_owned()));
                }
                self.pieces.push(Piece::Name(self.text[start + 1..self.at].to_owned()));
                self.from = self.at;
                Ok(())
            }
            _ => {
                self.at += 1;
                Ok(())
            }
        }
    }

    fn semicolon(&mut self) -> Result<(), Mistake> {
        let rest = &self.text[self.at + 1..];
        if !rest.trim().is_empty() {
            return self.mistake(self.at, "one statement per text: write several as a list");
        }
        if self.first.is_none() {
            return self.mistake(self.at, "the statement is empty");
        }
        // Left out: a driver would take what follows for a second, empty statement.
        if self.from < self.at {
            self.pieces.push(Piece::Sql(self.text[self.from..self.at].to_owned()));
        }
        self.at = self.text.len();
        self.from = self.at;
        Ok(())
    }

    /// A word; `E'…'` is a literal with escapes, for PostgreSQL.
    fn word(&mut self) -> Result<(), Mistake> {
        let start = self.at;
        // A dollar sign may stand within a name (not in SQLite's parameters, which begin with it).
        while self.byte(0).is_some_and(|byte| in_word(byte) || byte == b'$') {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        if self.first.is_none() {
            self.first = Some(word.to_ascii_uppercase());
        }
        if self.dialect == Dialect::Postgres && word.eq_ignore_ascii_case("e") && self.byte(0) == Some(b'\'') {
            return self.quoted(b'\'', true);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "named_tests.rs"]
mod tests;
