//! From a manifest's data to a plan: every text, expression and reference is checked once, before
//! anything is sent.

use connector_sdk::{Repeat, Repeatable};
use http::{HeaderName, Method};
use serde_json::Value;

use crate::expr::{Expr, Text, from_json};
use crate::known;
use crate::model::{
    AccountsModel, AuthModel, GroupsModel, InvitesModel, MatchModel, Model, PagingModel, RepeatsModel, RequestModel,
    RuleModel, SettingType,
};
use crate::paging::{Paging, PagingKind};
use crate::plan::{AccountsPlan, Auth, Fields, GroupsPlan, Plan};
use crate::problem::{Problem, nearest};
use crate::request::{Body, Path, Request, Template};
use crate::rules::{Rule, Verdict, Wait};

/// The operations a rule or bucket may name.
const OPS: [&str; 20] = [
    "probe",
    "accounts.list",
    "accounts.invitations",
    "accounts.find",
    "accounts.get",
    "accounts.create",
    "accounts.update",
    "accounts.suspend",
    "accounts.restore",
    "accounts.remove",
    "accounts.revoke",
    "groups.list",
    "groups.find",
    "groups.get",
    "groups.create",
    "groups.update",
    "groups.remove",
    "groups.members",
    "groups.add_members",
    "groups.remove_members",
];
const ACCOUNT_FIELDS: [&str; 10] = [
    "id",
    "login",
    "email",
    "email_verified",
    "saml_identity",
    "display_name",
    "role",
    "status",
    "protected",
    "expires_at",
];
const GROUP_FIELDS: [&str; 4] = ["id", "name", "slug", "protected"];
const MEMBER_FIELDS: [&str; 6] = ["id", "login", "email", "status", "role", "inherited"];

const SETTINGS: &[&str] = &["settings"];

/// Compiles, and gathers what is wrong.
pub(crate) struct Compiler {
    pub(crate) problems: Vec<Problem>,
}

