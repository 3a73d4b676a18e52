//! Copies of an embedded database, and putting one back.
//!
//! A copy is one consistent state of the database, made by `VACUUM INTO` while a gateway runs on it. It carries a mark:
//! a gateway that opens a marked database knows that it is not where the world is any more, however the file came to
//! its place (`service::restore`).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, Row};

use super::error::StoreError;
use super::sqlite::{lock_beside, options, private, with_suffix};

/// The row of `setting` that marks a copy; its value says when the copy was made, in microseconds.
pub(crate) const MARK: &str = "restored_from";

/// What a copy says of itself.
#[derive(Clone, Debug)]
pub struct Contents {
    /// When it was made, in microseconds; none for a file that was copied by other means.
    pub made_at: Option<i64>,
    /// A known value, sealed under the master key of the database; none if no gateway was ever started on it.
    pub key_check: Option<String>,
}

/// Writes a consistent copy of the database in the file `from` to the new file `to` (mode 0600), checks it, and answers
/// its size in bytes. A gateway may be running on `from`; it waits for nothing.
///
/// # Errors
/// `to` exists, `from` is no database of ours, the disk is full, or the copy did not pass its check. Nothing is left at
/// `to` then.
pub async fn copy(from: &Path, to: &Path, now: i64) -> Result<u64, StoreError> {
    if to.exists() {
        return Err(StoreError::Config(format!("{} exists already; give the name of a new file", to.display())));
    }
    let draft = with_suffix(to, ".partial");
    let written = write_copy(from, &draft, now).await;
    let moved = written.and_then(|()| move_to(&draft, to));
    if moved.is_err() {
        // What went wrong says more than that a draft could not be removed.
        let _ = std::fs::remove_file(&draft);
    }
    moved?;
    std::fs::metadata(to).map(|file| file.len()).map_err(|error| failed(to, &error))
}

async fn write_copy(from: &Path, draft: &Path, now: i64) -> Result<(), StoreError> {
    match std::fs::remove_file(draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(draft, &error)),
        _ => {}
    }
    // SQLite takes a file that is there and empty, so that it is never readable by others.
    private().open(draft).map_err(|error| failed(draft, &error))?;
    let mut source = connect(from).await?;
    let made = sqlx::query("VACUUM INTO $1").bind(draft.to_string_lossy().into_owned()).execute(&mut source).await;
    source.close().await?;
    made?;
    let mut copy = connect(draft).await?;
    let marked = async {
        check(&mut copy, draft).await?;
        sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(MARK)
            .bind(now.to_string())
            .execute(&mut copy)
            .await?;
        Ok::<(), StoreError>(())
    }
    .await;
    copy.close().await?;
    marked
}

/// Reads what a copy says of itself, and checks it whole.
///
/// # Errors
/// It is not there, no database of ours, or damaged.
pub async fn inspect(copy: &Path) -> Result<Contents, StoreError> {
    if !copy.is_file() {
        return Err(StoreError::Config(format!("{}: there is no such file", copy.display())));
    }
    let mut open = connect(copy).await?;
    let read = async {
        check(&mut open, copy).await?;
        let mut setting = async |name: &str| {
            let row = sqlx::query("SELECT value FROM setting WHERE name = $1").bind(name.to_owned());
            let row = row.fetch_optional(&mut open).await?;
            row.map(|row| row.try_get::<String, _>(0)).transpose()
        };
        let made_at = setting(MARK).await?.and_then(|at| at.parse().ok());
        Ok::<_, StoreError>(Contents { made_at, key_check: setting("key_check").await? })
    }
    .await;
    open.close().await?;
    read
}

/// Puts a copy in the place of the database `to`, marked. With `replace` what is there is kept beside it, under the name
/// that is answered; without, it is an error that something is there.
///
/// # Errors
/// A gateway runs on `to`; something is there; the copy is damaged; a file cannot be written. Then `to` is as it was.
pub async fn put_back(copy: &Path, to: &Path, replace: bool, now: i64) -> Result<Option<PathBuf>, StoreError> {
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    }
    let _lock = lock_beside(to)?;
    if to.exists() && !replace {
        return Err(StoreError::Config(format!(
            "{} exists already. With --replace it is kept under another name, and the copy takes its place",
            to.display()
        )));
    }
    let draft = with_suffix(to, ".restoring");
    if let Err(error) = write_copy(copy, &draft, now).await {
        let _ = std::fs::remove_file(&draft);
        return Err(error);
    }
    let mut aside = None;
    if to.exists() {
        let name = with_suffix(to, &format!(".before-{now}"));
        // The log first: beside another database it would be taken for that one's.
        for suffix in ["-wal", "-shm", ""] {
            let (old, new) = (with_suffix(to, suffix), with_suffix(&name, suffix));
            match std::fs::rename(&old, &new) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&old, &error)),
                _ => {}
            }
        }
        aside = Some(name);
    }
    move_to(&draft, to)?;
    Ok(aside)
}

async fn connect(path: &Path) -> Result<SqliteConnection, StoreError> {
    let open = options(path).busy_timeout(Duration::from_secs(5)).connect().await;
    open.map_err(|error| StoreError::Config(format!("{}: it cannot be opened: {error}", path.display())))
}

/// Checks every page, every index and every reference of a database, and that it is one of ours.
async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let bad = |what: &dyn std::fmt::Display| StoreError::Config(format!("{}: {what}", path.display()));
    let whole: String = sqlx::query("PRAGMA integrity_check(1)")
        .fetch_one(&mut *connection)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| bad(&format_args!("it is not a database of scimgate, or damaged ({error})")))?;
    if whole != "ok" {
        return Err(bad(&format_args!("the file is damaged: {whole}")));
    }
    if !sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut *connection).await?.is_empty() {
        return Err(bad(&"the file is damaged: rows refer to rows that are not there"));
    }
    let known = sqlx::query("SELECT 1 FROM sqlite_master WHERE name IN ('seaql_migrations', 'setting', 'instance')");
    if known.fetch_all(connection).await?.len() != 3 {
        return Err(bad(&"it is not a database of scimgate"));
    }
    Ok(())
}

/// Brings a finished file to its place, on the disk before anybody is told.
fn move_to(draft: &Path, to: &Path) -> Result<(), StoreError> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let moved = || {
        File::open(draft)?.sync_all()?;
        std::fs::rename(draft, to)?;
        File::open(folder)?.sync_all()
    };
    moved().map_err(|error: std::io::Error| failed(to, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Config(format!("{}: {error}", path.display()))
}
