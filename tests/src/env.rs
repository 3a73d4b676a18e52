//! What the tests read from their environment; nothing else in this package does.
//!
//! | variable | |
//! |---|---|
//! | `SCIMGATE_FACTS` | folder with the clients' sequences and the vendors' schemas |
//! | `SCIMGATE_TEST_POSTGRES` | URL of a PostgreSQL server whose user may create databases |
//! | `SCIMGATE_TEST_BINARY` | the `scimgate` to start, where it is not beside the tests |
//! | `SCIMGATE_CHAOS_LOOPS` | how many deaths and faults the test `chaos` has, for each database |
//! | `SCIMGATE_TEST_SEED` | what chance begins with, to see a failure again |
//! | `SCIMGATE_STORAGE_PEOPLE` | how many accounts the test of a large directory has |
//! | `SCIMGATE_TEST_TOOLS` | folder with the programs of `conformance-tools.txt`; `tests/run` installs them |
//! | `SCIMGATE_TEST_AXE` | the file of axe-core, which looks at the console's pages; `tests/run` installs it |
//! | `SCIMGATE_TEST_PARTIES` | folder with the programs of `third-parties.txt`; `tests/run` installs them |

use std::path::{Path, PathBuf};

/// A setting of the test run; `None` if it is not set or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration file; this is their one place for the environment"
)]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The workspace's root folder.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in a folder of the workspace").to_owned()
}

/// The folder of facts: `SCIMGATE_FACTS`, else `../shared/facts` beside the workspace. Where it is
/// absent, says `skipped: …` and answers `None`; a test then has nothing to compare with.
///
/// # Panics
/// If `SCIMGATE_FACTS` is set and names no such folder: who sets it wants the tests run.
#[expect(clippy::print_stderr, reason = "a skipped test says so; `tests/run` counts these lines")]
pub fn facts(test: &str) -> Option<PathBuf> {
    let (folder, demanded) = match setting("SCIMGATE_FACTS") {
        Some(folder) => (PathBuf::from(folder), true),
        None => (workspace().join("../shared/facts"), false),
    };
    if folder.join("clients").is_dir() && folder.join("targets/data").is_dir() {
        return Some(folder);
    }
    assert!(!demanded, "SCIMGATE_FACTS is {}, which has no folders clients and targets/data", folder.display());
    eprintln!("skipped: {test}: no SCIMGATE_FACTS and no ../shared/facts");
    None
}
