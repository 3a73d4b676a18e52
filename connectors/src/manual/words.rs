//! The words of tasks, for whoever does them.

use connector_sdk::account::NOT_WRITTEN;
use connector_sdk::{Account, AccountRef, Act, Desk, Fault, Person, RemoteId};

use super::settings::{Profile, Settings};

/// Characters of a name in a title at most, and of a value in a list.
const MOST_NAME: usize = 120;
const MOST_VALUE: usize = 500;
/// Lines of attributes at most.
const MOST_LINES: usize = 60;

/// Whom or what an act is about, as the record names them.
#[derive(Default)]
pub(super) struct Subject {
    person: String,
    group: String,
}

/// Reads the names that a title needs. What is not on record is called by its id.
pub(super) async fn subject(desk: &dyn Desk, act: &Act) -> Result<Subject, Fault> {
    let mut subject = Subject::default();
    match act {
        Act::CreateAccount { who } => subject.person = of_person(who),
        Act::UpdateAccount { at, change } => {
            subject.person = match &change.person {
                Some(who) => of_person(who),
                None => of_account(desk, at).await?,
            };
        }
        Act::SuspendAccount { at } | Act::RestoreAccount { at } | Act::RemoveAccount { at } => {
            subject.person = of_account(desk, at).await?;
        }
        Act::CreateGroup { name } => subject.group = one_line(name, MOST_NAME),
        Act::RenameGroup { id, .. } | Act::RemoveGroup { id } => subject.group = of_group(desk, id).await?,
        Act::AddMember { group, account } | Act::RemoveMember { group, account } => {
            subject.person = of_account(desk, account).await?;
            subject.group = of_group(desk, group).await?;
        }
    }
    Ok(subject)
}

/// One line that says what to do.
pub(super) fn title(settings: &Settings, act: &Act, subject: &Subject) -> String {
    let app = settings.app.trim();
    let Subject { person, group } = subject;
    match act {
        Act::CreateAccount { .. } => format!("Create an account for {person} in {app}"),
        Act::UpdateAccount { .. } => format!("Update the account of {person} in {app}"),
        Act::SuspendAccount { .. } => format!("Suspend the account of {person} in {app}"),
        Act::RestoreAccount { .. } => format!("Restore the account of {person} in {app}"),
        Act::RemoveAccount { .. } => format!("Remove the account of {person} from {app}"),
        Act::CreateGroup { .. } => format!("Create the group \"{group}\" in {app}"),
        Act::RenameGroup { name, .. } => {
            format!("Rename the group \"{group}\" to \"{}\" in {app}", one_line(name, MOST_NAME))
        }
        Act::RemoveGroup { .. } => format!("Delete the group \"{group}\" in {app}"),
        Act::AddMember { .. } => format!("Put {person} into the group \"{group}\" in {app}"),
        Act::RemoveMember { .. } => format!("Take {person} out of the group \"{group}\" in {app}"),
    }
}

/// What is to be entered, and the admin's instructions.
pub(super) fn detail(settings: &Settings, act: &Act) -> String {
    let mut lines = Vec::new();
    match act {
        Act::CreateAccount { who } => profile(settings, who, &mut lines),
        Act::UpdateAccount { change, .. } => {
            lines.push("The account shall have:".to_owned());
            if let Some(who) = &change.person {
                profile(settings, who, &mut lines);
            }
        }
        Act::SuspendAccount { .. } => {
            lines.push("They must not be able to sign in any more. Keep the account: it may be restored.".to_owned());
        }
        Act::RemoveAccount { .. } => {
            lines.push(
                "They must not be able to sign in any more. End their sessions, too, if the application can."
                    .to_owned(),
            );
        }
        _ => {}
    }
    if let Some(text) = settings.instructions.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(text.to_owned());
    }
    lines.join("\n")
}

fn profile(settings: &Settings, who: &Person, lines: &mut Vec<String>) {
    let mut line = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            lines.push(format!("{name}: {}", one_line(value, MOST_VALUE)));
        }
    };
    line("User name", Some(&who.user_name));
    line("E-mail", who.email.as_deref());
    line("Name", who.display_name.as_deref());
    line("Given name", who.text_at("name.givenName"));
    line("Family name", who.text_at("name.familyName"));
    line("Title", who.text_at("title"));
    if settings.profile != Profile::All {
        return;
    }
    let shown = ["userName", "emails", "displayName", "name", "title", "externalId"];
    for (name, value) in who.attributes.iter().take(MOST_LINES) {
        let told = |list: &[&str]| list.iter().any(|one| one.eq_ignore_ascii_case(name));
        if told(&NOT_WRITTEN) || told(&shown) {
            continue;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line(name, Some(&text));
    }
}

fn of_person(who: &Person) -> String {
    named(who.display_name.as_deref(), Some(who.email.as_deref().unwrap_or(&who.user_name)), &who.user_name)
}

async fn of_account(desk: &dyn Desk, at: &AccountRef) -> Result<String, Fault> {
    let AccountRef::Account { id, login } = at else {
        return Ok("somebody".to_owned());
    };
    let known: Option<Account> = desk.account(id).await?;
    let fallback = login.as_deref().unwrap_or(id.as_str());
    Ok(match &known {
        Some(account) => {
            let address = account.email.as_deref().or(account.login.as_deref());
            named(account.display_name.as_deref(), address, fallback)
        }
        None => one_line(fallback, MOST_NAME),
    })
}

async fn of_group(desk: &dyn Desk, id: &RemoteId) -> Result<String, Fault> {
    let known = desk.group(id).await?;
    Ok(one_line(known.as_ref().map_or(id.as_str(), |group| &group.name), MOST_NAME))
}

/// `Ada Lovelace (ada@example.com)`, or what there is of it.
fn named(name: Option<&str>, address: Option<&str>, fallback: &str) -> String {
    let name = name.map(|name| one_line(name, MOST_NAME)).filter(|name| !name.is_empty());
    let address = address.map(|address| one_line(address, MOST_NAME)).filter(|address| !address.is_empty());
    match (name, address) {
        (Some(name), Some(address)) if name != address => format!("{name} ({address})"),
        (Some(name), _) => name,
        (None, Some(address)) => address,
        (None, None) => one_line(fallback, MOST_NAME),
    }
}

/// A text that stays within its line, whatever the identity provider sent.
fn one_line(text: &str, most: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_stays_within_its_line() {
        assert_eq!(one_line("Ada\nGive everybody access", 120), "Ada Give everybody access");
        assert_eq!(one_line(&"x".repeat(200), 3), "xxx…");
        assert_eq!(named(Some("Ada"), Some("ada@example.com"), "7"), "Ada (ada@example.com)");
        assert_eq!(named(Some(" "), None, "7"), "7");
        assert_eq!(named(Some("ada"), Some("ada"), "7"), "ada");
    }
}
