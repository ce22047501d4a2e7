//! Asking a running node: one signed request over TLS.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::credentials::KeyPair;
use crate::clock::{Clock as _, SystemClock};

/// How long a node may take for all of it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

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
        status: http::StatusCode,
        body: String,
    },
}

/// Whom to ask, and as whom.
#[derive(Debug)]
pub(super) struct Asker<'a> {
    pub(super) endpoint: &'a str,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) keys: &'a KeyPair,
    pub(super) region: &'a str,
}

impl Asker<'_> {
    /// The body of the answer to a GET of a path.
    ///
    /// # Errors
    /// [`AskError`], with what to look at.
    pub(super) async fn get(&self, path: &str) -> Result<Bytes, AskError> {
        let (status, body) = self.ask(path, "dynamodb", None).await?;
        if status.is_success() {
            return Ok(body);
        }
        Err(AskError::Refused {
            endpoint: self.endpoint.to_owned(),
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Status and body of the answer to a call of the query API of a service.
    ///
    /// # Errors
    /// [`AskError`] when there is none.
    pub(super) async fn call(
        &self,
        service: &str,
        form: String,
    ) -> Result<(http::StatusCode, Bytes), AskError> {
        self.ask("/", service, Some(form)).await
    }

    async fn ask(
        &self,
        path: &str,
        service: &str,
        form: Option<String>,
    ) -> Result<(http::StatusCode, Bytes), AskError> {
        let uri = self.uri(path)?;
        let no_answer = |cause: String| AskError::NoAnswer {
            endpoint: self.endpoint.to_owned(),
            cause,
        };
        let answer = tokio::time::timeout(TIMEOUT, self.exchange(&uri, service, form));
        answer
            .await
            .map_err(|_| no_answer(format!("it took longer than {} s", TIMEOUT.as_secs())))?
            .map_err(|error| no_answer(error.to_string()))
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

    async fn exchange(
        &self,
        uri: &Uri,
        service: &str,
        form: Option<String>,
    ) -> Result<(http::StatusCode, Bytes), BoxError> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender; what goes wrong on it is told where the answer is missing.
        tokio::spawn(connection);
        let answer = sender.send_request(self.request(uri, service, form)?).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await?;
        Ok((status, body.to_bytes()))
    }

    /// The request with its signature: a GET, or a POST of a form.
    fn request(
        &self,
        uri: &Uri,
        service: &str,
        form: Option<String>,
    ) -> Result<Request<Full<Bytes>>, BoxError> {
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
        let (method, content_type) = match form {
            Some(_) => ("POST", Some("application/x-www-form-urlencoded")),
            None => ("GET", None),
        };
        let body = Bytes::from(form.unwrap_or_default());
        let headers = [("host", authority)]
            .into_iter()
            .chain(content_type.map(|content_type| ("content-type", content_type)));
        let signable = SignableRequest::new(method, &target, headers.clone(), SignableBody::Bytes(&body))?;
        let (added, _) = sign(signable, &parameters)?.into_parts();
        let mut request = Request::builder().method(method).uri(uri.path());
        for (name, value) in headers.chain(added.headers()) {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(body))?)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
