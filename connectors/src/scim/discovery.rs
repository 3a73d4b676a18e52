//! What a server says that it can do: /ServiceProviderConfig, /ResourceTypes and /Schemas (RFC 7644 section 4).

use std::collections::BTreeMap;
use std::sync::Arc;

use connector_sdk::{Cx, Fault};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::client::{Answer, Client, odd};
use crate::shared::answer::Refused;

/// The core schema of people (RFC 7643 section 8.7.1).
pub(super) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The core schema of groups.
pub(super) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// How long what the server said is believed.
const HOLDS: SignedDuration = SignedDuration::from_secs(3_600);
/// How long it is believed that the server says nothing.
const SILENCE_HOLDS: SignedDuration = SignedDuration::from_secs(300);
/// Attributes of one schema that are read.
const MOST_ATTRIBUTES: usize = 500;

/// One attribute that a schema declares (RFC 7643 section 7).
#[derive(Clone, Debug, Default)]
pub(crate) struct Attribute {
    pub(super) name: String,
    pub(super) multi: bool,
    pub(super) required: bool,
    /// `readOnly`: the server's own.
    pub(super) read_only: bool,
    /// `immutable`: set once.
    pub(super) immutable: bool,
    /// Sub-attributes by their name in lower case; empty: not complex, or not told.
    pub(super) sub: Attributes,
}

/// Attributes by their name in lower case.
pub(crate) type Attributes = BTreeMap<String, Attribute>;

impl Attribute {
    /// An attribute that is read and written, with these parts.
    pub(crate) fn of(name: &str, sub: impl IntoIterator<Item = Self>) -> Self {
        Self { name: name.to_owned(), sub: attributes_of(sub), ..Self::default() }
    }

    /// Makes it required.
    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Makes it a list.
    pub(crate) fn multi(mut self) -> Self {
        self.multi = true;
        self
    }
}

/// Attributes by their name.
pub(crate) fn attributes_of(all: impl IntoIterator<Item = Attribute>) -> Attributes {
    all.into_iter().map(|one| (one.name.to_ascii_lowercase(), one)).collect()
}

/// One kind of resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    /// The path below the base.
    pub(super) endpoint: Vec<String>,
    /// The core schema's attributes; `None` where the server does not declare them.
    pub(super) core: Option<Attributes>,
    /// Extensions: the URN as the server writes it, by the URN in lower case.
    pub(super) extensions: BTreeMap<String, (String, Attributes)>,
}

impl Served {
    /// A core attribute, by its name; `None` where it is not declared or nothing is.
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.core.as_ref()?.get(&name.to_ascii_lowercase())
    }
}

/// What a server offers.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) patch: bool,
    pub(super) filter: bool,
    pub(super) etag: bool,
    /// Operations of one bulk request; 0: there is none.
    pub(super) bulk: usize,
    /// Cursors (RFC 9865).
    pub(super) cursor: bool,
    /// The largest page, where the server says so (`filter.maxResults`, `pagination.maxPageSize`).
    pub(super) most: Option<usize>,
    pub(super) users: Served,
    /// `None` where the server has no groups.
    pub(super) groups: Option<Served>,
    /// What of it the server told.
    pub(super) told: bool,
}

/// What was discovered, kept for a while.
#[derive(Default)]
pub(crate) struct Discovery {
    held: Mutex<Option<(Arc<Offer>, Timestamp)>>,
}

impl Discovery {
    /// What the server offers, as it says or was found to be.
    ///
    /// # Errors
    /// As the calls. A server that has no discovery is taken to offer what the settings say.
    pub(super) async fn offer(&self, cx: &Cx<'_>, client: &Client) -> Result<Arc<Offer>, Fault> {
        let mut held = self.held.lock().await;
        if let Some((offer, until)) = &*held
            && cx.now < *until
        {
            return Ok(Arc::clone(offer));
        }
        let offer = Arc::new(if client.dialect.discovery { read(cx, client).await? } else { assumed(client) });
        let holds = if offer.told { HOLDS } else { SILENCE_HOLDS };
        *held = Some((Arc::clone(&offer), cx.now + holds));
        Ok(offer)
    }

