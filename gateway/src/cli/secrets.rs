//! `scimgate secrets`: the master key.

use std::path::PathBuf;
use std::sync::Arc;

use super::exit::{Done, Exit, Stop};
use super::out::{data, note};
use super::progress::Progress;
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::secrets::{KEY_FILE, KeyRing};
use crate::service::{StartError, rotate_secrets};
use crate::store::Store;

/// The master key, under which credentials are sealed.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Seal everything under a new master key. Stop the gateway, every replica of it, first
    Rotate(Box<Rotate>),
}

const AFTER: &str = "\
Where the key is the file master.key in the data directory, a new key is made and takes its place. Where it is SCIMGATE_MASTER_KEY, give the new one by --new-key-file, or set the variable to NEW,OLD; afterwards set it to the new one alone.
API keys stay valid. Keep the old key for as long as you keep copies of the database that were made before.";

/// Seals everything under a new master key.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Rotate {
    /// File with the new key: base64 of 32 bytes, readable by you alone
    #[arg(long, env = "SCIMGATE_NEW_KEY_FILE", value_name = "FILE")]
    new_key_file: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
}

impl Command {
    /// Runs it.
    pub(super) async fn run(self) -> Done {
        let Self::Rotate(rotate) = self;
        rotate.run().await
    }
}

impl Rotate {
    async fn run(self) -> Done {
        let config = Config::load(self.overrides)?;
        if config.database.is_new() {
            return Err(Stop::usage("There is no database yet, so nothing is sealed under any key."));
        }
        let old =
            KeyRing::load(config.master_key.as_ref(), &config.data_dir, &config.database).map_err(StartError::from)?;
        let in_file = config.master_key.is_none();
        let new = match &self.new_key_file {
            Some(file) => KeyRing::read_file(file).map_err(StartError::from)?,
            // Begun before: the first key seals already.
            None if old.keys() > 1 => old.alone(),
            None if in_file => KeyRing::generate(),
            None => {
                return Err(Stop::usage(
                    "There is no new key. Make one (head -c 32 /dev/urandom | base64 > new.key; chmod 600 new.key) and give it by --new-key-file new.key.",
                ));
            }
        };
        let ring = new.before(&old);
        let store =
            Store::open(&config.database, Clock::system()).await.map_err(|error| Stop::failed(format!("{error}")))?;
        if in_file {
            // A death in between leaves a file that opens what is sealed under either.
            ring.keep_in(&config.data_dir).map_err(StartError::from)?;
        }
        let ring = Arc::new(ring);
        let sealed = Progress::start()
            .during("Sealing under the new key", rotate_secrets(&store, ring.clone()))
            .await
            .map_err(|error| Stop::failed(error.to_string()));
        store.close().await;
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(stop) => {
                if in_file {
                    // Nothing was sealed under the new key.
                    old.keep_in(&config.data_dir).map_err(StartError::from)?;
                }
                return Err(stop);
            }
        };
        if in_file {
            ring.alone().keep_in(&config.data_dir).map_err(StartError::from)?;
            note(&format!("{} holds the new key.", config.data_dir.join(KEY_FILE).display()));
        } else {
            note("Set SCIMGATE_MASTER_KEY to the new key alone, at every replica, before the next start.");
        }
        note("Keep the old key for as long as you keep copies of the database that were made before.");
        data(&format!(
            "{sealed} secrets are sealed under the key {}; the old one opens none of them.\n",
            ring.active_id()
        ))?;
        Ok(Exit::Ok)
    }
}
