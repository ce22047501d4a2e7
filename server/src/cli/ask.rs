//! Asking a running node: one signed request over TLS.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use rustls::ClientConfig;

use super::credentials::KeyPair;
use crate::clock::{Clock as _, SystemClock};
use crate::https::{self, BoxError};

/// How long a node may take for all of it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("{endpoint} is no endpoint: write https://host:port")]
    Endpoint { endpoint: String },
    #[error("no answer from {endpoint}: {cause}; is the node running, and is this its address?")]
    NoAnswer { endpoint: String, cause: String },
    #[error("{endpoint} refuses: {status} {body}")]
    Refused {
        endpoint: String,
        status: StatusCode,
        body: String,
    },
}

impl AskError {
    /// Whether another try may succeed: the node is busy, starts anew, or has no majority.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Endpoint { .. } => false,
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
        }
    }
}

/// Whom to ask, and as whom.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    pub(super) endpoint: &'a str,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) keys: &'a KeyPair,
    pub(super) region: &'a str,
}

/// What is sent along.
enum Asked {
    /// A GET, without a body.
    Nothing,
    /// A POST of this.
    Json(Bytes),
    /// A POST of this to an operation of the API.
    Operation(&'static str, Bytes),
    /// A POST of a form.
    Form(String),
}

impl Asker<'_> {
    /// The body of the answer to a GET of a path.
    ///
    /// # Errors
    /// [`AskError`], with what to look at.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, AskError> {
        self.ask_node(path, Asked::Nothing).await
    }

    /// The body of the answer to a POST of JSON to a path.
    ///
    /// # Errors
    /// [`AskError`], with what to look at.
    pub(super) async fn post(&self, path: &str, json: Bytes) -> Result<Bytes, AskError> {
        self.ask_node(path, Asked::Json(json)).await
    }

    /// The body of the answer of an operation of the API.
    ///
    /// # Errors
    /// [`AskError`], with what to look at.
    pub(super) async fn operation(&self, name: &'static str, json: Bytes) -> Result<Bytes, AskError> {
        self.ask_node("/", Asked::Operation(name, json)).await
    }

    /// Status and body of the answer to a call of the query API of a service.
    ///
    /// # Errors
    /// [`AskError`] when there is none.
    pub(super) async fn call(&self, service: &str, form: String) -> Result<(StatusCode, Bytes), AskError> {
        self.ask("/", service, Asked::Form(form)).await
    }

    async fn ask_node(&self, path: &str, asked: Asked) -> Result<Bytes, AskError> {
        let (status, body) = self.ask(path, "dynamodb", asked).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(AskError::Refused {
            endpoint: self.endpoint.to_owned(),
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    async fn ask(&self, path: &str, service: &str, asked: Asked) -> Result<(StatusCode, Bytes), AskError> {
        let uri = self.uri(path)?;
        let no_answer = |error: BoxError| AskError::NoAnswer {
            endpoint: self.endpoint.to_owned(),
            cause: error.to_string(),
        };
        let request = self.request(&uri, service, asked).map_err(no_answer)?;
        https::send(&uri, Some(&self.tls), request, TIMEOUT)
            .await
            .map_err(no_answer)
    }

    fn uri(&self, path: &str) -> Result<Uri, AskError> {
        let wrong = || AskError::Endpoint {
            endpoint: self.endpoint.to_owned(),
        };
        let endpoint: Uri = self.endpoint.parse().map_err(|_| wrong())?;
        let authority = endpoint.authority().ok_or_else(wrong)?.clone();
        if endpoint.scheme_str() != Some("https") || endpoint.path() != "/" {
            return Err(wrong());
        }
        Uri::builder()
            .scheme("https")
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(|_| wrong())
    }

    /// The request with its signature.
    fn request(&self, uri: &Uri, service: &str, asked: Asked) -> Result<Request<Full<Bytes>>, BoxError> {
        let credentials = Credentials::new(
            &self.keys.access_key_id,
            self.keys.secret.expose(),
            None,
            None,
            "stator",
        );
        let identity = Identity::from(credentials);
        let now_ms = u64::try_from(SystemClock.now_ms())?;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(service)
            .time(UNIX_EPOCH + Duration::from_millis(now_ms))
            .settings(SigningSettings::default())
            .build()?
            .into();
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let target = uri.to_string();
        let amz_target;
        let mut headers = vec![("host", authority)];
        let (method, body) = match asked {
            Asked::Nothing => ("GET", Bytes::new()),
            Asked::Json(json) => ("POST", json),
            Asked::Operation(name, json) => {
                amz_target = format!("DynamoDB_20120810.{name}");
                headers.push(("content-type", "application/x-amz-json-1.0"));
                headers.push(("x-amz-target", &amz_target));
                ("POST", json)
            }
            Asked::Form(form) => {
                headers.push(("content-type", "application/x-www-form-urlencoded"));
                ("POST", form.into())
            }
        };
        let signable = SignableRequest::new(
            method,
            &target,
            headers.iter().copied(),
            SignableBody::Bytes(&body),
        )?;
        let (added, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::builder().method(method).uri(uri.path());
        for (name, value) in headers.into_iter().chain(added.headers()) {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(body))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_may_be_another_one_next_time_is_none_of_the_client() {
        let refused = |status| AskError::Refused {
            endpoint: "https://a:1".to_owned(),
            status,
            body: String::new(),
        };
        assert!(refused(StatusCode::SERVICE_UNAVAILABLE).may_pass());
        assert!(refused(StatusCode::INTERNAL_SERVER_ERROR).may_pass());
        assert!(!refused(StatusCode::BAD_REQUEST).may_pass());
        assert!(!refused(StatusCode::FORBIDDEN).may_pass());
        let endpoint = "a".to_owned();
        assert!(!AskError::Endpoint { endpoint }.may_pass());
    }
}
