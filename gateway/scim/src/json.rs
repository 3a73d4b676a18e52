//! Reading a request body. The limits act on the bytes, before there is a tree.
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::collections::HashSet;
use std::fmt;

use crate::error::ScimError;

/// What a body may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body. Above: 413.
    pub max_bytes: usize,
    /// Arrays and objects inside one another. Above: 400 `invalidSyntax`.
    pub max_depth: usize,
    /// Values and keys in all. Above: 413.
    pub max_nodes: usize,
    /// Bytes of one text, escapes counted as written. Above: 400 `invalidValue`.
    pub max_string: usize,
}

impl Default for Limits {
    /// The limits for one user: 1 MiB.
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_depth: 32, max_nodes: 200_000, max_string: 256 << 10 }
    }
}

impl Limits {
    /// The limits for groups and bulk, whose bodies carry member lists: 16 MiB.
    pub fn large() -> Self {
        Self { max_bytes: 16 << 20, max_nodes: 4_000_000, ..Self::default() }
    }
}

/// Reads a JSON body.
///
/// Names in SCIM are case-insensitive (RFC 7643 section 2.1), so two keys of one object that differ only in case
/// are the same key twice, and refused: two readers could disagree on which one counts.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, ScimError> {
    if bytes.len() > limits.max_bytes {
        return Err(ScimError::too_large(format!("The body is larger than {} bytes.", limits.max_bytes)));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ScimError::invalid_syntax("The body is not valid UTF-8."))?;
    scan(text.as_bytes(), limits)?;
    let mut de = serde_json::Deserializer::from_str(text);
    let value = Tree.deserialize(&mut de).map_err(|e| syntax(&e))?;
    de.end().map_err(|e| syntax(&e))?;
    Ok(value)
}

/// serde_json's messages name a place, and for our own errors a key; they do not repeat values.
fn syntax(error: &serde_json::Error) -> ScimError {
    ScimError::invalid_syntax(format!("The body is not valid JSON: {error}."))
}

/// One pass over the bytes: depth, number of values, length of texts.
fn scan(bytes: &[u8], limits: &Limits) -> Result<(), ScimError> {
    let (mut at, mut depth, mut nodes) = (0usize, 0usize, 1usize);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = scan_string(bytes, at, limits)?,
            b'[' | b'{' => {
                depth += 1;
                nodes += 1;
                if depth > limits.max_depth {
                    return Err(ScimError::invalid_syntax(format!(
                        "The body nests deeper than {} levels.",
                        limits.max_depth
                    )));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' => nodes += 1,
            _ => {}
        }
        if nodes > limits.max_nodes {
            return Err(ScimError::too_large(format!("The body holds more than {} values.", limits.max_nodes)));
        }
    }
    Ok(())
}

/// Passes one text; returns the place behind its closing quote (or the end, if it has none).
fn scan_string(bytes: &[u8], start: usize, limits: &Limits) -> Result<usize, ScimError> {
    let mut at = start;
    loop {
        if at - start > limits.max_string {
            return Err(ScimError::invalid_value(format!(
                "A text in the body is longer than {} bytes.",
                limits.max_string
            )));
        }
        match bytes.get(at) {
            None => return Ok(at),
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => {
                // Databases and targets cut a text at NUL, so two parties would see two values.
                if bytes.get(at + 1..at + 6) == Some(b"u0000") {
                    return Err(ScimError::invalid_value("A text in the body contains NUL."));
                }
                at += 2;
            }
            Some(_) => at += 1,
        }
    }
}

/// Builds a `Value`, refusing duplicate keys. Its recursion is bounded by the scan before it.
struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Value, D::Error> {
        de.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Tree)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut seen = HashSet::new();
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.to_ascii_lowercase()) {
                return Err(A::Error::custom("a name occurs twice in one object (names do not differ by case)"));
            }
            object.insert(key, map.next_value_seed(Tree)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(body: &[u8], want: Result<(), (u16, &str)>) {
        let got = parse(body, &Limits::default());
        match (got, want) {
            (Ok(_), Ok(())) => {}
            (Err(e), Err((status, kind))) => {
                assert_eq!(e.status, status, "{e}");
                assert_eq!(e.scim_type.map_or("", |t| t.as_str()), kind, "{e}");
            }
            (got, want) => panic!("{got:?} but wanted {want:?}"),
        }
    }

    #[test]
    fn limits_and_syntax() {
        let syntax = Err((400, "invalidSyntax"));
        check(br#"{"a":[1,-2,3.5,true,null,"x\u00e9"]}"#, Ok(()));
        check(b"", syntax);
        check(b"{", syntax);
        check(b"{} x", syntax);
        check(b"\xff", syntax);
        check(b"\"\xc3\x28\"", syntax);
        check(br#"{"userName":"a","USERNAME":"b"}"#, syntax);
        check(br#"{"a":{"b":1,"b":2}}"#, syntax);
        check(br#"[{"b":1},{"b":2}]"#, Ok(()));
        check("[".repeat(100_000).as_bytes(), syntax);
        check("{\"a\":".repeat(100_000).as_bytes(), syntax);
        check(format!("{}{}", "[".repeat(32), "]".repeat(32)).as_bytes(), Ok(()));
        check(format!("{}{}", "[".repeat(33), "]".repeat(33)).as_bytes(), syntax);
        check(format!("\"{}\"", "[".repeat(1000)).as_bytes(), Ok(()));
        check(format!("\"{}\"", "x".repeat(300_000)).as_bytes(), Err((400, "invalidValue")));
        check(br#"{"a":"b\u0000"}"#, Err((400, "invalidValue")));
        check(br#"{"a":"b\\u0000"}"#, Ok(()));
        check(&vec![b' '; (1 << 20) + 1], Err((413, "")));
        check(&vec![b'1'; 10 << 20], Err((413, "")));
        check(format!("[{}1]", "1,".repeat(200_000)).as_bytes(), Err((413, "")));
        check(b"1e999", syntax);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &Limits::default());
        }

        #[test]
        fn agrees_with_serde_json_on_what_it_accepts(s in "[\\[\\]{}:,\"a0 \\\\]{0,30}") {
            if let Ok(value) = parse(s.as_bytes(), &Limits::default()) {
                prop_assert_eq!(Some(value), serde_json::from_str::<Value>(&s).ok());
            }
        }
    }
}
