//! Listings, page by page.

use proptest::prelude::*;
use serde_json::{Value, json};
use simulators::Limits;

use crate::support::{Hub, link};

fn loaded(accounts: usize) -> Hub {
    let hub = Hub::new(Limits::None);
    let load = json!({ "accounts": accounts, "groups": 0 });
    hub.check(&[("POST /_sim/load", load, 200, Value::Null)]);
    hub
}

#[test]
fn links_lead_to_the_same_origin() {
    let hub = loaded(249);
    let first = hub.get("/orgs/acme/members?per_page=100&role=all");
    assert_eq!(first.body.as_array().unwrap().len(), 100);
    assert_eq!(
        first.header("link").unwrap(),
        "<http://hub.test/orgs/acme/members?per_page=100&role=all&page=2>; rel=\"next\", \
         <http://hub.test/orgs/acme/members?per_page=100&role=all&page=3>; rel=\"last\""
    );
    let second = hub.get(&link(&first, "next").unwrap());
    let relations = ["prev", "next", "last", "first"].map(|rel| link(&second, rel).is_some());
    assert_eq!(relations, [true; 4]);
    let last = hub.get(&link(&second, "next").unwrap());
    assert_eq!(last.body.as_array().unwrap().len(), 50);
    assert_eq!((link(&last, "next"), link(&last, "last")), (None, None));
}

#[test]
fn the_size_of_a_page() {
    let hub = loaded(149);
    for (query, length) in [
        ("", 30),
        ("?per_page=7", 7),
        ("?per_page=1000", 100),
        ("?per_page=0", 30),
        ("?per_page=x&page=x", 30),
        ("?per_page=100&page=2", 50),
        ("?per_page=100&page=3", 0),
        ("?page=18446744073709551615", 0),
    ] {
        let answer = hub.get(&format!("/orgs/acme/members{query}"));
        assert_eq!(answer.body.as_array().unwrap().len(), length, "{query}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whoever was there all the time is seen exactly once, whatever is inserted meanwhile.
    #[test]
    fn paging_is_complete_under_insertion(
        before in 0usize..40,
        size in 1usize..12,
        inserts in proptest::collection::vec(0usize..4, 0..60),
    ) {
        let hub = loaded(before);
        let there: Vec<Value> = hub.all("/orgs/acme/members?per_page=100");
        let mut seen: Vec<Value> = Vec::new();
        let mut next = Some(format!("/orgs/acme/members?per_page={size}"));
        let mut inserts = inserts.into_iter();
        while let Some(path) = next {
            let answer = hub.get(&path);
            seen.extend(answer.body.as_array().unwrap().iter().cloned());
            next = link(&answer, "next");
            if let Some(more) = inserts.next() {
                let load = json!({ "accounts": more });
                hub.check(&[("POST /_sim/load", load, 200, Value::Null)]);
            }
        }
        for person in &there {
            prop_assert_eq!(seen.iter().filter(|p| p["id"] == person["id"]).count(), 1);
        }
    }
}