    /// The server answered that it cannot PATCH, whatever it says of itself.
    pub(super) async fn without_patch(&self, cx: &Cx<'_>, offer: &Offer) -> Arc<Offer> {
        let offer = Arc::new(Offer { patch: false, ..offer.clone() });
        *self.held.lock().await = Some((Arc::clone(&offer), cx.now + HOLDS));
        offer
    }

    /// Forgets what is known, so that a probe sees what is there now.
    pub(super) async fn forget(&self) {
        *self.held.lock().await = None;
    }
}

/// What is taken for granted where a server says nothing.
fn assumed(client: &Client) -> Offer {
    let dialect = &client.dialect;
    let (people, teams) = match dialect.declared {
        Some(declared) => {
            let (people, teams) = declared();
            (Some(people), Some(teams))
        }
        None => (None, None),
    };
    let served = |name: &str, core| Served { endpoint: vec![name.to_owned()], core, extensions: BTreeMap::new() };
    Offer {
        patch: dialect.patch.settle(None),
        filter: dialect.filter.settle(None),
        etag: false,
        bulk: 0,
        cursor: false,
        most: None,
        users: served("Users", people),
        groups: dialect.groups.then(|| served("Groups", teams)),
        told: false,
    }
}

async fn read(cx: &Cx<'_>, client: &Client) -> Result<Offer, Fault> {
    let mut offer = assumed(client);
    let Some(config) = document(cx, client, "get service provider config", "ServiceProviderConfig").await? else {
        return Ok(offer);
    };
    offer.told = true;
    let supported = |name: &str| config.get(name).map(|feature| truth(feature.get("supported")).unwrap_or(false));
    offer.patch = client.dialect.patch.settle(supported("patch"));
    offer.filter = client.dialect.filter.settle(supported("filter"));
    offer.etag = supported("etag").unwrap_or(false);
    let number = |feature: &str, name: &str| {
        config.get(feature).and_then(|feature| feature[name].as_u64()).and_then(|n| usize::try_from(n).ok())
    };
    if supported("bulk") == Some(true) {
        offer.bulk = number("bulk", "maxOperations").unwrap_or(0);
    }
    let pagination = config.get("pagination");
    let pages = |name: &str| pagination.and_then(|pages| truth(pages.get(name)));
    // Where both are offered, a cursor loses nobody while others come and go.
    offer.cursor = pages("cursor").unwrap_or(false);
    offer.most =
        number("pagination", "maxPageSize").or_else(|| number("filter", "maxResults")).filter(|most| *most > 0);
    if let Some(types) = list(cx, client, "get resource types", "ResourceTypes").await? {
        let schemas = list(cx, client, "get schemas", "Schemas").await?;
        place(client, &mut offer, &types, schemas.as_deref());
    }
    Ok(offer)
}

/// Puts resource types and schemas into an offer.
fn place(client: &Client, offer: &mut Offer, types: &[Value], schemas: Option<&[Value]>) {
    let known: BTreeMap<String, (String, Attributes)> = schemas
        .unwrap_or_default()
        .iter()
        .filter_map(|schema| {
            let id = schema["id"].as_str()?;
            Some((id.to_ascii_lowercase(), (id.to_owned(), attributes(&schema["attributes"], 0))))
        })
        .collect();
    let served = |name: &str, core: &str, usual: &str| {
        let found = types.iter().find(|one| {
            one["schema"].as_str().is_some_and(|schema| schema.eq_ignore_ascii_case(core))
                || one["name"].as_str().is_some_and(|given| given.eq_ignore_ascii_case(name))
        })?;
        let mut served = Served { endpoint: endpoint(client, found["endpoint"].as_str(), usual), ..Served::default() };
        let schema = found["schema"].as_str().unwrap_or(core).to_ascii_lowercase();
        served.core = known.get(&schema).map(|(_, attributes)| attributes.clone()).filter(|all| !all.is_empty());
        for extension in found["schemaExtensions"].as_array().into_iter().flatten() {
            let urn = extension["schema"].as_str().unwrap_or_default().to_ascii_lowercase();
            if let Some(declared) = known.get(&urn) {
                served.extensions.insert(urn, declared.clone());
            }
        }
        Some(served)
    };
    if let Some(users) = served("User", USER, "Users") {
        offer.users = users;
    }
    if offer.groups.is_some() && !types.is_empty() {
        offer.groups = served("Group", GROUP, "Groups");
    }
}

