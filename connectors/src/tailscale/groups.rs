//! Groups: entries of the tailnet policy file.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups, Member,
    Membership, Page, PageToken, RemoteGroup, RemoteId, Removed, Retry,
};
use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::Mutex;

use super::client::{Answer, Client, Refusal};
use super::policy::{self, Entry, Odd, same};
use crate::shared::answer::Refused;

/// Groups of one tailnet.
pub(super) struct Teams {
    /// The way there.
    pub(super) client: Arc<Client>,
    /// The file is one object for all groups: its changes go one after another, so that they do not undo each other.
    pub(super) writing: Mutex<()>,
}

/// The file and its version.
struct File {
    text: String,
    version: HeaderValue,
}

fn odd(odd: Odd) -> Fault {
    Fault::new(
        FaultKind::Malformed,
        "The tailnet policy file could not be understood, so its groups are left alone. Check it in the admin console.",
    )
    .effect(Effect::None)
    .context(format!("policy file: {}", odd.0))
}

fn group(entry: &Entry) -> RemoteGroup {
    let mut group = RemoteGroup::new(RemoteId::new(entry.key.clone()), entry.name.clone());
    group.slug = Some(format!("group:{}", entry.key));
    group
}

fn gone() -> Fault {
    Fault::new(FaultKind::NotFound, "The group is not in the tailnet policy file any more.")
}

/// What is to be written of a person: the name of their sign-in, as the tailnet has it. Whom it does not have is known by
/// what they were called: to be taken out alone, and only if nobody else is called that now.
fn login<'a>(at: &'a AccountRef, known: &'a BTreeMap<String, String>, adds: bool) -> Result<Option<&'a str>, Fault> {
    match at {
        AccountRef::Account { id, login } => {
            let former = || login.as_deref().filter(|login| !adds && !known.values().any(|one| same(one, login)));
            let now = known.get(id.as_str()).map(String::as_str);
            Ok(now.or_else(former).filter(|login| !login.trim().is_empty()))
        }
        AccountRef::Invite { .. } => Err(Fault::new(
            FaultKind::Refused,
            "An invited person can be in a group only after accepting the invitation.",
        )
        .retry(Retry::Soon)),
    }
}

impl Teams {
    async fn file(&self, cx: &Cx<'_>) -> Result<File, Fault> {
        let mut call = self.client.tailnet("get policy file", Method::GET, &["acl"]);
        call.headers.insert(header::ACCEPT, HeaderValue::from_static("application/hujson"));
        let success = match self.client.send(cx, call).await? {
            Answer::Yes(success) => success,
            Answer::No(refusal) if refusal.absent() => return Err(unseen(&refusal)),
            Answer::No(refusal) => return Err(refusal.fault()),
        };
        let text = std::str::from_utf8(&success.reply.body).map_err(|_| odd(Odd("not in UTF-8")))?.to_owned();
        let version = success.reply.headers.get(header::ETAG).cloned().ok_or_else(|| odd(Odd("no ETag")))?;
        Ok(File { text, version })
    }

    async fn entries(&self, cx: &Cx<'_>) -> Result<Vec<Entry>, Fault> {
        policy::groups(&self.file(cx).await?.text).map_err(odd)
    }

    /// Writes the file, if nobody changed it since it was read.
    async fn write(&self, cx: &Cx<'_>, file: &File, text: String) -> Result<Result<(), Refusal>, Fault> {
        let mut call = self.client.tailnet("set policy file", Method::POST, &["acl"]);
        call.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/hujson"));
        call.headers.insert(header::IF_MATCH, file.version.clone());
        call.body = text.into();
        match self.client.send(cx, call).await? {
            Answer::Yes(success) => success.done().map(Ok),
            Answer::No(refusal) if refusal.status == StatusCode::PRECONDITION_FAILED => Err(refusal
                .because(
                    FaultKind::Refused,
                    "Somebody changed the tailnet policy file at the same time. It is read again.",
                )
                .retry(Retry::Soon)),
            Answer::No(refusal) => Ok(Err(refusal)),
        }
    }

