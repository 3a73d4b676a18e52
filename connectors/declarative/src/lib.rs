//! Connectors without code: a **manifest** says how a target's API is called, and this package makes
//! a [`connector_sdk::Connector`] of it.

mod preview;
mod problem;

pub use preview::{Rendered, Sample};
pub use problem::Problem;

use connector_sdk::{About, Entry, Kind};
use serde_json::Value;

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.0.
    Toml,
    /// YAML 1.1, one document.
    Yaml,
}

/// A manifest that was read and found sound.
#[derive(Clone, Debug)]
pub struct Manifest {
    name: String,
    title: String,
    version: String,
    kind: Kind,
    about: About,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line and field.
    pub fn parse(text: &str, format: Format) -> Result<Self, Vec<Problem>> {
        let _ = (text, format);
        Err(vec![Problem::at("", "manifests cannot be read by this version")])
    }

    /// The connector's name in the API.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connector's name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The manifest's own version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Which resources it serves.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What its page says.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The entry of the catalogue.
    ///
    /// # Errors
    /// The process keeps too many names already ([`connector_sdk::names`]).
    pub fn entry(&self) -> Result<Entry, Problem> {
        Err(Problem::at("", "manifests cannot be built by this version"))
    }

    /// Every request, rendered with sample data and without sending anything. Secrets are `***`.
    pub fn preview(&self, settings: &Value, sample: &Sample) -> Vec<Rendered> {
        let _ = (settings, sample);
        Vec::new()
    }
}

/// The JSON schema of manifests.
pub fn json_schema() -> Value {
    Value::Null
}
