//! `scimgate check-config`.

use secrecy::ExposeSecret;

use super::exit::{Done, Exit};
use super::out::Out;
use super::table::{Table, column};
use crate::config::{Config, Database, LogFormat, Overrides};
use crate::secrets::{KEY_FILE, KeyRing, KeyRingError};
use crate::service::{StartError, catalogue};

/// Loads the configuration and shows what holds. Nothing is made or opened.
pub(super) fn run(overrides: Overrides) -> Done {
    let config = Config::load(overrides)?;
    let out = Out::new(false, true);
    out.table(&table(&config), "")?;
    if let Some(master_key) = &config.master_key {
        KeyRing::from_text(master_key).map_err(StartError::from)?;
    } else if !config.database.embedded() {
        return Err(StartError::from(KeyRingError::Required).into());
    } else if !config.database.is_new() {
        // Nothing is made here: the database exists, so its key must.
        KeyRing::load(None, &config.data_dir, &config.database).map_err(StartError::from)?;
    }
    if let Some(folder) = &config.manifests_dir {
        let entries = connectors::builtin();
        let built_in: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
        let found = catalogue::read_folder(folder, &built_in).map_err(StartError::from)?;
        for file in &found {
            out.hint(&format!("{} {}: {}", file.text().name(), file.text().version(), file.path().display()));
        }
    }
    out.hint("The configuration is good.");
    Ok(Exit::Ok)
}

fn table(config: &Config) -> Table {
    const SET: &str = "(set, not shown)";
    let mut table = Table::new([column("SETTING"), column("VALUE")]);
    let key_file = config.data_dir.join(KEY_FILE);
    let master_key = match (&config.master_key, config.database.embedded()) {
        (Some(_), _) => SET.to_owned(),
        (None, true) => format!("(the file {}, made at the first start)", key_file.display()),
        (None, false) => "(missing)".to_owned(),
    };
    let database = match &config.database {
        Database::Sqlite(path) => format!("sqlite://{}", path.display()),
        Database::Postgres(url) => masked(url.expose_secret()),
    };
    let format = match config.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    for (name, value) in [
        ("listen", config.listen.to_string()),
        ("public_url", config.public_url.clone().unwrap_or_else(|| "(the address listened on)".to_owned())),
        ("data_dir", config.data_dir.display().to_string()),
        ("database_url", database),
        ("admin_token", config.admin_token.as_ref().map_or("(generated at the first start)", |_| SET).to_owned()),
        ("master_key", master_key),
        ("oidc_issuer", config.oidc.as_ref().map_or("(none)", |oidc| &oidc.issuer).to_owned()),
        ("allow_private_targets", config.allow_private_targets.to_string()),
        (
            "manifests_dir",
            config.manifests_dir.as_ref().map_or_else(|| "(none)".to_owned(), |folder| folder.display().to_string()),
        ),
        (
            "target_files",
            config.target_files.as_ref().map_or_else(|| "(none)".to_owned(), |folder| folder.display().to_string()),
        ),
        ("max_connections", config.max_connections.to_string()),
        ("header_timeout_seconds", config.header_timeout.as_secs().to_string()),
        ("body_limit_user_bytes", config.body_limit_user.to_string()),
        ("body_limit_group_bytes", config.body_limit_group.to_string()),
        ("bulk_max_operations", config.bulk_max_operations.to_string()),
        ("inbound_per_key", config.inbound_per_key.map_or_else(|| "no limit".to_owned(), |rate| rate.to_string())),
        ("log", config.log.clone()),
        ("log_format", format.to_owned()),
        ("call_timeout_seconds", config.call_timeout.as_secs().to_string()),
        ("invitation_look_seconds", config.invitation_look.as_secs().to_string()),
    ] {
        table.row([name.to_owned(), value]);
    }
    if let Some(oidc) = &config.oidc {
        let roles = oidc.roles.iter().flat_map(|roles| &roles.of);
        let roles: Vec<_> = roles.map(|(value, role)| format!("{value}={}", role.as_str())).collect();
        let claim = oidc.roles.as_ref().map_or("(none)", |roles| &roles.claim);
        for (name, value) in [
            ("oidc_client_id", oidc.client_id.clone()),
            ("oidc_client_secret", oidc.client_secret.as_ref().map_or("(none)", |_| SET).to_owned()),
            ("oidc_name", oidc.name.clone()),
            ("oidc_scopes", oidc.scopes.clone()),
            ("oidc_role_claim", claim.to_owned()),
            ("oidc_roles", roles.join("; ")),
        ] {
            table.row([name.to_owned(), value]);
        }
    }
    table
}

/// A database's URL without its password, and without a query, which may hold one.
fn masked(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "(set)".to_owned() };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "(set)".to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::table::Look;
    use super::*;

    #[test]
    fn secrets_are_masked() {
        let overrides = Overrides {
            admin_token: Some("s3cret-token".to_owned().into()),
            master_key: Some("s3cret-key".to_owned().into()),
            database_url: Some(
                "postgres://gate:s3cret-word@db.example.com/gate?password=s3cret-query".to_owned().into(),
            ),
            public_url: Some("https://scim.example.com".to_owned()),
            oidc_issuer: Some("https://login.example.com".to_owned()),
            oidc_client_id: Some("gate".to_owned()),
            oidc_client_secret: Some("s3cret-client".to_owned().into()),
            ..Overrides::default()
        };
        let text = table(&Config::load(overrides).unwrap()).render(Look::Tabs);
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains("postgres://gate:***@db.example.com/gate?***"), "{text}");
        assert_eq!(text.lines().count(), 26);
    }
}
