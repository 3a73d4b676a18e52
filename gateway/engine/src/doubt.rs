//! Writes whose outcome is not known (DECISIONS 18, 19): they were sent, and no usable answer came, or
//! the process that sent them died. What follows is decided by what the connector declared for the call
//! ([`connector_sdk::Repeats`]), and by what an admin says who knows better.

use connector_sdk::{Need, Repeatable};

use crate::retry::OUTCOME_UNKNOWN;

/// What is done about a write in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// Twice is once: it may be sent again.
    Repeat,
    /// A look tells what happened, and comes before anything else.
    Look,
    /// Only a person can say, and nothing is sent before they did.
    Ask,
}

/// What is done about a write of which the connector declared that. An admin who says that it happened
/// (`happened`) is believed, but what it left behind is still to be read: that is a look, whatever was
/// declared.
pub fn doubt_of(repeat: Repeatable, happened: bool) -> Doubt {
    match (repeat, happened) {
        (_, true) | (Repeatable::Verifiable, false) => Doubt::Look,
        (Repeatable::Idempotent, false) => Doubt::Repeat,
        (Repeatable::Neither, false) => Doubt::Ask,
    }
}

/// What is asked of a person where nobody else can say what happened.
pub fn ask() -> Need {
    Need::new(
        OUTCOME_UNKNOWN,
        "A call was sent and its answer was lost, and this target offers no way to find out whether it \
         took effect. Look at the target, then say whether it happened (POST \
         /admin/v1/operations/{id}/outcome, or `scimgate operations outcome`); it is not sent again \
         before.",
    )
}

/// What is asked of a person after they said that a creation happened, and nothing at the target tells
/// which account or group it was.
pub fn ask_which(name: &str) -> Need {
    Need::new(
        "link",
        format!(
            "The creation of \"{name}\" is said to have happened, and nothing at the target tells what it \
             made. Link the right one by hand (POST /admin/v1/instances/{{id}}/links), or say that it did not \
             happen."
        ),
    )
}

/// What an admin says of a write in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It took effect.
    Happened,
    /// It did not.
    DidNot,
    /// Find out anew.
    LookAgain,
}

impl Answer {
    /// Every answer.
    pub const ALL: [Self; 3] = [Self::Happened, Self::DidNot, Self::LookAgain];

    /// The word that the API uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Happened => "happened",
            Self::DidNot => "did_not",
            Self::LookAgain => "look_again",
        }
    }

    /// The answer of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.as_str() == word)
    }
}

/// What an answer does to the doubt about one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answered {
    /// The doubt is over; the plan goes on from what is known.
    Over,
    /// It is looked at, as a thing that happened.
    LookAsHappened,
    /// It is looked at, or repeated, as if it had just been lost.
    Anew,
    /// The answer does not help: no look tells anything of this write.
    Useless,
}

/// What an admin's answer does.
pub fn answered(answer: Answer, repeat: Repeatable) -> Answered {
    match (answer, repeat) {
        (Answer::DidNot, _) => Answered::Over,
        (Answer::Happened, _) => Answered::LookAsHappened,
        (Answer::LookAgain, Repeatable::Neither) => Answered::Useless,
        (Answer::LookAgain, Repeatable::Idempotent | Repeatable::Verifiable) => Answered::Anew,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPEATS: [Repeatable; 3] = [Repeatable::Idempotent, Repeatable::Verifiable, Repeatable::Neither];

    #[test]
    fn what_can_neither_be_repeated_nor_looked_at_waits_for_a_person_and_only_that() {
        let of = |happened| REPEATS.map(|repeat| doubt_of(repeat, happened));
        assert_eq!(of(false), [Doubt::Repeat, Doubt::Look, Doubt::Ask]);
        assert_eq!(of(true), [Doubt::Look; 3], "what happened left something behind to be read");
    }

    #[test]
    fn every_answer_but_a_useless_one_moves_the_work() {
        for repeat in REPEATS {
            assert_eq!(answered(Answer::DidNot, repeat), Answered::Over);
            assert_eq!(answered(Answer::Happened, repeat), Answered::LookAsHappened);
            let useless = answered(Answer::LookAgain, repeat) == Answered::Useless;
            assert_eq!(useless, repeat == Repeatable::Neither);
        }
        for answer in Answer::ALL {
            assert_eq!(Answer::parse(answer.as_str()), Some(answer));
        }
    }
}
