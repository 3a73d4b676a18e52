//! A manifest as data, after [`crate::schema`] found its form sound.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A whole manifest.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) needs: Vec<String>,
    #[serde(default)]
    pub(crate) cannot: Vec<String>,
    #[serde(default)]
    pub(crate) unverified: Vec<String>,
    #[serde(default)]
    pub(crate) sources: Vec<String>,
    #[serde(default)]
    pub(crate) limits: Vec<String>,
    pub(crate) base_url: String,
    pub(crate) driver_key: Option<String>,
    #[serde(default)]
    pub(crate) settings: Vec<SettingModel>,
    #[serde(default)]
    pub(crate) secrets: Vec<SecretModel>,
    #[serde(default)]
    pub(crate) auth: Vec<AuthModel>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) error_text: Option<String>,
    #[serde(default)]
    pub(crate) buckets: Vec<BucketModel>,
    #[serde(default)]
    pub(crate) errors: Vec<RuleModel>,
    #[serde(default)]
    pub(crate) maps: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) roles: Vec<RoleModel>,
    pub(crate) default_role: Option<String>,
    #[serde(default)]
    pub(crate) attributes: Vec<AttributeModel>,
    #[serde(default)]
    pub(crate) extensions: Vec<ExtensionModel>,
    pub(crate) probe: ProbeModel,
    pub(crate) accounts: Option<AccountsModel>,
    pub(crate) groups: Option<GroupsModel>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SettingModel {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) help: String,
    #[serde(rename = "type", default)]
    pub(crate) kind: SettingType,
    #[serde(default)]
    pub(crate) values: Vec<String>,
    #[serde(default)]
    pub(crate) identity: bool,
    #[serde(default)]
    pub(crate) required: bool,
    pub(crate) default: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SettingType {
    #[default]
    Text,
    Url,
    Flag,
    Number,
    Choice,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SecretModel {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) help: String,
    #[serde(default = "yes")]
    pub(crate) required: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub(crate) enum AuthModel {
    Bearer {
        secret: String,
        scheme: Option<String>,
    },
    Header {
        header: String,
        secret: String,
        #[serde(default)]
        prefix: String,
    },
    Basic {
        username: String,
        secret: String,
    },
    Query {
        parameter: String,
        secret: String,
    },
    Oauth2 {
        token_url: String,
        client_id: String,
        secret: String,
        #[serde(default)]
        client_in: ClientIn,
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientIn {
    #[default]
    Basic,
    Body,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct BucketModel {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) units: Option<u32>,
    #[serde(default = "minute")]
    pub(crate) per_seconds: u64,
    #[serde(default)]
    pub(crate) gap_ms: u64,
    #[serde(default)]
    pub(crate) at_once: u32,
    #[serde(default)]
    pub(crate) standing: bool,
    #[serde(default)]
    pub(crate) on: Vec<String>,
    #[serde(default)]
    pub(crate) methods: Vec<String>,
    #[serde(default = "one")]
    pub(crate) cost: u32,
    pub(crate) headers: Option<HeadersModel>,
    /// The policy of a structured `RateLimit` header.
    pub(crate) policy: Option<String>,
}

fn minute() -> u64 {
    60
}

fn one() -> u32 {
    1
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct HeadersModel {
    pub(crate) limit: Option<String>,
    pub(crate) remaining: String,
    pub(crate) reset: String,
    pub(crate) dialect: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dialect {
    EpochSeconds,
    EpochMillis,
    SecondsLeft,
    Date,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RuleModel {
    #[serde(default)]
    pub(crate) status: Vec<u16>,
    pub(crate) when: Option<String>,
    #[serde(default)]
    pub(crate) on: Vec<String>,
    pub(crate) kind: Option<KindModel>,
    pub(crate) outcome: Option<OutcomeModel>,
    pub(crate) message: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) wait: Option<WaitModel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KindModel {
    RateLimited,
    Quota,
    Unavailable,
    Credential,
    Permission,
    Refused,
    Incomplete,
    NameTaken,
    NotFound,
    Protected,
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutcomeModel {
    AlreadyThere,
    AlreadyGone,
    Waiting,
    ActionRequired,
    Present,
    Pending,
    Absent,
    Kept,
    Done,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WaitModel {
    pub(crate) header: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) seconds: Option<i64>,
    #[serde(default = "left")]
    pub(crate) dialect: Dialect,
}

fn left() -> Dialect {
    Dialect::SecondsLeft
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RoleModel {
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) privileged: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AttributeModel {
    pub(crate) name: String,
    pub(crate) what: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ExtensionModel {
    pub(crate) resource_type: String,
    pub(crate) description: String,
    pub(crate) attributes: Vec<Value>,
}

/// One request.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RequestModel {
    pub(crate) method: String,
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) json: Option<Value>,
    #[serde(default)]
    pub(crate) form: Option<BTreeMap<String, String>>,
    pub(crate) xml: Option<String>,
    #[serde(default)]
    pub(crate) success: Vec<u16>,
    #[serde(default)]
    pub(crate) errors: Vec<RuleModel>,
    /// Whether a request that is no GET only reads.
    #[serde(default)]
    pub(crate) reads: bool,
    pub(crate) repeats: Option<RepeatsModel>,
    pub(crate) purpose: Option<String>,

    // What its answer holds.
    pub(crate) item: Option<String>,
    pub(crate) items: Option<String>,
    #[serde(rename = "where")]
    pub(crate) keep: Option<String>,
    pub(crate) paging: Option<PagingModel>,
    pub(crate) fields: Option<BTreeMap<String, String>>,
    /// Whether the object is read and lies in `current` before the request is made.
    #[serde(default)]
    pub(crate) read_first: bool,
    #[serde(default)]
    pub(crate) writes: Vec<String>,
    #[serde(default = "yes")]
    pub(crate) look_first: bool,
    /// What is asked before the request is made, and judged in its place where it is no plain success.
    pub(crate) before: Option<Box<RequestModel>>,
    /// The id in an answer that shows nothing else.
    pub(crate) created_id: Option<String>,
    /// What holds of the object where a refusal by status 404 speaks of the member, not of the group.
    #[serde(default = "one_usize")]
    pub(crate) batch: usize,
}

fn one_usize() -> usize {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RepeatsModel {
    Idempotent,
    Verifiable,
    Neither,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub(crate) enum PagingModel {
    Page {
        parameter: String,
        size_parameter: Option<String>,
        size: usize,
        #[serde(default = "first_page")]
        first: u64,
        more: Option<String>,
    },
    Offset {
        parameter: String,
        size_parameter: Option<String>,
        size: usize,
        more: Option<String>,
        most: Option<u64>,
    },
    Cursor {
        parameter: String,
        size_parameter: Option<String>,
        size: Option<usize>,
        next: String,
    },
    Link {
        parameter: String,
        size_parameter: Option<String>,
        size: Option<usize>,
        more: Option<String>,
    },
}

fn first_page() -> u64 {
    1
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ProbeModel {
    #[serde(flatten)]
    pub(crate) request: RequestModel,
    pub(crate) identity: String,
    /// What tells whom the credential speaks for, where the probe's own answer does not.
    pub(crate) who: Option<RequestModel>,
    #[serde(default)]
    pub(crate) checks: Vec<CheckModel>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CheckModel {
    pub(crate) name: String,
    pub(crate) ok: String,
    pub(crate) detail: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct AccountsModel {
    pub(crate) fields: BTreeMap<String, String>,
    /// The login that a person has, or shall have, at the target.
    pub(crate) login: Option<String>,
    /// The name that the person's SAML or SCIM identity has at the target.
    pub(crate) saml_identity: Option<String>,
    #[serde(rename = "match", default)]
    pub(crate) matches: Vec<MatchModel>,
    #[serde(default)]
    pub(crate) requires: Vec<RequiresModel>,
    pub(crate) invites: Option<InvitesModel>,
    #[serde(default = "yes")]
    pub(crate) invitations_end: bool,
    pub(crate) list: RequestModel,
    pub(crate) invitations: Option<RequestModel>,
    pub(crate) find: Option<RequestModel>,
    pub(crate) get: Option<RequestModel>,
    pub(crate) create: Option<RequestModel>,
    #[serde(default)]
    pub(crate) update: Vec<RequestModel>,
    pub(crate) suspend: Option<RequestModel>,
    pub(crate) restore: Option<RequestModel>,
    pub(crate) remove: Option<RequestModel>,
    pub(crate) revoke: Option<RequestModel>,
}

/// Whether a creation invites: always, or as the settings say.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum InvitesModel {
    Fixed(bool),
    By(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MatchModel {
    Saml,
    Email,
    Login,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RequiresModel {
    pub(crate) value: String,
    pub(crate) message: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct GroupsModel {
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) list: RequestModel,
    pub(crate) find: Option<RequestModel>,
    pub(crate) get: Option<RequestModel>,
    pub(crate) create: RequestModel,
    pub(crate) update: RequestModel,
    pub(crate) remove: RequestModel,
    pub(crate) members: RequestModel,
    pub(crate) add_members: RequestModel,
    pub(crate) remove_members: RequestModel,
    #[serde(default)]
    pub(crate) pending_members: bool,
}
