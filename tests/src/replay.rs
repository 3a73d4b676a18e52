//! The recorded habits of real clients, played against an instance by `replay.py` of the facts.

use std::path::Path;

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

/// Plays `clients/NAME.json` of the facts.
///
/// # Panics
/// If python3 or the sequence is not there.
pub async fn replay(facts: &Path, client: &str, scim: &Scim) -> Replay {
    let folder = facts.join("clients");
    let sequence = folder.join(format!("{client}.json"));
    assert!(
        sequence.is_file(),
        "no sequence of a client at {}",
        sequence.display()
    );
    let output = Command::new("python3")
        .arg(folder.join("replay.py"))
        .args([&scim.base, &scim.key])
        .arg(&sequence)
        .output()
        .await
        .unwrap_or_else(|error| panic!("could not run python3: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Replay {
        ok: output.status.success(),
        text,
    }
}
