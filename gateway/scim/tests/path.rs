//! Attribute paths and PATCH paths.
use proptest::prelude::*;
use scim::path::{AttrPath, MAX_PATH, PatchPath};
use scim::schema::Resolved;
use scim::{Quirks, Registry};

fn patch(text: &str) -> Result<PatchPath, scim::ScimError> {
    PatchPath::parse(text, &mut Quirks::lenient())
}

#[test]
fn accepted_and_refused() {
    for ok in [
        "userName",
        "name.familyName",
        "members",
        r#"members[value eq "x"]"#,
        r#"emails[type eq "work"].value"#,
        "urn:ietf:params:scim:schemas:core:2.0:User:name.familyName",
        r#"urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq "work" and primary eq true].value"#,
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        "urn:scim:schemas:core:1.0",
        "$ref",
        "members.$ref",
        "a-b_c1",
    ] {
        let got = patch(ok);
        assert!(got.is_ok(), "{ok}: {got:?}");
        if let Ok(path) = got {
            assert_eq!(patch(&path.to_string()), Ok(path), "{ok}");
        }
    }
    let long = "a".repeat(MAX_PATH + 1);
    for bad in [
        "",
        " ",
        ".",
        "a.",
        ".a",
        "a..b",
        "a.b.c",
        "a b",
        "1a",
        "a[",
        "a[]",
        "a]",
        "[a pr]",
        "a[b pr]c",
        "a[b pr].",
        "a[b pr].c.d",
        "a.b[c pr]",
        "a[b[c pr]]",
        r#"a[b eq "x"#,
        "a:",
        ":a",
        "a(b)",
        "\u{e9}",
        "a\0",
        long.as_str(),
    ] {
        let got = patch(bad);
        assert!(got.is_err(), "{bad}: {got:?}");
        assert_eq!(got.err().map(|e| e.status), Some(400), "{bad}");
    }
    assert!(patch(&format!("a{}b{}", "[".repeat(200), "]".repeat(200))).is_err());
    assert!(patch(&format!("a[{}b pr{}]", "(".repeat(200), ")".repeat(200))).is_err());
}

#[test]
fn resolution() {
    let registry = Registry::core();
    let rt = registry.user().expect("user");
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let check = |text: &str, want: Option<&str>| {
        let got = rt.resolve_str(text).attribute().map(|l| l.path());
        assert_eq!(got.as_deref(), want, "{text}");
    };
    check("USERNAME", Some("userName"));
    check("Name.GIVENNAME", Some("name.givenName"));
    check("externalid", Some("externalId"));
    check("meta.lastmodified", Some("meta.lastModified"));
    check("urn:ietf:params:scim:schemas:core:2.0:user:USERNAME", Some("userName"));
    check(&format!("{enterprise}:MANAGER.$REF"), Some(&format!("{enterprise}:manager.$ref")));
    check("manager", Some(&format!("{enterprise}:manager")));
    check(&format!("{enterprise}:userName"), None);
    check("urn:other:User:userName", None);
    check("name.nonsense", None);
    check("nonsense", None);
    assert!(matches!(rt.resolve_str(&enterprise.to_uppercase()), Resolved::Extension(_)));
    assert_eq!(rt.resolve_str("urn:ietf:params:scim:schemas:core:2.0:User"), Resolved::Core);
}

proptest! {
    #[test]
    fn never_panics(text in "\\PC{0,60}", odd in "[a-z$:.\\[\\]\" ()]{0,40}") {
        let _ = patch(&text);
        let _ = patch(&odd);
        let _ = AttrPath::parse(&odd);
    }

    #[test]
    fn what_is_read_prints_the_same(odd in "[a-zA-Z$:._-]{1,30}") {
        if let Ok(path) = AttrPath::parse(&odd) {
            prop_assert_eq!(path.to_string(), odd);
        }
    }
}
