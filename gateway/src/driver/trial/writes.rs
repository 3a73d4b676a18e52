//! The part of a trial that writes: what it makes it takes away again.

use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Accounts, Connector, Created, Effect, Fault, GroupChange,
    GroupCreated, GroupUpdated, GroupWant, Groups, Membership, Person, RemoteGroup, RemoteId, Removal, Removed,
    Suspend, Updated,
};
use engine::Lane;
use serde_json::{Map, Value, json};

use super::{Plan, Trial, account_words, group_words, words_of};

impl Trial {
    /// Makes a person and a group, uses them, and takes them away.
    pub(super) async fn write(&mut self, connector: &dyn Connector, plan: &Plan) {
        let mut person = None;
        let want = self.person(plan);
        if let Some(accounts) = connector.accounts() {
            person = self.make_person(accounts, &want).await;
            if let Some(account) = &mut person {
                self.use_person(connector, accounts, account, &want).await;
            }
        }
        if let Some(groups) = connector.groups() {
            let group = self.make_group(connector, groups, &plan.label).await;
            if let Some(group) = &group {
                self.use_group(connector, groups, group, person.as_ref()).await;
                self.take_group_away(groups, group).await;
            }
        }
        if let (Some(accounts), Some(account)) = (connector.accounts(), &person) {
            let stays = connector.traits().removal == Removal::Suspended;
            self.take_person_away(accounts, account, &want, stays).await;
        }
    }

    /// The person that is made, in the words that a connector is told.
    fn person(&self, plan: &Plan) -> Person {
        let email = format!("{}@example.com", plan.label);
        let mut document: Map<String, Value> = Map::new();
        document.insert("userName".into(), json!(email));
        document.insert("displayName".into(), json!(format!("Scimgate Test {}", plan.label)));
        document.insert("name".into(), json!({"givenName": "Scimgate", "familyName": "Test"}));
        document.insert("emails".into(), json!([{"value": email, "type": "work", "primary": true}]));
        document.insert("active".into(), json!(true));
        document.extend(plan.person.clone());
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut person = Person::named(text(&document["userName"]).unwrap_or(email));
        person.email = document["emails"]
            .get(0)
            .and_then(|first| text(&first["value"]))
            .or_else(|| Some(person.user_name.clone()).filter(|name| name.contains('@')));
        person.display_name = text(&document["displayName"]);
        person.role = document.get("roles").and_then(|roles| roles.get(0)).and_then(|role| text(&role["value"]));
        person.attributes = document;
        person
    }

    /// Creates the person. What is answered is theirs: whoever was there before is left alone.
    async fn make_person(&mut self, accounts: &dyn Accounts, want: &Person) -> Option<Account> {
        const STEP: &str = "create a person";
        if !self.may_go_on(STEP) {
            return None;
        }
        let way = self.way(Lane::Grant);
        match accounts.find(&way.cx(), want).await {
            Ok(found) if found.is_empty() => {
                self.tell("look for the person", false, &way, true, "not there yet, as it should be")
            }
            Ok(_) => {
                self.tell("look for the person", false, &way, false, format!("Somebody is found for {} before they were made: the search finds anybody, or the account exists. Nothing was written.", want.user_name));
                return None;
            }
            Err(fault) => {
                self.tell(
                    "look for the person",
                    false,
                    &way,
                    false,
                    format!("{} Nothing was written.", words_of(&fault)),
                );
                return None;
            }
        }
        let way = self.way(Lane::Grant);
        match accounts.create(&way.cx(), want).await {
            Ok(Created::Done(account)) => {
                self.tell(STEP, true, &way, true, account_words(&account));
                self.made(account, want)
            }
            Ok(Created::Invited(account)) => {
                self.tell(STEP, true, &way, true, format!("invited: {}", account_words(&account)));
                self.made(account, want)
            }
            Ok(Created::AlreadyThere(found)) => {
                let detail = format!(
                    "The target says that this person is there already: {}. Nothing more is done with it.",
                    account_words(&found.account)
                );
                self.tell(STEP, true, &way, false, detail);
                None
            }
            Ok(Created::Waiting { reason, .. }) => {
                self.tell(STEP, true, &way, false, format!("It has to wait: {reason}"));
                None
            }
            Ok(Created::ActionRequired(need)) => {
                self.tell(STEP, true, &way, false, format!("A person has to act first: {}", need.message));
                None
            }
            Ok(_) => {
                self.tell(STEP, true, &way, false, "It ended in a way that this trial does not know.");
                self.find_lost(accounts, want).await
            }
            Err(fault) => {
                self.tell(STEP, true, &way, false, words_of(&fault));
                // It may have come about all the same: then it has to go.
                if fault.effect == Effect::Unknown { self.find_lost(accounts, want).await } else { None }
            }
        }
    }

