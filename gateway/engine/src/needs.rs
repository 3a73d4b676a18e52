//! Every word that open work may stand at, with what it means and what ends it. Whoever shows work to
//! people reads it here; a test holds the driver and the connectors to this list, and `docs/needs.md` is
//! the same list for people.

use serde::Serialize;

/// What a word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// It passes by itself: work is `waiting`.
    Waits,
    /// A person has to act: work is at `needs`, and looked at by itself once an hour.
    Person,
    /// Either, by how long it has gone on or by what the target said.
    Both,
}

/// One word of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Word {
    /// The word, as `work.need` holds it and the admin API shows it.
    pub code: &'static str,
    /// Whose turn it is.
    pub turn: Turn,
    /// What has happened.
    pub meaning: &'static str,
    /// What ends it.
    pub exit: &'static str,
}

const fn waits(code: &'static str, meaning: &'static str, exit: &'static str) -> Word {
    Word { code, turn: Turn::Waits, meaning, exit }
}

const fn person(code: &'static str, meaning: &'static str, exit: &'static str) -> Word {
    Word { code, turn: Turn::Person, meaning, exit }
}

const fn both(code: &'static str, meaning: &'static str, exit: &'static str) -> Word {
    Word { code, turn: Turn::Both, meaning, exit }
}

/// Every word, by the alphabet.
pub const ALL: &[Word] = &[
    person(
        "adopt",
        "An account of this person is at the target, and the policy `adopt` does not allow taking it.",
        "Confirm the proposed link, or change the policy `adopt`, or remove the account at the target.",
    ),
    person(
        "ambiguous",
        "Several accounts or groups at the target may be meant.",
        "Confirm one of the proposed links and reject the others, or make the name unambiguous.",
    ),
    waits(
        "brake",
        "The brake is holding removals of members of this group.",
        "The rest of the group goes on by itself.",
    ),
    waits("circle", "The target keeps changing back what is written to it.", "It is looked at again in a minute."),
    person(
        "conflict",
        "The account or group that was found belongs to another one of this instance.",
        "Correct one of the two at the identity provider, or link the right account by hand.",
    ),
    person(
        "connector",
        "The instance's settings or credentials make no connector.",
        "Correct the settings of the instance; that starts its work again.",
    ),
    both(
        "credential",
        "The target refuses the instance's credential.",
        "Give the instance a new credential; it is looked at every five minutes.",
    ),
    person("failing", "It has failed for a day.", "Look at the last attempts (`why`), then retry the operation."),
    person(
        "identity",
        "The target does not tell which account is the person's.",
        "Make the identity source tell, or link the account by hand.",
    ),
    person(
        "incomplete",
        "The person lacks something that the target needs, such as an address.",
        "The identity provider sends what is missing; that starts the work again.",
    ),
    person(
        "invitation",
        "The person declined, or was invited three times and never accepted.",
        "Ask the person, then retry the operation to invite them again.",
    ),
    person(
        "link",
        "There must be an account at the target, and nothing tells which one it is.",
        "Link the account by hand, or remove the person at the target and answer that it did not happen.",
    ),
    waits("malformed", "The target's answer could not be understood.", "It is tried again by itself."),
    waits("member", "A member of the group is just being changed.", "It goes on by itself at once."),
    person(
        "name_taken",
        "The name is taken at the target.",
        "Rename one of the two, allow adoption, or link the group by hand.",
    ),
    person(
        "not_a_member",
        "The person is no member of the organisation, and this instance manages teams only.",
        "Invite the person at the target, or link their account by hand.",
    ),
    person(
        "not_found",
        "What the call was about is not at the target.",
        "Look at the target, then retry the operation.",
    ),
    person("not_sent", "The gateway may not call that address.", "Correct the settings of the instance."),
    waits(
        "not_visible",
        "The target does not show yet what it made a moment ago.",
        "It is looked at again in seconds.",
    ),
    both(
        "outcome_unknown",
        "A call was sent, its answer was lost, and no look could tell whether it took effect.",
        "Answer \"it happened\", \"it did not\" or \"look again\" (POST /operations/{id}/outcome).",
    ),
    waits(
        "panic",
        "The gateway failed while working on this.",
        "It is tried again in a minute; after three times it is `poison`.",
    ),
    both(
        "permission",
        "The credential lacks a permission.",
        "Give the credential the permission; a probe of the instance names it.",
    ),
    waits(
        "person",
        "A person was asked to do it by hand, and has not said yet what became of it.",
        "Whoever does it closes the task as done or refused (`scimgate task`, POST /tasks/{id}/done); it goes on at once.",
    ),
    person(
        "plan",
        "The target's plan does not allow this.",
        "Change the plan at the target, or take the person or group out of what is pushed, then retry.",
    ),
    person(
        "poison",
        "The gateway fails on this every time; everything else goes on.",
        "Report it with the lines of the log. A change or a retry tries it again.",
    ),
    person(
        "protected",
        "The account is protected: the credential's own, the last owner, or listed in the policy.",
        "Change it at the target by hand, or take it off the list and retry.",
    ),
    waits("purge", "The memberships of a deleted group are being removed.", "It goes on by itself at once."),
    both(
        "quota",
        "A quota of the target is used up: invitations a day, pending invitations, seats.",
        "It is tried again when the quota frees itself, or once somebody frees some of it.",
    ),
    waits("rate_limited", "The target asked for a pause.", "It goes on when the pause is over."),
    person(
        "refused",
        "The target refuses it for good, and says why.",
        "Correct the record at the identity provider, or the target's settings; then retry.",
    ),
    person(
        "relink",
        "The login that the person had belongs to another account now. Nothing was changed.",
        "Link the person's account by hand.",
    ),
    person("seat", "The target has no free seat.", "Buy a seat or remove somebody, then retry the operation."),
    person(
        "sso_mode",
        "The target does not allow this way of signing in for new people.",
        "Correct the setting of the instance or of the target.",
    ),
    waits("store", "What was done could not be stored.", "It is looked into by itself; the log has more."),
    person(
        "suspended",
        "The account is suspended at the target, which offers no way to restore it from here.",
        "Restore it at the target, then retry the operation.",
    ),
    waits("timeout", "The target did not answer in time.", "It is looked at or tried again by itself."),
    waits(
        "twin",
        "A person or group of this name, or with this account, was deleted, and its removal has to end first.",
        "Whatever the removal needs (`why` of the deleted one says what).",
    ),
    waits("unavailable", "The target is down or cannot be reached.", "It is tried again by itself."),
];

/// A word's row.
pub fn find(code: &str) -> Option<&'static Word> {
    ALL.iter().find(|word| word.code == code)
}

/// Whose turn it is, in words for people, while work stands at a word: at `needs`, or else waiting. What has no word waits
/// for its turn, or for an admin of the gateway.
pub fn who(code: &str, needs: bool) -> &'static str {
    if !needs {
        return if code == "person" { "whoever does the task" } else { "nobody" };
    }
    match code {
        "name_taken" | "not_a_member" | "not_found" | "plan" | "quota" | "seat" | "suspended" => "the target's admin",
        "credential" | "permission" => "whoever has the target's credential",
        "incomplete" | "refused" => "the identity provider's admin",
        "invitation" => "the person",
        _ => "an Admin here",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_single_and_told_in_full() {
        assert!(ALL.windows(2).all(|pair| pair[0].code < pair[1].code), "by the alphabet");
        for word in ALL {
            assert_eq!(find(word.code), Some(word));
            assert!(word.meaning.ends_with('.') && word.exit.ends_with(['.', ')']), "{word:?}");
        }
    }
}
