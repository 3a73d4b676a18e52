//! Query documents: the syntax tree (GraphQL October 2021, section 2).
//!
//! Bounded: at most [`MAX_NESTING`] levels of
//! selections, values or types, whatever comes in.

use std::collections::HashMap;

pub(crate) use super::lexer::{At, SyntaxError};
use super::lexer::{Token, tokens};

/// Deepest nesting of a document.
pub(crate) const MAX_NESTING: usize = 64;

/// A whole document.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) operations: Vec<Operation>,
    pub(crate) fragments: HashMap<String, Fragment>,
}

/// A query or mutation.
#[derive(Debug)]
pub(crate) struct Operation {
    /// `query`, `mutation` or `subscription`.
    pub(crate) kind: String,
    pub(crate) name: Option<String>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) selections: Vec<Selection>,
    pub(crate) at: At,
}

/// A declared variable; its type in the notation of the schema: `[String!]!`.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ty: String,
    pub(crate) default: Option<Literal>,
    pub(crate) at: At,
}

/// A named fragment.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) on: String,
    pub(crate) selections: Vec<Selection>,
    pub(crate) at: At,
}

/// A literal or a variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Variable(String),
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Enum(String),
    List(Vec<Literal>),
    Object(Vec<(String, Literal)>),
}

/// Name and arguments of a directive.
#[derive(Debug)]
pub(crate) struct Directive {
    pub(crate) name: String,
    pub(crate) arguments: Vec<(String, Literal)>,
}

/// A field of a selection.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) alias: Option<String>,
    pub(crate) name: String,
    pub(crate) arguments: Vec<(String, Literal)>,
    pub(crate) directives: Vec<Directive>,
    pub(crate) selections: Vec<Selection>,
    pub(crate) at: At,
}

