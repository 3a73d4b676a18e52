//! Tables as applications have them, each mapped both ways.

use crate::world::Layout;

const POSTGRES_TABLES: &str = r#"
CREATE TYPE {s}.app_role AS ENUM ('user', 'admin');
CREATE TABLE {s}.person (
  person_id bigserial PRIMARY KEY, org int NOT NULL, login varchar(120) NOT NULL, mail text, full_name text,
  given text, family text, idp_id text, role {s}.app_role NOT NULL DEFAULT 'user', enabled boolean NOT NULL DEFAULT true,
  is_system boolean NOT NULL DEFAULT false, source text NOT NULL);
CREATE UNIQUE INDEX ON {s}.person (lower(login));
CREATE TABLE {s}."Team" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "Name" text NOT NULL);
CREATE UNIQUE INDEX ON {s}."Team" (lower("Name"));
CREATE TABLE {s}.team_member (
  team uuid NOT NULL REFERENCES {s}."Team", person bigint NOT NULL REFERENCES {s}.person, since date NOT NULL,
  PRIMARY KEY (team, person));
INSERT INTO {s}.person (org, login, is_system, source) VALUES (7, 'root@kit.example', true, 'app'), (8, 'stranger@kit.example', false, 'app')"#;

pub(crate) const POSTGRES: Layout = Layout {
    tables: POSTGRES_TABLES,
    mapping: r#"
[users]
table = "{s}.person"
id = "person_id"
user_name = "login"
email = "mail"
display_name = "full_name"
given_name = "given"
family_name = "family"
external_id = "idp_id"
role = "role"
protected = "is_system"
active = "enabled"
scope = { org = 7 }
values = { source = "scim" }

[roles]
values = ["user", "admin"]
privileged = ["admin"]
default = "user"

[groups]
table = "{s}.Team"
name = "Name"

[members]
table = "{s}.team_member"
group = "team"
user = "person"
values = { since = "2026-01-02" }
"#,
    account: "INSERT INTO {s}.person (org, login, mail, source) VALUES (7, '{name}', '{name}@example.com', 'app') ON CONFLICT DO NOTHING",
    group: r#"INSERT INTO {s}."Team" ("Name") VALUES ('{name}') ON CONFLICT DO NOTHING"#,
    accounts: "SELECT person_id::text, login, mail, enabled::int::text, role::text, full_name FROM {s}.person WHERE org = 7 AND NOT is_system ORDER BY person_id",
    groups: r#"SELECT id::text, "Name" FROM {s}."Team" ORDER BY id"#,
    members: "SELECT team::text, person::text FROM {s}.team_member ORDER BY 1, 2",
};

pub(crate) const POSTGRES_DECLARED: Layout = Layout {
    mapping: r#"
[roles]
values = ["user", "admin"]

[parameters]
title = "title"

[users]
list = '''
  SELECT person_id AS id, login AS user_name, mail AS email, full_name AS display_name, role, enabled AS active
  FROM {s}.person -- not :those of others
  WHERE org = 7 AND NOT is_system AND (:after IS NULL OR person_id > :after) ORDER BY person_id LIMIT :limit'''
get = "SELECT person_id AS id, login AS user_name, mail AS email, full_name AS display_name, role, enabled AS active FROM {s}.person WHERE org = 7 AND person_id = :id"
find = '''
  SELECT person_id AS id, login AS user_name, mail AS email, full_name AS display_name, role, enabled AS active
  FROM {s}.person WHERE org = 7 AND (lower(login) = lower(:user_name) OR lower(mail) = lower(:email))'''
create = [
  "INSERT INTO {s}.person (org, login, mail, full_name, role, source) VALUES (7, :user_name, :email, :display_name, COALESCE(:role::{s}.app_role, 'user'), $x$scim :not_a_parameter$x$) RETURNING person_id AS id",
  "UPDATE {s}.person SET family = COALESCE(:title, family) WHERE person_id = :id",
]
update = "UPDATE {s}.person SET role = COALESCE(:role, role), full_name = COALESCE(:display_name, full_name), mail = COALESCE(:email, mail) WHERE person_id = :id"
set_active = "UPDATE {s}.person SET enabled = :active WHERE person_id = :id"
remove = ["DELETE FROM {s}.team_member WHERE person = :id", "DELETE FROM {s}.person WHERE person_id = :id::bigint"]

[groups]
list = 'SELECT id, "Name" AS name FROM {s}."Team" ORDER BY id LIMIT :limit'
list_next = 'SELECT id, "Name" AS name FROM {s}."Team" WHERE id > :after ORDER BY id LIMIT :limit'
get = 'SELECT id, "Name" AS name FROM {s}."Team" WHERE id = :id'
find = 'SELECT id, "Name" AS name FROM {s}."Team" WHERE lower("Name") = lower(:name)'
create = 'INSERT INTO {s}."Team" (id, "Name") VALUES (:new_id, :name)'
rename = 'UPDATE {s}."Team" SET "Name" = :name WHERE id = :id'
remove = ["DELETE FROM {s}.team_member WHERE team = :id", 'DELETE FROM {s}."Team" WHERE id = :id']
members = "SELECT person AS user_id FROM {s}.team_member WHERE team = :group_id AND (:after IS NULL OR person > :after) ORDER BY person LIMIT :limit"
add_member = "INSERT INTO {s}.team_member (team, person, since) VALUES (:group_id, :user_id, '2026-01-02')"
remove_member = "DELETE FROM {s}.team_member WHERE team = :group_id AND person = :user_id"
"#,
    ..POSTGRES
};

