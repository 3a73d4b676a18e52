use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    overrides: Overrides,
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("scimgate.toml");
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn error(overrides: Overrides) -> String {
    Config::load(overrides).unwrap_err().to_string()
}

#[test]
fn defaults() {
    let config = Config::load(Overrides::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.public_url_at(config.listen), "http://127.0.0.1:8080");
    assert!(matches!(&config.database, Database::Sqlite(path) if path.ends_with("scimgate-data/scimgate.db")));
    assert_eq!(config.max_connections, 10_000);
    assert_eq!(config.header_timeout, Duration::from_secs(10));
    assert_eq!((config.body_limit_user, config.body_limit_group), (1 << 20, 16 << 20));
    assert_eq!(config.call_timeout, Duration::from_secs(8));
    assert_eq!(config.invitation_look, Duration::from_secs(60));
    assert_eq!((config.log.as_str(), config.log_format), ("info", LogFormat::Text));
    assert!(!config.allow_private_targets && !config.ready_json && config.admin_token.is_none());
}

#[test]
fn flags_beat_the_file_and_the_file_beats_the_defaults() {
    let (_dir, path) = file(
        "listen = \"0.0.0.0:1\"\nlog = \"debug\"\nlog_format = \"json\"\nmax_connections = 7\nallow_private_targets = true\n",
    );
    let path = path.to_str().unwrap().to_owned();
    let cli = Cli::try_parse_from([
        "x",
        "--config",
        &path,
        "--listen",
        "127.0.0.1:2",
        "--allow-private-targets=false",
        "--ready-json",
    ])
    .unwrap();
    let config = Config::load(cli.overrides).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:2");
    assert_eq!((config.log.as_str(), config.log_format), ("debug", LogFormat::Json));
    assert_eq!(config.max_connections, 7);
    assert!(!config.allow_private_targets && config.ready_json);
    assert_eq!(config.call_timeout, Duration::from_secs(8));
}

#[test]
fn every_setting_has_its_flag_its_variable_and_its_key() {
    use clap::CommandFactory;
    let command = Cli::command();
    for setting in KEYS {
        let arg = command.get_arguments().find(|arg| arg.get_id() == setting).unwrap();
        assert_eq!(flag(setting), format!("--{}", arg.get_long().unwrap()));
        assert_eq!(arg.get_env().unwrap(), variable(setting).as_str());
    }
    assert_eq!(command.get_arguments().filter(|arg| arg.get_env().is_some()).count(), KEYS.len() + 2);
    // Each key is read by the deserializer too: a wrong type for it is noticed.
    for setting in KEYS {
        assert!(parse_file(&format!("{setting} = [[1]]")).is_err(), "{setting} is not read");
    }
}

#[test]
fn mistakes_in_the_file_name_line_and_key() {
    for (text, line, words) in [
        ("\n\nlistn = \"x\"", 3, "there is no setting \"listn\". Did you mean listen?"),
        ("log = \"info\"\nmax_conections = 3\n", 2, "Did you mean max_connections?"),
        ("zzzzzzzzzzzz = 3\n", 1, "The settings are: listen"),
        ("[server]\nlisten = \"x\"\n", 1, "there is no setting \"server\""),
        ("log = \"info\"\nlog = \"info\"\n", 2, "duplicate"),
        ("max_connections = \"many\"", 1, "max_connections"),
        ("\nmax_connections = -1", 2, "max_connections"),
        ("log_format = \"xml\"", 1, "log_format"),
        ("listen = ", 1, ""),
    ] {
        let (_dir, path) = file(text);
        let message = error(Overrides { config: Some(path), ..Overrides::default() });
        assert!(message.contains(&format!("line {line}: ")) && message.contains(words), "{text:?}: {message}");
    }
}

#[test]
fn a_wrong_type_shows_no_secret() {
    for text in ["admin_token = 12345678", "master_key = [\"hunter12345678\"]", "admin_token = \"12345678"] {
        let (_dir, path) = file(text);
        let message = error(Overrides { config: Some(path), ..Overrides::default() });
        assert!(!message.contains("12345678"), "{message}");
    }
}

#[test]
fn wrong_values_name_their_setting() {
    type Change = fn(&mut Overrides);
    let cases: [(&str, Change); 15] = [
        ("listen", |o| o.listen = Some("localhost".into())),
        ("listen", |o| o.listen = Some(String::new())),
        ("public_url", |o| o.public_url = Some("scim.example.com".into())),
        ("public_url", |o| o.public_url = Some("ftp://x".into())),
        ("public_url", |o| o.public_url = Some("https://x/?a".into())),
        ("public_url", |o| o.public_url = Some("https://u:hunter2@x".into())),
        ("data_dir", |o| o.data_dir = Some(PathBuf::new())),
        ("database_url", |o| o.database_url = Some("mysql://u:hunter2@x".into())),
        ("database_url", |o| o.database_url = Some("sqlite::memory:".into())),
        ("database_url", |o| o.database_url = Some("postgres://u:hunter2@[x".into())),
        ("admin_token", |o| o.admin_token = Some(" ".into())),
        ("master_key", |o| o.master_key = Some("".into())),
        ("max_connections", |o| o.max_connections = Some(0)),
        ("log", |o| o.log = Some("a=b=c".into())),
        ("call_timeout_seconds", |o| o.call_timeout_seconds = Some(15)),
    ];
    for (setting, change) in cases {
        let mut overrides = Overrides::default();
        change(&mut overrides);
        let message = error(overrides);
        assert!(message.starts_with(&format!("{setting}: ")), "{setting}: {message}");
        assert!(message.contains(&variable(setting)) && !message.contains("hunter2"), "{message}");
    }
    let message = error(Overrides { config: Some("/does/not/exist".into()), ..Overrides::default() });
    assert!(message.starts_with("/does/not/exist: "), "{message}");
}

#[test]
fn public_urls_lose_their_last_slash_and_databases_are_told_apart() {
    let config = Config::load(Overrides {
        public_url: Some("https://scim.example.com/a/".into()),
        database_url: Some("sqlite:///var/lib/a?mode=rwc".into()),
        ..Overrides::default()
    })
    .unwrap();
    assert_eq!(config.public_url_at(config.listen), "https://scim.example.com/a");
    assert!(matches!(&config.database, Database::Sqlite(path) if path == Path::new("/var/lib/a")));
    assert_eq!(config.database.url().expose_secret(), "sqlite:///var/lib/a?mode=rwc");
    let database = Database::parse(&"postgresql://u:hunter2@db/x".into()).unwrap();
    assert!(!database.embedded());
    assert!(!format!("{database:?}").contains("hunter2"));
}