impl Field {
    /// The name of the field in the reply.
    pub(crate) fn key(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

/// One entry between braces.
#[derive(Debug)]
pub(crate) enum Selection {
    Field(Field),
    Spread { name: String, directives: Vec<Directive>, at: At },
    Inline { on: Option<String>, directives: Vec<Directive>, selections: Vec<Selection>, at: At },
}

/// Reads a document.
pub(crate) fn parse(text: &str) -> Result<Document, SyntaxError> {
    Parser { tokens: tokens(text)?, next: 0 }.document()
}

struct Parser {
    /// Ends with [`Token::End`].
    tokens: Vec<(Token, At)>,
    next: usize,
}

impl Parser {
    fn here(&self) -> (&Token, At) {
        match self.tokens.get(self.next).or_else(|| self.tokens.last()) {
            Some((token, at)) => (token, *at),
            None => (&Token::End, At { line: 1, column: 1 }),
        }
    }

    fn at(&self) -> At {
        self.here().1
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, SyntaxError> {
        let (token, at) = self.here();
        Err(SyntaxError {
            message: format!("Expected {wanted}, actual: {} at [{}, {}]", token.shown(), at.line, at.column),
            at,
        })
    }

    fn is(&self, punct: &str) -> bool {
        matches!(self.here().0, Token::Punct(p) if *p == punct)
    }

    fn eat(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        if found {
            self.next += 1;
        }
        found
    }

    fn expect(&mut self, punct: &str) -> Result<(), SyntaxError> {
        if self.eat(punct) { Ok(()) } else { self.unexpected(punct) }
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        if let Token::Name(name) = self.here().0 {
            let name = name.clone();
            self.next += 1;
            Ok(name)
        } else {
            self.unexpected("NAME")
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.here().0, Token::Name(name) if name == word)
    }

    fn bounded(&self, depth: usize) -> Result<(), SyntaxError> {
        if depth <= MAX_NESTING {
            return Ok(());
        }
        Err(SyntaxError { message: "The document is nested too deeply".to_owned(), at: self.at() })
    }

    fn document(mut self) -> Result<Document, SyntaxError> {
        let mut document = Document { operations: Vec::new(), fragments: HashMap::new() };
        while *self.here().0 != Token::End {
            let at = self.at();
            if self.is_word("fragment") {
                self.next += 1;
                let name = self.name()?;
                if !self.is_word("on") || name == "on" {
                    return self.unexpected("on");
                }
                self.next += 1;
                let on = self.name()?;
                self.directives()?;
                let selections = self.selections(0)?;
                let fragment = Fragment { on, selections, at };
                if document.fragments.insert(name.clone(), fragment).is_some() {
                    return Err(SyntaxError { message: format!("Fragment name \"{name}\" must be unique"), at });
                }
            } else {
                document.operations.push(self.operation(at)?);
            }
        }
        if document.operations.is_empty() {
            return self.unexpected("an operation");
        }
        Ok(document)
    }

    fn operation(&mut self, at: At) -> Result<Operation, SyntaxError> {
        let mut operation =
            Operation { kind: "query".to_owned(), name: None, variables: Vec::new(), selections: Vec::new(), at };
        if !self.is("{") {
            operation.kind = self.name()?;
            if !matches!(operation.kind.as_str(), "query" | "mutation" | "subscription") {
                self.next -= 1;
                return self.unexpected("an operation");
            }
            if matches!(self.here().0, Token::Name(_)) {
                operation.name = Some(self.name()?);
            }
            if self.eat("(") {
                while !self.eat(")") {
                    operation.variables.push(self.variable()?);
                }
            }
            self.directives()?;
        }
        operation.selections = self.selections(0)?;
        Ok(operation)
    }

    fn variable(&mut self) -> Result<Variable, SyntaxError> {
        let at = self.at();
        self.expect("$")?;
        let name = self.name()?;
        self.expect(":")?;
        let mut ty = String::new();
        self.type_ref(&mut ty, 0)?;
        let default = if self.eat("=") { Some(self.value(0)?) } else { None };
        self.directives()?;
        Ok(Variable { name, ty, default, at })
    }

    fn type_ref(&mut self, out: &mut String, depth: usize) -> Result<(), SyntaxError> {
        self.bounded(depth)?;
        if self.eat("[") {
            out.push('[');
            self.type_ref(out, depth + 1)?;
            self.expect("]")?;
            out.push(']');
        } else {
            out.push_str(&self.name()?);
        }
        if self.eat("!") {
            out.push('!');
        }
        Ok(())
    }

    fn selections(&mut self, depth: usize) -> Result<Vec<Selection>, SyntaxError> {
        self.bounded(depth)?;
        self.expect("{")?;
        let mut out = Vec::new();
        while !self.eat("}") {
            out.push(self.selection(depth)?);
        }
        if out.is_empty() {
            self.next -= 1;
            return self.unexpected("NAME");
        }
        Ok(out)
    }

    fn selection(&mut self, depth: usize) -> Result<Selection, SyntaxError> {
        let at = self.at();
        if self.eat("...") {
            let on = if self.is_word("on") {
                self.next += 1;
                Some(self.name()?)
            } else if matches!(self.here().0, Token::Name(_)) {
                let name = self.name()?;
                let directives = self.directives()?;
                return Ok(Selection::Spread { name, directives, at });
            } else {
                None
            };
            let directives = self.directives()?;
            let selections = self.selections(depth + 1)?;
            return Ok(Selection::Inline { on, directives, selections, at });
        }
        let first = self.name()?;
        let (alias, name) = if self.eat(":") { (Some(first), self.name()?) } else { (None, first) };
        let arguments = self.arguments()?;
        let directives = self.directives()?;
        let selections = if self.is("{") { self.selections(depth + 1)? } else { Vec::new() };
        Ok(Selection::Field(Field { alias, name, arguments, directives, selections, at }))
    }

    fn arguments(&mut self) -> Result<Vec<(String, Literal)>, SyntaxError> {
        let mut out: Vec<(String, Literal)> = Vec::new();
        if self.eat("(") {
            while !self.eat(")") {
                let name = self.name()?;
                self.expect(":")?;
                let value = self.value(0)?;
                out.push((name, value));
            }
        }
        Ok(out)
    }

    fn directives(&mut self) -> Result<Vec<Directive>, SyntaxError> {
        let mut out = Vec::new();
        while self.eat("@") {
            let name = self.name()?;
            let arguments = self.arguments()?;
            out.push(Directive { name, arguments });
        }
        Ok(out)
    }

    fn value(&mut self, depth: usize) -> Result<Literal, SyntaxError> {
        self.bounded(depth)?;
        if self.eat("$") {
            return Ok(Literal::Variable(self.name()?));
        }
        if self.eat("[") {
            let mut out = Vec::new();
            while !self.eat("]") {
                out.push(self.value(depth + 1)?);
            }
            return Ok(Literal::List(out));
        }
        if self.eat("{") {
            let mut out = Vec::new();
            while !self.eat("}") {
                let name = self.name()?;
                self.expect(":")?;
                out.push((name, self.value(depth + 1)?));
            }
            return Ok(Literal::Object(out));
        }
        let literal = match self.here().0 {
            Token::Name(name) => match name.as_str() {
                "null" => Literal::Null,
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                _ => Literal::Enum(name.clone()),
            },
            Token::Int(n) => Literal::Int(*n),
            Token::Float(n) => Literal::Float(*n),
            Token::Text(text) => Literal::Text(text.clone()),
            Token::Punct(_) | Token::End => return self.unexpected("a value"),
        };
        self.next += 1;
        Ok(literal)
    }
}