const MARIADB_TABLES: &str = r"
CREATE TABLE {s}.person (
  id CHAR(36) CHARACTER SET ascii NOT NULL PRIMARY KEY, login VARCHAR(120) NOT NULL UNIQUE, mail VARCHAR(200),
  full_name VARCHAR(200) NOT NULL DEFAULT '', role ENUM('user', 'admin') NOT NULL DEFAULT 'user',
  deactivated_at DATETIME NULL, deleted_at DATETIME NULL, is_system TINYINT(1) NOT NULL DEFAULT 0);
CREATE TABLE {s}.team (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(200) COLLATE utf8mb4_bin NOT NULL UNIQUE);
CREATE TABLE {s}.member (
  team INT UNSIGNED NOT NULL, person CHAR(36) CHARACTER SET ascii NOT NULL, via VARCHAR(20) NOT NULL,
  PRIMARY KEY (team, person), FOREIGN KEY (team) REFERENCES {s}.team (id), FOREIGN KEY (person) REFERENCES {s}.person (id));
INSERT INTO {s}.person (id, login, is_system) VALUES (UUID(), 'root@kit.example', 1)";

pub(crate) const MARIADB: Layout = Layout {
    tables: MARIADB_TABLES,
    mapping: r#"
[users]
table = "person"
new_id = "uuid"
user_name = "login"
email = "mail"
display_name = "full_name"
role = "role"
protected = "is_system"
deactivated_at = "deactivated_at"
deleted_at = "deleted_at"

[roles]
values = ["user", "admin"]
default = "user"

[groups]
table = "{s}.team"
name = "name"

[members]
table = "member"
group = "team"
user = "person"
values = { via = "scim" }
"#,
    account: "INSERT IGNORE INTO {s}.person (id, login, mail) VALUES (UUID(), '{name}', '{name}@example.com')",
    group: "INSERT IGNORE INTO {s}.team (name) VALUES ('{name}')",
    accounts: "SELECT id, login, mail, CAST(deactivated_at IS NULL AS CHAR), CAST(role AS CHAR), full_name FROM {s}.person WHERE NOT is_system AND deleted_at IS NULL ORDER BY id",
    groups: "SELECT CAST(id AS CHAR), name FROM {s}.team ORDER BY id",
    members: "SELECT CAST(team AS CHAR), person FROM {s}.member ORDER BY team, person",
};

pub(crate) const MARIADB_DECLARED: Layout = Layout {
    mapping: r#"
[roles]
values = ["user", "admin"]

[users]
list = '''
  SELECT id, login AS user_name, mail AS email, full_name AS display_name, role, deactivated_at IS NULL AS active
  FROM person # :those of the application
  WHERE deleted_at IS NULL AND NOT is_system AND (:after IS NULL OR id > :after) ORDER BY id LIMIT :limit'''
get = "SELECT id, login AS user_name, mail AS email, full_name AS display_name, role, deactivated_at IS NULL AS active FROM person WHERE deleted_at IS NULL AND id = :id"
find = "SELECT id, login AS user_name, mail AS email, full_name AS display_name, role, deactivated_at IS NULL AS active FROM `person` WHERE deleted_at IS NULL AND (login = :user_name OR mail = :email)"
create = "INSERT INTO person (id, login, mail, full_name, role) VALUES (:new_id, :user_name, :email, COALESCE(:display_name, ''), COALESCE(:role, 'user'))"
update = "UPDATE person SET role = COALESCE(:role, role), full_name = COALESCE(:display_name, full_name) WHERE id = :id"
set_active = "UPDATE person SET deactivated_at = IF(:active, NULL, NOW()) WHERE id = :id"
remove = ["DELETE FROM member WHERE person = :id", "DELETE FROM person WHERE id = :id"]

[groups]
list = "SELECT id, name FROM team WHERE (:after IS NULL OR id > :after) ORDER BY id LIMIT :limit"
get = "SELECT id, name FROM team WHERE id = :id"
find = "SELECT id, name FROM team WHERE LOWER(name) = LOWER(:name)"
create = ["INSERT INTO team (name) VALUES (:name)", "SELECT LAST_INSERT_ID() AS id"]
rename = "UPDATE team SET name = :name WHERE id = :id"
remove = ["DELETE FROM member WHERE team = :id", "DELETE FROM team WHERE id = :id"]
members = "SELECT person AS user_id FROM member WHERE team = :group_id AND (:after IS NULL OR person > :after) ORDER BY person LIMIT :limit"
add_member = "INSERT INTO member (team, person, via) VALUES (:group_id, :user_id, 'a\\':b')"
remove_member = "DELETE FROM member WHERE team = :group_id AND person = :user_id"
"#,
    ..MARIADB
};

