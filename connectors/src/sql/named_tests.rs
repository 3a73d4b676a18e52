use proptest::prelude::*;

use super::super::dialect::Dialect::{self, MariaDb, Postgres, Sqlite};
use super::*;

const ALL: [Dialect; 3] = [Postgres, MariaDb, Sqlite];

fn names(dialect: Dialect, text: &str) -> Result<Vec<String>, String> {
    Statement::read(dialect, text)
        .map(|statement| statement.names().map(str::to_owned).collect())
        .map_err(|mistake| mistake.what)
}

#[test]
fn parameters_are_found_where_a_database_would_look_for_them() {
    for (dialects, text, want) in [
        (&ALL[..], "SELECT :a, :b_2 FROM t WHERE x=:a", &["a", "b_2", "a"][..]),
        (&ALL, "SELECT ':a', ':b''s :c', :d", &["d"]),
        (&ALL, "SELECT \":a\" FROM t WHERE \"x\"\":b\" = :c;  ", &["c"]),
        (&ALL, "SELECT 1 -- :a\n, :b", &["b"]),
        (&ALL, "/* :a */ SELECT :b /* :c", &["!no end"]),
        (&ALL, "/* :a */ SELECT /**/ :b", &["b"]),
        (&ALL, "SELECT a[1:2], b := :c", &["c"]),
        (&ALL, "UPDATE t SET a = :_x1", &["_x1"]),
        (&[Postgres], "SELECT x::text, :a::uuid, y :: int", &["a"]),
        (&[Postgres], "SELECT $$ :a $$, $t$ :b $$ $t$, :c, a$b FROM t", &["c"]),
        (&[Postgres], "SELECT $x$ :a", &["!no end"]),
        (&[Postgres], "SELECT E'\\':a', :b", &["b"]),
        (&[Postgres], "SELECT 'a\\', :b", &["b"]),
        (&[Postgres], "/* /* :a */ :b */ SELECT :c", &["c"]),
        (&[Postgres], "SELECT a ? 'b', :c", &["c"]),
        (&[Postgres], "SELECT $1", &["!named"]),
        (&[Postgres], "SELECT 1 -- :a\r, :b", &["b"]),
        (&[MariaDb], "SELECT 'a\\':b', \"\\\":c\", `:d`, :e", &["e"]),
        (&[MariaDb], "SELECT 1--:a", &["a"]),
        (&[MariaDb], "SELECT 1 # :a\n, :b", &["b"]),
        (&[MariaDb], "/*! SELECT :a */", &["!executed"]),
        (&[MariaDb, Sqlite], "/* /* :a */ SELECT :b", &["b"]),
        (&[MariaDb, Sqlite], "SELECT ?", &["!named"]),
        (&[Sqlite], "SELECT [:a], `:b`, :c", &["c"]),
        (&[Sqlite], "SELECT @a", &["!colon"]),
        (&[Sqlite], "SELECT $a", &["!colon"]),
        (&ALL, "SELECT 'a", &["!no end"]),
        (&ALL, "SELECT 1; DELETE FROM t", &["!one statement"]),
        (&ALL, "  ", &["!empty"]),
        (&ALL, ";", &["!empty"]),
        (&ALL, "-- nothing", &["!empty"]),
        (&ALL, "COMMIT", &["!begins with"]),
        (&ALL, "attach 'x' as y", &["!begins with"]),
        (&ALL, "'SELECT'", &["!begins with"]),
        (&ALL, "SELECT :\u{e9}", &[]),
        (&ALL, "SELECT :a\u{e9}", &["!letters"]),
        (&ALL, "SELECT '\0'", &["!NUL"]),
        (&ALL, "(select :a) union (select :b)", &["a", "b"]),
    ] {
        for dialect in dialects {
            match (names(*dialect, text), want) {
                (Err(what), [one]) if one.strip_prefix('!').is_some_and(|part| what.contains(part)) => {}
                (Ok(found), want) if found == want => {}
                (other, _) => panic!("{dialect:?} {text:?}: {other:?}, not {want:?}"),
            }
        }
    }
}

#[test]
fn places_are_numbered_in_their_order() {
    let statement = Statement::read(Postgres, "SELECT ':x', :a::int, :b, :a").unwrap();
    assert_eq!(statement.render(|n| format!("${n}")), "SELECT ':x', $1::int, $2, $3");
    assert_eq!(statement.names().collect::<Vec<_>>(), ["a", "b", "a"]);
}

/// One token of a statement, and the parameter that it is, if it is one.
fn token(dialect: Dialect) -> impl Strategy<Value = (String, Option<String>)> {
    let inner = "[a-z:?'\"`$/* \\-]{0,8}";
    let backslashes = dialect == MariaDb;
    let single = inner.prop_map(move |text| {
        let text = if backslashes { text.replace('\\', "\\\\") } else { text };
        format!("'{}'", text.replace('\'', "''"))
    });
    let double = inner.prop_map(move |text| {
        let text = if backslashes { text.replace('\\', "\\\\") } else { text };
        format!("\"{}\"", text.replace('"', "\"\""))
    });
    let line = "[a-z:?'\"`$ ]{0,8}".prop_map(|text| format!("-- {text}\n"));
    let block = "[a-z:?'\"`$ ]{0,8}".prop_map(|text| format!("/* {text} */"));
    let own = match dialect {
        Postgres => "[a-z:?'\" ]{0,8}".prop_map(|text| format!("$q${text}$q$")).boxed(),
        MariaDb => "[a-z:?'\" ]{0,8}".prop_map(|text| format!("`{text}`")).boxed(),
        Sqlite => "[a-z:?'\" ]{0,8}".prop_map(|text| format!("[{text}]")).boxed(),
    };
    let plain = prop::sample::select(vec!["::text", ":=", ",", "(", ")", "1", "a.b", "::", "=", "<>", "1:2"]);
    prop_oneof![
        single.prop_map(|text| (text, None)),
        double.prop_map(|text| (text, None)),
        line.prop_map(|text| (text, None)),
        block.prop_map(|text| (text, None)),
        own.prop_map(|text| (text, None)),
        plain.prop_map(|text| (text.to_owned(), None)),
        "[a-z_][a-z0-9_]{0,6}".prop_map(|name| (format!(":{name}"), Some(name))),
    ]
}

fn dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(ALL.to_vec())
}

proptest! {
    #[test]
    fn exactly_the_parameters_are_taken_out(
        (dialect, tokens) in dialect().prop_flat_map(|dialect| (Just(dialect), prop::collection::vec(token(dialect), 0..20)))
    ) {
        let text = tokens.iter().fold("SELECT ".to_owned(), |text, (token, _)| text + " " + token);
        let want: Vec<String> = tokens.into_iter().filter_map(|(_, name)| name).collect();
        let statement = Statement::read(dialect, &text).unwrap();
        prop_assert_eq!(statement.names().collect::<Vec<_>>(), want);
        prop_assert_eq!(statement.written(), text);
    }

    #[test]
    fn no_text_makes_the_reader_panic_or_lose_a_byte(dialect in dialect(), text in any::<String>(), sql in "[ -~\u{e9}\n]{0,60}") {
        for text in [&text, &sql, &format!("SELECT {sql}")] {
            if let Ok(statement) = Statement::read(dialect, text) {
                let written = statement.written();
                let rest = text.strip_prefix(written.as_str());
                prop_assert!(rest.is_some_and(|rest| rest.trim_start_matches(';').trim().is_empty()), "{written:?} of {text:?}");
            }
        }
    }
}
