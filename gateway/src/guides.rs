//! The guides for identity providers: one file each in `docs/idp`, compiled in. People read the files; the console shows
//! the same with an instance's values filled in, so the two can't differ.
//!
//! A guide is a small, strict part of Markdown, so that it looks alike wherever it is shown. `docs/idp/README.md` has
//! the rules for whoever writes one; [`Guide::parse`] refuses what keeps to none of them. What comes out are blocks and
//! inlines, never HTML: whoever shows them escapes text as ever.

mod inline;
mod read;
#[cfg(test)]
mod tests;
mod values;

use std::sync::LazyLock;

use serde::Deserialize;
use thiserror::Error;

pub use inline::{Inline, Target};
pub use values::Values;

/// A file of `docs/idp`, with its name.
macro_rules! guide {
    ($name:literal) => {
        ($name, include_str!(concat!("../../docs/idp/", $name, ".md")))
    };
}

/// The files of `docs/idp`.
const FILES: &[(&str, &str)] = &[
    guide!("entra"),
    guide!("okta"),
    guide!("okta_own_app"),
    guide!("onelogin"),
    guide!("sailpoint"),
    guide!("sailpoint_iiq"),
    guide!("pingone"),
    guide!("pingfederate"),
    guide!("jumpcloud"),
    guide!("google_workspace"),
    guide!("cyberark"),
    guide!("rippling"),
    guide!("auth0"),
    guide!("authentik"),
    guide!("keycloak"),
    guide!("pocket_id"),
    guide!("lumos"),
    guide!("saviynt"),
    guide!("generic"),
];

/// A part of a guide; all guides have all parts, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What has to be there before the first step.
    Need,
    /// What to do at the identity provider, in order.
    Steps,
    /// What to choose where there is a choice: mappings, what to switch off.
    Recommended,
    /// The first calls, and what can be seen once it works.
    Works,
    /// The usual reasons why it does not.
    Trouble,
    /// How it is undone.
    Leave,
}

impl Part {
    /// Every part, in order.
    pub const ALL: [Part; 6] = [Part::Need, Part::Steps, Part::Recommended, Part::Works, Part::Trouble, Part::Leave];

    /// Its heading.
    pub fn heading(self) -> &'static str {
        match self {
            Part::Need => "What you need",
            Part::Steps => "Steps",
            Part::Recommended => "Settings we recommend",
            Part::Works => "What you will see when it works",
            Part::Trouble => "If it does not work",
            Part::Leave => "Changing the key, and leaving",
        }
    }
}

/// A block of a guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A heading below that of the part.
    Heading {
        /// The name to link to it by: lower case, with hyphens.
        anchor: String,
        /// Its text.
        text: String,
    },
    /// A paragraph.
    Paragraph(Vec<Inline>),
    /// A numbered list, from 1.
    Steps(Vec<Item>),
    /// A list with bullets.
    Bullets(Vec<Item>),
    /// A table. Every row has as many cells as the head.
    Table {
        /// The cells of the head.
        head: Vec<Vec<Inline>>,
        /// The rows below.
        rows: Vec<Vec<Vec<Inline>>>,
    },
    /// Text to be copied as it is, in lines.
    Code {
        /// What it is written in, such as `json` or `sh`; may be empty.
        language: String,
        /// The text, without a line end at its end.
        text: String,
        /// Whether everything in it was filled in; see [`Inline::Value`].
        complete: bool,
    },
}

/// A point of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its text.
    pub text: Vec<Inline>,
    /// The points below it, often the fields of a form. They have none below them.
    pub below: Vec<Vec<Inline>>,
}

/// Why a text is no guide.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {problem}")]
pub struct GuideError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl GuideError {
    fn at(line: usize, problem: impl Into<String>) -> Self {
        Self { line, problem: problem.into() }
    }
}

/// What stands between the `+++` lines.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    id: String,
    title: String,
    checked: String,
    dialect: Option<String>,
    order: u32,
}

/// One guide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guide {
    /// Its name in addresses; the file is `docs/idp/ID.md`.
    pub id: String,
    /// The identity provider, for people.
    pub title: String,
    /// When and against what it was checked, in words. To be shown: none of a vendor's screens is ours.
    pub checked: String,
    /// The dialect that the client speaks ([`scim::dialect::Dialect::by_name`]), where there is one of its own.
    pub dialect: Option<String>,
    /// Its place in lists, the smallest first.
    pub order: u32,
    /// What stands before the first part, with nothing filled in.
    intro: Vec<Block>,
    /// The parts, with nothing filled in.
    parts: Vec<(Part, Vec<Block>)>,
    /// The text below the front matter.
    body: String,
}

impl Guide {
    /// Reads a guide.
    ///
    /// # Errors
    /// The first line that keeps not to the rules, and which rule.
    pub fn parse(text: &str) -> Result<Self, GuideError> {
        let (front, body, skipped) = read::split(text)?;
        let front: Front = toml::from_str(front)
            .map_err(|error| GuideError::at(1, format!("the front matter: {}", error.message())))?;
        for (name, value) in [("id", &front.id), ("title", &front.title), ("checked", &front.checked)] {
            if value.trim().is_empty() {
                return Err(GuideError::at(1, format!("{name} is empty")));
            }
        }
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !front.id.chars().all(name) {
            return Err(GuideError::at(1, "id has other signs than a to z, digits and _"));
        }
        let (intro, parts) = read::document(body, skipped, &front.title)?;
        let body = body.to_owned();
        let Front { id, title, checked, dialect, order } = front;
        Ok(Self { id, title, checked, dialect, order, intro, parts, body })
    }

    /// What stands before the first part, with these values.
    pub fn intro(&self, values: &Values) -> Vec<Block> {
        self.intro.iter().map(|block| values.block(block)).collect()
    }

    /// One part, with these values.
    pub fn part(&self, part: Part, values: &Values) -> Vec<Block> {
        let blocks = self.parts.iter().find(|(one, _)| *one == part).map(|(_, blocks)| blocks.as_slice());
        blocks.unwrap_or_default().iter().map(|block| values.block(block)).collect()
    }

    /// Every part with its blocks, in order, with these values.
    pub fn parts(&self, values: &Values) -> Vec<(Part, Vec<Block>)> {
        Part::ALL.into_iter().map(|part| (part, self.part(part, values))).collect()
    }

    /// The guide as Markdown with these values, to be handed to somebody else.
    pub fn markdown(&self, values: &Values) -> String {
        values.fill(&self.body).0
    }
}

/// All guides, in their order.
pub fn all() -> &'static [Guide] {
    // A test holds every file to the rules, so that none is left out here.
    static ALL: LazyLock<Vec<Guide>> = LazyLock::new(|| {
        let mut guides: Vec<Guide> = FILES.iter().filter_map(|(_, text)| Guide::parse(text).ok()).collect();
        guides.sort_by_key(|guide| guide.order);
        guides
    });
    &ALL
}

/// The guide of this name.
pub fn by_id(id: &str) -> Option<&'static Guide> {
    all().iter().find(|guide| guide.id == id)
}