    fn made(&mut self, account: Account, want: &Person) -> Option<Account> {
        if account.reference().is_none() {
            self.wrong("create a person", "The target's answer was understood as a success, but no id was found in it: check the paths of the answer.");
            self.left_behind.push(format!("the account {}", want.user_name));
            return None;
        }
        Some(account)
    }

    async fn find_lost(&mut self, accounts: &dyn Accounts, want: &Person) -> Option<Account> {
        let way = self.way(Lane::Deprovision);
        match accounts.find(&way.cx(), want).await {
            Ok(found) => {
                let found = found.into_iter().next().map(|one| one.account);
                let detail = found.as_ref().map_or_else(|| "It did not come about.".to_owned(), account_words);
                self.tell("look whether the person came about", false, &way, true, detail);
                found
            }
            Err(fault) => {
                self.tell("look whether the person came about", false, &way, false, words_of(&fault));
                self.left_behind.push(format!("the account {}, perhaps", want.user_name));
                None
            }
        }
    }

    async fn use_person(
        &mut self,
        connector: &dyn Connector,
        accounts: &dyn Accounts,
        account: &mut Account,
        want: &Person,
    ) {
        let Some(at) = account.reference() else { return };
        if self.may_go_on("create the same person again") {
            let way = self.way(Lane::Grant);
            match accounts.create(&way.cx(), want).await {
                Ok(Created::AlreadyThere(found)) if same(&found.account, account) => {
                    self.tell("create the same person again", true, &way, true, "answered as there already");
                }
                Ok(Created::AlreadyThere(found)) => {
                    let detail = format!(
                        "Another account was named as the one that is there: {}.",
                        account_words(&found.account)
                    );
                    self.tell("create the same person again", true, &way, false, detail);
                }
                Ok(Created::Done(second) | Created::Invited(second)) => {
                    let twice = !same(&second, account);
                    let detail = if twice {
                        "It made a second account for the same person."
                    } else {
                        "It was not answered as there already, though the account is the same."
                    };
                    self.tell("create the same person again", true, &way, false, detail);
                    if twice {
                        let stays = connector.traits().removal == Removal::Suspended;
                        self.take_person_away(accounts, &second, want, stays).await;
                    }
                }
                Ok(_) => self.tell(
                    "create the same person again",
                    true,
                    &way,
                    false,
                    "It was not answered as there already.",
                ),
                Err(fault) => self.tell("create the same person again", true, &way, false, words_of(&fault)),
            }
        }
        if self.may_go_on("find the person") {
            let way = self.way(Lane::Grant);
            match accounts.find(&way.cx(), want).await {
                Ok(found) => {
                    let there = found.iter().any(|one| same(&one.account, account));
                    let detail = if there { "found" } else { "The person that was just made is not found." };
                    self.tell("find the person", false, &way, there, detail);
                }
                Err(fault) => self.tell("find the person", false, &way, false, words_of(&fault)),
            }
        }
        if self.may_go_on("read the person") {
            let way = self.way(Lane::Grant);
            match accounts.get(&way.cx(), &at).await {
                Ok(Some(read)) => {
                    self.tell("read the person", false, &way, true, account_words(&read));
                    *account = read;
                }
                Ok(None) => self.tell(
                    "read the person",
                    false,
                    &way,
                    false,
                    "The person that was just made is not there by its id.",
                ),
                Err(fault) => self.tell("read the person", false, &way, false, words_of(&fault)),
            }
        }
        let traits = connector.traits();
        // What a role may be is the target's affair, and an address is what the person is found by: neither is changed.
        let others = |name: &&str| !matches!(*name, "roles" | "emails" | "userName" | "displayName");
        let renames = traits.writable.contains(&"displayName");
        if renames || traits.writable.iter().any(others) {
            let step = if renames { "change the person's name" } else { "change the person" };
            if self.may_go_on(step) {
                let wanted = "Scimgate Test Renamed".to_owned();
                let mut person = want.clone();
                person.display_name = Some(wanted.clone());
                person.attributes.insert("displayName".into(), json!(wanted));
                person.attributes.insert("name".into(), json!({"givenName": "Scimgate", "familyName": "Renamed"}));
                person.attributes.insert("title".into(), json!("Test"));
                let mut change = AccountChange::default();
                change.display_name = Some(wanted.clone()).filter(|_| renames);
                change.person = Some(Box::new(person));
                let way = self.way(Lane::Grant);
                let done = accounts.update(&way.cx(), &at, &change).await;
                self.updated(step, &way, done, |read| !renames || read.display_name.as_ref() == Some(&wanted));
            }
        } else {
            self.skipped("change the person", "The connector writes nothing of a person that this could change.");
        }
        if traits.suspend == Suspend::Native && account.status != AccountStatus::Invited {
            for (step, active, status) in [
                ("suspend the person", false, AccountStatus::Suspended),
                ("restore the person", true, AccountStatus::Active),
            ] {
                if !self.may_go_on(step) {
                    break;
                }
                let way = self.way(Lane::Grant);
                let done = accounts.set_active(&way.cx(), &at, active).await;
                self.updated(step, &way, done, |read| read.status == status);
            }
        }
    }

