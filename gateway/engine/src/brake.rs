//! The brake: losses that come in too great a number within a window are held until a person decides
//! (DECISIONS 24). An identity provider that was set up wrongly, or taken over, then costs a few
//! accounts and not all of them.
//!
//! Counted are distinct persons whose loss was sent within the rolling window: deprovisions of an
//! instance, removals from one group, creations by a comparison with the target. The driver keeps the
//! count and asks here, at the moment of sending.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The longest window, in minutes: a week.
pub const LONGEST_WINDOW: u32 = 7 * 24 * 60;
/// The longest time-out of a hold, in hours: thirty days.
const LONGEST_TIMEOUT: u32 = 30 * 24;
/// The most entries of each list of exemptions, and the longest of them in bytes.
const MAX_EXEMPT: usize = 1_000;
const MAX_EXEMPT_LEN: usize = 320;

/// What is counted and may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// A person's account is suspended or removed.
    Deprovision,
    /// An account is created because a comparison with the target found that it is missing.
    Create,
    /// A person is taken out of a group.
    RemoveMember,
    /// A group is deleted at the target: each of its members counts as removed from it.
    DeleteGroup,
}

impl Effect {
    /// Every effect.
    pub const ALL: [Self; 4] = [Self::Deprovision, Self::Create, Self::RemoveMember, Self::DeleteGroup];

    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deprovision => "deprovision",
            Self::Create => "create",
            Self::RemoveMember => "remove_member",
            Self::DeleteGroup => "delete_group",
        }
    }

    /// The effect of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|effect| effect.as_str() == word)
    }
}

/// What becomes of a hold that nobody decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// It waits on.
    #[default]
    Hold,
    /// It is allowed after `timeout_hours`.
    Allow,
}

/// What the brake lets pass without counting it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exempt {
    /// Persons, by user name, login or address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<String>,
    /// Groups, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// API keys, by id: what they ask for is meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

impl Exempt {
    /// Whether nothing is exempt.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty() && self.groups.is_empty() && self.keys.is_empty()
    }

    /// Whether one of a person's names is listed; without case and surrounding blanks.
    pub fn person<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> bool {
        listed(&self.people, names)
    }

    /// Whether a group's name is listed; without case and surrounding blanks.
    pub fn group(&self, name: &str) -> bool {
        listed(&self.groups, [name])
    }

    /// Whether the key behind an actor of an operation (`key:ID`) is listed.
    pub fn actor(&self, actor: &str) -> bool {
        actor.strip_prefix("key:").is_some_and(|id| self.keys.iter().any(|key| key == id))
    }
}

fn listed<'n>(list: &[String], names: impl IntoIterator<Item = &'n str>) -> bool {
    if list.is_empty() {
        return false;
    }
    let fold = |text: &str| text.trim().to_lowercase();
    let names: Vec<String> = names.into_iter().map(fold).collect();
    list.iter().any(|entry| names.contains(&fold(entry)))
}

/// When the brake trips. What is left out has its default: 10 persons, 10 per cent, an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// So many persons may lose something within the window, however small the directory is.
    pub accounts: u32,
    /// So many per cent may, of the largest number of accounts (or members) within the window.
    pub percent: u32,
    /// The rolling window, in minutes.
    pub window_minutes: u32,
    /// What becomes of a hold that nobody decides.
    pub on_timeout: OnTimeout,
    /// After how many hours `on_timeout` acts.
    pub timeout_hours: u32,
    /// What passes without being counted.
    #[serde(skip_serializing_if = "Exempt::is_empty")]
    pub exempt: Exempt,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            accounts: 10,
            percent: 10,
            window_minutes: 60,
            on_timeout: OnTimeout::Hold,
            timeout_hours: 24,
            exempt: Exempt::default(),
        }
    }
}

impl Limits {
    /// How many distinct persons may be sent within a window in which the largest number of accounts
    /// (or of members of the group) was `size`.
    pub fn most(&self, size: u64) -> u64 {
        u64::from(self.accounts).max(size.saturating_mul(u64::from(self.percent)) / 100)
    }

    /// Whether one more person may be sent, after `used` others within the window.
    pub fn admits(&self, used: u64, size: u64) -> bool {
        used < self.most(size)
    }

    /// The window in microseconds.
    pub fn window(&self) -> i64 {
        i64::from(self.window_minutes) * 60_000_000
    }

    /// The time-out of a hold in microseconds; none where it waits for a decision without end.
    pub fn timeout(&self) -> Option<i64> {
        (self.on_timeout == OnTimeout::Allow).then(|| i64::from(self.timeout_hours) * 3_600_000_000)
    }

    /// Checks what an admin gives.
    ///
    /// # Errors
    /// The field that is wrong and what it may be.
    pub(crate) fn check(&self) -> Result<(), (String, String)> {
        let wrong = |field: &str, why: String| Err((format!("brake.{field}"), why));
        if self.percent > 100 {
            return wrong("percent", "must be from 0 to 100; false switches the brake off".to_owned());
        }
        if !(1..=LONGEST_WINDOW).contains(&self.window_minutes) {
            return wrong("window_minutes", format!("must be from 1 to {LONGEST_WINDOW}"));
        }
        if !(1..=LONGEST_TIMEOUT).contains(&self.timeout_hours) {
            return wrong("timeout_hours", format!("must be from 1 to {LONGEST_TIMEOUT}"));
        }
        let lists = [("people", &self.exempt.people), ("groups", &self.exempt.groups), ("keys", &self.exempt.keys)];
        for (name, list) in lists {
            if list.len() > MAX_EXEMPT {
                return wrong(&format!("exempt.{name}"), format!("must have at most {MAX_EXEMPT} entries"));
            }
            if let Some(at) = list.iter().position(|entry| entry.trim().is_empty() || entry.len() > MAX_EXEMPT_LEN) {
                return wrong(&format!("exempt.{name}[{at}]"), format!("must be of 1 to {MAX_EXEMPT_LEN} bytes"));
            }
        }
        Ok(())
    }
}

