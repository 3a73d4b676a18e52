//! The walls of the workspace (ARCHITECTURE.md), read from cargo's own data and from the sources.

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::workspace;

/// Who may import which of our own packages, outside of tests.
const ROOMS: &[(&str, &[&str])] = &[
    ("scim", &[]),
    ("connector-sdk", &[]),
    ("engine", &["scim", "connector-sdk"]),
    ("declarative", &["connector-sdk"]),
    ("connectors", &["connector-sdk", "declarative", "scim"]),
    ("simulators", &[]),
    ("contract", &["connector-sdk", "declarative", "connectors", "simulators"]),
    ("gateway", &["scim", "engine", "connector-sdk", "declarative", "connectors", "simulators", "contract"]),
    ("tests", &["scim", "engine", "connector-sdk", "declarative", "connectors", "simulators", "contract"]),
];

/// What a package's own tests may import besides.
const TEST_ROOMS: &[(&str, &[&str])] = &[("connectors", &["simulators", "contract"])];

/// Who may import which outside packages. Those not named here are free.
const TOOLS: &[(&str, &[&str])] = &[
    ("sea-orm", &["gateway", "tests"]),
    ("sea-orm-migration", &["gateway"]),
    ("sqlx", &["gateway", "connectors", "tests"]),
    ("reqwest", &["gateway", "tests"]),
    ("axum", &["gateway", "simulators"]),
    ("hyper", &["gateway", "simulators"]),
    ("hyper-util", &["gateway", "simulators"]),
    ("clap", &["gateway"]),
    ("anyhow", &["gateway", "tests"]),
    ("maud", &["gateway"]),
    ("minijinja", &["declarative"]),
    ("serde_norway", &["declarative"]),
    ("tokio-rustls", &["connectors"]),
    ("rustls-platform-verifier", &["connectors"]),
];

/// The packages that decide and do nothing else: no I/O, no clock, no chance, no waiting.
const PURE: &[&str] = &["scim", "engine"];
const IMPURE: &[&str] =
    &["tokio", "tokio-util", "futures-util", "async-trait", "rand", "governor", "moka", "tower", "tracing"];

/// A file has one duty; more lines than this are two.
const LINES: usize = 700;

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(workspace())
        .output()
        .unwrap_or_else(|error| panic!("could not run cargo {args:?}: {error}"));
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// One package of the workspace.
struct Package {
    name: String,
    folder: PathBuf,
    /// Names of what it imports, outside of its tests.
    imports: BTreeSet<String>,
    /// Names of what its tests import besides.
    test_imports: BTreeSet<String>,
}

fn packages() -> Vec<Package> {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let metadata: Value = serde_json::from_str(&text).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages is a list");
    packages.iter().map(package).collect()
}

fn package(data: &Value) -> Package {
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    let mut imports = BTreeSet::new();
    let mut test_imports = BTreeSet::new();
    for one in data["dependencies"].as_array().expect("dependencies is a list") {
        match one["kind"].as_str() {
            Some("dev") => test_imports.insert(text(&one["name"])),
            _ => imports.insert(text(&one["name"])),
        };
    }
    Package {
        name: text(&data["name"]),
        folder: Path::new(&text(&data["manifest_path"])).parent().expect("a manifest lies in a folder").to_owned(),
        imports,
        test_imports,
    }
}

/// What is against the walls in these packages.
fn breaches(packages: &[Package]) -> Vec<String> {
    let rooms: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let test_rooms: BTreeMap<_, _> = TEST_ROOMS.iter().copied().collect();
    let mut found = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        let Some(allowed) = rooms.get(name) else {
            found.push(format!("{name} is a package that ROOMS does not know"));
            continue;
        };
        let also = test_rooms.get(name).copied().unwrap_or_default();
        for import in &package.imports {
            let import = import.as_str();
            if rooms.contains_key(import) && !allowed.contains(&import) {
                found.push(format!("{name} imports {import}"));
            }
            if PURE.contains(&name) && IMPURE.contains(&import) {
                found.push(format!("{name} is pure and imports {import}"));
            }
        }
        for import in &package.test_imports {
            let import = import.as_str();
            if rooms.contains_key(import) && !allowed.contains(&import) && !also.contains(&import) {
                found.push(format!("the tests of {name} import {import}"));
            }
        }
        for import in package.imports.union(&package.test_imports) {
            let tool = TOOLS.iter().find(|(tool, _)| tool == import);
            if let Some((tool, users)) = tool
                && !users.contains(&name)
            {
                found.push(format!("{name} imports {tool}"));
            }
        }
    }
    found
}

