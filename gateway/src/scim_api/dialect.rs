//! What a request tells about its client, and what the client's dialect tells about the answer.

use http::{Method, header};
use scim::dialect::{Evidence, Head, Settings, signs_of_body, signs_of_filter, signs_of_head};
use scim::list::ListRequest;
use scim::quirks::{bare_key, basic_key};
use scim::schema::ResourceType;
use scim::{Quirks, ScimError};
use serde_json::Value;

use super::Asked;
use super::answer::Refusal;
use crate::auth::Form;
use crate::service::clients::Spoken;

/// Whether the instance takes keys in this form.
///
/// # Errors
/// 401 if not.
pub(super) fn form_allowed(form: Form, quirks: &mut Quirks) -> Result<(), Refusal> {
    let allowed = match form {
        Form::Bearer => true,
        Form::Basic => basic_key::allow(quirks),
        Form::Bare => bare_key::allow(quirks),
    };
    if allowed {
        return Ok(());
    }
    let error = ScimError::unauthorized(
        "This instance takes its key as a bearer token only (Authorization: Bearer KEY). An admin can switch the other forms on.",
    );
    Err(Refusal::from(error).challenge("Bearer realm=\"scimgate\", error=\"invalid_token\""))
}

impl Asked<'_> {
    /// The dialect in which this request is read.
    pub(super) fn spoken(&self) -> Spoken {
        self.app.clients.spoken(&self.who.key_id, &self.who.instance.policy)
    }

    /// What that dialect means where clients differ.
    pub(super) fn settings(&self) -> Settings {
        self.spoken().settings(&self.who.instance.policy)
    }

    fn learn(&self, evidence: Evidence) {
        self.app.clients.learn(&self.who.key_id, evidence);
    }

    /// Takes note of the head.
    pub(super) fn learn_head(&self) {
        let mut seen = Evidence { used: self.quirks.applied_set(), ..Evidence::default() };
        let bodiless = matches!(self.method, Method::GET | Method::HEAD | Method::DELETE);
        let head = Head {
            // A value that is no text is not empty, and nobody's that we know.
            agent: self.headers.get(header::USER_AGENT).map(|value| value.to_str().unwrap_or("?")),
            type_without_body: bodiless && self.headers.contains_key(header::CONTENT_TYPE),
            query: &self.query,
        };
        signs_of_head(&head, &mut seen);
        self.learn(seen);
    }

    /// Takes note of a body.
    pub(super) fn learn_body(&self, body: &Value) {
        let mut seen = Evidence::default();
        signs_of_body(body, self.method == Method::POST, &mut seen);
        self.learn(seen);
    }

    /// Takes note of the units that a request used.
    pub(super) fn learn_quirks(&self, quirks: &Quirks) {
        self.learn(Evidence { used: quirks.applied_set(), ..Evidence::default() });
    }

    /// Takes note of a query, and checks its filter with what the instance allows.
    ///
    /// # Errors
    /// 400 `invalidFilter`.
    pub(super) fn learn_query(
        &self,
        request: &ListRequest,
        rt: &ResourceType,
        quirks: &mut Quirks,
    ) -> Result<(), ScimError> {
        let mut seen = Evidence::default();
        if let Some(filter) = &request.filter {
            scim::filter::check_with(filter, rt, quirks)?;
            signs_of_filter(filter, &mut seen);
        }
        seen.used = quirks.applied_set();
        self.learn(seen);
        Ok(())
    }
}