/// The brake of an instance: limits, or `false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brake {
    /// Nothing is counted and nothing held.
    Off,
    /// It trips beyond these.
    On(Box<Limits>),
}

impl Default for Brake {
    fn default() -> Self {
        Self::On(Box::default())
    }
}

impl Brake {
    /// The limits, unless it is off.
    pub fn limits(&self) -> Option<&Limits> {
        match self {
            Self::Off => None,
            Self::On(limits) => Some(limits),
        }
    }
}

impl Serialize for Brake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::On(limits) => limits.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Brake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match Value::deserialize(deserializer)? {
            Value::Bool(false) => Ok(Self::Off),
            limits @ Value::Object(_) => {
                Limits::deserialize(limits).map(|limits| Self::On(Box::new(limits))).map_err(D::Error::custom)
            }
            _ => Err(D::Error::custom(
                "must be false, or an object such as {\"accounts\": 10, \"percent\": 10, \"window_minutes\": 60}",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// The rolling window as the driver keeps it, in memory.
    #[derive(Default)]
    struct Window {
        sent: BTreeMap<u32, i64>,
        sizes: Vec<(i64, u64)>,
    }

    impl Window {
        fn ask(&mut self, limits: &Limits, now: i64, person: u32, size: u64) -> bool {
            let from = now - limits.window();
            self.sent.retain(|_, at| *at > from);
            self.sizes.retain(|(at, _)| *at > from);
            self.sizes.push((now, size));
            let largest = self.sizes.iter().map(|(_, size)| *size).max().unwrap_or(0);
            let used = u64::try_from(self.sent.len()).unwrap_or(u64::MAX);
            let may = self.sent.contains_key(&person) || limits.admits(used, largest);
            if may {
                self.sent.insert(person, now);
            }
            may
        }
    }

    fn limits(accounts: u32, percent: u32) -> Limits {
        Limits { accounts, percent, ..Limits::default() }
    }

    proptest! {
        #[test]
        fn no_sequence_sends_more_than_the_limit_within_a_window(
            accounts in 0_u32..15, percent in 0_u32..=100, size in 0_u64..200,
            asked in prop::collection::vec((0_u32..60, 0_i64..20), 1..200),
        ) {
            let limits = limits(accounts, percent);
            let mut window = Window::default();
            let mut now = 0;
            let mut sent: Vec<(i64, u32)> = Vec::new();
            for (person, minutes) in asked {
                now += minutes * 60_000_000;
                if window.ask(&limits, now, person, size) {
                    sent.push((now, person));
                }
                let within: BTreeSet<u32> = sent
                    .iter()
                    .filter(|(at, _)| *at > now - limits.window())
                    .map(|(_, person)| *person)
                    .collect();
                prop_assert!(within.len() as u64 <= limits.most(size), "{} of {}", within.len(), limits.most(size));
            }
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(
            accounts in 0_u32..15, percent in 0_u32..=100, size in 0_u64..200,
            people in prop::collection::btree_set(0_u32..100, 1..60), seed in any::<u64>(),
        ) {
            let limits = limits(accounts, percent);
            let count = |order: &[u32]| {
                let mut window = Window::default();
                order.iter().filter(|person| window.ask(&limits, 0, **person, size)).count()
            };
            let forward: Vec<u32> = people.iter().copied().collect();
            let mut mixed = forward.clone();
            mixed.sort_by_key(|person| u64::from(*person).wrapping_add(1).wrapping_mul(seed | 1).rotate_left(17));
            prop_assert_eq!(count(&forward), count(&mixed));
            prop_assert_eq!(count(&forward) as u64, limits.most(size).min(forward.len() as u64));
        }

        #[test]
        fn whoever_leaves_alone_is_never_held(
            accounts in 1_u32..15, percent in 0_u32..=100, size in 0_u64..1_000_000, tries in 1_usize..50,
        ) {
            let limits = limits(accounts, percent);
            let mut window = Window::default();
            for attempt in 0..tries {
                // Tried again and again: a person is counted once.
                prop_assert!(window.ask(&limits, attempt as i64 * 60_000_000, 7, size));
            }
        }
    }

    #[test]
    fn the_limit_is_the_larger_of_number_and_share() {
        for (accounts, percent, size, most) in [
            (10, 10, 0, 10),
            (10, 10, 100, 10),
            (10, 10, 109, 10),
            (10, 10, 110, 11),
            (10, 10, 210, 21),
            (0, 0, 500, 0),
            (0, 100, 7, 7),
        ] {
            assert_eq!(limits(accounts, percent).most(size), most, "{accounts} {percent} {size}");
        }
    }

    #[test]
    fn exemptions_compare_as_people_write() {
        let exempt = Exempt {
            people: vec![" Ada@Example.com".to_owned()],
            groups: vec!["Contractors".to_owned()],
            keys: vec!["k1".to_owned()],
        };
        assert!(exempt.person(["x", "ada@example.com"]) && !exempt.person(["ada"]));
        assert!(exempt.group("contractors") && !exempt.group("contractor"));
        assert!(exempt.actor("key:k1") && !exempt.actor("key:k2") && !exempt.actor("admin"));
        assert!(!Exempt::default().person([""]) && Exempt::default().is_empty());
    }
}
