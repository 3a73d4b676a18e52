//! `scimgate backup` and `scimgate restore`: a copy of the database, and the way back to it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::exit::{Done, Exit, Stop};
use super::out::{data, note};
use super::progress::Progress;
use crate::clock::Clock;
use crate::config::{Config, Database, Overrides};
use crate::secrets::{KEY_FILE, KeyRing};
use crate::service::{StartError, mark_restored};
use crate::store::{Store, backup};

const POSTGRES: &str = "\
The database is PostgreSQL: copy it with its own tools, which give one consistent state while the gateway runs:
  pg_dump --format=custom --file=scimgate.dump \"$SCIMGATE_DATABASE_URL\"
Keep SCIMGATE_MASTER_KEY apart from it: without that key the targets' credentials in the copy cannot be opened.
To go back: stop every replica, restore into an empty database (pg_restore --dbname=URL scimgate.dump), run `scimgate restore` once with that --database-url, then start.";

/// Copy the database to a file, while the gateway runs or not
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The new file [default: backup-TIME.db in the data directory]
    #[arg(long, env = "SCIMGATE_BACKUP_TO", value_name = "FILE")]
    to: Option<PathBuf>,
    /// Copy the key file, too, to this file. Keep it apart: who has both has the targets' credentials
    #[arg(long, env = "SCIMGATE_BACKUP_KEY_TO", value_name = "FILE")]
    key_to: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Backup {
    /// Makes the copy.
    pub(super) async fn run(self) -> Done {
        let config = Config::load(self.overrides)?;
        let Database::Sqlite(path) = &config.database else {
            return Err(Stop::usage(POSTGRES));
        };
        if !path.is_file() {
            return Err(Stop::new(Exit::NotFound, format!("{}: there is no database", path.display())));
        }
        let now = Clock::system().now();
        let to = self.to.unwrap_or_else(|| config.data_dir.join(now.strftime("backup-%Y%m%dT%H%M%SZ.db").to_string()));
        let bytes = Progress::start()
            .during(&format!("Copying {}", path.display()), backup::copy(path, &to, now.as_microsecond()))
            .await
            .map_err(|error| Stop::failed(error.to_string()))?;
        let key = config.data_dir.join(KEY_FILE);
        match &self.key_to {
            Some(file) => {
                copy_key(&key, file)?;
                note(&format!("{} holds the master key in clear. Keep it apart from the copy.", file.display()));
            }
            None if config.master_key.is_some() => {
                note(
                    "The master key is not in the copy: keep SCIMGATE_MASTER_KEY, without which the targets' credentials in it cannot be opened.",
                );
            }
            None => note(&format!(
                "The master key is not in the copy: keep {} as well, apart from it. Without it the targets' credentials in the copy cannot be opened. (--key-to FILE copies it.)",
                key.display()
            )),
        }
        data(&format!("{}: {bytes} bytes, checked.\n", to.display()))?;
        Ok(Exit::Ok)
    }
}

/// Copies the key file to a new file of mode 0600.
fn copy_key(key: &Path, to: &Path) -> Result<(), Stop> {
    let failed = |path: &Path, error: std::io::Error| Stop::failed(format!("{}: {error}", path.display()));
    let text = zeroize::Zeroizing::new(fs::read(key).map_err(|error| failed(key, error))?);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(|error| failed(to, error))?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(|error| failed(to, error))
}

const AFTER: &str = "\
Afterwards: start the gateway, have every identity provider push everything once (what it asked for since the copy is not in it), then set the mode of each instance to enabled. Each was paused; its accounts at the target are looked at before anything is changed there.";

/// Put a copy back in the place of the database, with the gateway stopped; on PostgreSQL, tell a database that
/// pg_restore filled that it was restored
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Restore {
    /// The copy, as `scimgate backup` made it
    #[arg(long, env = "SCIMGATE_RESTORE_FROM", value_name = "FILE")]
    from: Option<PathBuf>,
    /// Keep the database that is there under another name, and put the copy in its place
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    overrides: Overrides,
}

impl Restore {
    /// Puts the copy back.
    pub(super) async fn run(self) -> Done {
        let config = Config::load(self.overrides)?;
        let now = Clock::system().now();
        match (&config.database, &self.from) {
            (Database::Sqlite(path), Some(from)) => {
                let contents = backup::inspect(from).await.map_err(|error| Stop::failed(error.to_string()))?;
                check_key(&config, contents.key_check.as_deref())?;
                let aside = Progress::start()
                    .during("Putting the copy back", backup::put_back(from, path, self.replace, now.as_microsecond()))
                    .await
                    .map_err(|error| Stop::failed(error.to_string()))?;
                if let Some(aside) = aside {
                    note(&format!("What was there is {} now.", aside.display()));
                }
                data(&format!("{}: restored from {}.\n", path.display(), from.display()))?;
            }
            (Database::Sqlite(_), None) => return Err(Stop::usage("Name the copy: --from FILE.")),
            (Database::Postgres(_), Some(_)) => return Err(Stop::usage(POSTGRES)),
            (Database::Postgres(_), None) => {
                let store = Store::open(&config.database, Clock::system())
                    .await
                    .map_err(|error| Stop::failed(error.to_string()))?;
                mark_restored(&store).await.map_err(|error| Stop::failed(error.to_string()))?;
                store.close().await;
                data("PostgreSQL: the next start takes note that the database was restored.\n")?;
            }
        }
        note(AFTER);
        Ok(Exit::Ok)
    }
}

/// Whether the master key that is configured is the one of a copy. Makes none.
fn check_key(config: &Config, check: Option<&str>) -> Result<(), Stop> {
    let Some(check) = check else { return Ok(()) };
    let ring = match &config.master_key {
        Some(setting) => KeyRing::from_text(setting),
        None => KeyRing::read_file(&config.data_dir.join(KEY_FILE)),
    };
    let ring = ring.map_err(|error| {
        Stop::failed(format!(
            "{error}\nPut the key that was kept with the copy there first, or give it as SCIMGATE_MASTER_KEY."
        ))
    })?;
    ring.open_check(check).map_err(|error| Stop::from(StartError::WrongKey(error)))
}
