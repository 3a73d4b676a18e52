//! What the connector's page says beside its settings.

use connector_sdk::{About, CallAbout};

pub(super) fn attributes() -> Vec<(&'static str, &'static str)> {
    vec![
        ("userName", "In the task; the account is known by it."),
        ("emails", "The primary address, in the task; an account is found by it as well."),
        ("displayName", "In the task; else name.formatted, else given and family name."),
        ("name.givenName", "In the task."),
        ("name.familyName", "In the task."),
        ("title", "In the task."),
        ("active", "A task to remove or suspend the account, by the setting deactivate."),
    ]
}

pub(super) fn limits() -> Vec<&'static str> {
    vec!["None: tasks wait for people, and any number may be open."]
}

/// A use of the desk.
const fn call(name: &'static str, path: &'static str, purpose: &'static str) -> CallAbout {
    CallAbout::new(name, super::PROTOCOL, path, purpose)
}

pub(super) fn about() -> About {
    About {
        summary: "For an application without any API. Each change becomes a task for a person, with a due date; whoever did it closes the task in the admin API, by `scimgate task` or in the console, and only then does the change count as applied.",
        needs: vec![
            "Somebody who looks after the application and closes tasks: `scimgate task list`, or GET /admin/v1/tasks.",
            "An alert webhook, or an eye on /admin/v1/attention: an overdue task tells nobody by e-mail.",
            "For an application that has accounts already: a list of them, entered with POST /admin/v1/instances/{id}/desk/accounts before people are pushed.",
        ],
        cannot: vec![
            "What somebody changes in the application without a task is not seen: the record holds what was done by tasks and what an admin entered.",
            "Roles are not assigned: put people into groups, or say in the setting instructions which role to give.",
            "A task that was overtaken by a later change is withdrawn and cannot be closed any more; the newer task says what is wanted now.",
        ],
        calls: vec![
            call("create_account", "task", "Asks for an account."),
            call("update_account", "task", "Asks for a change of an account."),
            call("suspend_account", "task", "Asks for an account to be suspended or locked."),
            call("restore_account", "task", "Asks for a suspended account to be restored."),
            call("remove_account", "task", "Asks for an account to be removed."),
            call("create_group", "task", "Asks for a group."),
            call("rename_group", "task", "Asks for another name of a group."),
            call("remove_group", "task", "Asks for a group to be deleted."),
            call("add_member", "task", "Asks for a person to be put into a group."),
            call("remove_member", "task", "Asks for a person to be taken out of a group."),
            call("list accounts", "record", "A page of the accounts on record."),
            call("find account", "record", "Accounts of that user name or address."),
            call("get account", "record", "One account."),
            call("list groups", "record", "A page of the groups on record."),
            call("find group", "record", "Groups of that name."),
            call("get group", "record", "One group."),
            call("list members", "record", "A page of a group's members."),
        ],
        unverified: vec![],
        sources: vec!["The gateway itself: there is no vendor."],
    }
}
