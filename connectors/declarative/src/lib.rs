//! Connectors without code: a **manifest** says how a target's API is called, and this package makes
//! a [`connector_sdk::Connector`] of it.
//!
//! `tree` and `schema` read a text and check its form, `compile` makes a `plan` of it (and checks every
//! text, expression and reference), `build` makes the entry of the catalogue and the connector, `client`,
//! `request`, `rules`, `paging` and `auth` call the target, `accounts`, `groups` and `mapping` are the
//! boundary's traits. What the contract of a connector asks for holds by construction: a manifest
//! says *how* to call, never what a status means for the engine unless it knows better.
//!
//! Invariants: a value never changes the shape of a request (`request`); an expression reads nothing
//! but what it is given, on fuel (`expr`); a listing ends (`paging`).

#![recursion_limit = "512"]

mod accounts;
mod auth;
mod build;
mod client;
mod compile;
mod expr;
mod groups;
mod known;
mod mapping;
mod model;
mod paging;
mod plan;
mod preview;
mod problem;
mod request;
mod rules;
mod schema;
mod tree;

use std::sync::Arc;

use connector_sdk::{About, Entry, Kind};
use serde::Deserialize;
use serde_json::Value;

pub use preview::{Rendered, Sample};
pub use problem::Problem;
pub use schema::json_schema;

use compile::Compiler;
use model::Model;
use plan::Plan;
use tree::Tree;

/// How a manifest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.0.
    Toml,
    /// YAML 1.1, one document.
    Yaml,
}

/// So many problems are told at a time.
pub const MOST_PROBLEMS: usize = 100;

/// A manifest that was read and found sound.
#[derive(Clone, Debug)]
pub struct Manifest {
    plan: Arc<Plan>,
    about: About,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// What is wrong with it, each with its line and field; of very many the first [`MOST_PROBLEMS`].
    pub fn parse(text: &str, format: Format) -> Result<Self, Vec<Problem>> {
        let tree = Tree::read(text, format).map_err(|problem| vec![problem])?;
        let placed = |problems: Vec<Problem>| {
            let more = problems.len().saturating_sub(MOST_PROBLEMS);
            let mut told: Vec<_> = problems.into_iter().take(MOST_PROBLEMS).map(|one| tree.place(one)).collect();
            if more > 0 {
                told.push(Problem::at("", format!("{more} more things are wrong; mend these first")));
            }
            told
        };
        let problems = schema::check(&tree.root);
        if !problems.is_empty() {
            return Err(placed(problems));
        }
        let model: Result<Model, _> = serde_path_to_error::deserialize(&tree.root);
        let model =
            model.map_err(|error| placed(vec![Problem::at(error.path().to_string(), error.inner().to_string())]))?;
        let mut compiler = Compiler { problems: Vec::new() };
        let Some(plan) = compiler.plan(&model) else {
            return Err(placed(compiler.problems));
        };
        let about = build::about(&plan).map_err(|full| vec![Problem::at("", full.to_string())])?;
        Ok(Self { plan: Arc::new(plan), about })
    }

    /// The connector's name in the API.
    pub fn name(&self) -> &str {
        &self.plan.model.name
    }

    /// The connector's name for people.
    pub fn title(&self) -> &str {
        &self.plan.model.title
    }

    /// The manifest's own version.
    pub fn version(&self) -> &str {
        &self.plan.model.version
    }

    /// Which resources it serves.
    pub fn kind(&self) -> Kind {
        self.plan.kind()
    }

    /// What its page says, of the manifest itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The entry of the catalogue.
    ///
    /// # Errors
    /// The process keeps too many names already ([`connector_sdk::names`]).
    pub fn entry(&self) -> Result<Entry, Problem> {
        build::entry(&self.plan).map_err(|full| Problem::at("", full.to_string()))
    }

    /// Every request, rendered with sample data and without sending anything. Secrets are `***`.
    /// Settings that are wrong make one entry that says so.
    pub fn preview(&self, settings: &Value, sample: &Sample) -> Vec<Rendered> {
        preview::preview(&self.plan, settings, sample)
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "toml" => Ok(Self::Toml),
            "yaml" => Ok(Self::Yaml),
            _ => Err(serde::de::Error::custom("must be `toml` or `yaml`")),
        }
    }
}

impl serde::Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Toml => "toml",
            Self::Yaml => "yaml",
        })
    }
}
