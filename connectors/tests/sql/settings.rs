//! What the settings and the mapping may say, without a database.

use connector_sdk::{Kind, Secrets, Suspend, Traits};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::world::entry;

const TABLES: &str = "[users]\ntable = \"person\"\nuser_name = \"login\"\n";
const STATEMENTS: &str = r#"
[users]
list = "SELECT id, login AS user_name FROM person WHERE (:after IS NULL OR id > :after) ORDER BY id LIMIT :limit"
get = "SELECT id, login AS user_name FROM person WHERE id = :id"
find = "SELECT id, login AS user_name FROM person WHERE login = :user_name"
create = "INSERT INTO person (login) VALUES (:user_name)"
remove = "DELETE FROM person WHERE id = :id"
"#;

fn build(settings: &Value, password: Option<&str>) -> Result<Traits, String> {
    let secrets = password.map(|text| ("password".to_owned(), SecretString::from(text.to_owned())));
    entry()
        .build(settings, &Secrets::new(secrets))
        .map(|connector| connector.traits().clone())
        .map_err(|error| error.to_string())
}

fn server(mapping: &str) -> Value {
    json!({ "database": "postgresql", "host": "db.example.com", "name": "app", "user": "scim", "mapping": mapping })
}

fn file(path: &str) -> Value {
    json!({ "database": "sqlite", "file": path, "mapping": TABLES })
}

#[test]
fn mistakes_in_settings_name_the_field() {
    let mut given = server(TABLES);
    let with = |field: &str, value: Value| {
        let mut settings = given.clone();
        settings[field] = value;
        settings
    };
    let cases = [
        (with("host", json!(null)), Some("x"), "host: is required"),
        (with("host", json!("db.example.com:5432")), None, "password: is required"),
        (with("host", json!("scim@db.example.com")), Some("x"), "host: must be a host name"),
        (with("host", json!("/var/run/postgresql")), Some("x"), "host: must be a host name"),
        (with("port", json!(0)), Some("x"), "port: must be"),
        (with("port", json!(70_000)), Some("x"), "port"),
        (with("file", json!("x.db")), Some("x"), "file: is for SQLite"),
        (with("page_size", json!(0)), Some("x"), "page_size: must be"),
        (with("connections", json!(21)), Some("x"), "connections: must be"),
        (with("tls", json!("prefer")), Some("x"), "tls: must be one of"),
        (file("/etc/passwd"), None, "file: must be a path below"),
        (file("../x.db"), None, "file: must be a path below"),
        (file("a//b.db"), None, "file: must be a path below"),
        (file("x.db?mode=memory"), None, "file: must be a path below"),
        (file("x.db"), Some("x"), "password: is not for SQLite"),
    ];
    for (settings, password, words) in cases {
        let error = build(&settings, password).expect_err(words);
        assert!(error.contains(words), "{settings}: {error}");
    }
    given["mapping"] = json!(TABLES);
    assert!(build(&given, Some("x")).is_ok());
    assert!(build(&file("hr/people.db"), None).is_ok());
}

#[test]
fn mistakes_in_mappings_say_where_and_what_to_write() {
    for (mapping, words) in [
        ("x = ", "is not TOML: line 1"),
        ("", "has no section [users]"),
        ("users = 1", "users must be a section"),
        ("[user]\n", "user is no part of a mapping"),
        ("[users]\ntable = \"t\"", "missing field `user_name`"),
        ("[users]\ntable = \"t\"\nuser_name = \"u\"\nmail = \"m\"", "unknown field `mail`"),
        ("[users]\ntable = \" \"\nuser_name = \"u\"", "users.table is empty"),
        (&format!("{TABLES}active = \"a\"\ndeactivated_at = \"d\""), "give one of active, deactivated_at and status"),
        (&format!("{TABLES}deleted = \"a\"\ndeleted_at = \"d\""), "give one of deleted, deleted_at and status.deleted"),
        (&format!("{TABLES}[roles]\nvalues = [\"a\"]\ndefault = \"b\""), "b is not one of values"),
        (&format!("{TABLES}[parameters]\nx = \"title\""), "[parameters] are for declared statements"),
        (&format!("{TABLES}[members]\ntable = \"m\"\ngroup = \"g\"\nuser = \"u\""), "no section [groups]"),
        (&format!("{TABLES}[groups]\ntable = \"g\"\nname = \"n\""), "no section [members]"),
        (&STATEMENTS.replace(":after IS NULL OR id > :after", "true"), "does not know where the next begins"),
        (&STATEMENTS.replace("id = :id", "id = :ident"), "there is no parameter :ident here; there is :id"),
        (
            &STATEMENTS.replace("DELETE FROM person WHERE id = :id", "DELETE FROM person; COMMIT"),
            "users.remove: at character 19: one statement per text",
        ),
        (&STATEMENTS.replace("INSERT INTO person", "COPY person"), "a statement begins with one of"),
        (&STATEMENTS.replace("login = :user_name", "login = ':user_name"), "this ' has no end"),
        (&format!("{STATEMENTS}[parameters]\nemail = \"x\""), "email has its meaning already"),
        (&format!("{STATEMENTS}[parameters]\n\"a b\" = \"x\""), "a b is no name"),
        (
            &format!(
                "{STATEMENTS}[groups]\ntable = \"g\"\nname = \"n\"\n[members]\ntable = \"m\"\ngroup = \"g\"\nuser = \"u\""
            ),
            "needs [users] by a table",
        ),
    ] {
        let error = build(&server(mapping), Some("x")).expect_err(words);
        assert!(error.starts_with("mapping: ") && error.contains(words), "{mapping}: {error}");
    }
}

#[test]
fn traits_follow_the_mapping() {
    let of = |mapping: &str| build(&server(mapping), Some("x")).expect("it is sound");
    let plain = of(TABLES);
    assert_eq!((plain.kind, plain.suspend), (Kind::User, Suspend::Removes));
    assert_eq!(plain.writable, ["userName"]);
    let table = of(&format!(
        "{TABLES}email = \"m\"\nrole = \"r\"\nactive = \"a\"\n[roles]\nvalues = [\"x\", \"y\"]\nprivileged = [\"y\"]\n[groups]\ntable = \"g\"\nname = \"n\"\n[members]\ntable = \"m\"\ngroup = \"g\"\nuser = \"u\""
    ));
    assert_eq!((table.kind, table.suspend), (Kind::UserAndGroup, Suspend::Native));
    assert_eq!(table.writable, ["userName", "emails", "roles"]);
    assert_eq!(
        table.roles.iter().map(|role| (role.value, role.privileged)).collect::<Vec<_>>(),
        [("x", false), ("y", true)]
    );
    let own = of(&format!(
        "{}update = \"UPDATE person SET mail = :email, dept = :dept WHERE id = :id\"\n[parameters]\ndept = \"title\"",
        STATEMENTS
    ));
    assert_eq!(own.writable, ["emails", "title"]);
    // One budget per database, whoever asks.
    let (one, other) = (of(TABLES).driver_key, of(STATEMENTS).driver_key);
    assert_eq!(one, other);
}
