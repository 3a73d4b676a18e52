//! One request: compiled from a manifest, rendered with values.
//!
//! The manifest gives a request its shape and values never change it: a value in a path is one
//! segment, in a query one parameter, in a header one line, in JSON one value, in XML text. A value
//! that cannot be that refuses the request.

use connector_sdk::{Call, Repeat, Repeatable};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};
use url::Url;

use crate::expr::{Expr, Failed, Scope, Text, json};
use crate::paging::Paging;
use crate::rules::Rule;

/// A compiled request.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its place in the manifest: `accounts.create`.
    pub(crate) op: &'static str,
    /// Its name in attempts and metrics: `create account`.
    pub(crate) call: &'static str,
    pub(crate) method: Method,
    pub(crate) path: Path,
    pub(crate) query: Vec<(String, Text)>,
    pub(crate) headers: Vec<(HeaderName, Text)>,
    pub(crate) body: Body,
    pub(crate) success: Vec<u16>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) repeat: Repeat,
    pub(crate) repeats: Option<Repeatable>,
    pub(crate) item: Option<Expr>,
    pub(crate) items: Option<Expr>,
    pub(crate) keep: Option<Expr>,
    pub(crate) paging: Option<Paging>,
    pub(crate) fields: Option<Vec<(String, Expr)>>,
    pub(crate) read_first: bool,
    pub(crate) writes: Vec<String>,
    pub(crate) look_first: bool,
    /// What is asked before, and judged in its place where it is no plain success.
    pub(crate) before: Option<Box<Request>>,
    pub(crate) purpose: Option<String>,
    pub(crate) created_id: Option<Expr>,
    pub(crate) batch: usize,
}

/// A path: its segments, and whether it ends with a slash.
#[derive(Debug)]
pub(crate) struct Path {
    source: String,
    segments: Vec<Text>,
    slash: bool,
}

/// A body.
#[derive(Debug)]
pub(crate) enum Body {
    None,
    Json(Template),
    Form(Vec<(String, Text)>),
    Xml(Text),
}

/// A JSON value with expressions in its texts.
#[derive(Debug)]
pub(crate) enum Template {
    Fixed(Value),
    Text(Text),
    List(Vec<Template>),
    Map(Vec<(String, Template)>),
}

/// Why a request could not be made. Its text speaks of the request, never of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmade(pub(crate) String);

impl From<Failed> for Unmade {
    fn from(failed: Failed) -> Self {
        Self(failed.0)
    }
}

impl Path {
    /// Reads a path.
    pub(crate) fn new(source: &str, names: &[&str]) -> Result<Self, String> {
        let rest = source.strip_prefix('/').ok_or("must begin with `/`")?;
        let mut pieces = split(rest);
        let slash = pieces.last().is_some_and(String::is_empty);
        if slash {
            pieces.pop();
        }
        let mut segments = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            let text = Text::new(piece, names)?;
            if let Some(fixed) = text.fixed() {
                if fixed.is_empty() || fixed == "." || fixed == ".." {
                    return Err("has an empty segment, or one that is `.` or `..`".to_owned());
                }
                if fixed.contains(['{', '}']) {
                    return Err(format!("has single braces; for a value write two: `{{{{ … }}}}` (in `{fixed}`)"));
                }
                if fixed.contains(['?', '#', '%', '\\']) {
                    return Err("is a path alone, not encoded: parameters are given under `query`".to_owned());
                }
            }
            segments.push(text);
        }
        Ok(Self { source: source.to_owned(), segments, slash: slash && !pieces.is_empty() })
    }

    /// The path with its parameters in braces, for the connector's page.
    pub(crate) fn template(&self) -> String {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            match (segment.fixed(), segment.subject()) {
                (Some(fixed), _) => path.push_str(fixed),
                (None, subject) => path.push_str(&format!("{{{subject}}}")),
            }
        }
        if self.slash {
            path.push('/');
        }
        path
    }

    /// The path below the base's, each segment encoded.
    fn render(&self, scope: &Scope) -> Result<String, Unmade> {
        let mut path = String::new();
        for segment in &self.segments {
            let text = segment
                .render(scope, str::to_owned)?
                .filter(|text| !text.is_empty())
                .ok_or_else(|| Unmade(format!("a value of the path `{}` is missing", self.source)))?;
            if text == "." || text == ".." {
                return Err(Unmade(format!("a value of the path `{}` cannot be a segment", self.source)));
            }
            path.push('/');
            encode(&text, &mut path);
        }
        if self.slash {
            path.push('/');
        }
        Ok(path)
    }
}