/// The path of a resource type below the base. Some servers give a whole URL; it is believed as far as it lies below
/// the base, for a credential goes nowhere else.
fn endpoint(client: &Client, told: Option<&str>, usual: &str) -> Vec<String> {
    let told = told.unwrap_or_default();
    let path = match url::Url::parse(told) {
        Ok(url) => url.path().to_owned(),
        Err(_) => told.to_owned(),
    };
    let base = client.base.path().trim_end_matches('/');
    let below = path.strip_prefix(base).filter(|_| !base.is_empty()).unwrap_or(&path);
    let parts: Vec<String> = below.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let sound = !parts.is_empty() && parts.len() <= 4 && parts.iter().all(|part| part != "." && part != "..");
    if sound { parts } else { vec![usual.to_owned()] }
}

fn attributes(list: &Value, depth: usize) -> Attributes {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default().iter().take(MOST_ATTRIBUTES);
    all.filter_map(|one| {
        let name = one["name"].as_str()?.to_owned();
        let mutability = one["mutability"].as_str().unwrap_or_default();
        let attribute = Attribute {
            multi: truth(one.get("multiValued")).unwrap_or(false),
            required: truth(one.get("required")).unwrap_or(false),
            read_only: mutability.eq_ignore_ascii_case("readOnly"),
            immutable: mutability.eq_ignore_ascii_case("immutable"),
            sub: if depth == 0 { attributes(&one["subAttributes"], 1) } else { Attributes::new() },
            name,
        };
        Some((attribute.name.to_ascii_lowercase(), attribute))
    })
    .collect()
}

/// A boolean, also where it is written as text (`"True"`).
pub(super) fn truth(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// One discovery document; `None` where the server has none.
async fn document(
    cx: &Cx<'_>,
    client: &Client,
    name: &'static str,
    path: &str,
) -> Result<Option<Map<String, Value>>, Fault> {
    match client.send(cx, client.call(name, Method::GET, &[path])).await? {
        Answer::Yes(success) => Ok(Some(success.json()?)),
        Answer::No(refusal) if refusal.absent() || refusal.unsupported() => Ok(None),
        Answer::No(refusal) => Err(refusal.fault()),
    }
}

/// What a discovery list holds; `None` where the server has none. Some answer a bare list.
async fn list(cx: &Cx<'_>, client: &Client, name: &'static str, path: &str) -> Result<Option<Vec<Value>>, Fault> {
    match client.send(cx, client.call(name, Method::GET, &[path])).await? {
        Answer::Yes(success) => match success.json::<Value>()? {
            Value::Array(items) => Ok(Some(items)),
            Value::Object(mut whole) => match whole.remove("Resources") {
                Some(Value::Array(items)) => Ok(Some(items)),
                None if whole.contains_key("totalResults") => Ok(Some(Vec::new())),
                _ => Err(odd(&success, "no list of resources")),
            },
            _ => Err(odd(&success, "no list")),
        },
        Answer::No(refusal) if refusal.absent() || refusal.unsupported() => Ok(None),
        Answer::No(refusal) => Err(refusal.fault()),
    }
}
