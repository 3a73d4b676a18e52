//! Knobs: what the control API's `set` is given, read one by one.

use serde_json::Value;

/// One knob and what it is set to.
#[derive(Clone, Copy)]
pub(crate) struct Knob<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// What it is set to.
    pub(crate) value: &'a Value,
}

/// Every knob of an object of knobs.
///
/// # Errors
/// It is no object.
pub(crate) fn each(what: &Value) -> Result<impl Iterator<Item = Knob<'_>>, String> {
    let knobs = what.as_object().ok_or_else(|| "an object of knobs is expected".to_owned())?;
    Ok(knobs.iter().map(|(name, value)| Knob { name, value }))
}

impl Knob<'_> {
    /// That the simulator has no such knob.
    pub(crate) fn unknown<T>(self) -> Result<T, String> {
        Err(format!("there is no knob {:?}", self.name))
    }

    /// What is said of a value that the knob does not take.
    pub(crate) fn wrong(self, wanted: &str) -> String {
        format!("{}: {wanted} is expected", self.name)
    }

    /// One of two words; whether it is the second.
    pub(crate) fn choice(self, off: &str, on: &str) -> Result<bool, String> {
        match self.value.as_str() {
            Some(text) if text == off => Ok(false),
            Some(text) if text == on => Ok(true),
            _ => Err(self.wrong(&format!("{off:?} or {on:?}"))),
        }
    }

    /// Whether a credential lives.
    pub(crate) fn valid(self) -> Result<bool, String> {
        self.choice("revoked", "valid")
    }

    /// True or false.
    pub(crate) fn flag(self) -> Result<bool, String> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// A text.
    pub(crate) fn text(self) -> Result<String, String> {
        self.value.as_str().map(str::to_owned).ok_or_else(|| self.wrong("a text"))
    }

    /// A list of texts.
    pub(crate) fn texts(self) -> Result<Vec<String>, String> {
        let list = self.value.as_array().map(|all| all.iter().map(|one| one.as_str().map(str::to_owned)).collect());
        list.flatten().ok_or_else(|| self.wrong("a list of texts"))
    }

    /// The most there may be; nothing where there is no limit.
    pub(crate) fn most(self) -> Result<Option<usize>, String> {
        if self.value.is_null() {
            return Ok(None);
        }
        let most = self.value.as_u64().and_then(|most| usize::try_from(most).ok());
        most.map(Some).ok_or_else(|| self.wrong("a whole number or null"))
    }
}