/// Splits at slashes outside of expressions.
fn split(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken =
            if rest.starts_with("{{") { rest.find("}}").map_or(rest.len(), |end| end + 2) } else { c.len_utf8() };
        match pieces.last_mut() {
            Some(last) if c != '/' => last.push_str(&rest[..taken]),
            _ => pieces.push(String::new()),
        }
        rest = &rest[taken..];
    }
    pieces
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str, to: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(char::from(HEX[usize::from(byte >> 4)]));
            to.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Text that stands in XML (XML 1.0, sections 2.2 and 2.4); characters that XML cannot hold are left out.
fn xml(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => made.push_str("&amp;"),
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '"' => made.push_str("&quot;"),
            '\'' => made.push_str("&#39;"),
            '\t' | '\n' | '\r' => made.push_str(&format!("&#{};", u32::from(c))),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => made.push(other),
        }
    }
    made
}

impl Template {
    /// Reads a JSON value.
    pub(crate) fn new(value: &Value, names: &[&str], depth: usize) -> Result<Self, String> {
        if depth == 0 {
            return Err("is nested too deeply".to_owned());
        }
        Ok(match value {
            Value::String(source) => {
                let text = Text::new(source, names)?;
                match text.fixed() {
                    Some(fixed) => Self::Fixed(Value::String(fixed.to_owned())),
                    None => Self::Text(text),
                }
            }
            Value::Array(items) => {
                Self::List(items.iter().map(|item| Self::new(item, names, depth - 1)).collect::<Result<_, _>>()?)
            }
            Value::Object(map) => Self::Map(
                map.iter()
                    .map(|(name, item)| Ok((name.clone(), Self::new(item, names, depth - 1)?)))
                    .collect::<Result<_, String>>()?,
            ),
            fixed => Self::Fixed(fixed.clone()),
        })
    }

    /// The value; `None` where it is one expression whose value is nothing.
    pub(crate) fn render(&self, scope: &Scope) -> Result<Option<Value>, Unmade> {
        Ok(Some(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(text) => match text.only() {
                Some(expr) => return Ok(json(&expr.eval(scope)?)?),
                None => match text.render(scope, str::to_owned)? {
                    Some(text) => Value::String(text),
                    None => return Ok(None),
                },
            },
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.extend(item.render(scope)?);
                }
                Value::Array(list)
            }
            Self::Map(fields) => {
                let mut map = Map::new();
                for (name, field) in fields {
                    if let Some(value) = field.render(scope)? {
                        map.insert(name.clone(), value);
                    }
                }
                Value::Object(map)
            }
        }))
    }
}

impl Request {
    /// Whether it changes anything at the target.
    pub(crate) fn writes_at_all(&self) -> bool {
        self.repeat != Repeat::Read
    }

    /// The call of it, without what authorises it. `more` are parameters of paging.
    pub(crate) fn render(
        &self,
        base: &Url,
        common: &[(HeaderName, String)],
        scope: &Scope,
        more: &[(String, String)],
    ) -> Result<Call, Unmade> {
        let mut url = base.clone();
        let path = format!("{}{}", base.path().trim_end_matches('/'), self.path.render(scope)?);
        url.set_path(&path);
        if url.path() != path {
            return Err(Unmade("the path cannot be written as a URL".to_owned()));
        }
        for (name, text) in &self.query {
            if let Some(value) = text.render(scope, str::to_owned)? {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        for (name, value) in more {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut call = Call::new(self.call, self.method.clone(), url).repeat(self.repeat);
        for (name, value) in common {
            call.headers.insert(name.clone(), header(name, value)?);
        }
        call.headers.entry(http::header::ACCEPT).or_insert_with(|| HeaderValue::from_static("application/json"));
        match &self.body {
            Body::None => {}
            Body::Json(template) => {
                call.body = template.render(scope)?.unwrap_or(Value::Null).to_string().into();
                content(&mut call, "application/json");
            }
            Body::Form(fields) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                for (name, text) in fields {
                    if let Some(value) = text.render(scope, str::to_owned)? {
                        form.append_pair(name, &value);
                    }
                }
                call.body = form.finish().into();
                content(&mut call, "application/x-www-form-urlencoded");
            }
            Body::Xml(text) => {
                call.body =
                    text.render(scope, xml)?.ok_or_else(|| Unmade("a value of the body is missing".to_owned()))?.into();
                content(&mut call, "application/xml");
            }
        }
        for (name, text) in &self.headers {
            if let Some(value) = text.render(scope, str::to_owned)? {
                call.headers.insert(name.clone(), header(name, &value)?);
            }
        }
        Ok(call)
    }
}

/// The content type of the body, unless a common header says it.
fn content(call: &mut Call, kind: &'static str) {
    call.headers.entry(http::header::CONTENT_TYPE).or_insert_with(|| HeaderValue::from_static(kind));
}

fn header(name: &HeaderName, value: &str) -> Result<HeaderValue, Unmade> {
    HeaderValue::from_str(value).map_err(|_| Unmade(format!("a value cannot stand in the header `{name}`")))
}
