//! What an instance says of itself (RFC 7644 section 4).

use scim::discovery::{self, AuthScheme, Options, Pagination};
use scim::quirks::short_schema_id;
use scim::{Quirk, ScimError};

use super::answer::{Answer, Refusal};
use super::{Asked, no_endpoint, wrong_verb};
use crate::service::directory::{CURSOR_TIMEOUT, DEFAULT_PAGE, MAX_PAGE};

/// Discovery is read only, and takes no filter (RFC 7644 section 4).
pub(super) fn guard(asked: &Asked<'_>, get: bool) -> Result<(), Refusal> {
    if !get {
        return Err(wrong_verb("GET, HEAD"));
    }
    if asked.query.iter().any(|(name, _)| name.eq_ignore_ascii_case("filter")) {
        return Err(ScimError::forbidden("Discovery endpoints take no filter.").into());
    }
    Ok(())
}

pub(super) async fn config(asked: &Asked<'_>) -> Result<Answer, Refusal> {
    let mut options = Options::new(asked.base_url());
    options.max_results = MAX_PAGE;
    let config = &asked.app.config;
    options.bulk = Some((config.bulk_max_operations as u64, config.body_limit_group as u64));
    options.pagination =
        Some(Pagination { default_page_size: DEFAULT_PAGE, max_page_size: MAX_PAGE, cursor_timeout: CURSOR_TIMEOUT });
    if asked.quirks.allows(Quirk::BasicKey) {
        options.authentication.push(AuthScheme {
            kind: "httpbasic".into(),
            name: "API key as password".into(),
            description: "A key of this instance as the password of HTTP Basic; the user name does not matter.".into(),
            primary: false,
        });
    }
    options.security_events = asked.app.security_events(&asked.who.instance).await?;
    Ok(Answer::ok(discovery::service_provider_config(&options)))
}

pub(super) fn resource_types(asked: &Asked<'_>, which: Option<&str>) -> Result<Answer, Refusal> {
    let (registry, base) = (&asked.who.instance.registry, asked.base_url());
    match which {
        None => Ok(Answer::ok(discovery::resource_types(registry, &base))),
        Some(name) => {
            let rt = registry.resource_type(name).ok_or_else(no_endpoint)?;
            Ok(Answer::ok(discovery::resource_type_document(rt, &base)))
        }
    }
}

pub(super) fn schemas(asked: &Asked<'_>, which: Option<&str>) -> Result<Answer, Refusal> {
    let (registry, base) = (&asked.who.instance.registry, asked.base_url());
    match which {
        None => Ok(Answer::ok(discovery::schemas(registry, &base))),
        Some(id) => {
            let mut quirks = asked.quirks.clone();
            let schema = short_schema_id::find(registry, id, &mut quirks).ok_or_else(no_endpoint)?;
            asked.learn_quirks(&quirks);
            Ok(Answer::ok(discovery::schema_document(schema, &base)))
        }
    }
}
