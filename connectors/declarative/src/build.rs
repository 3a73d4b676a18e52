//! From a manifest to a connector: the entry of the catalogue, its settings and traits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::limits::Pace;
use connector_sdk::names::{Full, keep, keep_all};
use connector_sdk::{
    About, Accounts, Bucket, CallAbout, Class, Connector, Cx, DriverKey, Entry, Extension, Fault, Groups, Probe,
    Reading, Repeatable, Repeats, Reply, RoleTrait, Rule as Price, Secrets, Setting, SettingKind, SettingsError,
    StepCost, Tariff, Traits,
};
use http::HeaderValue;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use crate::accounts::People;
use crate::auth::{Oauth2, Ready, TOKEN_CALL};
use crate::client::{Client, Reader};
use crate::expr::{Scope, Text, from_json};
use crate::groups::Teams;
use crate::model::{BucketModel, SettingType};
use crate::plan::{Auth, Plan, purpose};
use crate::request::Request;

/// A connector that a manifest made.
struct Declared {
    traits: Traits,
    client: Arc<Client>,
    people: Option<People>,
    teams: Option<Teams>,
}

#[async_trait]
impl Connector for Declared {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        self.client.probe(cx).await
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        self.people.as_ref().map(|people| people as &dyn Accounts)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        self.teams.as_ref().map(|teams| teams as &dyn Groups)
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        self.client.read_limits(reply)
    }

    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        self.client.throttled(reply)
    }
}

/// Settings and credentials, as the catalogue describes them.
pub(crate) fn settings(plan: &Plan) -> Result<Vec<Setting>, Full> {
    let mut all = Vec::new();
    for model in &plan.model.settings {
        let mut setting = Setting::new(keep(&model.name)?, keep(&model.title)?, keep(&model.help)?);
        setting = setting.kind(match model.kind {
            SettingType::Text => SettingKind::Text,
            SettingType::Url => SettingKind::Url,
            SettingType::Flag => SettingKind::Flag,
            SettingType::Number => SettingKind::Number,
            SettingType::Choice => {
                let values = keep_all(model.values.iter().map(String::as_str))?;
                SettingKind::Choice { values: values.into() }
            }
        });
        if model.identity {
            setting = setting.class(Class::Identity);
        }
        if model.required {
            setting = setting.required();
        }
        if let Some(default) = &model.default {
            let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            setting = setting.default(keep(&text)?);
        }
        all.push(setting);
    }
    all.push(
        Setting::new(
            "pace",
            "Pace",
            "`documented`: the vendor's published limits, corrected by what the target says; `headers`: only what the target says.",
        )
        .kind(SettingKind::choice(&["documented", "headers"]))
        .default("documented"),
    );
    for model in &plan.model.secrets {
        let setting =
            Setting::new(keep(&model.name)?, keep(&model.title)?, keep(&model.help)?).class(Class::Credential);
        all.push(if model.required { setting.required() } else { setting });
    }
    Ok(all)
}

/// What the connector's page says.
pub(crate) fn about(plan: &Plan) -> Result<About, Full> {
    let model = &plan.model;
    let texts = |all: &[String]| keep_all(all.iter().map(String::as_str));
    let mut calls: Vec<CallAbout> = Vec::new();
    if plan.auth.iter().any(|auth| matches!(auth, Auth::Oauth2 { .. })) {
        let path = "/{token address}";
        calls.push(CallAbout { name: TOKEN_CALL, method: "POST", path, purpose: "Asks for an access token." });
    }
    for request in plan.requests() {
        let path = request.path.template();
        let purpose = match &request.purpose {
            Some(purpose) => keep(purpose)?,
            None => purpose(request.op),
        };
        let call =
            CallAbout { name: request.call, method: keep(request.method.as_str())?, path: keep(&path)?, purpose };
        if !calls.contains(&call) {
            calls.push(call);
        }
    }
    Ok(About {
        summary: keep(&model.summary)?,
        needs: texts(&model.needs)?,
        cannot: texts(&model.cannot)?,
        calls,
        unverified: texts(&model.unverified)?,
        sources: texts(&model.sources)?,
    })
}

/// The entry of the catalogue.
pub(crate) fn entry(plan: &Arc<Plan>) -> Result<Entry, Full> {
    let model = &plan.model;
    let built = Arc::clone(plan);
    let build = Arc::new(move |settings: &Value, secrets: &Secrets| build(&built, settings, secrets));
    let mut entry = Entry::new(keep(&model.name)?, keep(&model.title)?, plan.kind(), settings(plan)?, build);
    for attribute in &model.attributes {
        entry.attributes.push((keep(&attribute.name)?, keep(&attribute.what)?));
    }
    for extension in &model.extensions {
        let attributes = serde_json::to_string(&extension.attributes).unwrap_or_default();
        entry.extensions.push(Extension {
            resource_type: keep(&extension.resource_type)?,
            description: keep(&extension.description)?,
            attributes: keep(&attributes)?,
        });
    }
    entry.limits = keep_all(model.limits.iter().map(String::as_str))?;
    entry.about = about(plan)?;
    Ok(entry)
}