    fn updated(
        &mut self,
        step: &str,
        way: &super::Way,
        done: Result<Updated, Fault>,
        as_wanted: impl Fn(&Account) -> bool,
    ) {
        match done {
            Ok(Updated::Done(read)) if as_wanted(&read) => self.tell(step, true, way, true, account_words(&read)),
            Ok(Updated::Done(read)) => {
                let detail = format!("The target shows it otherwise than it was asked for: {}.", account_words(&read));
                self.tell(step, true, way, false, detail);
            }
            Ok(_) => self.tell(step, true, way, false, "The account was not found, or is another one."),
            Err(fault) => self.tell(step, true, way, false, words_of(&fault)),
        }
    }

    async fn make_group(&mut self, connector: &dyn Connector, groups: &dyn Groups, label: &str) -> Option<RemoteGroup> {
        const STEP: &str = "create a group";
        if !self.may_go_on(STEP) {
            return None;
        }
        let want = GroupWant::named(label);
        let way = self.way(Lane::Grant);
        let group = match groups.create(&way.cx(), &want).await {
            Ok(GroupCreated::Done(group)) => {
                self.tell(STEP, true, &way, true, group_words(&group));
                group
            }
            Ok(_) => {
                self.tell(STEP, true, &way, false, "The target says that a group of this name is there already.");
                return None;
            }
            Err(fault) => {
                self.tell(STEP, true, &way, false, words_of(&fault));
                return if fault.effect == Effect::Unknown { self.find_lost_group(groups, label).await } else { None };
            }
        };
        if connector.traits().tidy_created_groups {
            let way = self.way(Lane::Grant);
            match groups.tidy(&way.cx(), &group.id).await {
                Ok(()) => self.tell("tidy the group", true, &way, true, "done"),
                Err(fault) => self.tell("tidy the group", true, &way, false, words_of(&fault)),
            }
        }
        Some(group)
    }

    async fn find_lost_group(&mut self, groups: &dyn Groups, label: &str) -> Option<RemoteGroup> {
        let way = self.way(Lane::Deprovision);
        match groups.find(&way.cx(), label).await {
            Ok(found) => {
                let found = found.into_iter().find(|group| group.name == label);
                let detail = found.as_ref().map_or_else(|| "It did not come about.".to_owned(), group_words);
                self.tell("look whether the group came about", false, &way, true, detail);
                found
            }
            Err(fault) => {
                self.tell("look whether the group came about", false, &way, false, words_of(&fault));
                self.left_behind.push(format!("the group {label}, perhaps"));
                None
            }
        }
    }