#[test]
fn rooms_import_only_what_they_may() {
    let packages = packages();
    let names: BTreeSet<_> = packages.iter().map(|one| one.name.as_str()).collect();
    let known: BTreeSet<_> = ROOMS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known);
    assert_eq!(breaches(&packages), [] as [String; 0]);
}

#[test]
fn a_breach_of_the_walls_is_seen() {
    let made = |name: &str, imports: &[&str], test_imports: &[&str]| {
        let set = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        breaches(&[Package {
            name: name.to_owned(),
            folder: PathBuf::new(),
            imports: set(imports),
            test_imports: set(test_imports),
        }])
    };
    assert_eq!(made("scim", &["serde"], &["proptest"]), [] as [String; 0]);
    assert_eq!(made("connectors", &[], &["simulators"]), [] as [String; 0]);
    for (name, imports, test_imports) in [
        ("scim", &["engine"][..], &[][..]),
        ("scim", &[], &["gateway"]),
        ("connector-sdk", &["scim"], &[]),
        ("connectors", &["gateway"], &[]),
        ("connectors", &["simulators"], &[]),
        ("connectors", &["reqwest"], &[]),
        ("simulators", &["connectors"], &[]),
        ("simulators", &["connector-sdk"], &[]),
        ("engine", &["tokio"], &[]),
        ("engine", &[], &["sea-orm"]),
        ("tests", &["gateway"], &[]),
        ("newcomer", &[], &[]),
    ] {
        assert_eq!(made(name, imports, test_imports).len(), 1, "{name} {imports:?} {test_imports:?}");
    }
}