/// The settings with the defaults of those that are not given.
pub(crate) fn with_defaults(plan: &Plan, given: &Value) -> Value {
    let mut all = serde_json::Map::new();
    for setting in &plan.model.settings {
        let value = given.get(&setting.name).filter(|value| !value.is_null()).or(setting.default.as_ref());
        if let Some(value) = value {
            all.insert(setting.name.clone(), value.clone());
        }
    }
    Value::Object(all)
}

/// The scope that settings alone make.
fn settings_scope(settings: &Value) -> Scope {
    Scope::from([("settings", from_json(settings))])
}

fn wrong(field: &str, message: impl Into<String>) -> SettingsError {
    SettingsError::new(field, message)
}

/// A text over settings, made an address.
fn address(text: &Text, scope: &Scope, what: &str) -> Result<Url, SettingsError> {
    let made = match text.only() {
        Some(expr) => expr.text(scope),
        None => {
            // Beside other text a value is a part of a host or path and nothing more.
            let sound = |value: &str| {
                value.chars().map(|c| if c.is_ascii_alphanumeric() || "-._~".contains(c) { c } else { ' ' }).collect()
            };
            text.render(scope, sound)
        }
    };
    let made = made.ok().flatten().ok_or_else(|| wrong(what, "cannot be made of these settings"))?;
    let url = Url::parse(made.trim()).map_err(|_| wrong(what, "is no address with these settings"))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && !made.trim().contains(' ');
    if plain { Ok(url) } else { Err(wrong(what, "must be an http or https address without user, query and fragment")) }
}

/// The way to a target, from settings and secrets.
pub(crate) fn client(plan: &Arc<Plan>, settings: &Value, secrets: &Secrets) -> Result<Client, SettingsError> {
    let all = with_defaults(plan, settings);
    let scope = settings_scope(&all);
    let base = address(&plan.base_url, &scope, first_setting(plan, &plan.base_url))?;
    let render = |text: &Text, what: &str| {
        text.render(&scope, str::to_owned).ok().flatten().ok_or_else(|| wrong(what, "is needed for this connector"))
    };
    let mut headers = Vec::new();
    for (name, text) in &plan.headers {
        let Ok(Some(value)) = text.render(&scope, str::to_owned) else { continue };
        HeaderValue::from_str(&value)
            .map_err(|_| wrong("settings", format!("hold what cannot stand in the header `{name}`")))?;
        headers.push((name.clone(), value));
    }
    let mut ready = Vec::new();
    let mut plain: Vec<String> = Vec::new();
    for auth in &plan.auth {
        let name = match auth {
            Auth::Header { secret, .. }
            | Auth::Basic { secret, .. }
            | Auth::Query { secret, .. }
            | Auth::Oauth2 { secret, .. } => secret,
        };
        let Some(secret) = secrets.get(name) else { continue };
        let text = secret.expose_secret().trim();
        if HeaderValue::from_str(text).is_err() {
            return Err(wrong(name, "holds characters that a credential cannot have; copy it again"));
        }
        plain.push(text.to_owned());
        ready.push(match auth {
            Auth::Header { name, prefix, .. } => {
                Ready::Header { name: name.clone(), value: SecretString::from(format!("{prefix}{text}")) }
            }
            Auth::Basic { username, .. } => Ready::basic(&render(username, "username")?, text),
            Auth::Query { parameter, .. } => {
                Ready::Query { parameter: parameter.clone(), value: SecretString::from(text.to_owned()) }
            }
            Auth::Oauth2 { url, client, in_body, parameters, .. } => {
                let mut more = Vec::new();
                for (name, text) in parameters {
                    if let Some(value) = text.render(&scope, str::to_owned).ok().flatten() {
                        more.push((name.clone(), value));
                    }
                }
                Ready::Oauth2(Box::new(Oauth2 {
                    url: address(url, &scope, first_setting(plan, url))?,
                    client: render(client, "client_id")?,
                    secret: SecretString::from(text.to_owned()),
                    in_body: *in_body,
                    parameters: more,
                    held: Mutex::new(None),
                }))
            }
        });
    }
    let full = |_: Full| wrong("connector", "cannot be built: this process keeps too many names of manifests");
    let mut readers = Vec::new();
    let mut policies = Vec::new();
    for bucket in &plan.model.buckets {
        let name = keep(&bucket.name).map_err(full)?;
        if let Some(headers) = &bucket.headers {
            readers.push(Reader {
                bucket: name,
                limit: headers.limit.as_ref().map(|name| name.to_ascii_lowercase()),
                remaining: headers.remaining.to_ascii_lowercase(),
                reset: headers.reset.to_ascii_lowercase(),
                dialect: headers.dialect,
            });
        }
        if let Some(policy) = &bucket.policy {
            policies.push((policy.to_ascii_lowercase(), name));
        }
    }
    Ok(Client {
        plan: Arc::clone(plan),
        base,
        settings: from_json(&all),
        headers,
        auth: ready,
        secrets: plain,
        readers,
        policies,
        own: OnceCell::new(),
    })
}

