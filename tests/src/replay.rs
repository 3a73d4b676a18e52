//! The recorded habits of real clients, played against an instance by `replay.py` of the facts.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::scim::Scim;

/// How a replay went.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Whether every required step was answered as the client needs.
    pub ok: bool,
    /// What the program printed: a line per miss and the counts.
    pub text: String,
}

/// A recorded sequence.
#[derive(Clone, Debug)]
pub struct Sequence {
    folder: PathBuf,
    /// The whole file.
    file: Value,
}

impl Sequence {
    /// Reads `clients/NAME.json` of the facts.
    ///
    /// # Panics
    /// If it is not there, or is no sequence.
    pub fn read(facts: &Path, client: &str) -> Self {
        let folder = facts.join("clients");
        let path = folder.join(format!("{client}.json"));
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("no sequence of a client at {}: {error}", path.display()));
        let file = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} is no JSON: {error}", path.display()));
        Self { folder, file }
    }

    /// Its steps.
    ///
    /// # Panics
    /// If it has none.
    pub fn steps(&self) -> &[Value] {
        match &self.file["steps"] {
            Value::Array(steps) if !steps.is_empty() => steps,
            other => panic!("the steps of a sequence are {other}"),
        }
    }

    /// The steps from one on, up to another, by their names; `None` is the end of the sequence.
    /// What earlier steps saved is filled in: `("userId1", id)`.
    ///
    /// # Panics
    /// If there are no such steps.
    pub fn part(&self, from: Option<&str>, to: Option<&str>, saved: &[(&str, String)]) -> Self {
        let place = |name: &str| {
            self.steps()
                .iter()
                .position(|step| step["name"] == name)
                .unwrap_or_else(|| panic!("no step is named {name}"))
        };
        let from = from.map_or(0, place);
        let to = to.map_or(self.steps().len(), place);
        let mut text = Value::from(&self.steps()[from..to]).to_string();
        for (name, value) in saved {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        let mut file = self.file.clone();
        file["steps"] = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("what was saved does not fit into JSON: {error}"));
        Self { folder: self.folder.clone(), file }
    }

    /// What its steps up to one, by its name, have saved, for [`Self::part`]: the ids of the people they made, by user name,
    /// and of the one group, so far as they are still there.
    ///
    /// # Panics
    /// If there is no such step, or it is not clear which group it is.
    pub async fn saved(&self, to: &str, scim: &Scim) -> Vec<(&str, String)> {
        let to = self.steps().iter().position(|step| step["name"] == to);
        let to = to.unwrap_or_else(|| panic!("no step is named {to:?}"));
        let mut saved = Vec::new();
        for step in &self.steps()[..to] {
            for (name, pointer) in step["save"].as_object().into_iter().flatten() {
                assert_eq!(pointer, "/id", "what {step} saves is no id");
                let found = match step["body"]["userName"].as_str() {
                    Some(user) => {
                        let filter: String =
                            url::form_urlencoded::byte_serialize(format!("userName eq \"{user}\"").as_bytes())
                                .collect();
                        scim.get(&format!("/Users?filter={filter}")).await
                    }
                    None => scim.get("/Groups").await,
                };
                assert!(found["totalResults"].as_u64() <= Some(1), "who or what is {name}: {found}");
                if let Some(id) = found["Resources"][0]["id"].as_str() {
                    saved.push((name.as_str(), id.to_owned()));
                }
            }
        }
        saved
    }

    /// Plays it.
    ///
    /// # Panics
    /// If python3 is not there.
    pub async fn play(&self, scim: &Scim) -> Replay {
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        std::fs::write(file.path(), self.file.to_string()).expect("a temporary file can be written");
        let output = Command::new("python3")
            .arg(self.folder.join("replay.py"))
            .args([&scim.base, &scim.key])
            .arg(file.path())
            .output()
            .await
            .unwrap_or_else(|error| panic!("could not run python3: {error}"));
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Replay { ok: output.status.success(), text }
    }
}
