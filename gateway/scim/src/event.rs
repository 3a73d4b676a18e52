//! Security events of SCIM resources (RFC 9967): what a token says, and the messages of its delivery by
//! poll (RFC 8936) and push (RFC 8935).
//!
//! A notice names what changed and never a value; a full event holds data and no list of names. There is no way
//! here to build one that holds both (RFC 9967 section 2.4).
use serde_json::{Map, Value, json};

use crate::error::ScimError;

/// What the URIs of SCIM's own events begin with (RFC 9967 section 2).
pub const PREFIX: &str = "urn:ietf:params:scim:event:";
/// The event by which a stream is tried out (OpenID Shared Signals Framework 1.0 section 8.1.4.1).
pub const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
/// Most tokens in one answer to a poll, and how many a poll gets that names no number.
pub const MAX_EVENTS: u64 = 100;
/// Most tokens that one poll may acknowledge, and most that it may refuse.
const MAX_VERDICTS: usize = 1_000;
/// The longest id of a token, in bytes; ours have 32.
const MAX_JTI: usize = 128;
/// The longest error code and description that are kept, in characters.
const MAX_CODE: usize = 64;
const MAX_DESCRIPTION: usize = 300;

/// A kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `feed:add`: a resource that was there before belongs to the feed from now on.
    Add,
    /// `prov:create`.
    Create,
    /// `prov:patch`.
    Patch,
    /// `prov:put`.
    Put,
    /// `prov:delete`.
    Delete,
    /// `prov:activate`.
    Activate,
    /// `prov:deactivate`.
    Deactivate,
    /// `misc:asyncresp`: an asynchronous request is completed.
    Response,
}

impl Kind {
    /// Every kind that is sent. `feed:remove` is not among them: nothing leaves a feed but by its deletion, which
    /// excludes a `feed:remove` (RFC 9967 section 2.4.4).
    pub const ALL: [Self; 8] = [
        Self::Add,
        Self::Create,
        Self::Patch,
        Self::Put,
        Self::Delete,
        Self::Activate,
        Self::Deactivate,
        Self::Response,
    ];

    /// Its name, without prefix and without `:notice` or `:full`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "feed:add",
            Self::Create => "prov:create",
            Self::Patch => "prov:patch",
            Self::Put => "prov:put",
            Self::Delete => "prov:delete",
            Self::Activate => "prov:activate",
            Self::Deactivate => "prov:deactivate",
            Self::Response => "misc:asyncresp",
        }
    }

    /// The kind of a name, with or without the prefix.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.strip_prefix(PREFIX).unwrap_or(word);
        Self::ALL.into_iter().find(|kind| kind.name() == word)
    }

    /// The URIs that events of this kind may have, where changes are told so.
    pub fn uris(self, payload: Payload) -> Vec<String> {
        let name = self.name();
        match (self, payload) {
            (Self::Create | Self::Patch | Self::Put, Payload::Notice) => vec![format!("{PREFIX}{name}:notice")],
            // What is too large to be told in full is told as a notice.
            (Self::Create | Self::Patch | Self::Put, Payload::Full) => {
                vec![format!("{PREFIX}{name}:full"), format!("{PREFIX}{name}:notice")]
            }
            _ => vec![format!("{PREFIX}{name}")],
        }
    }
}

/// How much a stream's events tell of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The names of what changed.
    Notice,
    /// The data.
    Full,
}

/// How a resource changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Create,
    /// By operations.
    Patch,
    /// As a whole.
    Put,
}

impl Change {
    fn kind(self) -> Kind {
        match self {
            Self::Create => Kind::Create,
            Self::Patch => Kind::Patch,
            Self::Put => Kind::Put,
        }
    }
}

/// What is told without any data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It belongs to the feed from now on.
    Add,
    /// It is deleted.
    Delete,
    /// It may be used.
    Activate,
    /// It may not be used any more.
    Deactivate,
}

/// One member of a token's `events`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What it is.
    pub kind: Kind,
    uri: String,
    payload: Map<String, Value>,
}

impl Event {
    /// The names of what changed, as attribute paths.
    pub fn notice(change: Change, attributes: &[String], version: &str) -> Self {
        Self::change(change, "notice", "attributes", json!(attributes), version)
    }

    /// The data of the change: the resource, or the operations of a PATCH.
    pub fn full(change: Change, data: Map<String, Value>, version: &str) -> Self {
        Self::change(change, "full", "data", Value::Object(data), version)
    }

    fn change(change: Change, suffix: &str, name: &str, value: Value, version: &str) -> Self {
        let kind = change.kind();
        let mut payload = Map::new();
        payload.insert("version".into(), version.into());
        payload.insert(name.into(), value);
        Self { kind, uri: format!("{PREFIX}{}:{suffix}", kind.name()), payload }
    }

