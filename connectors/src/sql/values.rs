//! Values that go into statements and come out of rows.

use std::collections::BTreeMap;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// NULL.
    Null,
    /// A boolean.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// Text.
    Text(String),
}

impl Value {
    /// It as text; `None` for NULL.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
        }
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.to_owned()))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The values of a statement's parameters, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(BTreeMap<String, Value>);

impl Params {
    /// With one more.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value.into());
        self
    }

    /// Sets one.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// One; NULL if it is not there.
    pub(super) fn get(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or(Value::Null)
    }
}

/// One row, by the names of its columns, which compare without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row(pub(super) BTreeMap<String, Value>);

/// A row that is not as the mapping promised, for the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Odd(pub(super) String);

impl Row {
    /// A column's text; `None` where it is NULL or not there.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name)?.text()
    }

    /// A column that must say something.
    pub(super) fn needed(&self, name: &str) -> Result<String, Odd> {
        match self.0.get(name) {
            None => Err(Odd(format!("the rows have no column named {name}"))),
            Some(value) => {
                value.text().filter(|text| !text.is_empty()).ok_or_else(|| Odd(format!("{name} is empty in a row")))
            }
        }
    }

    /// A column that says yes or no; `None` where it is NULL or not there.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Odd> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(*flag)),
            Some(Value::Number(number)) => Ok(Some(*number != 0)),
            Some(Value::Text(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Ok(Some(true)),
                "false" | "f" | "no" | "n" | "off" | "0" => Ok(Some(false)),
                _ => Err(Odd(format!("{name} is neither true nor false in a row"))),
            },
        }
    }
}
