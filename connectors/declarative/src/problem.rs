//! What is wrong with a manifest, for the person who writes it.

use serde::{Deserialize, Serialize};

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}{field}: {message}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct Problem {
    /// The line, from 1; `None` where none can be told.
    pub line: Option<u32>,
    /// The field as a dotted path: `accounts.create.path`, `errors[2].kind`. Empty for the whole text.
    pub field: String,
    /// What is wrong and what to write.
    pub message: String,
}

impl Problem {
    /// A problem at a field whose line is not known yet.
    pub(crate) fn at(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line: None, field: field.into(), message: message.into() }
    }
}

/// The known name that is nearest to one that is not known, if it is near enough to be meant.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: Vec<char> = given.chars().take(64).flat_map(char::to_lowercase).collect();
    known
        .into_iter()
        .map(|name| (distance(&given, &name.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()), name))
        .filter(|(far, name)| *far <= 1 + name.len() / 4)
        .min_by_key(|(far, _)| *far)
        .map(|(_, name)| name)
}

/// How many characters have to be put in, taken out or exchanged.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (slot, b) in row.iter_mut().skip(1).zip(other) {
            let here = (corner + usize::from(a != b)).min(left + 1).min(*slot + 1);
            corner = std::mem::replace(slot, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(one.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let known = ["method", "path", "query", "items"];
        assert_eq!(nearest("mehtod", known), Some("method"));
        assert_eq!(nearest("Path", known), Some("path"));
        assert_eq!(nearest("querry", known), Some("query"));
        assert_eq!(nearest("colour", known), None);
    }
}
