//! Posting to a receiver of security events or alerts: under the guards of every call, without a connector's budget. A receiver
//! has no limits that we know of, and its deliveries follow one another.

use connector_sdk::Reply;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{Http, causes, check_url, last_cause, refusal};

/// The longest answer of a receiver that is read, in bytes: it holds an error code at most.
const MAX_ANSWER: usize = 16 * 1024;

/// What came back.
pub(crate) type Receipt = Reply;

impl Http {
    /// Posts a body. Whatever fails is told in words for the admin, without the URL and what was sent.
    pub(crate) async fn post(
        &self,
        url: &str,
        kind: &'static str,
        accept: &'static str,
        authorization: Option<&SecretString>,
        body: String,
    ) -> Result<Receipt, String> {
        let mut headers = HeaderMap::new();
        let named: [(HeaderName, &'static str); 2] = [(header::CONTENT_TYPE, kind), (header::ACCEPT, accept)];
        for (name, value) in named {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(secret) = authorization {
            let mut value = HeaderValue::from_str(secret.expose_secret())
                .map_err(|_| "The stream's authorization cannot be sent. Give it again.".to_owned())?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        self.deliver(url, "endpoint_url", headers, body).await
    }

    /// Posts a body under these headers. `field` is what an admin knows the URL by.
    pub(crate) async fn deliver(
        &self,
        url: &str,
        field: &'static str,
        headers: HeaderMap,
        body: String,
    ) -> Result<Receipt, String> {
        let url = Url::parse(url).map_err(|_| format!("The {field} is no URL."))?;
        let refused = |why| {
            format!(
                "The receiver may not be called: {why}. Change {field}; for a private network the operator sets SCIMGATE_ALLOW_PRIVATE_TARGETS."
            )
        };
        check_url(&url, self.options.allow_private).map_err(refused)?;
        let lost = |error: reqwest::Error| {
            if let Some(why) = refusal(&error) {
                return refused(why);
            }
            let (timed_out, connecting) = (error.is_timeout(), error.is_connect());
            let error = error.without_url();
            tracing::debug!(error = %causes(&error), "a message could not be delivered");
            if timed_out && !connecting {
                return format!(
                    "The receiver did not answer within {} seconds.",
                    self.options.call_timeout.as_secs_f32()
                );
            }
            format!("The receiver could not be reached: {}.", last_cause(&error))
        };
        let mut response = self.client.post(url).headers(headers).body(body).send().await.map_err(lost)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut read = bytes::BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if read.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("The receiver answered {status} with more than {MAX_ANSWER} bytes."));
            }
            read.extend_from_slice(&chunk);
        }
        let at: Timestamp = self.clock.now();
        Ok(Reply::new(status, headers, read.freeze(), at))
    }
}
