//! The config folder of manifests: read once, at the start.

use std::path::{Path, PathBuf};

use super::text::{Format, MAX_TEXT, Own, Problem, Text};
use crate::store::StoreError;

/// More files than this are a wrong folder.
const MOST_FILES: usize = 200;

/// A manifest of the folder.
pub struct FromFile {
    pub(super) path: PathBuf,
    pub(super) text: Text,
}

impl FromFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn text(&self) -> &Text {
        &self.text
    }
}

/// Why manifests of the config folder cannot be used; for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder or a file of it cannot be read.
    #[error("manifests_dir: {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Files that are wrong: a line for each problem, with file, line and field.
    #[error("manifests_dir: {}", lines(.0))]
    Wrong(Vec<(PathBuf, Problem)>),
    /// The store's trouble.
    #[error("manifests_dir: the manifests could not be stored: {0}")]
    Store(#[from] StoreError),
}

impl FolderError {
    /// One problem of one file.
    pub(super) fn file(path: &Path, problem: Problem) -> Self {
        Self::Wrong(vec![(path.to_owned(), problem)])
    }
}

fn lines(wrong: &[(PathBuf, Problem)]) -> String {
    let lines: Vec<String> = wrong.iter().map(|(path, problem)| format!("{} {problem}", path.display())).collect();
    lines.join("\n")
}

/// Reads the manifests of a folder, by name. Files that are neither TOML nor YAML, and folders, are left alone.
///
/// # Errors
/// [`FolderError`] with everything that is wrong, so that it can be mended at once.
pub fn read(folder: &Path, built_in: &[&str]) -> Result<Vec<FromFile>, FolderError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| FolderError::Unreadable { path, error }
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let format = path.extension().and_then(|extension| extension.to_str()).and_then(Format::of);
        let json = path.extension().is_some_and(|extension| extension == "json");
        if let Some(format) = format.filter(|_| !json && path.is_file()) {
            paths.push((path, format));
        }
    }
    if paths.len() > MOST_FILES {
        let error = std::io::Error::other(format!("it has {} manifests; at most {MOST_FILES} are read", paths.len()));
        return Err(unreadable(folder)(error));
    }
    paths.sort();
    let mut wrong: Vec<(PathBuf, Problem)> = Vec::new();
    let mut found: Vec<FromFile> = Vec::new();
    for (path, format) in paths {
        let size = std::fs::metadata(&path).map_err(unreadable(&path))?.len();
        if size > MAX_TEXT as u64 {
            let message = format!("is {size} bytes long; a manifest has at most {MAX_TEXT}");
            wrong.push((path, Problem { line: None, field: "text".to_owned(), message }));
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        match Text::read(&text, format) {
            Err(problems) => wrong.extend(problems.into_iter().map(|problem| (path.clone(), problem))),
            Ok(text) if built_in.contains(&text.name()) => {
                let words = format!("{} is built in; choose another name", text.name());
                wrong.push((path, Problem::of(&text, "name", words)));
            }
            Ok(text) => match found.iter().find(|other| other.text.name() == text.name()) {
                Some(other) => {
                    let words = format!("{} is the name of {}, too", text.name(), other.path.display());
                    wrong.push((path, Problem::of(&text, "name", words)));
                }
                None => found.push(FromFile { path, text }),
            },
        }
    }
    if !wrong.is_empty() {
        return Err(FolderError::Wrong(wrong));
    }
    found.sort_by(|a, b| a.text.name().cmp(b.text.name()));
    Ok(found)
}