    async fn use_group(
        &mut self,
        connector: &dyn Connector,
        groups: &dyn Groups,
        group: &RemoteGroup,
        person: Option<&Account>,
    ) {
        if self.may_go_on("find the group") {
            let way = self.way(Lane::Grant);
            match groups.find(&way.cx(), &group.name).await {
                Ok(found) => {
                    let there = found.iter().any(|one| one.id == group.id);
                    let detail = if there {
                        "found by its name"
                    } else {
                        "The group that was just made is not found by its name."
                    };
                    self.tell("find the group", false, &way, there, detail);
                }
                Err(fault) => self.tell("find the group", false, &way, false, words_of(&fault)),
            }
        }
        // There and back: what is taken away in the end is known by its name.
        let renamed = format!("{} renamed", group.name);
        for (step, name) in [("rename the group", renamed.as_str()), ("name the group as before", group.name.as_str())]
        {
            if !self.may_go_on(step) {
                break;
            }
            let mut change = GroupChange::default();
            change.name = Some(name.to_owned());
            let way = self.way(Lane::Grant);
            match groups.update(&way.cx(), &group.id, &change).await {
                Ok(GroupUpdated::Done(read)) if read.name == name && read.id == group.id => {
                    self.tell(step, true, &way, true, group_words(&read));
                }
                Ok(GroupUpdated::Done(read)) => {
                    let detail =
                        format!("The target shows it otherwise than it was asked for: {}.", group_words(&read));
                    self.tell(step, true, &way, false, detail);
                    break;
                }
                Ok(_) => {
                    self.tell(step, true, &way, false, "The group that was just made was not found.");
                    break;
                }
                Err(fault) => {
                    self.tell(step, true, &way, false, words_of(&fault));
                    break;
                }
            }
        }
        let pending = connector.traits().pending_members;
        let member = person.and_then(Account::reference).filter(|at| match at {
            AccountRef::Account { .. } => true,
            AccountRef::Invite { login, .. } => pending.takes(login.is_some()),
        });
        let Some(member) = member else {
            self.skipped("add a member", "There is no account that could be one.");
            return;
        };
        if !self.may_go_on("add a member") {
            return;
        }
        self.change_member(groups, &group.id, "add a member", &member, true).await;
        if self.may_go_on("list the members") {
            let way = self.way(Lane::Grant);
            match groups.members(&way.cx(), &group.id, None).await {
                Ok(page) => {
                    let there = page.items.iter().any(|one| same_ref(&one.account, &member)) || page.next.is_some();
                    let detail = if there {
                        format!("{} on this page", page.items.len())
                    } else {
                        "The member that was just added is not listed.".to_owned()
                    };
                    self.tell("list the members", false, &way, there, detail);
                }
                Err(fault) => self.tell("list the members", false, &way, false, words_of(&fault)),
            }
        }
        self.change_member(groups, &group.id, "remove the member", &member, false).await;
    }

    async fn change_member(
        &mut self,
        groups: &dyn Groups,
        group: &RemoteId,
        step: &str,
        member: &AccountRef,
        add: bool,
    ) {
        let one = std::slice::from_ref(member);
        let (added, removed): (&[AccountRef], &[AccountRef]) = if add { (one, &[]) } else { (&[], one) };
        let way = self.way(if add { Lane::Grant } else { Lane::Removal });
        match groups.change_members(&way.cx(), group, added, removed).await.pop() {
            Some(Ok(now)) => {
                let as_wanted = match now {
                    Membership::Present | Membership::Pending => add,
                    Membership::Absent => !add,
                    _ => false,
                };
                self.tell(
                    step,
                    true,
                    &way,
                    as_wanted,
                    if as_wanted { "done" } else { "The membership is otherwise than it was asked for." },
                );
            }
            Some(Err(fault)) => self.tell(step, true, &way, false, words_of(&fault)),
            None => self.tell(step, true, &way, false, "The connector did not say what became of it."),
        }
    }

