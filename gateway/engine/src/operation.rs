//! When an accepted change is closed, and as what. Operations are the audit; live state is on work
//! (DECISIONS 16).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// The state of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpState {
    /// Not settled yet.
    Open,
    /// The target agrees; what is parked is counted on the operation (DECISIONS 20).
    Applied,
    /// At least one part was refused for good.
    Failed,
    /// Everything it asked for was overwritten before it was sent.
    Superseded,
    /// An admin took it back.
    Withdrawn,
}

impl OpState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Open, Self::Applied, Self::Failed, Self::Superseded, Self::Withdrawn];

    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An open operation on one resource. Operations on memberships are not among them: they are closed
/// by their items ([`member_op_state`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOp {
    /// Its place in the order of all operations.
    pub seq: i64,
    /// The resource's revision that it made.
    pub rev: i64,
    /// The SCIM paths that it wrote: `active`, `name.givenName`, `emails`.
    pub paths: Vec<String>,
    /// It deleted the resource: whatever came before it is overwritten.
    pub deletes: bool,
}

/// How a settled operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Closed {
    /// What it asked for is so.
    Applied,
    /// Later operations of the same batch overwrote all it asked for.
    Superseded,
}

impl Closed {
    /// The state that the operation takes.
    pub fn state(self) -> OpState {
        match self {
            Self::Applied => OpState::Applied,
            Self::Superseded => OpState::Superseded,
        }
    }
}

/// The operations that close when the target agrees with revision `settled_rev`, in the order of
/// `seq`. Operations of a later revision stay open.
///
/// An operation is superseded if it wrote something, and later ones that settle with it wrote each
/// of its paths again, or something that holds the path (`name` holds `name.givenName`). Paths
/// compare without case (RFC 7643 section 2.1). A deletion overwrites everything before it. The cost is linear in the text of all paths.
pub fn close_settled(open: &[OpenOp], settled_rev: i64) -> Vec<(i64, Closed)> {
    let mut batch: Vec<&OpenOp> = open.iter().filter(|op| op.rev <= settled_rev).collect();
    batch.sort_by_key(|op| std::cmp::Reverse((op.rev, op.seq)));
    let mut overwritten: HashSet<String> = HashSet::new();
    let mut closed = Vec::with_capacity(batch.len());
    let mut deleted = false;
    for op in batch {
        let paths: Vec<String> = op.paths.iter().map(|path| path.to_ascii_lowercase()).collect();
        let superseded = deleted || !paths.is_empty() && paths.iter().all(|path| is_covered(path, &overwritten));
        deleted |= op.deletes;
        closed.push((op.seq, if superseded { Closed::Superseded } else { Closed::Applied }));
        overwritten.extend(paths);
    }
    closed.sort_by_key(|(seq, _)| *seq);
    closed
}

/// Whether the path or one that holds it is in the set.
fn is_covered(path: &str, overwritten: &HashSet<String>) -> bool {
    // A container ends where a sub-attribute, a value filter, or the attribute after a schema's URN
    // begins (RFC 7644 section 3.10). Dots and colons inside a URN's own text do no harm: no
    // operation writes a path that is a piece of one.
    overwritten.contains(path) || path.match_indices(['.', '[', ':']).any(|(at, _)| overwritten.contains(&path[..at]))
}