#[test]
fn one_tls_provider_and_no_openssl() {
    let tree = cargo(&[
        "tree",
        "--workspace",
        "--locked",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let built: BTreeSet<_> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(built.contains("aws-lc-rs") && built.contains("rustls"));
    for unwanted in ["ring", "openssl", "openssl-sys", "native-tls"] {
        assert!(!built.contains(unwanted), "{unwanted} is built; `cargo tree -i {unwanted}` says who asks for it");
    }
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    let read = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    for package in packages() {
        let manifest = read(&package.folder.join("Cargo.toml"));
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        assert_eq!(inherits, Some(true), "{}: [lints]", package.name);
    }
    let root = read(&workspace().join("Cargo.toml"));
    let rust = &root["workspace"]["lints"]["rust"];
    assert_eq!(rust["unsafe_code"].as_str(), Some("forbid"));
}

/// Every Rust file of the workspace, by its path from the root, with its text.
fn sources() -> Vec<(String, String)> {
    let root = workspace();
    let mut found = Vec::new();
    let mut folders: Vec<_> = ["gateway", "connectors", "tests"].iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder can be read to its end").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let name = path.strip_prefix(&root).expect("it lies below the root");
                found.push((name.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 30, "only {} sources found", found.len());
    found
}

/// Lines of code with something in them, comments left out, as `path:line: text`.
fn lines_with(sources: &[(String, String)], parts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources {
        for (n, line) in text.lines().enumerate() {
            let code = line.trim();
            if !code.starts_with("//") && parts.iter().any(|part| code.contains(part)) {
                found.push(format!("{path}:{}: {code}", n + 1));
            }
        }
    }
    found
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = sources()
        .iter()
        .map(|(path, text)| (path.clone(), text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .collect();
    assert_eq!(long, [], "files of more than {LINES} lines");
}

#[test]
fn settings_come_from_the_configuration_alone() {
    let all: Vec<_> = sources().into_iter().filter(|(path, _)| path != "tests/tests/architecture.rs").collect();
    let readers = lines_with(&all, &["env::var"]);
    let elsewhere: Vec<_> = readers
        .iter()
        // Tests are told of a database by their environment: those of the store, the engine, the surfaces, the whole.
        .filter(|line| {
            let places = [
                "gateway/src/config",
                "gateway/src/store/tests.rs:",
                "gateway/tests/common/mod.rs:",
                "tests/src/env.rs:",
                "connectors/tests/sql/main.rs:",
            ];
            !places.iter().any(|place| line.starts_with(place))
        })
        .collect();
    assert_eq!(elsewhere, [] as [&String; 0]);
    assert!(!readers.is_empty(), "the search finds nothing any more");
}

/// What is sealed with the master key has to be sealed anew with another one: a place that
/// `gateway/src/service/rotate.rs` does not know would be lost.
#[test]
fn everything_that_is_sealed_is_known_to_the_exchange_of_the_master_key() {
    let known = ["instances.rs", "events/signing.rs", "events/streams.rs", "alerts.rs", "rotate.rs"];
    let all: Vec<_> = sources().into_iter().filter(|(path, _)| path.starts_with("gateway/src/")).collect();
    let sealing = lines_with(&all, &["ring.seal(", "to.seal("]);
    let elsewhere: Vec<_> = sealing
        .iter()
        .filter(|line| !line.starts_with("gateway/src/secrets"))
        .filter(|line| !known.iter().any(|file| line.starts_with(&format!("gateway/src/service/{file}:"))))
        .collect();
    assert_eq!(elsewhere, [] as [&String; 0]);
    assert!(!sealing.is_empty(), "the search finds nothing any more");
}

#[test]
fn only_driver_and_reconcile_call_connectors() {
    let all: Vec<_> = sources().into_iter().filter(|(path, _)| path.starts_with("gateway/src/")).collect();
    let callers = lines_with(&all, &[".accounts()", ".groups()"]);
    let inside = |line: &str| {
        ["driver", "reconcile"].iter().any(|room| {
            line.starts_with(&format!("gateway/src/{room}/")) || line.starts_with(&format!("gateway/src/{room}.rs:"))
        })
    };
    let elsewhere: Vec<_> = callers.iter().filter(|line| !inside(line)).collect();
    assert_eq!(elsewhere, [] as [&String; 0]);
    assert!(
        callers.iter().any(|line| inside(line)),
        "the driver calls no connector: the search finds nothing any more"
    );
}

#[test]
fn scim_and_engine_read_no_clock() {
    let all: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("gateway/scim/src/") || path.starts_with("gateway/engine/src/"))
        .collect();
    let readers = lines_with(&all, &["::now()", "std::fs", "std::net", "std::process", "std::env"]);
    assert_eq!(readers, [] as [String; 0]);
}

/// A connector translates and does nothing else: time comes with the call, waiting and repeating are
/// the driver's, and what it calls goes through the transport it is handed.
#[test]
fn connectors_neither_wait_nor_read_a_clock_nor_open_anything() {
    let all: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("connectors/src/") || path.starts_with("connectors/sdk/src/"))
        .collect();
    assert!(all.len() > 20, "only {} sources found", all.len());
    let asked = ["std::net::Tcp", "std::net::Udp", "std::net::To", "to_socket_addrs", "lookup_host"];
    let other = ["::now()", "tokio::time", "sleep(", "std::fs", "std::env", "std::process"];
    assert_eq!(lines_with(&all, &[&asked[..], &other[..]].concat()), [] as [String; 0]);
    // Where the target speaks no HTTP the connector owns the connection, to an address that the transport gave it.
    let own: BTreeSet<_> = lines_with(&all, &["tokio::net"])
        .iter()
        .filter_map(|line| line.strip_prefix("connectors/src/")?.split('/').next().map(str::to_owned))
        .collect();
    assert_eq!(own, ["ldap", "sql"].map(str::to_owned).into());
}

/// The console goes by the services alone, as the admin API does: each can do what the other can, under the same rules.
#[test]
fn the_console_and_the_admin_api_speak_to_services_alone() {
    let room = |path: &str| path.starts_with("gateway/src/console/") || path.starts_with("gateway/src/admin_api/");
    let all: Vec<_> = sources().into_iter().filter(|(path, _)| room(path)).collect();
    assert!(all.len() > 20, "only {} sources found", all.len());
    let below = [".reader()", ".store.write(", "vals![", "sea_orm", "crate::transport", "reqwest::"];
    assert_eq!(lines_with(&all, &below), [] as [String; 0]);
}

/// Targets are called through the transport, which holds the guards; the only other client is the
/// command line's own, of the admin API.
#[test]
fn only_the_transport_calls_targets() {
    let all: Vec<_> = sources().into_iter().filter(|(path, _)| path.starts_with("gateway/src/")).collect();
    let users = lines_with(&all, &["reqwest::"]);
    let elsewhere: Vec<_> = users
        .iter()
        .filter(|line| {
            !["transport.rs:", "transport/", "cli/"].iter().any(|room| line.starts_with(&format!("gateway/src/{room}")))
        })
        .collect();
    assert_eq!(elsewhere, [] as [&String; 0]);
    assert!(!users.is_empty(), "the search finds nothing any more");
}

/// The tests that a text names, as `(test: file::name)`.
fn named_tests(text: &str) -> Vec<(String, String)> {
    text.split("(test: ")
        .skip(1)
        .map(|rest| {
            let name = rest.split(')').next().unwrap_or_default();
            match name.rsplit_once("::") {
                Some((file, test)) => (file.to_owned(), test.to_owned()),
                None => panic!("(test: {name}) should be (test: file::name)"),
            }
        })
        .collect()
}

/// Whether one of the sources is this file and has this test. A file is named by its stem or by its
/// path from the root, without `.rs`; `x/mod.rs` and `x/main.rs` also as `x`.
fn has_test(sources: &[(String, String)], file: &str, test: &str) -> bool {
    sources.iter().any(|(path, text)| {
        let path = path.trim_end_matches(".rs").trim_end_matches("/mod").trim_end_matches("/main");
        let same = path == file || path.ends_with(&format!("/{file}"));
        same && text.contains(&format!("fn {test}("))
    })
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let path = workspace().join("ARCHITECTURE.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let sources = sources();
    let missing: Vec<_> =
        named_tests(&text).into_iter().filter(|(file, test)| !has_test(&sources, file, test)).collect();
    assert_eq!(missing, []);
    // One paragraph, one claim, at least one test.
    for paragraph in text.split("\n\n") {
        if paragraph.starts_with("**Architecture invariant:**") {
            assert!(paragraph.contains("(test: "), "no test holds this: {paragraph}");
        }
    }
    assert!(!has_test(&sources, "architecture", "no_such_test"));
}

/// `tests/run` adds up what the test programs print. Its arithmetic is tried on a made-up log, by the
/// script itself.
#[test]
fn tests_run_counts_what_it_says() {
    let count = |log: &str, facts: &str, status: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("log");
        std::fs::write(&path, log).expect("a file can be written");
        let output = Command::new("bash")
            .arg(workspace().join("tests/run"))
            .arg("--count")
            .arg(&path)
            .arg(status)
            .env("SCIMGATE_FACTS", facts)
            .output()
            .unwrap_or_else(|error| panic!("could not run tests/run: {error}"));
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default().to_owned();
        (last, output.status.success())
    };
    let two = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
               noise about 7 failed things\n\
               test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";
    let check = |log: &str, facts: &str, status: &str, line: &str, ok: bool| {
        assert_eq!(count(log, facts, status), (line.to_owned(), ok), "{log}");
    };
    check(two, "", "0", "7 passed, 0 failed, 1 skipped", true);
    check(two, "/facts", "0", "7 passed, 0 failed, 1 skipped", true);
    // Ended by a signal, or not built: the tests that did run say nothing about it.
    check(two, "", "101", "7 passed, 1 failed, 1 skipped", false);
    check("", "", "0", "0 passed, 1 failed, 0 skipped", false);
    let skip = format!("test a ... skipped: a: no SCIMGATE_FACTS\n{two}");
    check(&skip, "", "0", "6 passed, 0 failed, 2 skipped", true);
    check(&skip, "/facts", "0", "6 passed, 1 failed, 1 skipped", false);
    let failed = two.replace("2 passed; 0 failed", "1 passed; 1 failed");
    check(&failed, "", "101", "6 passed, 1 failed, 1 skipped", false);
}

/// `docs/guarantees.md` promises nothing that no test shows: every test that it names exists, every guarantee names one
/// below its heading, and every fault has its row, with a test or with the reason why there can be none here.
#[test]
fn every_guarantee_and_every_fault_names_a_test_that_exists() {
    const GUARANTEES: u32 = 8;
    const FAULTS: u32 = 44;
    let path = workspace().join("docs/guarantees.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let sources = sources();
    let missing: Vec<_> =
        named_tests(&text).into_iter().filter(|(file, test)| !has_test(&sources, file, test)).collect();
    assert_eq!(missing, []);
    for n in 1..=GUARANTEES {
        let heading = format!("\n### R{n}. ");
        let found: Vec<_> = text.split(&heading).skip(1).collect();
        assert_eq!(found.len(), 1, "R{n} has one heading");
        let section = found[0].split("\n#").next().unwrap_or_default();
        assert!(section.contains("(test: "), "no test shows R{n}");
        assert!(section.contains("*Not promised:*"), "R{n} does not say what it does not promise");
    }
    let rows: Vec<(u32, &str)> = text
        .lines()
        .filter_map(|line| {
            let number = line.strip_prefix("| ")?.split(' ').next()?.parse().ok()?;
            Some((number, line))
        })
        .collect();
    let numbers: Vec<u32> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=FAULTS).collect::<Vec<_>>(), "every fault has one row, in order");
    for (number, row) in rows {
        let shown = row.contains("(test: ") || row.contains("Not testable on one machine:");
        assert!(shown, "nothing shows row {number}");
    }
}
