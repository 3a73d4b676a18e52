//! Policy files as people write them, changed.

use proptest::prelude::*;

use super::*;

const FILE: &str = r#"// The policy of Acme.
{
	/* who is who */
	"groups": {
		// on call
		"group:ops": [
			"ada@acme.example", // since 2024
			"bo@acme.example"
		],
		"group:data_team": ["cy@acme.example", "dee@acme.example"], // never empty
	},
	"acls": [
		{"action": "accept", "src": ["group:ops"], "dst": ["*:*"]},
	],
}
"#;

/// The lines that differ: those that went, and those that came.
fn difference(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (lines(before), lines(after));
    let gone = before.iter().filter(|line| !after.contains(line)).cloned().collect();
    let came = after.iter().filter(|line| !before.contains(line)).cloned().collect();
    (gone, came)
}

fn changed(before: &str, after: &str, gone: &[&str], came: &[&str]) {
    groups(after).unwrap();
    let told = difference(before, after);
    assert_eq!(
        (told.0.iter().map(String::as_str).collect::<Vec<_>>(), told.1.iter().map(String::as_str).collect::<Vec<_>>()),
        (gone.to_vec(), came.to_vec()),
        "{after}"
    );
}

#[test]
fn groups_are_read_with_their_names() {
    let read = groups(FILE).unwrap();
    assert_eq!(
        read.iter().map(|one| (one.key.as_str(), one.name.as_str())).collect::<Vec<_>>(),
        [("ops", "ops"), ("data_team", "data_team")]
    );
    assert_eq!(read[0].members, ["ada@acme.example", "bo@acme.example"]);
    assert_eq!(groups("{}").unwrap(), []);
    assert_eq!(groups(r#"{"Groups": {}}"#).unwrap(), []);
}

#[test]
fn a_change_touches_its_own_lines_alone() {
    let added = with_group(FILE, "platform-eng", "Platform Eng").unwrap();
    changed(FILE, &added, &[], &["\t\t// scimgate: \"Platform Eng\"", "\t\t\"group:platform-eng\": [],"]);
    assert_eq!(groups(&added).unwrap()[2].name, "Platform Eng");

    let named = with_name(FILE, "ops", "On call \"now\"").unwrap().unwrap();
    changed(FILE, &named, &[], &["\t\t// scimgate: \"On call \\\"now\\\"\""]);
    let again = with_name(&named, "ops", "Ops").unwrap().unwrap();
    changed(FILE, &again, &[], &["\t\t// scimgate: \"Ops\""]);

    let joined = with_member(FILE, "ops", "eve@acme.example").unwrap();
    changed(
        FILE,
        &joined,
        &["\t\t\t\"bo@acme.example\""],
        &["\t\t\t\"bo@acme.example\",", "\t\t\t\"eve@acme.example\""],
    );
    assert_eq!(with_member(FILE, "ops", "ADA@acme.example").unwrap(), FILE);

    let left = without_member(FILE, "ops", "ada@acme.example").unwrap();
    changed(FILE, &left, &["\t\t\t\"ada@acme.example\", // since 2024"], &[]);
    let left = without_member(FILE, "data_team", "dee@acme.example").unwrap();
    assert!(left.contains(r#""group:data_team": ["cy@acme.example"], // never empty"#), "{left}");

    let gone = without_group(FILE, "data_team").unwrap().unwrap();
    changed(
        FILE,
        &gone,
        &["\t\t\"group:data_team\": [\"cy@acme.example\", \"dee@acme.example\"], // never empty"],
        &[],
    );
    assert_eq!(without_group(&added, "platform-eng").unwrap().unwrap(), FILE);
    assert_eq!(without_group(FILE, "nobody").unwrap(), None);
}

#[test]
fn a_file_without_groups_gets_them() {
    for file in [
        "{}",
        "{\n}",
        "{ \"acls\": [] }",
        "{\n\t\"acls\": [],\n}",
        "{\"groups\": {}}",
        "{\n\t\"groups\": {\n\t},\n}",
        "{\"groups\":{\"group:a\":[]}}",
        "{\"groups\":{\"group:a\":[],},}",
    ] {
        let made = with_group(file, "b", "The B").unwrap();
        let read = groups(&made).unwrap();
        assert_eq!(read.last().map(|one| (one.key.as_str(), one.name.as_str())), Some(("b", "The B")), "{made}");
        let joined = with_member(&with_member(&made, "b", "x@y.z").unwrap(), "b", "v@y.z").unwrap();
        assert_eq!(groups(&joined).unwrap().last().map(|one| one.members.len()), Some(2), "{joined}");
        let gone = without_group(&joined, "b").unwrap().unwrap();
        assert_eq!(groups(&gone).unwrap(), groups(file).unwrap(), "{gone}");
    }
}

#[test]
fn what_is_no_policy_file_is_refused() {
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(200), "]".repeat(200));
    for file in [
        "",
        "<html>",
        "[]",
        "{",
        "{\"a\" 1}",
        "{\"a\": }",
        "{} {}",
        "{\"a\": 1 \"b\": 2}",
        "/*",
        "{\"groups\": []}",
        "{\"groups\": {}, \"Groups\": {}}",
        "{\"groups\": {\"group:a\": [1]}}",
        "{\"a\": \"\\x\"}",
        deep.as_str(),
    ] {
        assert!(groups(file).is_err(), "{file}");
    }
}

#[test]
fn a_key_is_made_of_any_name() {
    for (name, key) in
        [("Platform Eng", "platform-eng"), (" R&D (EU) ", "r-d-eu"), ("ops", "ops"), ("運用", "_x904b__x7528_")]
    {
        assert_eq!(key_of(name), key);
    }
}

proptest! {
    #[test]
    fn reading_never_panics(text in "([\\[\\]{},:\"/* \n]|group:|groups|\\PC){0,80}") {
        let _ = groups(&text);
        let _ = with_group(&text, "k", "n");
        let _ = without_group(&text, "k");
    }

    #[test]
    fn changes_in_any_order_end_as_asked(
        steps in prop::collection::vec((0..3usize, 0..4usize, any::<bool>()), 0..30),
        inline in any::<bool>(),
    ) {
        let mut text = if inline { "{\"groups\":{\"group:x\":[]}}".to_owned() } else { FILE.to_owned() };
        let mut want: Vec<Vec<usize>> = vec![Vec::new(); 3];
        for group in 0..3 {
            text = with_group(&text, &format!("g{group}"), &format!("G {group}")).unwrap();
        }
        for (group, member, add) in steps {
            let (key, name) = (format!("g{group}"), format!("m{member}@x.y"));
            text = if add { with_member(&text, &key, &name) } else { without_member(&text, &key, &name) }.unwrap();
            want[group].retain(|one| *one != member);
            if add {
                want[group].push(member);
            }
            want[group].sort_unstable();
        }
        for (group, want) in want.iter().enumerate() {
            let read = groups(&text).unwrap();
            let mut held = read.iter().find(|one| one.key == format!("g{group}")).unwrap().members.clone();
            held.sort();
            let want: Vec<String> = want.iter().map(|member| format!("m{member}@x.y")).collect();
            prop_assert_eq!(held, want);
        }
    }
}

#[test]
fn an_address_in_capitals_beyond_ascii_was_another_person_when_written() {
    let text = "{\"groups\": {\"group:a\": [\"J\u{d6}RG@x.example \"], \"group:b\": []}}";
    assert_eq!(with_member(text, "a", "j\u{f6}rg@x.example").unwrap(), text);
    let left = groups(&without_person(text, "j\u{f6}rg@x.example").unwrap()).unwrap();
    assert!(left.iter().all(|entry| entry.members.is_empty()), "{left:?}");
}