    /// What needs no data.
    pub fn signal(signal: Signal) -> Self {
        let kind = match signal {
            Signal::Add => Kind::Add,
            Signal::Delete => Kind::Delete,
            Signal::Activate => Kind::Activate,
            Signal::Deactivate => Kind::Deactivate,
        };
        Self { kind, uri: format!("{PREFIX}{}", kind.name()), payload: Map::new() }
    }

    /// The completion of an asynchronous request.
    pub fn response(response: &Response) -> Self {
        let kind = Kind::Response;
        Self { kind, uri: format!("{PREFIX}{}", kind.name()), payload: response.to_json() }
    }

    /// Its URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

/// The `events` claim: several events tell of one change of one resource (RFC 9967 section 2.1).
pub fn events_claim(events: impl IntoIterator<Item = Event>) -> Value {
    Value::Object(events.into_iter().map(|event| (event.uri, Value::Object(event.payload))).collect())
}

/// What became of one request, as a bulk response would say it (RFC 7644 section 3.7.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: String,
    /// The operation's id in its bulk request.
    pub bulk_id: Option<String>,
    /// The resource's URL; none for a POST that failed.
    pub location: Option<String>,
    /// The entity tag, if there is a resource to have one.
    pub version: Option<String>,
    /// The HTTP status of a success, or why it failed.
    pub outcome: Result<u16, ScimError>,
}

impl Response {
    fn to_json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        out.insert("method".into(), self.method.as_str().into());
        let optional = [("bulkId", &self.bulk_id), ("location", &self.location), ("version", &self.version)];
        for (name, value) in optional {
            if let Some(value) = value {
                out.insert(name.into(), value.as_str().into());
            }
        }
        match &self.outcome {
            Ok(status) => {
                out.insert("status".into(), status.to_string().into());
            }
            Err(error) => {
                out.insert("status".into(), error.status.to_string().into());
                out.insert("response".into(), error.to_json());
            }
        }
        out
    }
}

/// The `sub_id` claim: the resource by its path below the base URL (RFC 9967 section 2.1).
pub fn subject(endpoint: &str, id: &str, external_id: Option<&str>) -> Value {
    let mut out = json!({"format": "scim", "uri": format!("/{endpoint}/{id}")});
    if let Some(external_id) = external_id {
        out["externalId"] = external_id.into();
    }
    out
}

/// The claims of one token. There is no `sub`: it would make the token look like one that opens something
/// (RFC 8417 section 3).
#[derive(Debug, Clone, Copy)]
pub struct Token<'a> {
    /// Who says it: the SCIM base URL.
    pub issuer: &'a str,
    /// To whom.
    pub audience: &'a str,
    /// The token's own id; the same whenever it is sent again.
    pub id: &'a str,
    /// The change that it tells of; the same in every token about it.
    pub transaction: &'a str,
    /// When, in seconds since 1970.
    pub at: i64,
    /// See [`subject`].
    pub subject: &'a Value,
    /// See [`events_claim`].
    pub events: &'a Value,
}

impl Token<'_> {
    /// The claims as JSON.
    pub fn claims(&self) -> Value {
        json!({
            "iss": self.issuer,
            "iat": self.at,
            "jti": self.id,
            "aud": [self.audience],
            "txn": self.transaction,
            "sub_id": self.subject,
            "events": self.events,
        })
    }
}

/// What a receiver has against a token (RFC 8935 section 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetError {
    /// The code.
    pub code: String,
    /// Words for people; may be empty.
    pub description: String,
}

impl SetError {
    /// Reads `{"err": …, "description": …}`. Long texts are cut, and nothing but plain text is kept.
    pub fn parse(value: &Value) -> Option<Self> {
        let plain = |text: &str, most: usize| -> String {
            text.chars().filter(|c| !c.is_control()).take(most).collect::<String>().trim().to_owned()
        };
        let code = plain(value.get("err")?.as_str()?, MAX_CODE);
        let description = plain(value.get("description").and_then(Value::as_str).unwrap_or_default(), MAX_DESCRIPTION);
        (!code.is_empty()).then_some(Self { code, description })
    }

    /// Whether the error is in how we and the receiver are set up, so that the same token may pass once a person
    /// has put it right. Any other lies in the token, which would be refused again.
    pub fn is_set_up(&self) -> bool {
        const SET_UP: [&str; 5] =
            ["invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied"];
        SET_UP.contains(&self.code.as_str())
    }
}

