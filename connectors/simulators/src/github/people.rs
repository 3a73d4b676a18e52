//! Everyone with an account on the simulated github.com, in the organisation or not.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

/// The longest login.
const MAX_LOGIN: usize = 39;

/// One account. Its id is for ever, its login can change.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: u64,
    pub(super) login: String,
    /// Verified addresses, which no REST endpoint shows.
    pub(super) emails: Vec<String>,
    pub(super) created_at: Timestamp,
}

#[derive(Debug)]
pub(super) struct People {
    by_id: BTreeMap<u64, Person>,
    by_login: HashMap<String, u64>,
    by_email: HashMap<String, u64>,
    /// Logins that a rename has freed: nobody has them until someone is added by that name.
    freed: HashSet<String>,
    next_id: u64,
    /// Whether every well-formed login is somebody's.
    pub(super) any_login: bool,
}

impl People {
    pub(super) fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_login: HashMap::new(),
            by_email: HashMap::new(),
            freed: HashSet::new(),
            next_id: 9001,
            any_login: true,
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<&Person> {
        self.by_id.get(&id)
    }

    /// The account that has this login, if it was ever spoken of.
    pub(super) fn known(&self, login: &str) -> Option<u64> {
        self.by_login.get(&login.to_ascii_lowercase()).copied()
    }

    /// The account that has this address verified.
    pub(super) fn with_email(&self, email: &str) -> Option<u64> {
        self.by_email.get(&email.to_lowercase()).copied()
    }

    /// The account that has this login, where any well-formed login may exist.
    pub(super) fn exists(&mut self, login: &str, now: Timestamp) -> Option<u64> {
        self.known(login).or_else(|| {
            let free = self.any_login && is_login(login) && !self.freed.contains(&login.to_ascii_lowercase());
            free.then(|| self.add(login, now))
        })
    }

    /// The account of this login, made if need be.
    pub(super) fn add(&mut self, login: &str, now: Timestamp) -> u64 {
        let key = login.to_ascii_lowercase();
        if let Some(&id) = self.by_login.get(&key) {
            return id;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.freed.remove(&key);
        self.by_login.insert(key, id);
        let person = Person { id, login: login.to_owned(), emails: Vec::new(), created_at: now };
        self.by_id.insert(id, person);
        id
    }

    /// Verifies an address; it leaves the account that had it before.
    pub(super) fn verify(&mut self, id: u64, email: &str) {
        let key = email.to_lowercase();
        let before = self.by_email.insert(key.clone(), id);
        if let Some(other) = before.filter(|&b| b != id).and_then(|b| self.by_id.get_mut(&b)) {
            other.emails.retain(|e| e.to_lowercase() != key);
        }
        if let Some(person) = self.by_id.get_mut(&id)
            && before != Some(id)
        {
            person.emails.push(email.to_owned());
        }
    }

    /// Changes a login. The id stays.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), String> {
        if !is_login(to) {
            return Err("`rename.to` is not a valid login".to_owned());
        }
        let (old, new) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
        let id = self.by_login.get(&old).copied().ok_or_else(|| "`rename.from` is nobody's login".to_owned())?;
        if self.by_login.get(&new).is_some_and(|&other| other != id) {
            return Err("`rename.to` is taken".to_owned());
        }
        self.by_login.remove(&old);
        self.freed.insert(old);
        self.freed.remove(&new);
        self.by_login.insert(new, id);
        if let Some(person) = self.by_id.get_mut(&id) {
            to.clone_into(&mut person.login);
        }
        Ok(())
    }

    /// A login of nobody, as near as possible to an address's local part.
    pub(super) fn free_login(&self, email: &str) -> String {
        let wanted = login_of(email);
        if self.known(&wanted).is_none() {
            return wanted;
        }
        let stem: String = wanted.chars().take(MAX_LOGIN - 12).collect();
        let stem = stem.trim_end_matches('-');
        (2u64..).map(|n| format!("{stem}-{n}")).find(|login| self.known(login).is_none()).unwrap_or(wanted)
    }
}

/// Letters, digits and single hyphens inside, at most 39.
pub(super) fn is_login(text: &str) -> bool {
    (1..=MAX_LOGIN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

/// The login that an address's local part suggests.
pub(super) fn login_of(email: &str) -> String {
    let local = email.split('@').next().unwrap_or_default();
    let mut login = String::new();
    for c in local.chars() {
        if c.is_ascii_alphanumeric() {
            login.push(c);
        } else if !login.is_empty() && !login.ends_with('-') {
            login.push('-');
        }
        if login.len() == MAX_LOGIN {
            break;
        }
    }
    let login = login.trim_end_matches('-');
    if login.is_empty() { "someone".to_owned() } else { login.to_owned() }
}

/// Whether GitHub would take it for an e-mail address.
pub(super) fn is_email(text: &str) -> bool {
    text.len() <= 254
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.contains('@') && domain.trim_matches('.').contains('.')
        })
}
