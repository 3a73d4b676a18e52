//! The end of an embedded database's file: after an I/O error or a failed `fsync` nobody knows what of the last writes
//! is on the disk and what only in memory, and asking again may be answered wrongly. So the first such error is kept,
//! every later write is refused, and the process ends; the next start reads what the disk has.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// Whether the file failed, and how.
#[derive(Default)]
pub(super) struct Failure {
    words: OnceLock<String>,
    token: CancellationToken,
}

impl Failure {
    /// Notes the error that ended it.
    pub(super) fn note(&self, words: &str) {
        if self.words.set(words.to_owned()).is_ok() {
            tracing::error!(error = %words, "the database file failed; nothing more is written, and the gateway ends");
        }
        self.token.cancel();
    }

    /// The error, once there was one.
    pub(super) fn words(&self) -> Option<&str> {
        self.words.get().map(String::as_str)
    }

    /// Waits until the file fails; for ever if it does not.
    pub(super) async fn happened(&self) -> String {
        self.token.cancelled().await;
        self.words().unwrap_or_default().to_owned()
    }
}
