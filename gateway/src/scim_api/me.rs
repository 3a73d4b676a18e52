//! `/Me` (RFC 7644 section 3.11): the User that a person's key belongs to, under another name.

use axum::body::Body;
use http::{Method, header};
use scim::ScimError;

use super::answer::{Answer, Refusal};
use super::render::location;
use super::{Asked, no_endpoint, resources, wrong_verb};

/// Serves `/Me` as an alias. Answers name the true place of the resource.
pub(super) async fn serve(asked: Asked<'_>, body: Body) -> Result<Answer, Refusal> {
    let Some(person) = asked.who.person.clone() else {
        return Err(ScimError::not_implemented(
            "/Me is there for keys that belong to a person; this one belongs to an integration. Use /Users with a filter.",
        )
        .into());
    };
    let instance = asked.who.instance.clone();
    let Some(rt) = instance.registry.user() else { return Err(no_endpoint()) };
    let place = location(&asked.base_url(), rt, &person);
    let answer = match asked.method {
        Method::GET | Method::HEAD => resources::read(asked, rt, &person).await,
        Method::PUT => resources::replace(asked, body, rt, &person).await,
        Method::PATCH => resources::patch(asked, body, rt, &person).await,
        Method::DELETE => resources::delete(asked, rt, &person).await,
        Method::POST => Err(ScimError::not_implemented(
            "Nobody can create themselves through /Me: a key is bound to a User that exists.",
        )
        .into()),
        _ => Err(wrong_verb("GET, HEAD, PUT, PATCH, DELETE")),
    }?;
    Ok(answer.header(header::LOCATION, &place))
}
