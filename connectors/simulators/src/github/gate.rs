//! What every call goes through: headers, authentication, limits, and the headers of the answer.

use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::Bytes;
use http::header::{AUTHORIZATION, ETAG, HOST, HeaderMap, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use jiff::Timestamp;

use super::errors::Reply;
use super::limits::Resource;
use super::{Caller, Cx, GitHub, ORG, Role, Sso};
use crate::Limits;

/// Versions of the REST API, newest last. Without the header the oldest is meant.
pub(super) const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];

impl GitHub {
    pub(super) fn serve(&mut self, request: &Request<Bytes>, now: Timestamp) -> Response<Bytes> {
        self.calls += 1;
        self.settle(now);
        let headers = request.headers();
        let resource = Resource::of(request.uri().path());
        let mut counted = false;
        let reply = self.admit(request, now, resource, &mut counted);
        let mut response = match reply {
            Ok(cx) => match self.route(&cx) {
                Ok(reply) | Err(reply) => reply.into_response(),
            },
            Err(reply) => reply.into_response(),
        };
        if request.method() == Method::GET {
            let fresh = not_modified(headers, &mut response);
            if fresh && counted {
                self.meter.refund(resource);
            }
        }
        self.stamp(headers, &mut response, resource, now);
        response
    }

    /// Everything that comes before the work. `counted` tells whether the call was charged.
    fn admit<'a>(
        &mut self,
        request: &'a Request<Bytes>,
        now: Timestamp,
        resource: Resource,
        counted: &mut bool,
    ) -> Result<Cx<'a>, Reply> {
        let headers = request.headers();
        if headers.get(USER_AGENT).is_none_or(HeaderValue::is_empty) {
            return Err(Reply::forbidden(
                "Request forbidden by administrative rules. Please make sure your request has a \
                 User-Agent header.",
            ));
        }
        if let Some(version) = headers.get("x-github-api-version")
            && !VERSIONS.iter().any(|known| version == *known)
        {
            return Err(Reply::error(
                StatusCode::BAD_REQUEST,
                "The version of the API that X-GitHub-Api-Version names is not supported.",
            ));
        }
        let caller = self.authenticate(request, now)?;
        if self.limits == Limits::Real && resource != Resource::Free {
            let style = &self.knobs.rate;
            self.meter.charge(resource, request.method(), now, style)?;
            *counted = true;
        }
        let path = request.uri().path();
        let query = request.uri().query().unwrap_or_default();
        let cx = Cx {
            method: request.method(),
            path,
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            body: request.body(),
            base: base(request),
            now: Timestamp::from_second(now.as_second()).unwrap_or(now),
            caller,
        };
        if caller == Caller::Account
            && self.knobs.sso == Sso::Required
            && (path.starts_with("/orgs/")
                || path.starts_with("/organizations/")
                || path.starts_with("/teams/")
                || path == "/graphql")
        {
            let url = format!("{}/orgs/{ORG}/sso?authorization_request=simulated", cx.base);
            return Err(Reply::forbidden(
                "Resource protected by organization SAML enforcement. You must grant your \
                 Personal Access token access to this organization.",
            )
            .with("x-github-sso", format!("required; url={url}")));
        }
        Ok(cx)
    }

    fn authenticate(&mut self, request: &Request<Bytes>, now: Timestamp) -> Result<Caller, Reply> {
        let credential = request
            .headers()
            .get(AUTHORIZATION)
            .ok_or_else(|| Reply::unauthorized("Requires authentication"))?
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token"))
            .map(|(_, credential)| credential.trim())
            .ok_or_else(|| Reply::unauthorized("Bad credentials"))?;
        if credential == super::TOKEN {
            if self.knobs.revoked {
                return Err(Reply::unauthorized("Bad credentials"));
            }
            return Ok(Caller::Account);
        }
        if credential.starts_with("ghs_") {
            return self
                .auth
                .installation(credential, now)
                .map(|writes| Caller::Installation { writes })
                .ok_or_else(|| Reply::unauthorized("Bad credentials"));
        }
        if credential.bytes().filter(|&b| b == b'.').count() == 2 {
            return self.auth.app(credential, now).map(|()| Caller::App);
        }
        Err(Reply::unauthorized("Bad credentials"))
    }

    /// The caller's standing in the organisation; `None` if it is not in it. An installation that
    /// may write members has an owner's rights here.
    pub(super) fn standing(&self, caller: Caller) -> Option<Role> {
        match caller {
            Caller::Account => self.members.get(&self.me).copied(),
            Caller::Installation { .. } => Some(Role::Admin),
            Caller::App => None,
        }
    }

    /// The caller must be an owner whose credential may write. GitHub says "Not Found" where even
    /// the existence is nobody else's business (`hide`).
    pub(super) fn owner_writes(&self, cx: &Cx<'_>, hide: bool) -> Result<(), Reply> {
        match cx.caller {
            Caller::Installation { writes: false } => {
                return Err(Reply::forbidden("Resource not accessible by integration"));
            }
            Caller::Installation { writes: true } => return Ok(()),
            Caller::App => return Err(Reply::not_found()),
            Caller::Account => {}
        }
        if self.knobs.has_scope("admin:org") && self.standing(cx.caller) == Some(Role::Admin) {
            return Ok(());
        }
        Err(if hide { Reply::not_found() } else { Reply::forbidden("You must be an organization owner to do this.") })
    }

    /// The caller must be an owner, or an app that may see members; else it is "Not Found".
    pub(super) fn owner_reads(&self, cx: &Cx<'_>) -> Result<(), Reply> {
        match cx.caller {
            Caller::Installation { .. } => Ok(()),
            Caller::Account | Caller::App => self.owner_writes(cx, true),
        }
    }

    /// The caller must be in the organisation and may read it.
    pub(super) fn member_reads(&self, cx: &Cx<'_>) -> Result<(), Reply> {
        if cx.caller == Caller::Account && !self.knobs.has_scope("read:org") && !self.knobs.has_scope("admin:org") {
            return Err(Reply::forbidden("You must have the read:org scope to see this organization."));
        }
        match self.standing(cx.caller) {
            Some(_) => Ok(()),
            None => Err(Reply::forbidden("You must be a member of the organization to see this.")),
        }
    }

    /// The headers that every answer has.
    fn stamp(&self, request: &HeaderMap, response: &mut Response<Bytes>, resource: Resource, now: Timestamp) {
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        };
        put("x-github-request-id", format!("51AB:{:04X}:{:08X}", self.calls >> 16 & 0xffff, self.calls));
        let selected = request
            .get("x-github-api-version")
            .and_then(|v| v.to_str().ok())
            .filter(|v| VERSIONS.contains(v))
            .unwrap_or(VERSIONS[0]);
        put("x-github-api-version-selected", selected.to_owned());
        put("x-github-media-type", "github.v3; format=json".to_owned());
        let classic = request.get(AUTHORIZATION).is_some_and(|v| v.as_bytes().ends_with(super::TOKEN.as_bytes()));
        if classic && !self.knobs.revoked {
            put("x-oauth-scopes", self.knobs.scopes.join(", "));
            put("x-accepted-oauth-scopes", "admin:org, read:org, repo, user, write:org".to_owned());
        }
        if self.limits == Limits::Real && resource != Resource::Free {
            for (name, value) in self.meter.headers(resource, now) {
                put(name, value);
            }
        }
    }
}

/// Scheme and host as the client named them: links lead back to the same origin.
fn base(request: &Request<Bytes>) -> String {
    let scheme = request.uri().scheme_str().unwrap_or("http");
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let host = request.headers().get(HOST).and_then(|h| h.to_str().ok());
    format!("{scheme}://{}", authority.or(host).unwrap_or("localhost"))
}

/// Gives a good answer its `ETag`, and empties it if the client has it already.
fn not_modified(request: &HeaderMap, response: &mut Response<Bytes>) -> bool {
    if response.status() != StatusCode::OK {
        return false;
    }
    let mut hasher = DefaultHasher::new();
    response.body().hash(&mut hasher);
    let tag = format!("W/\"{:016x}\"", hasher.finish());
    let known = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|t| t.trim().trim_start_matches("W/") == tag.trim_start_matches("W/"));
    if let Ok(value) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, value);
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Bytes::new();
        response.headers_mut().remove(http::header::CONTENT_TYPE);
    }
    known
}
