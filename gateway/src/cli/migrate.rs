//! `scimgate migrate`.

use super::exit::{Done, Exit, Stop};
use super::out::data;
use super::progress::Progress;
use crate::clock::Clock;
use crate::config::{Config, Database, Overrides};
use crate::secrets::KeyRing;
use crate::service::StartError;
use crate::store::Store;

/// Opens the database, which brings its schema up to date.
pub(super) async fn run(overrides: Overrides) -> Done {
    let config = Config::load(overrides)?;
    let place = match &config.database {
        Database::Sqlite(path) => path.display().to_string(),
        Database::Postgres(_) => "PostgreSQL".to_owned(),
    };
    if config.database.is_new() {
        // A database never comes to be without its key: `serve` would refuse it.
        KeyRing::load(config.master_key.as_ref(), &config.data_dir, &config.database).map_err(StartError::from)?;
    }
    let mut progress = Progress::start();
    progress
        .during(&format!("Migrating {place}"), Store::open(&config.database, Clock::system()))
        .await
        .map_err(|error| Stop::failed(named(&place, &error.to_string())))?;
    data(&format!("{place}: the schema is up to date.\n"))?;
    Ok(Exit::Ok)
}

/// What went wrong, with the database in front where the words do not name it.
fn named(place: &str, error: &str) -> String {
    if error.contains(place) { error.to_owned() } else { format!("{place}: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_in_use_was_named_twice() {
        assert_eq!(named("/d/a.db", "another process uses /d/a.db"), "another process uses /d/a.db");
        assert_eq!(named("PostgreSQL", "no connection"), "PostgreSQL: no connection");
    }
}