impl Compiler {
    fn wrong(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem::at(field, message));
    }

    fn take<T>(&mut self, field: &str, made: Result<T, String>) -> Option<T> {
        made.map_err(|message| self.wrong(field, message)).ok()
    }

    fn expr(&mut self, field: &str, source: &str, names: &[&str]) -> Option<Expr> {
        let made = Expr::new(source, names);
        self.take(field, made)
    }

    fn text(&mut self, field: &str, source: &str, names: &[&str]) -> Option<Text> {
        let made = Text::new(source, names);
        self.take(field, made)
    }

    fn header(&mut self, field: &str, name: &str) -> Option<HeaderName> {
        let made = name.parse::<HeaderName>().map_err(|_| "is no name of a header".to_owned());
        self.take(field, made)
    }

    /// Compiles a manifest; `None` where something is wrong with it.
    pub(crate) fn plan(&mut self, model: &Model) -> Option<Plan> {
        self.names(model);
        let base_url = self.text("base_url", &model.base_url, SETTINGS);
        let driver_key = model.driver_key.as_ref().map(|key| self.text("driver_key", key, SETTINGS));
        let default_role = model.default_role.as_ref().map(|role| self.text("default_role", role, SETTINGS));
        let error_text = model.error_text.as_ref().map(|text| self.expr("error_text", text, &["body", "headers"]));
        let mut headers = Vec::new();
        for (name, value) in &model.headers {
            let field = format!("headers.{name}");
            if let (Some(name), Some(text)) = (self.header(&field, name), self.text(&field, value, SETTINGS)) {
                headers.push((name, text));
            }
        }
        let auth = model.auth.iter().enumerate().filter_map(|(n, auth)| self.auth(model, n, auth)).collect();
        let rules = self.rules("errors", &model.errors, ANSWERS);
        let probe = self.request("probe", "probe", "probe", &model.probe.request, &[]);
        let who = model.probe.who.as_ref().map(|who| self.request("probe.who", "probe.who", "get own user", who, &[]));
        let identity =
            self.text("probe.identity", &model.probe.identity, &["settings", "maps", "body", "status", "headers"]);
        let mut checks = Vec::new();
        for (n, check) in model.probe.checks.iter().enumerate() {
            if let Some(ok) = self.expr(&format!("probe.checks[{n}].ok"), &check.ok, ANSWERS) {
                checks.push((check.name.clone(), ok, check.detail.clone()));
            }
        }
        let accounts = model.accounts.as_ref().map(|accounts| self.accounts(accounts));
        let groups = model.groups.as_ref().map(|groups| self.groups(groups));
        if model.accounts.is_none() && model.groups.is_none() {
            self.wrong("", "needs `accounts`, `groups` or both");
        }
        if model.accounts.as_ref().is_none_or(|accounts| accounts.create.is_none()) && model.groups.is_none() {
            self.wrong("accounts", "needs `create`, since there are no groups");
        }
        if model.groups.is_some() && model.accounts.is_none() {
            self.wrong("groups", "needs `accounts` with `fields` and `list`, so that members are known to be people");
        }
        if model.secrets.iter().any(|secret| !model.auth.iter().any(|auth| secret_of(auth) == secret.name)) {
            self.wrong("secrets", "holds a credential that no `auth` uses");
        }
        let flat = |made: Option<Option<Text>>| made.map_or(Some(None), |text| text.map(Some));
        let plan = Plan {
            model: model.clone(),
            base_url: base_url?,
            driver_key: flat(driver_key)?,
            auth,
            headers,
            error_text: error_text.map_or(Some(None), |text| text.map(Some))?,
            rules,
            maps: from_json(&serde_json::to_value(&model.maps).unwrap_or_default()),
            default_role: flat(default_role)?,
            probe: probe?,
            who: who.map_or(Some(None), |who| who.map(Some))?,
            identity: identity?,
            checks,
            accounts: accounts.map_or(Some(None), |made| made.map(Some))?,
            groups: groups.map_or(Some(None), |made| made.map(Some))?,
        };
        self.problems.is_empty().then_some(plan)
    }

    fn names(&mut self, model: &Model) {
        let sound = |name: &str| {
            !name.is_empty()
                && name.len() <= 60
                && name.starts_with(|c: char| c.is_ascii_lowercase())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        };
        if !sound(&model.name) {
            self.wrong("name", "must be lower case letters, digits, `-` and `_`, a letter first");
        }
        for (field, text) in [("title", &model.title), ("version", &model.version)] {
            if text.trim().is_empty() || text.len() > 100 {
                self.wrong(field, "must be from 1 to 100 characters");
            }
        }
        // It stands in addresses.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-');
        let version = model.version.as_str();
        if !version.bytes().all(plain) || version == "." || version == ".." {
            self.wrong("version", "must be letters, digits, `.`, `_`, `+` and `-`");
        }
        let mut seen = vec!["pace"];
        let settings = model.settings.iter().enumerate().map(|(n, one)| (format!("settings[{n}].name"), &one.name));
        let secrets = model.secrets.iter().enumerate().map(|(n, one)| (format!("secrets[{n}].name"), &one.name));
        for (field, name) in settings.chain(secrets) {
            if !sound(name) || name.contains('-') {
                self.wrong(&field, "must be lower case letters, digits and `_`, a letter first");
            }
            if seen.contains(&name.as_str()) {
                self.wrong(&field, "is given twice, or is `pace`, which every connector has");
            }
            seen.push(name);
        }
        for (n, setting) in model.settings.iter().enumerate() {
            let choice = setting.kind == SettingType::Choice;
            if choice == setting.values.is_empty() {
                self.wrong(&format!("settings[{n}].values"), "are given for a choice, and only there");
            }
            let fits = match (&setting.default, setting.kind) {
                (None, _) | (Some(Value::String(_)), SettingType::Text | SettingType::Url) => true,
                (Some(Value::String(text)), SettingType::Choice) => setting.values.contains(text),
                (Some(Value::Bool(_)), SettingType::Flag) | (Some(Value::Number(_)), SettingType::Number) => true,
                _ => false,
            };
            if !fits {
                self.wrong(&format!("settings[{n}].default"), "is no value that this setting takes");
            }
        }
        let buckets: Vec<&str> = model.buckets.iter().map(|bucket| bucket.name.as_str()).collect();
        for (n, bucket) in model.buckets.iter().enumerate() {
            if buckets.iter().filter(|name| **name == bucket.name).count() > 1 {
                self.wrong(&format!("buckets[{n}].name"), "is given twice");
            }
            self.ops(&format!("buckets[{n}].on"), &bucket.on);
        }
    }

    fn ops(&mut self, field: &str, ops: &[String]) {
        for (n, op) in ops.iter().enumerate() {
            if !OPS.contains(&op.as_str()) {
                let hint = nearest(op, OPS).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
                self.wrong(&format!("{field}[{n}]"), format!("is no operation{hint}"));
            }
        }
    }

    fn auth(&mut self, model: &Model, number: usize, auth: &AuthModel) -> Option<Auth> {
        let field = format!("auth[{number}]");
        let secret = secret_of(auth).to_owned();
        if !model.secrets.iter().any(|one| one.name == secret) {
            self.wrong(&format!("{field}.secret"), format!("`{secret}` is not among `secrets`"));
        }
        Some(match auth {
            AuthModel::Bearer { scheme, .. } => {
                let prefix = format!("{} ", scheme.as_deref().unwrap_or("Bearer"));
                Auth::Header { name: http::header::AUTHORIZATION, prefix, secret }
            }
            AuthModel::Header { header, prefix, .. } => {
                Auth::Header { name: self.header(&format!("{field}.header"), header)?, prefix: prefix.clone(), secret }
            }
            AuthModel::Basic { username, .. } => {
                Auth::Basic { username: self.text(&format!("{field}.username"), username, SETTINGS)?, secret }
            }
            AuthModel::Query { parameter, .. } => Auth::Query { parameter: parameter.clone(), secret },
            AuthModel::Oauth2 { token_url, client_id, client_in, parameters, .. } => {
                let mut more = Vec::new();
                for (name, text) in parameters {
                    more.push((name.clone(), self.text(&format!("{field}.parameters.{name}"), text, SETTINGS)?));
                }
                Auth::Oauth2 {
                    url: self.text(&format!("{field}.token_url"), token_url, SETTINGS)?,
                    client: self.text(&format!("{field}.client_id"), client_id, SETTINGS)?,
                    secret,
                    in_body: *client_in == crate::model::ClientIn::Body,
                    parameters: more,
                }
            }
        })
    }

    fn rules(&mut self, field: &str, models: &[RuleModel], names: &[&str]) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (n, model) in models.iter().enumerate() {
            let field = format!("{field}[{n}]");
            let verdict = match (model.kind, model.outcome) {
                (Some(kind), None) => Verdict::Fault(kind.into()),
                (None, Some(outcome)) => Verdict::Outcome(outcome),
                _ => {
                    self.wrong(&field, "needs either `kind` or `outcome`");
                    continue;
                }
            };
            if model.status.is_empty() && model.when.is_none() {
                self.wrong(&field, "needs `status`, `when` or both");
            }
            self.ops(&format!("{field}.on"), &model.on);
            let when = match &model.when {
                Some(when) => match self.expr(&format!("{field}.when"), when, names) {
                    Some(when) => Some(when),
                    None => continue,
                },
                None => None,
            };
            let wait = model.wait.as_ref().map(|wait| Wait {
                header: wait.header.as_ref().map(|name| name.to_ascii_lowercase()),
                body: wait.body.as_ref().and_then(|body| self.expr(&format!("{field}.wait.body"), body, names)),
                seconds: wait.seconds,
                dialect: wait.dialect,
            });
            rules.push(Rule {
                status: model.status.clone(),
                when,
                on: model.on.clone(),
                verdict,
                message: model.message.clone(),
                code: model.code.clone(),
                wait,
            });
        }
        rules
    }

    fn fields(
        &mut self,
        field: &str,
        given: &std::collections::BTreeMap<String, String>,
        known: &[&str],
        names: &[&str],
    ) -> Fields {
        let mut fields = Vec::new();
        for (name, source) in given {
            let place = format!("{field}.{name}");
            if !known.contains(&name.as_str()) {
                let hint = nearest(name, known.iter().copied()).map(|name| format!("; did you mean `{name}`?"));
                self.wrong(&place, format!("is no field{}; there is {}", hint.unwrap_or_default(), known.join(", ")));
            }
            if let Some(expr) = self.expr(&place, source, names) {
                fields.push((name.clone(), expr));
            }
        }
        fields
    }

    /// Compiles a request whose texts may use `names` beside `settings` and `maps`.
    fn request(
        &mut self,
        field: &str,
        op: &'static str,
        call: &'static str,
        model: &RequestModel,
        names: &[&'static str],
    ) -> Option<Request> {
        let names: Vec<&'static str> =
            names.iter().copied().filter(|name| *name != "current" || model.read_first).collect();
        let given = names.as_slice();
        let names: Vec<&str> = names.iter().copied().chain(["settings", "maps"]).collect();
        let answers: Vec<&str> = names.iter().copied().chain(ANSWERS.iter().copied()).collect();
        let at = |name: &str| format!("{field}.{name}");
        let made = Path::new(&model.path, &names);
        let path = self.take(&at("path"), made);
        let mut texts = |what: &str, all: &std::collections::BTreeMap<String, String>| -> Vec<(String, Text)> {
            all.iter()
                .filter_map(|(name, text)| {
                    Some((name.clone(), self.text(&format!("{field}.{what}.{name}"), text, &names)?))
                })
                .collect()
        };
        let query = texts("query", &model.query);
        let named = texts("headers", &model.headers);
        let form = model.form.as_ref().map(|form| texts("form", form));
        let mut headers = Vec::new();
        for (name, text) in named {
            if let Some(name) = self.header(&format!("{field}.headers.{name}"), &name) {
                headers.push((name, text));
            }
        }
        let body = match (&model.json, form, &model.xml) {
            (None, None, None) => Some(Body::None),
            (Some(json), None, None) => {
                let made = Template::new(json, &names, 24);
                self.take(&at("json"), made).map(Body::Json)
            }
            (None, Some(form), None) => Some(Body::Form(form)),
            (None, None, Some(xml)) => self.text(&at("xml"), xml, &names).map(Body::Xml),
            _ => {
                self.wrong(field, "has more than one body: give one of `json`, `form` and `xml`");
                None
            }
        };
        let method: Method = model.method.parse().unwrap_or(Method::GET);
        let reading = method == Method::GET || model.reads;
        let repeats = model.repeats.map(|repeats| match repeats {
            RepeatsModel::Idempotent => Repeatable::Idempotent,
            RepeatsModel::Verifiable => Repeatable::Verifiable,
            RepeatsModel::Neither => Repeatable::Neither,
        });
        let repeat = match (&method, repeats) {
            _ if reading => Repeat::Read,
            (_, Some(Repeatable::Idempotent)) | (&Method::PUT | &Method::DELETE, None) => Repeat::Idempotent,
            _ => Repeat::Verifiable,
        };
        if model.method == "GET" && !matches!(body, Some(Body::None)) {
            self.wrong(field, "is a GET with a body");
        }
        let before = model.before.as_ref().map(|before| {
            if op == "before" || !(before.method == "GET" || before.reads) {
                self.wrong(&at("before"), "is a request that only reads, with nothing before it");
                return None;
            }
            self.request(&at("before"), "before", "look before", before, given)
        });
        let rules = self.rules(&at("errors"), &model.errors, &answers);
        let mut in_lists = answers.clone();
        in_lists.extend(["item", "own"]);
        let item = model.item.as_ref().and_then(|source| self.expr(&at("item"), source, &answers));
        let items = model.items.as_ref().and_then(|source| self.expr(&at("items"), source, &answers));
        let keep = model.keep.as_ref().and_then(|source| self.expr(&at("where"), source, &in_lists));
        let created_id = model.created_id.as_ref().and_then(|source| self.expr(&at("created_id"), source, &answers));
        let paging = model.paging.as_ref().and_then(|paging| self.paging(&at("paging"), paging, &answers));
        let known: &[&str] = match op {
            "groups.members" => &MEMBER_FIELDS,
            op if op.starts_with("groups.") => &GROUP_FIELDS,
            _ => &ACCOUNT_FIELDS,
        };
        let fields = model.fields.as_ref().map(|given| self.fields(&at("fields"), given, known, &in_lists));
        Some(Request {
            op,
            call,
            method,
            path: path?,
            query,
            headers,
            body: body?,
            success: model.success.clone(),
            rules,
            repeat,
            repeats,
            item,
            items,
            keep,
            paging,
            fields,
            read_first: model.read_first,
            writes: model.writes.clone(),
            look_first: model.look_first,
            before: before.map_or(Some(None), |before| before.map(|before| Some(Box::new(before))))?,
            purpose: model.purpose.clone(),
            created_id,
            batch: model.batch,
        })
    }

    fn paging(&mut self, field: &str, model: &PagingModel, names: &[&str]) -> Option<Paging> {
        let names: Vec<&str> = names.iter().copied().chain(["link"]).collect();
        let (kind, parameter, size_parameter, size, more) = match model {
            PagingModel::Page { parameter, size_parameter, size, first, more } => {
                (PagingKind::Page { first: *first }, parameter, size_parameter, Some(*size), more)
            }
            PagingModel::Offset { parameter, size_parameter, size, more, most } => {
                (PagingKind::Offset { most: *most }, parameter, size_parameter, Some(*size), more)
            }
            PagingModel::Cursor { parameter, size_parameter, size, next } => {
                let next = self.expr(&format!("{field}.next"), next, &names)?;
                (PagingKind::Cursor { next }, parameter, size_parameter, *size, &None)
            }
            PagingModel::Link { parameter, size_parameter, size, more } => {
                (PagingKind::Link, parameter, size_parameter, *size, more)
            }
        };
        let more = match more {
            Some(more) => Some(self.expr(&format!("{field}.more"), more, &names)?),
            None => None,
        };
        Some(Paging { kind, parameter: parameter.clone(), size_parameter: size_parameter.clone(), size, more })
    }

    fn accounts(&mut self, model: &AccountsModel) -> Option<AccountsPlan> {
        let fields = self.fields("accounts.fields", &model.fields, &ACCOUNT_FIELDS, ITEMS);
        let has = |name: &str| model.fields.contains_key(name);
        if !has("id") {
            self.wrong("accounts.fields", "needs `id`");
        }
        let login =
            model.login.as_ref().map(|login| self.expr("accounts.login", login, &["settings", "maps", "person"]));
        let saml_identity = model
            .saml_identity
            .as_ref()
            .map(|saml| self.expr("accounts.saml_identity", saml, &["settings", "maps", "person"]));
        let matches = match model.matches.as_slice() {
            [] => [
                (MatchModel::Saml, has("saml_identity") && saml_identity.is_some()),
                (MatchModel::Email, has("email")),
                (MatchModel::Login, has("login") && login.is_some()),
            ]
            .into_iter()
            .filter_map(|(one, there)| there.then_some(one))
            .collect(),
            given => given.to_vec(),
        };
        for one in &matches {
            match one {
                MatchModel::Saml if !has("saml_identity") || saml_identity.is_none() => {
                    self.wrong("accounts.match", "by `saml` needs `fields.saml_identity` and `accounts.saml_identity`");
                }
                MatchModel::Email if !has("email") => self.wrong("accounts.match", "by `email` needs `fields.email`"),
                MatchModel::Login if !has("login") || login.is_none() => {
                    self.wrong("accounts.match", "by `login` needs `fields.login` and `accounts.login`");
                }
                _ => {}
            }
        }
        if matches.is_empty() {
            self.wrong(
                "accounts",
                "needs a way to know whose an account is: `fields.email`, or `fields.login` with `login`",
            );
        }
        if model.create.is_some() != model.remove.is_some() {
            self.wrong("accounts", "needs both `create` and `remove`, or neither");
        }
        if model.suspend.is_some() != model.restore.is_some() {
            self.wrong("accounts", "needs both `suspend` and `restore`, or neither");
        }
        let invites = match &model.invites {
            None | Some(InvitesModel::Fixed(false)) => None,
            Some(InvitesModel::Fixed(true)) => self.expr("accounts.invites", "true", &[]),
            Some(InvitesModel::By(source)) => self.expr("accounts.invites", source, &["settings", "maps"]),
        };
        if invites.is_some() && !has("status") && model.invitations.is_none() {
            self.wrong("accounts.invites", "needs `fields.status` or `invitations`, so that invitations can be told");
        }
        let mut requires = Vec::new();
        for (n, one) in model.requires.iter().enumerate() {
            let field = format!("accounts.requires[{n}].value");
            if let Some(value) = self.expr(&field, &one.value, &["settings", "maps", "person", "login"]) {
                requires.push((value, one.message.clone()));
            }
        }
        const WHO: &[&str] = &["person", "login", "role"];
        const NEW: &[&str] = &["person", "login", "role", "random"];
        const AT: &[&str] = &["account"];
        /// The list alone sees neither; the search for a person the one, the read of an invitation the other.
        const ANY_INVITATION: &[&str] = &["person", "login", "role", "account"];
        let mut one = |name: &str, op, call, request: &Option<RequestModel>, names: &[&'static str]| {
            request.as_ref().map(|model| self.request(&format!("accounts.{name}"), op, call, model, names))
        };
        let list = one("list", "accounts.list", "list accounts", &Some(model.list.clone()), &[]);
        let invitations =
            one("invitations", "accounts.invitations", "list invitations", &model.invitations, ANY_INVITATION);
        let find = one("find", "accounts.find", "find account", &model.find, WHO);
        let get = one("get", "accounts.get", "get account", &model.get, AT);
        let create = one("create", "accounts.create", "create account", &model.create, NEW);
        let suspend = one("suspend", "accounts.suspend", "suspend account", &model.suspend, &["account", "current"]);
        let restore = one("restore", "accounts.restore", "restore account", &model.restore, &["account", "current"]);
        let remove = one("remove", "accounts.remove", "remove account", &model.remove, AT);
        let revoke = one("revoke", "accounts.revoke", "revoke invitation", &model.revoke, AT);
        let mut update = Vec::new();
        for (n, request) in model.update.iter().enumerate() {
            let field = format!("accounts.update[{n}]");
            if request.writes.is_empty() {
                self.wrong(&field, "needs `writes`");
            }
            for wrong in request.writes.iter().filter_map(|name| known::attribute(name)) {
                self.wrong(&format!("{field}.writes"), wrong);
            }
            let names = &["account", "change", "current", "person"];
            update.push(self.request(&field, "accounts.update", "update account", request, names)?);
        }
        self.listing("accounts.create", model.create.as_ref(), model.get.is_some());
        let flat = |made: Option<Option<Request>>| made.map_or(Some(None), |one| one.map(Some));
        Some(AccountsPlan {
            fields,
            login: login.map_or(Some(None), |login| login.map(Some))?,
            saml_identity: saml_identity.map_or(Some(None), |saml| saml.map(Some))?,
            matches,
            requires,
            invites,
            invitations_end: model.invitations_end,
            list: list??,
            invitations: flat(invitations)?,
            find: flat(find)?,
            get: flat(get)?,
            create: flat(create)?,
            update,
            suspend: flat(suspend)?,
            restore: flat(restore)?,
            remove: flat(remove)?,
            revoke: flat(revoke)?,
        })
    }

    /// What a creation needs so that nobody is created twice.
    fn listing(&mut self, field: &str, create: Option<&RequestModel>, get: bool) {
        let Some(create) = create else { return };
        let refuses = create.errors.iter().any(|rule| rule.outcome == Some(crate::model::OutcomeModel::AlreadyThere));
        if !create.look_first && !refuses {
            self.wrong(
                &format!("{field}.look_first"),
                "may be false only where a rule with the outcome `already_there` tells the target's own refusal",
            );
        }
        if create.created_id.is_some() && !get {
            self.wrong(&format!("{field}.created_id"), "needs `get`, to read what was created");
        }
    }

    fn groups(&mut self, model: &GroupsModel) -> Option<GroupsPlan> {
        let fields = self.fields("groups.fields", &model.fields, &GROUP_FIELDS, ITEMS);
        for name in ["id", "name"] {
            if !model.fields.contains_key(name) {
                self.wrong("groups.fields", format!("needs `{name}`"));
            }
        }
        if model.members.fields.as_ref().is_none_or(|fields| !fields.contains_key("id")) {
            self.wrong("groups.members", "needs `fields` with `id`, the account's id in each `item`");
        }
        self.listing("groups.create", Some(&model.create), model.get.is_some());
        if !model.update.look_first
            && !model.update.errors.iter().any(|rule| rule.kind == Some(crate::model::KindModel::NameTaken))
        {
            self.wrong(
                "groups.update.look_first",
                "may be false only where a rule of kind `name_taken` tells the target's own refusal",
            );
        }
        let one = |this: &mut Self, name: &str, op, call, request: &RequestModel, names: &[&'static str]| {
            this.request(&format!("groups.{name}"), op, call, request, names)
        };
        const GROUP: &[&str] = &["group"];
        const MEMBERS: &[&str] = &["group", "member", "members"];
        let list = one(self, "list", "groups.list", "list groups", &model.list, &[]);
        let find = model.find.as_ref().map(|find| one(self, "find", "groups.find", "find group", find, GROUP));
        let get = model.get.as_ref().map(|get| one(self, "get", "groups.get", "get group", get, GROUP));
        let create = one(self, "create", "groups.create", "create group", &model.create, GROUP);
        let names = &["group", "change", "current"];
        let update = one(self, "update", "groups.update", "rename group", &model.update, names);
        let remove = one(self, "remove", "groups.remove", "remove group", &model.remove, GROUP);
        let members = one(self, "members", "groups.members", "list members", &model.members, GROUP);
        let add = one(self, "add_members", "groups.add_members", "add members", &model.add_members, MEMBERS);
        let take_out =
            one(self, "remove_members", "groups.remove_members", "remove members", &model.remove_members, MEMBERS);
        Some(GroupsPlan {
            fields,
            list: list?,
            find: find.map_or(Some(None), |one| one.map(Some))?,
            get: get.map_or(Some(None), |one| one.map(Some))?,
            create: create?,
            update: update?,
            remove: remove?,
            members: members?,
            add: add?,
            take_out: take_out?,
            pending_members: model.pending_members,
        })
    }
}

/// What expressions over an answer see, beside what its request saw.
const ANSWERS: &[&str] = &["settings", "maps", "body", "status", "headers", "text"];
/// What the fields of an object see.
const ITEMS: &[&str] = &["settings", "maps", "item", "own"];

fn secret_of(auth: &AuthModel) -> &str {
    match auth {
        AuthModel::Bearer { secret, .. }
        | AuthModel::Header { secret, .. }
        | AuthModel::Basic { secret, .. }
        | AuthModel::Query { secret, .. }
        | AuthModel::Oauth2 { secret, .. } => secret,
    }
}
