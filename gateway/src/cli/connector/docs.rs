//! `scimgate connector docs`.

use std::path::PathBuf;

use clap::Args;
use contract::pages;

use super::super::exit::{Done, Exit, Stop};
use super::super::out::Out;

/// `scimgate connector docs`.
#[derive(Debug, Args)]
pub(super) struct Docs {
    /// Where the pages go
    #[arg(long, value_name = "FOLDER", default_value = "docs/connectors")]
    out: PathBuf,
    /// The checkout whose connectors have a README.md each
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

impl Docs {
    pub(super) async fn run(self) -> Done {
        let (pages, played) = pages::pages(&self.dir).await.map_err(|error| Stop::failed(error.to_string()))?;
        let out = Out::new(false, false);
        std::fs::create_dir_all(&self.out)?;
        for (name, text) in pages {
            let path = self.out.join(name);
            std::fs::write(&path, text).map_err(|error| Stop::failed(format!("{}: {error}", path.display())))?;
            out.line(&path.display().to_string())?;
        }
        let broken: Vec<String> =
            played.iter().filter(|(_, report)| !report.failed.is_empty()).map(|(subject, _)| subject.title()).collect();
        if broken.is_empty() {
            return Ok(Exit::Ok);
        }
        Err(Stop::failed(format!("Written, but these break the contract: {}.", broken.join("; "))))
    }
}
