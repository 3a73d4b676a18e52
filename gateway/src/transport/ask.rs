//! A question to a server that the operator named: a provider of identities. It is no target, so it has no budget; what it
//! is asked is asked by a person who waits.

use bytes::{Bytes, BytesMut};
use connector_sdk::Reply;
use http::{HeaderMap, Method};
use url::Url;

use super::{Http, causes, last_cause, refusal};

impl Http {
    /// One request and its answer, of at most `max_answer_bytes` of the client's options. Redirects are not followed.
    ///
    /// # Errors
    /// No answer came, or too long a one: why, in words for the log, without the URL.
    pub(crate) async fn ask(&self, method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Result<Reply, String> {
        let lost = |error: reqwest::Error| match refusal(&error) {
            Some(why) => format!("it may not be called: {why}"),
            None if error.is_timeout() => format!("no answer within {} s", self.options.call_timeout.as_secs()),
            None => {
                let error = error.without_url();
                tracing::debug!(error = %causes(&error), "a provider of identities was not reached");
                last_cause(&error)
            }
        };
        let mut response = self.client.request(method, url).headers(headers).body(body).send().await.map_err(lost)?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut read = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if read.len() + chunk.len() > self.options.max_answer_bytes {
                return Err(format!("it answered {status} with more than {} bytes", self.options.max_answer_bytes));
            }
            read.extend_from_slice(&chunk);
        }
        Ok(Reply::new(status, headers, read.freeze(), self.clock.now()))
    }
}
