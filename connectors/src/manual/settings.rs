//! The settings, and what the admin is told of each.

use connector_sdk::{Describe, Pace, Setting, SettingKind, SettingsError};
use serde::Deserialize;

/// What a deactivated person is asked away from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deactivate {
    /// The account is removed, and created anew when the person returns.
    #[default]
    Remove,
    /// The account is suspended or locked, and removed when the person is deleted.
    Suspend,
}

/// Of which attributes a change makes a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// User name, address, names and title.
    #[default]
    Basic,
    /// The whole document.
    All,
    /// Nothing.
    None,
}

/// The settings of one application that people look after.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// The application, as people call it.
    pub app: String,
    /// What whoever does a task has to know, shown with each.
    pub instructions: Option<String>,
    /// Who does it.
    pub assignee: Option<String>,
    /// Hours in which a task is to be done.
    #[serde(default = "due")]
    pub due_hours: u32,
    /// The same of a task that takes access away.
    #[serde(default = "due_removal")]
    pub due_hours_removal: u32,
    /// What becomes of the account of a person who is deactivated.
    #[serde(default)]
    pub deactivate: Deactivate,
    /// Of which attributes a change makes a task.
    #[serde(default)]
    pub profile: Profile,
    /// Whether the application has groups.
    #[serde(default = "yes")]
    pub groups: bool,
    /// No limits are published for people; the two values mean the same.
    #[serde(default)]
    pub pace: Pace,
}

fn due() -> u32 {
    72
}

fn due_removal() -> u32 {
    4
}

fn yes() -> bool {
    true
}

/// The most hours of a task: a year.
const MOST_HOURS: u32 = 8_760;
/// The longest texts, in characters: they stand in every task.
const MOST_NAME: usize = 120;
const MOST_INSTRUCTIONS: usize = 4_000;

impl Settings {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// Names the field.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let wrong = |field: &str, message: String| Err(SettingsError::new(field, message));
        if self.app.trim().is_empty() {
            return wrong("app", "is empty".to_owned());
        }
        for (field, text) in [("app", Some(&self.app)), ("assignee", self.assignee.as_ref())] {
            if text.is_some_and(|text| text.chars().count() > MOST_NAME || text.contains(char::is_control)) {
                return wrong(field, format!("must be one line of at most {MOST_NAME} characters"));
            }
        }
        if self.instructions.as_ref().is_some_and(|text| text.chars().count() > MOST_INSTRUCTIONS) {
            return wrong("instructions", format!("must have at most {MOST_INSTRUCTIONS} characters"));
        }
        for (field, hours) in [("due_hours", self.due_hours), ("due_hours_removal", self.due_hours_removal)] {
            if !(1..=MOST_HOURS).contains(&hours) {
                return wrong(field, format!("must be between 1 and {MOST_HOURS}"));
            }
        }
        Ok(())
    }
}

impl Describe for Settings {
    fn describe() -> Vec<Setting> {
        vec![
            Setting::new("app", "Application", "Its name as people know it; it stands in the title of every task.").required(),
            Setting::new(
                "instructions",
                "Instructions",
                "What whoever does a task has to know: the address of the application's admin page, which role to give. Shown with every task; no passwords here.",
            ),
            Setting::new("assignee", "Assignee", "Who does the tasks: a team or a person, as you call them."),
            Setting::new("due_hours", "Due after", "Hours after which a task is overdue: 1 to 8760.")
                .kind(SettingKind::Number)
                .default("72"),
            Setting::new(
                "due_hours_removal",
                "Due after, removals",
                "The same for tasks that take access away: 1 to 8760.",
            )
            .kind(SettingKind::Number)
            .default("4"),
            Setting::new(
                "deactivate",
                "Deactivated people",
                "remove: the account of a person who is deactivated is removed, and created anew when they return. suspend: it is suspended or locked, the person is taken out of the groups, and the account is removed when the person is deleted.",
            )
            .kind(SettingKind::choice(&["remove", "suspend"]))
            .default("remove"),
            Setting::new(
                "profile",
                "Changes of people",
                "Of which attributes a change makes a task. basic: user name, address, names and title. all: whatever the identity provider sends. none: an account is created and removed, and not kept up to date.",
            )
            .kind(SettingKind::choice(&["basic", "all", "none"]))
            .default("basic"),
            Setting::new("groups", "Groups", "Whether the application has groups, which people are put in and taken out of.")
                .kind(SettingKind::Flag)
                .default("true"),
            Setting::new("pace", "Pace", "The two mean the same here: tasks are limited by nothing but people.")
                .kind(SettingKind::choice(&["documented", "headers"]))
                .default("documented"),
        ]
    }
}