    /// Deletes the group, once it is sure which one that is: a wrong path for ids must not cost somebody else's.
    async fn take_group_away(&mut self, groups: &dyn Groups, group: &RemoteGroup) {
        let way = self.way(Lane::Deprovision);
        let mine = match groups.get(&way.cx(), &group.id).await {
            Ok(read) => read.is_some_and(|read| read.name == group.name),
            Err(_) => false,
        };
        if !mine {
            let detail = "The id in the answer to its creation does not lead back to it, so nothing was deleted: check the path of the id.";
            self.tell("look at the group before it goes", false, &way, false, detail);
            self.left_behind.push(format!("the group {}", group_words(group)));
            return;
        }
        let way = self.way(Lane::Deprovision);
        let gone = match groups.remove(&way.cx(), &group.id).await {
            Ok(_) => {
                self.tell("delete the group", true, &way, true, "done");
                let way = self.way(Lane::Deprovision);
                let left = groups.get(&way.cx(), &group.id).await;
                let gone = matches!(left, Ok(None));
                let detail = match &left {
                    Ok(None) => "gone, as it should be".to_owned(),
                    Ok(Some(_)) => "It is still there.".to_owned(),
                    Err(fault) => words_of(fault),
                };
                self.tell("look whether the group is gone", false, &way, gone, detail);
                gone || left.is_err()
            }
            Err(fault) => {
                self.tell("delete the group", true, &way, false, words_of(&fault));
                false
            }
        };
        if !gone {
            self.left_behind.push(format!("the group {}", group_words(group)));
        }
    }

    /// Removes the person, once it is sure who that is: a wrong path for ids must not cost somebody else's access.
    /// Where the target deletes nobody, a suspended account `stays`.
    async fn take_person_away(&mut self, accounts: &dyn Accounts, account: &Account, want: &Person, stays: bool) {
        let Some(at) = account.reference() else { return };
        let way = self.way(Lane::Deprovision);
        let mine = match accounts.find(&way.cx(), want).await {
            Ok(found) => found.iter().any(|one| same(&one.account, account)),
            Err(_) => false,
        };
        if !mine {
            let detail = "A search for the person does not lead to the id in the answer to their creation, so nothing was removed: check the path of the id, and the search.";
            self.tell("look for the person before they go", false, &way, false, detail);
            self.left_behind.push(format!("the account {}", account_words(account)));
            return;
        }
        let way = self.way(Lane::Deprovision);
        let gone = match accounts.remove(&way.cx(), &at).await {
            Ok(Removed::Done | Removed::AlreadyGone) => {
                self.tell("remove the person", true, &way, true, "done");
                let way = self.way(Lane::Deprovision);
                let left = accounts.get(&way.cx(), &at).await;
                let suspended = |read: &Account| stays && read.status == AccountStatus::Suspended;
                let gone = matches!(&left, Ok(None)) || matches!(&left, Ok(Some(read)) if suspended(read));
                let detail = match &left {
                    Ok(None) => "gone, as it should be".to_owned(),
                    Ok(Some(read)) if suspended(read) => {
                        format!("suspended, as the target keeps who was removed: {}", account_words(read))
                    }
                    Ok(Some(read)) => format!("It is still there: {}.", account_words(read)),
                    Err(fault) => words_of(fault),
                };
                self.tell("look whether the person is gone", false, &way, gone, detail);
                gone || left.is_err()
            }
            Ok(Removed::OtherAccount) => {
                self.tell(
                    "remove the person",
                    true,
                    &way,
                    false,
                    "The login belongs to another account now; nothing was removed.",
                );
                false
            }
            Err(fault) => {
                self.tell("remove the person", true, &way, false, words_of(&fault));
                false
            }
        };
        if !gone {
            self.left_behind.push(format!("the account {}", account_words(account)));
        }
    }
}

/// Whether two readings are of one account or invitation.
fn same(one: &Account, other: &Account) -> bool {
    match (one.reference(), other.reference()) {
        (Some(one), Some(other)) => same_ref(&one, &other),
        _ => false,
    }
}

fn same_ref(one: &AccountRef, other: &AccountRef) -> bool {
    match (one, other) {
        (AccountRef::Account { id: one, .. }, AccountRef::Account { id: other, .. }) => one == other,
        (AccountRef::Invite { id: one, .. }, AccountRef::Invite { id: other, .. }) => one == other,
        _ => false,
    }
}