const SQLITE_TABLES: &str = r#"
CREATE TABLE person (
  id INTEGER PRIMARY KEY, login TEXT NOT NULL COLLATE NOCASE UNIQUE, mail TEXT, full_name TEXT,
  role TEXT NOT NULL DEFAULT 'user', status TEXT NOT NULL, is_system INTEGER NOT NULL DEFAULT 0);
CREATE TABLE team (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE "team member" (
  team INTEGER NOT NULL REFERENCES team, person INTEGER NOT NULL REFERENCES person, PRIMARY KEY (team, person));
INSERT INTO person (login, status, is_system) VALUES ('root@kit.example', 'on', 1)"#;

pub(crate) const SQLITE: Layout = Layout {
    tables: SQLITE_TABLES,
    mapping: r#"
[users]
table = "person"
user_name = "login"
email = "mail"
display_name = "full_name"
role = "role"
protected = "is_system"
status = { column = "status", active = "on", suspended = "off", deleted = "gone" }

[roles]
values = ["user", "admin"]
default = "user"

[groups]
table = "team"
name = "name"

[members]
table = "main.team member"
group = "team"
user = "person"
"#,
    account: "INSERT OR IGNORE INTO person (login, mail, status) VALUES ('{name}', '{name}@example.com', 'on')",
    group: "INSERT OR IGNORE INTO team (name) VALUES ('{name}')",
    accounts: "SELECT CAST(id AS TEXT), login, mail, CAST(status = 'on' AS TEXT), role, full_name FROM person WHERE NOT is_system AND status <> 'gone' ORDER BY id",
    groups: "SELECT CAST(id AS TEXT), name FROM team ORDER BY id",
    members: "SELECT CAST(team AS TEXT), CAST(person AS TEXT) FROM \"team member\" ORDER BY team, person",
};

pub(crate) const SQLITE_DECLARED: Layout = Layout {
    mapping: r#"
[roles]
values = ["user", "admin"]

[users]
list = "SELECT id, login AS user_name, mail AS email, full_name AS display_name, role, status = 'on' AS active FROM person WHERE NOT is_system AND status <> 'gone' AND (:after IS NULL OR id > CAST(:after AS INTEGER)) ORDER BY id LIMIT :limit"
get = "SELECT id, login AS user_name, mail AS email, full_name AS display_name, role, status = 'on' AS active FROM person WHERE status <> 'gone' AND id = :id"
find = "SELECT id, login AS user_name, mail AS email, full_name AS display_name, role, status = 'on' AS active FROM [person] WHERE status <> 'gone' AND (lower(login) = lower(:user_name) OR lower(mail) = lower(:email))"
create = "INSERT INTO person (login, mail, full_name, role, status) VALUES (:user_name, :email, :display_name, COALESCE(:role, 'user'), 'on') RETURNING id"
update = "UPDATE person SET role = COALESCE(:role, role), full_name = COALESCE(:display_name, full_name), mail = COALESCE(:email, mail) WHERE id = :id"
set_active = "UPDATE person SET status = CASE WHEN :active THEN 'on' ELSE 'off' END WHERE id = :id"
remove = ['DELETE FROM "team member" WHERE person = :id', "DELETE FROM person WHERE id = :id"]

[groups]
list = "SELECT id, name FROM team WHERE (:after IS NULL OR id > CAST(:after AS INTEGER)) ORDER BY id LIMIT :limit"
get = "SELECT id, name FROM team WHERE id = :id"
find = "SELECT id, name FROM team WHERE lower(name) = lower(:name)"
create = "INSERT INTO team (name) VALUES (:name)"
rename = "UPDATE team SET name = :name WHERE id = :id"
remove = ['DELETE FROM "team member" WHERE team = :id', "DELETE FROM team WHERE id = :id"]
members = 'SELECT person AS user_id FROM "team member" WHERE team = :group_id AND (:after IS NULL OR person > CAST(:after AS INTEGER)) ORDER BY person LIMIT :limit'
add_member = 'INSERT INTO "team member" (team, person) VALUES (:group_id, :user_id)'
remove_member = 'DELETE FROM "team member" WHERE team = :group_id AND person = :user_id'
"#,
    ..SQLITE
};