    /// The same, where a refusal is a fault: a test of the file fails, or the file does not hold together.
    async fn write_or(&self, cx: &Cx<'_>, file: &File, text: String) -> Result<(), Fault> {
        self.write(cx, file, text).await?.map_err(|refusal| refused(&refusal))
    }

    /// The names of sign-ins by users' ids.
    async fn logins(&self, cx: &Cx<'_>) -> Result<BTreeMap<String, String>, Fault> {
        let users = self.client.users(cx, "list users").await?;
        Ok(users.into_iter().map(|user| (user.id, user.login_name)).collect())
    }

    async fn change(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Result<Vec<Result<Membership, Fault>>, Fault> {
        let _turn = self.writing.lock().await;
        let file = self.file(cx).await?;
        if !policy::groups(&file.text).map_err(odd)?.iter().any(|entry| entry.key == id.as_str()) {
            return Err(gone());
        }
        let known = self.logins(cx).await?;
        let mut text = file.text.clone();
        let mut answers = Vec::with_capacity(add.len() + remove.len());
        for (at, adds) in add.iter().map(|at| (at, true)).chain(remove.iter().map(|at| (at, false))) {
            answers.push(match login(at, &known, adds) {
                Ok(Some(login)) if adds => {
                    text = policy::with_member(&text, id.as_str(), login).map_err(odd)?;
                    Ok(Membership::Present)
                }
                Ok(Some(login)) => {
                    text = policy::without_member(&text, id.as_str(), login).map_err(odd)?;
                    Ok(Membership::Absent)
                }
                Ok(None) if adds => Err(Fault::new(FaultKind::Refused, "The user is not in the tailnet any more.")),
                Ok(None) => Ok(Membership::Absent),
                Err(fault) => Err(fault),
            });
        }
        if text != file.text {
            self.write_or(cx, &file, text).await?;
        }
        Ok(answers)
    }

    /// Takes somebody who left the tailnet out of every group: an address that stays would give them their places back
    /// when they join again. Not where another user is called that now.
    pub(super) async fn forget(&self, cx: &Cx<'_>, login: &str) -> Result<(), Fault> {
        let _turn = self.writing.lock().await;
        let file = self.file(cx).await?;
        let text = policy::without_person(&file.text, login).map_err(odd)?;
        if text == file.text || self.logins(cx).await?.values().any(|one| same(one, login)) {
            return Ok(());
        }
        self.write_or(cx, &file, text).await
    }
}

/// A 404 of the file, which every tailnet has: nobody left a group because of it.
fn unseen(refusal: &Refusal) -> Fault {
    refusal.because(
        FaultKind::Permission,
        "Tailscale does not show the tailnet's policy file to the token, or does not know the tailnet. Check the setting `tailnet`, and that the token's user is an Admin.",
    )
}

fn refused(refusal: &Refusal) -> Fault {
    if refusal.absent() {
        return unseen(refusal);
    }
    if refusal.status != StatusCode::BAD_REQUEST {
        return refusal.fault();
    }
    refusal
        .because(
            FaultKind::Refused,
            "Tailscale refuses the changed policy file: one of its tests fails, or a rule does not fit. Correct the file in the admin console.",
        )
        .retry(Retry::AfterOperator)
}

#[async_trait]
impl Groups for Teams {
    async fn list(&self, cx: &Cx<'_>, _page: Option<&PageToken>) -> Result<Page<RemoteGroup>, Fault> {
        Ok(Page::last(self.entries(cx).await?.iter().map(group).collect()))
    }

    async fn find(&self, cx: &Cx<'_>, name: &str) -> Result<Vec<RemoteGroup>, Fault> {
        Ok(self.entries(cx).await?.iter().filter(|entry| same(&entry.name, name)).map(group).collect())
    }