/// The state of an operation on memberships, from the counts of its items.
///
/// It is open while an item is; failed if one was refused; superseded if all of them were
/// overwritten before they were sent; else applied, also with parked items (DECISIONS 20).
/// Counts below zero count as none.
pub fn member_op_state(items: i64, open: i64, failed: i64, superseded: i64) -> OpState {
    if open > 0 {
        OpState::Open
    } else if failed > 0 {
        OpState::Failed
    } else if items > 0 && superseded >= items {
        OpState::Superseded
    } else {
        OpState::Applied
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `ops`: `rev:path,path` each (`!` deletes), seq counting from 1; the answer is one letter per operation,
    /// `A` applied, `S` superseded, `.` left open.
    fn check(ops: &[(i64, &[&str])], settled_rev: i64, want: &str) {
        let open: Vec<OpenOp> = ops
            .iter()
            .zip(1..)
            .map(|((rev, paths), seq)| OpenOp {
                seq,
                rev: *rev,
                paths: paths.iter().filter(|path| **path != "!").map(|path| (*path).to_owned()).collect(),
                deletes: paths.contains(&"!"),
            })
            .collect();
        let closed = close_settled(&open, settled_rev);
        let got: String = open
            .iter()
            .map(|op| match closed.iter().find(|(seq, _)| *seq == op.seq).map(|(_, c)| c) {
                Some(Closed::Applied) => 'A',
                Some(Closed::Superseded) => 'S',
                None => '.',
            })
            .collect();
        assert_eq!(got, want, "{ops:?} settled at {settled_rev}");
    }

    #[test]
    fn the_last_writer_of_a_path_is_applied_and_the_others_superseded() {
        check(&[], 9, "");
        check(&[(1, &["active"])], 1, "A");
        check(&[(1, &["active"]), (2, &["active"])], 2, "SA");
        check(&[(1, &["active"]), (2, &["Active"])], 2, "SA");
        check(&[(1, &["active"]), (2, &["displayName"])], 2, "AA");
        check(&[(1, &["active", "title"]), (2, &["active"])], 2, "AA");
        check(&[(1, &["active", "title"]), (2, &["active"]), (3, &["title"])], 3, "SAA");
        check(&[(1, &["name.givenName"]), (2, &["name"])], 2, "SA");
        check(&[(1, &["name"]), (2, &["name.givenName"])], 2, "AA");
        check(&[(1, &["nameX"]), (2, &["name"])], 2, "AA");
        check(&[(1, &["emails[type eq \"work\"].value"]), (2, &["emails"])], 2, "SA");
        check(&[(1, &["urn:x:User:dept"]), (2, &["urn:x:User"])], 2, "SA");
    }

    #[test]
    fn what_is_newer_than_the_settled_revision_stays_open_and_overwrites_nothing() {
        check(&[(1, &["active"]), (2, &["active"])], 1, "A.");
        check(&[(1, &["active"]), (2, &["active"])], 0, "..");
        check(&[(3, &["active"]), (1, &["active"])], 3, "AS");
    }

    #[test]
    fn an_operation_that_names_no_path_is_never_superseded() {
        check(&[(1, &[]), (2, &["active"])], 2, "AA");
    }

    #[test]
    fn a_deletion_overwrites_all_that_came_before_it() {
        check(&[(1, &["userName", "active"]), (2, &["title"]), (3, &["!"])], 3, "SSA");
        check(&[(1, &["userName"]), (2, &["!"])], 1, "A.");
    }

    #[test]
    fn counts_decide_the_state_of_a_membership_operation() {
        for (items, open, failed, superseded, want) in [
            (3, 1, 1, 1, OpState::Open),
            (3, 0, 1, 2, OpState::Failed),
            (3, 0, 0, 3, OpState::Superseded),
            (3, 0, 0, 2, OpState::Applied),
            (0, 0, 0, 0, OpState::Applied),
            (1, -1, 0, 0, OpState::Applied),
        ] {
            assert_eq!(member_op_state(items, open, failed, superseded), want, "{items} {open} {failed} {superseded}");
        }
    }

    #[test]
    fn words_of_states_read_back() {
        for state in OpState::ALL {
            assert_eq!(OpState::parse(state.as_str()), Some(state));
        }
        assert_eq!(Closed::Applied.state(), OpState::Applied);
        assert_eq!(Closed::Superseded.state(), OpState::Superseded);
    }

    proptest! {
        #[test]
        fn every_settled_operation_closes_once_and_every_path_has_an_applied_last_writer(
            ops in prop::collection::vec((0i64..20, prop::collection::vec(0usize..5, 0..4)), 0..30),
            settled in 0i64..20,
        ) {
            const PATHS: [&str; 5] = ["active", "name", "name.givenName", "emails", "title"];
            let open: Vec<OpenOp> = ops
                .iter()
                .zip(1..)
                .map(|((rev, paths), seq)| OpenOp {
                    seq,
                    rev: *rev,
                    paths: paths.iter().map(|at| PATHS[*at].to_owned()).collect(),
                    deletes: false,
                })
                .collect();
            let closed = close_settled(&open, settled);
            let want: Vec<i64> = open.iter().filter(|op| op.rev <= settled).map(|op| op.seq).collect();
            prop_assert_eq!(closed.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), want);
            for path in PATHS {
                let last = open
                    .iter()
                    .filter(|op| op.rev <= settled && op.paths.iter().any(|it| it == path))
                    .max_by_key(|op| (op.rev, op.seq));
                // `name` may have been overwritten after `name.givenName`, so ask of roots only.
                if let Some(last) = last.filter(|_| path != "name.givenName") {
                    prop_assert!(closed.contains(&(last.seq, Closed::Applied)));
                }
            }
        }
    }
}
