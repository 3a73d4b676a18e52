//! Whose account is it: the one gate through which a person gets tied to an account that was found
//! at the target (DECISIONS 1 to 3, 7). A connector only reports evidence; nothing but this links.

use connector_sdk::{Evidence, Need};

use crate::policy::{Adopt, Policy};

/// Whether an account may become a person's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// It may: link the two.
    Link,
    /// It is another person's already; both are to be named to the admin (DECISIONS 3).
    Conflict(Need),
    /// The policy or the account's protection forbids it.
    Refused(Need),
}

/// Decides whether an account found for a person may be linked to them.
///
/// `already_linked_to_other`: a live link ties the account to another person. `ours`: we created
/// the account, or sent the invitation that it accepted, for this person; it is no adoption then.
pub fn may_link(
    evidence: Evidence,
    policy: &Policy,
    account_protected: bool,
    already_linked_to_other: bool,
    ours: bool,
) -> Adoption {
    if already_linked_to_other {
        return Adoption::Conflict(Need::new(
            "conflict",
            "The account found at the target for this person belongs to another person of this \
             instance. Correct the user name or address of one of the two at the identity provider, \
             or of the account at the target, then retry the operation.",
        ));
    }
    if ours {
        return Adoption::Link;
    }
    if account_protected {
        return Adoption::Refused(Need::new(
            "protected",
            "The account found at the target for this person is protected (the credential's own, \
             the last owner, or listed in the policy's `protected`), so it is not taken under \
             management. Take it off the list, or take the person out of the assignment.",
        ));
    }
    let enough = match policy.adopt {
        Adopt::Never => false,
        Adopt::ByUserName => true,
        Adopt::ByVerifiedEmail => is_verified(evidence),
    };
    if enough {
        return Adoption::Link;
    }
    let message = match policy.adopt {
        Adopt::Never => {
            "An account of this person exists at the target already, and the policy `adopt` is \
             `never`. Allow adoption, or remove the account at the target, then retry the operation."
        }
        Adopt::ByUserName | Adopt::ByVerifiedEmail => {
            "An account that may be this person's exists at the target already, but its address is \
             not known to be verified, and the policy `adopt` is `by_verified_email`. Have the \
             address verified at the target, or change the policy, then retry the operation."
        }
    };
    Adoption::Refused(Need::new("adopt", message))
}

/// Whether the target vouches for the tie: nobody can come by it by typing somebody's name or
/// address into their own profile.
fn is_verified(evidence: Evidence) -> bool {
    match evidence {
        Evidence::SameId | Evidence::SamlIdentity | Evidence::VerifiedEmail => true,
        Evidence::Login | Evidence::Email => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIDENCE: [Evidence; 5] =
        [Evidence::SameId, Evidence::SamlIdentity, Evidence::VerifiedEmail, Evidence::Login, Evidence::Email];

    fn policy(adopt: Adopt) -> Policy {
        Policy { adopt, ..Policy::default() }
    }

    /// `L` link, `c` conflict, `p` refused as protected, `a` refused by the adopt policy; one letter
    /// per evidence, in the order of `EVIDENCE`.
    fn check(adopt: Adopt, protected: bool, linked: bool, ours: bool, want: &str) {
        let got: String = EVIDENCE
            .iter()
            .map(|evidence| match may_link(*evidence, &policy(adopt), protected, linked, ours) {
                Adoption::Link => 'L',
                Adoption::Conflict(need) if need.code == "conflict" => 'c',
                Adoption::Refused(need) if need.code == "protected" => 'p',
                Adoption::Refused(need) if need.code == "adopt" => 'a',
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(got, want, "{adopt:?} protected={protected} linked={linked} ours={ours}");
    }

    #[test]
    fn every_combination_has_its_answer() {
        use Adopt::{ByUserName, ByVerifiedEmail, Never};
        check(Never, false, false, false, "aaaaa");
        check(ByUserName, false, false, false, "LLLLL");
        check(ByVerifiedEmail, false, false, false, "LLLaa");
        for adopt in [Never, ByUserName, ByVerifiedEmail] {
            check(adopt, true, false, false, "ppppp");
            for protected in [false, true] {
                check(adopt, protected, false, true, "LLLLL");
                check(adopt, protected, true, true, "ccccc");
                check(adopt, protected, true, false, "ccccc");
            }
        }
    }
}
