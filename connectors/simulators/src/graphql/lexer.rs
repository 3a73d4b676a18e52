//! The tokens of query documents (GraphQL October 2021, section 2.1).

/// Most tokens of a document.
const MAX_TOKENS: usize = 20_000;

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Why a document cannot be read.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) at: At,
}

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Punct(&'static str),
    Name(String),
    Int(i64),
    Float(f64),
    Text(String),
    End,
}

impl Token {
    /// As an error message names it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Punct(p) => (*p).to_owned(),
            Self::Name(name) => name.chars().take(60).collect(),
            Self::Int(n) => n.to_string(),
            Self::Float(n) => n.to_string(),
            Self::Text(_) => "string".to_owned(),
            Self::End => "end of file".to_owned(),
        }
    }
}

const PUNCTUATORS: [&str; 14] = ["...", "!", "$", "&", "(", ")", ":", "=", "@", "[", "]", "{", "|", "}"];

struct Lexer<'a> {
    rest: &'a str,
    at: At,
}

impl<'a> Lexer<'a> {
    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        for c in taken.chars() {
            if c == '\n' {
                self.at.line = self.at.line.saturating_add(1);
                self.at.column = 1;
            } else {
                self.at.column = self.at.column.saturating_add(1);
            }
        }
        self.rest = rest;
        taken
    }

    fn while_bytes(&self, test: impl Fn(u8) -> bool) -> usize {
        self.rest.bytes().position(|b| !test(b)).unwrap_or(self.rest.len())
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { message: message.into(), at: self.at })
    }

    fn next(&mut self) -> Result<(Token, At), SyntaxError> {
        loop {
            let blank = self.while_bytes(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b','));
            self.advance(blank);
            if let Some(rest) = self.rest.strip_prefix('\u{feff}') {
                self.rest = rest;
            } else if self.rest.starts_with('#') {
                let line = self.while_bytes(|b| b != b'\n');
                self.advance(line);
            } else {
                break;
            }
        }
        let at = self.at;
        let Some(first) = self.rest.chars().next() else {
            return Ok((Token::End, at));
        };
        let token = if let Some(p) = PUNCTUATORS.iter().find(|p| self.rest.starts_with(**p)) {
            self.advance(p.len());
            Token::Punct(p)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let n = self.while_bytes(|b| b.is_ascii_alphanumeric() || b == b'_');
            Token::Name(self.advance(n).to_owned())
        } else if first.is_ascii_digit() || first == '-' {
            self.number()?
        } else if self.rest.starts_with("\"\"\"") {
            self.block()?
        } else if first == '"' {
            self.string()?
        } else {
            return self.error(format!("Unexpected character {first:?}"));
        };
        Ok((token, at))
    }

    fn number(&mut self) -> Result<Token, SyntaxError> {
        let n = self.while_bytes(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
        let text = self.rest.get(..n).unwrap_or_default();
        let token = if text.contains(['.', 'e', 'E']) {
            text.parse().ok().filter(|f: &f64| f.is_finite()).map(Token::Float)
        } else {
            text.parse().ok().map(Token::Int)
        };
        match token {
            Some(token) => {
                self.advance(n);
                Ok(token)
            }
            None => self.error("Invalid number"),
        }
    }

    fn block(&mut self) -> Result<Token, SyntaxError> {
        self.advance(3);
        let mut out = String::new();
        loop {
            if self.rest.starts_with("\\\"\"\"") {
                self.advance(4);
                out.push_str("\"\"\"");
            } else if self.rest.starts_with("\"\"\"") {
                self.advance(3);
                return Ok(Token::Text(out.trim_matches('\n').to_owned()));
            } else if let Some(c) = self.rest.chars().next() {
                self.advance(c.len_utf8());
                out.push(c);
            } else {
                return self.error("Unterminated string");
            }
        }
    }

    fn string(&mut self) -> Result<Token, SyntaxError> {
        self.advance(1);
        let mut out = String::new();
        loop {
            let Some(c) = self.rest.chars().next() else {
                return self.error("Unterminated string");
            };
            match c {
                '"' => {
                    self.advance(1);
                    return Ok(Token::Text(out));
                }
                '\n' | '\r' => return self.error("Unterminated string"),
                '\\' => {
                    self.advance(1);
                    out.push(self.escape()?);
                }
                _ => {
                    self.advance(c.len_utf8());
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let Some(c) = self.rest.chars().next() else {
            return self.error("Unterminated string");
        };
        let plain = match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.hex()?;
                if (0xD800..0xDC00).contains(&high) && self.rest.starts_with("\\u") {
                    self.advance(1);
                    let low = self.hex()?;
                    let pair = char::decode_utf16([high, low].map(|n| {
                        // Four hexadecimal digits always fit.
                        u16::try_from(n).unwrap_or_default()
                    }))
                    .next();
                    return match pair {
                        Some(Ok(c)) => Ok(c),
                        _ => self.error("Bad unicode escape"),
                    };
                }
                return match char::from_u32(high) {
                    Some(c) => Ok(c),
                    None => self.error("Bad unicode escape"),
                };
            }
            _ => return self.error("Bad escape"),
        };
        self.advance(1);
        Ok(plain)
    }

    /// Reads `uXXXX`.
    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let digits = self.rest.get(1..5).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(n) => {
                self.advance(5);
                Ok(n)
            }
            None => self.error("Bad unicode escape"),
        }
    }
}

/// Reads a document as tokens, the last of which is [`Token::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<(Token, At)>, SyntaxError> {
    let mut lexer = Lexer { rest: text, at: At { line: 1, column: 1 } };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let end = token.0 == Token::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
        if tokens.len() > MAX_TOKENS {
            return lexer.error("The document has too many tokens");
        }
    }
}