/// A poll (RFC 8936 section 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// Most tokens that are wanted; 0 only acknowledges.
    pub max_events: u64,
    /// Whether an empty answer is to come at once.
    pub return_immediately: bool,
    /// Tokens that arrived.
    pub ack: Vec<String>,
    /// Tokens that were refused.
    pub errors: Vec<(String, SetError)>,
}

impl Poll {
    /// Reads a poll. Members that RFC 8936 does not name are passed over.
    ///
    /// # Errors
    /// 400 `invalidSyntax` for what is no poll, `tooMany` beyond 1,000 acknowledgements or errors.
    pub fn parse(body: &Value) -> Result<Self, ScimError> {
        let wrong = |name: &str, is: &str| ScimError::invalid_syntax(format!("{name} of a poll must be {is}."));
        let body = body.as_object().ok_or_else(|| ScimError::invalid_syntax("A poll is a JSON object."))?;
        let get = |name: &str| body.get(name).filter(|value| !value.is_null());
        let max_events = match get("maxEvents") {
            None => MAX_EVENTS,
            Some(value) => value.as_u64().ok_or_else(|| wrong("maxEvents", "a number from 0"))?.min(MAX_EVENTS),
        };
        let return_immediately = match get("returnImmediately") {
            None => false,
            Some(value) => value.as_bool().ok_or_else(|| wrong("returnImmediately", "true or false"))?,
        };
        let mut ack = Vec::new();
        if let Some(value) = get("ack") {
            let list = value.as_array().ok_or_else(|| wrong("ack", "a list of token ids"))?;
            few("ack", list.len())?;
            for item in list {
                ack.push(token_id(item.as_str()).ok_or_else(|| wrong("ack", "a list of token ids"))?);
            }
        }
        let mut errors = Vec::new();
        if let Some(value) = get("setErrs") {
            let is = "an object of token ids, each with an object that has err";
            let map = value.as_object().ok_or_else(|| wrong("setErrs", is))?;
            few("setErrs", map.len())?;
            for (id, error) in map {
                let id = token_id(Some(id)).ok_or_else(|| wrong("setErrs", is))?;
                errors.push((id, SetError::parse(error).ok_or_else(|| wrong("setErrs", is))?));
            }
        }
        Ok(Self { max_events, return_immediately, ack, errors })
    }
}

fn few(name: &str, count: usize) -> Result<(), ScimError> {
    if count > MAX_VERDICTS {
        return Err(ScimError::too_many(format!(
            "{name} holds more than {MAX_VERDICTS} tokens. Send them in several polls."
        )));
    }
    Ok(())
}

fn token_id(text: Option<&str>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text.len() <= MAX_JTI).map(str::to_owned)
}