/// The setting that a text uses, to name it in errors.
fn first_setting<'a>(plan: &'a Plan, text: &Text) -> &'a str {
    let source = format!("{text:?}");
    let used = plan.model.settings.iter().find(|setting| source.contains(&format!("settings.{}", setting.name)));
    used.map_or("base_url", |setting| setting.name.as_str())
}

fn build(plan: &Arc<Plan>, settings: &Value, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
    let client = Arc::new(client(plan, settings, secrets)?);
    let key = match &plan.driver_key {
        Some(text) => text
            .render(&client.scope(), str::to_owned)
            .ok()
            .flatten()
            .ok_or_else(|| wrong("driver_key", "cannot be made of these settings"))?,
        None => {
            let secret = plan.model.secrets.first().and_then(|secret| secrets.fingerprint(&secret.name));
            secret.unwrap_or_default()
        }
    };
    let key = format!(
        "{}:{}:{}:{key}",
        plan.model.name,
        client.base.host_str().unwrap_or_default(),
        client.base.port_or_known_default().unwrap_or_default()
    );
    let pace = match settings.get("pace").and_then(Value::as_str) {
        Some("headers") => Pace::Headers,
        _ => Pace::Documented,
    };
    let traits = traits(plan, DriverKey::new(key), pace, &client)
        .map_err(|_| wrong("connector", "cannot be built: this process keeps too many names of manifests"))?;
    Ok(Arc::new(Declared {
        people: plan.accounts.is_some().then(|| People { client: Arc::clone(&client) }),
        teams: plan.groups.is_some().then(|| Teams { client: Arc::clone(&client) }),
        traits,
        client,
    }))
}

fn traits(plan: &Plan, key: DriverKey, pace: Pace, client: &Client) -> Result<Traits, Full> {
    let model = &plan.model;
    let mut traits = Traits::new(plan.kind(), key);
    let mut buckets = Vec::new();
    for bucket in &model.buckets {
        let (name, title) = (keep(&bucket.name)?, keep(&bucket.title)?);
        if bucket.standing {
            if pace == Pace::Documented {
                buckets.push(Bucket::standing(name, title, bucket.units.unwrap_or(1)));
            }
            continue;
        }
        let per = Duration::from_secs(bucket.per_seconds.max(1));
        let made = match (pace, bucket.units) {
            (Pace::Documented, Some(units)) => Bucket::new(name, title, units, per),
            _ => Bucket::unknown(name, title),
        };
        let gap = if pace == Pace::Documented { bucket.gap_ms } else { 0 };
        buckets.push(made.gap(Duration::from_millis(gap)).at_once(bucket.at_once));
    }
    let known: Vec<&'static str> = buckets.iter().map(|bucket| bucket.name).collect();
    traits.buckets = buckets;
    let mut rules = vec![Price::any().named(&[TOKEN_CALL])];
    for request in plan.requests() {
        let mut price = Price::any().named(&[request.call]).method(&[keep(request.method.as_str())?]);
        for bucket in charged(plan, request) {
            price = price.charge(keep(&bucket.name)?, bucket.cost);
        }
        rules.push(price);
    }
    traits.tariff = Tariff::new(rules);
    traits.costs = costs(plan, &known)?;
    traits.suspend = plan.suspend();
    traits.repeats = repeats(plan);
    for role in &model.roles {
        traits.roles.push(RoleTrait { value: keep(&role.value)?, privileged: role.privileged });
    }
    if let Some(text) = &plan.default_role
        && let Ok(Some(role)) = text.render(&client.scope(), str::to_owned)
    {
        traits.default_role = Some(keep(&role)?);
    }
    if let Some(accounts) = &plan.accounts {
        traits.invites = client.invites();
        traits.invitations_end = accounts.invitations_end;
        // What a setting names is protected too, and is not the credential's own.
        traits.own_account = accounts.fields.iter().any(|(name, field)| name == "protected" && field.uses("own"));
        traits.verified_emails = accounts.fields.iter().any(|(name, _)| name == "email_verified");
        for name in accounts.update.iter().flat_map(|request| &request.writes) {
            let name = keep(name)?;
            if !traits.writable.contains(&name) {
                traits.writable.push(name);
            }
        }
    }
    if let Some(groups) = &plan.groups {
        traits.members_per_call = groups.add.batch.min(groups.take_out.batch).max(1);
        if groups.pending_members {
            traits.pending_members = connector_sdk::PendingMembers::ById;
        }
    }
    Ok(traits)
}