    async fn get(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Option<RemoteGroup>, Fault> {
        Ok(self.entries(cx).await?.iter().find(|entry| entry.key == id.as_str()).map(group))
    }

    async fn create(&self, cx: &Cx<'_>, want: &GroupWant) -> Result<GroupCreated, Fault> {
        let _turn = self.writing.lock().await;
        let file = self.file(cx).await?;
        let entries = policy::groups(&file.text).map_err(odd)?;
        if let Some(there) = entries.iter().find(|entry| same(&entry.name, &want.name)) {
            return Ok(GroupCreated::AlreadyThere(group(there)));
        }
        let key = policy::key_of(&want.name);
        if entries.iter().any(|entry| same(&entry.key, &key)) {
            return Err(Fault::new(
                FaultKind::NameTaken,
                format!(
                    "The policy file has a group with the key group:{key} under another name. Choose another name."
                ),
            ));
        }
        let text = policy::with_group(&file.text, &key, &want.name).map_err(odd)?;
        self.write_or(cx, &file, text).await?;
        Ok(GroupCreated::Done(group(&Entry { key, name: want.name.clone(), members: Vec::new() })))
    }

    async fn update(&self, cx: &Cx<'_>, id: &RemoteId, change: &GroupChange) -> Result<GroupUpdated, Fault> {
        let _turn = self.writing.lock().await;
        let file = self.file(cx).await?;
        let entries = policy::groups(&file.text).map_err(odd)?;
        let Some(entry) = entries.iter().find(|entry| entry.key == id.as_str()) else {
            return Ok(GroupUpdated::AlreadyGone);
        };
        let Some(name) = change.name.as_ref().filter(|name| **name != entry.name) else {
            return Ok(GroupUpdated::Done(group(entry)));
        };
        if entries.iter().any(|other| other.key != entry.key && same(&other.name, name)) {
            return Err(Fault::new(FaultKind::NameTaken, "Another group of the policy file has that name already."));
        }
        let text = policy::with_name(&file.text, id.as_str(), name).map_err(odd)?.ok_or_else(gone)?;
        self.write_or(cx, &file, text).await?;
        Ok(GroupUpdated::Done(group(&Entry { name: name.clone(), ..entry.clone() })))
    }

    async fn remove(&self, cx: &Cx<'_>, id: &RemoteId) -> Result<Removed, Fault> {
        let _turn = self.writing.lock().await;
        let file = self.file(cx).await?;
        let Some(text) = policy::without_group(&file.text, id.as_str()).map_err(odd)? else {
            return Ok(Removed::AlreadyGone);
        };
        match self.write(cx, &file, text).await? {
            Ok(()) => Ok(Removed::Done),
            Err(refusal) if refusal.status == StatusCode::BAD_REQUEST => Err(refusal
                .because(
                    FaultKind::Refused,
                    "A rule of the tailnet policy file still names this group. Take it out of the rules; the group is deleted then.",
                )
                .retry(Retry::AfterOperator)),
            Err(refusal) => Err(refused(&refusal)),
        }
    }

    async fn members(&self, cx: &Cx<'_>, id: &RemoteId, _page: Option<&PageToken>) -> Result<Page<Member>, Fault> {
        let entries = self.entries(cx).await?;
        let entry = entries.iter().find(|entry| entry.key == id.as_str()).ok_or_else(gone)?;
        let users = self.client.users(cx, "list users").await?;
        // An address that is nobody's is no account: it may be somebody who never came, or left.
        let theirs = users.into_iter().filter(|user| entry.members.iter().any(|one| same(one, &user.login_name)));
        Ok(Page::last(
            theirs
                .map(|user| {
                    Member::of(AccountRef::Account { id: RemoteId::new(user.id), login: Some(user.login_name) })
                })
                .collect(),
        ))
    }

    async fn change_members(
        &self,
        cx: &Cx<'_>,
        id: &RemoteId,
        add: &[AccountRef],
        remove: &[AccountRef],
    ) -> Vec<Result<Membership, Fault>> {
        match self.change(cx, id, add, remove).await {
            Ok(answers) => answers,
            Err(fault) => vec![Err(fault); add.len() + remove.len()],
        }
    }
}