/// Whether `Prefer` headers ask for an asynchronous answer (RFC 7240 sections 2 and 4.1).
pub fn prefers_async<'a>(headers: impl IntoIterator<Item = &'a str>) -> bool {
    headers.into_iter().flat_map(|header| header.split(',')).any(|preference| {
        let name = preference.split([';', '=']).next().unwrap_or_default().trim();
        name.eq_ignore_ascii_case("respond-async")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uris_are_those_of_the_registry() {
        let mut all: Vec<String> = Kind::ALL.iter().flat_map(|kind| kind.uris(Payload::Full)).collect();
        all.sort();
        let registered = [
            "feed:add",
            "misc:asyncresp",
            "prov:activate",
            "prov:create:full",
            "prov:create:notice",
            "prov:deactivate",
            "prov:delete",
            "prov:patch:full",
            "prov:patch:notice",
            "prov:put:full",
            "prov:put:notice",
        ];
        assert_eq!(all, registered.map(|name| format!("urn:ietf:params:scim:event:{name}")));
        assert!(Kind::ALL.iter().flat_map(|kind| kind.uris(Payload::Notice)).all(|uri| !uri.ends_with(":full")));
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
            assert_eq!(Kind::parse(&format!("{PREFIX}{}", kind.name())), Some(kind));
        }
        assert_eq!((Kind::parse("prov:create:notice"), Kind::parse("feed:remove")), (None, None));
    }

    #[test]
    fn a_notice_has_names_and_no_data_and_a_full_event_data_and_no_names() {
        let data = json!({"userName": "ada"}).as_object().cloned().unwrap();
        for change in [Change::Create, Change::Patch, Change::Put] {
            let notice = events_claim([Event::notice(change, &["name.givenName".to_owned()], "W/\"2\"")]);
            let (uri, payload) = notice.as_object().unwrap().iter().next().unwrap();
            assert!(uri.ends_with(":notice"));
            assert_eq!(payload, &json!({"version": "W/\"2\"", "attributes": ["name.givenName"]}));
            let full = events_claim([Event::full(change, data.clone(), "W/\"2\"")]);
            let (uri, payload) = full.as_object().unwrap().iter().next().unwrap();
            assert!(uri.ends_with(":full"));
            assert_eq!(payload, &json!({"version": "W/\"2\"", "data": {"userName": "ada"}}));
        }
        assert_eq!(
            events_claim([Event::signal(Signal::Delete)]),
            json!({"urn:ietf:params:scim:event:prov:delete": {}})
        );
    }

    #[test]
    fn claims_name_the_subject_by_sub_id_and_never_by_sub() {
        let subject = subject("Users", "2b2f", Some("e1"));
        let events = events_claim([Event::signal(Signal::Deactivate)]);
        let token = Token {
            issuer: "https://g/i/in_1/scim/v2",
            audience: "https://r",
            id: "j",
            transaction: "t",
            at: 7,
            subject: &subject,
            events: &events,
        };
        assert_eq!(
            token.claims(),
            json!({
                "iss": "https://g/i/in_1/scim/v2", "iat": 7, "jti": "j", "aud": ["https://r"], "txn": "t",
                "sub_id": {"format": "scim", "uri": "/Users/2b2f", "externalId": "e1"},
                "events": {"urn:ietf:params:scim:event:prov:deactivate": {}},
            })
        );
    }

    #[test]
    fn a_response_is_one_of_a_bulk_request() {
        let done = Response {
            method: "PUT".into(),
            bulk_id: Some("b".into()),
            location: Some("https://g/Users/1".into()),
            version: Some("W/\"3\"".into()),
            outcome: Ok(200),
        };
        assert_eq!(
            events_claim([Event::response(&done)]),
            json!({"urn:ietf:params:scim:event:misc:asyncresp": {
                "method": "PUT", "bulkId": "b", "location": "https://g/Users/1", "version": "W/\"3\"", "status": "200"}})
        );
        let failed = Response {
            method: "POST".into(),
            bulk_id: None,
            location: None,
            version: None,
            outcome: Err(ScimError::uniqueness("taken")),
        };
        assert_eq!(
            events_claim([Event::response(&failed)]),
            json!({"urn:ietf:params:scim:event:misc:asyncresp": {
                "method": "POST", "status": "409", "response": ScimError::uniqueness("taken").to_json()}})
        );
    }

    #[test]
    fn polls() {
        let check = |body: Value, want: Option<Poll>| assert_eq!(Poll::parse(&body).ok(), want, "{body}");
        let poll =
            |max_events, return_immediately| Poll { max_events, return_immediately, ack: vec![], errors: vec![] };
        check(json!({}), Some(poll(100, false)));
        check(json!({"maxEvents": 0, "returnImmediately": true, "ack": null}), Some(poll(0, true)));
        check(json!({"maxEvents": 5000, "more": 1}), Some(poll(100, false)));
        let error = SetError { code: "invalid_request".into(), description: "no".into() };
        check(
            json!({"ack": ["a", "b"], "setErrs": {"c": {"err": "invalid_request", "description": "n\no"}}}),
            Some(Poll { ack: vec!["a".into(), "b".into()], errors: vec![("c".into(), error)], ..poll(100, false) }),
        );
        for wrong in [
            json!([]),
            json!({"maxEvents": -1}),
            json!({"maxEvents": "5"}),
            json!({"returnImmediately": 1}),
            json!({"ack": "a"}),
            json!({"ack": [1]}),
            json!({"ack": [""]}),
            json!({"ack": ["x".repeat(129)]}),
            json!({"ack": vec!["a"; 1001]}),
            json!({"setErrs": ["a"]}),
            json!({"setErrs": {"a": {}}}),
            json!({"setErrs": {"a": {"err": ""}}}),
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn preferences() {
        let check =
            |headers: &[&str], want: bool| assert_eq!(prefers_async(headers.iter().copied()), want, "{headers:?}");
        check(&[], false);
        check(&["respond-async"], true);
        check(&["return=minimal", "handling=strict, Respond-Async , wait=10"], true);
        check(&["respond-async; foo=bar"], true);
        check(&["return=representation, wait=10"], false);
        check(&["x-respond-async"], false);
        check(&["foo=\"respond-async\""], false);
    }

    proptest! {
        #[test]
        fn reading_a_poll_or_an_error_never_panics(text in "\\PC{0,200}", id in "\\PC{0,140}", n in any::<i64>()) {
            for body in [
                json!(text),
                json!({"maxEvents": n, "ack": [id.clone()], "setErrs": {id.clone(): {"err": text.clone(), "description": id.clone()}}}),
            ] {
                let _ = Poll::parse(&body);
                let _ = SetError::parse(&body);
            }
            prefers_async([text.as_str()]);
        }
    }
}