/// The buckets that a request is charged to, standing ones left out.
fn charged<'a>(plan: &'a Plan, request: &Request) -> Vec<&'a BucketModel> {
    let all = plan.model.buckets.iter().filter(|bucket| !bucket.standing);
    all.filter(|bucket| bucket.on.is_empty() || bucket.on.iter().any(|op| op == request.op))
        .filter(|bucket| bucket.methods.is_empty() || bucket.methods.iter().any(|one| request.method == *one.as_str()))
        .collect()
}

/// What the engine's steps cost, looks beforehand included.
fn costs(plan: &Plan, known: &[&'static str]) -> Result<Vec<StepCost>, Full> {
    let mut steps: Vec<(&'static str, Vec<&Request>)> = Vec::new();
    if let Some(a) = &plan.accounts {
        let look: Vec<&Request> =
            std::iter::once(a.find.as_ref().unwrap_or(&a.list)).chain(a.invitations.as_ref()).collect();
        let read = a.get.as_ref().unwrap_or(&a.list);
        steps.push(("look", look.clone()));
        if let Some(create) = &a.create {
            let before = if create.look_first { look } else { Vec::new() };
            steps.push(("create", before.into_iter().chain([create]).collect()));
        }
        if let Some(update) = a.update.first().or(a.suspend.as_ref()) {
            steps.push(("update", vec![update, read]));
        }
        if let Some(remove) = &a.remove {
            steps.push(("remove", vec![read, remove]));
            steps.push(("revoke", vec![a.revoke.as_ref().unwrap_or(remove)]));
        }
    }
    if let Some(g) = &plan.groups {
        let look = g.find.as_ref().unwrap_or(&g.list);
        steps.push(("create_group", if g.create.look_first { vec![look, &g.create] } else { vec![&g.create] }));
        steps.push(("update_group", if g.update.look_first { vec![look, &g.update] } else { vec![&g.update] }));
        steps.push(("remove_group", vec![&g.remove]));
        steps.push(("add_member", vec![&g.add]));
        steps.push(("remove_member", vec![&g.take_out]));
    }
    let mut costs = Vec::new();
    for (step, requests) in steps {
        let requests: Vec<&Request> =
            requests.into_iter().flat_map(|one| one.before.as_deref().into_iter().chain([one])).collect();
        let mut cost = StepCost::new(step, u32::try_from(requests.len()).unwrap_or(u32::MAX));
        for bucket in &plan.model.buckets {
            let name = keep(&bucket.name)?;
            if !known.contains(&name) {
                continue;
            }
            let times = requests.iter().filter(|one| charged(plan, one).iter().any(|b| b.name == bucket.name)).count();
            let times = u32::try_from(times).unwrap_or(u32::MAX);
            if bucket.standing && step == "create" {
                cost = cost.charge(name, bucket.cost.max(1));
            } else if times > 0 && bucket.cost > 0 {
                cost = cost.charge(name, times.saturating_mul(bucket.cost));
            }
        }
        costs.push(cost);
    }
    Ok(costs)
}

/// What may follow each write whose answer is lost: what the manifest says, else what its method and
/// the looks that it makes possible allow.
fn repeats(plan: &Plan) -> Repeats {
    let mut repeats = Repeats::default();
    let set = |slot: &mut Repeatable, request: Option<&Request>| {
        if let Some(given) = request.and_then(|request| request.repeats) {
            *slot = given;
        }
    };
    if let Some(a) = &plan.accounts {
        set(&mut repeats.create, a.create.as_ref());
        set(&mut repeats.update, a.update.first());
        set(&mut repeats.set_active, a.suspend.as_ref());
        set(&mut repeats.remove, a.remove.as_ref());
    }
    if let Some(g) = &plan.groups {
        set(&mut repeats.create_group, Some(&g.create));
        set(&mut repeats.update_group, Some(&g.update));
        set(&mut repeats.remove_group, Some(&g.remove));
        set(&mut repeats.change_members, Some(&g.add));
    }
    repeats
}
