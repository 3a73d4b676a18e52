use super::{Quirk, QuirkSet, Quirks};
use crate::dialect::Dialect;
use std::collections::HashSet;

#[test]
fn units_are_named_once_and_know_their_clients() {
    let mut names = HashSet::new();
    for quirk in Quirk::ALL {
        let unit = quirk.unit();
        assert!(names.insert(unit.name), "{} twice", unit.name);
        assert_eq!(Quirk::by_name(unit.name), Some(quirk));
        for text in [unit.example, unit.meaning, unit.off] {
            assert!(!text.is_empty() && !text.contains(['\n', '|']), "{}: {text:?} goes into a table", unit.name);
        }
        for client in unit.clients {
            assert!(Dialect::by_name(client).is_some(), "{}: {client} is no dialect", unit.name);
        }
    }
    assert_eq!(Quirk::by_name("Capitalised_Op"), None);
}

#[test]
fn each_unit_is_switched_alone() {
    for quirk in Quirk::ALL {
        let mut quirks = Quirks::without(QuirkSet::from_iter([quirk]));
        for other in Quirk::ALL {
            assert_eq!(quirks.allows(other), other != quirk);
            assert_eq!(quirks.use_(other), other != quirk);
        }
        assert_eq!(quirks.applied().count(), Quirk::ALL.len() - 1);
        assert!(!quirks.is_strict());
    }
    let strict = Quirks::strict();
    assert!(strict.is_strict() && !Quirks::lenient().is_strict());
    assert!(Quirk::ALL.into_iter().all(|quirk| strict.allows(quirk) != quirk.is_leniency()));
}
