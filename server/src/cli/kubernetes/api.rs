//! Kubernetes' API, as the service account of a pod may ask it: objects by their paths.
//!
//! Source: Kubernetes documentation, "Accessing the Kubernetes API from a Pod": where token, authority and namespace lie, and
//! which variables name the server. Not here: what objects mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use rustls::ClientConfig;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::https;
use crate::tls;

/// Where a pod finds what it needs to ask.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why Kubernetes did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(
        "{}: {cause}; run this in a pod whose service account has a token (automountServiceAccountToken)",
        path.display()
    )]
    Account { path: PathBuf, cause: String },
    #[error(
        "the variables KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; run this in a pod"
    )]
    NoServer,
    #[error("no answer from Kubernetes at {server}: {cause}")]
    NoAnswer { server: String, cause: String },
    #[error(
        "Kubernetes refuses to {method} {path}: {status} {message}; see the role of the pod's service account"
    )]
    Refused {
        method: Method,
        path: String,
        status: StatusCode,
        message: String,
    },
}

impl ApiError {
    /// Whether another try may succeed: the server starts anew or is busy.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Account { .. } | Self::NoServer => false,
            Self::NoAnswer { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }
}

/// Kubernetes' API server.
pub(super) struct Api {
    server: String,
    tls: Option<Arc<ClientConfig>>,
    token: Zeroizing<String>,
    /// The namespace of the pod.
    pub(super) namespace: String,
}

impl Api {
    /// The one that runs this pod.
    ///
    /// # Errors
    /// [`ApiError::Account`], [`ApiError::NoServer`] outside of a pod.
    pub(super) fn of_pod() -> Result<Self, ApiError> {
        let variable = |name: &str| std::env::var(name).map_err(|_| ApiError::NoServer);
        let (host, port) = (
            variable("KUBERNETES_SERVICE_HOST")?,
            variable("KUBERNETES_SERVICE_PORT")?,
        );
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        Self::of_account(Path::new(ACCOUNT), format!("https://{host}:{port}"))
    }

    /// A server that is asked with the token in a folder.
    pub(super) fn of_account(account: &Path, server: String) -> Result<Self, ApiError> {
        let failed = |path: PathBuf| move |cause: String| ApiError::Account { path, cause };
        let read = |name: &str| {
            let path = account.join(name);
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            text.map_err(failed(path))
        };
        let tls = if server.starts_with("https://") {
            let authority = tls::client(read("ca.crt")?.as_bytes());
            Some(authority.map_err(|error| failed(account.join("ca.crt"))(error.to_string()))?)
        } else {
            None
        };
        Ok(Self {
            server,
            tls,
            token: Zeroizing::new(read("token")?.trim().to_owned()),
            namespace: read("namespace")?.trim().to_owned(),
        })
    }

    /// An object; `None` when it is not there.
    ///
    /// # Errors
    /// [`ApiError::NoAnswer`], [`ApiError::Refused`].
    pub(super) async fn get(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.send(Method::GET, path, None).await {
            Ok(object) => Ok(Some(object)),
            Err(ApiError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an object in the collection of a path.
    ///
    /// # Errors
    /// As [`Api::get`]; also when it is there already.
    pub(super) async fn create(&self, path: &str, object: &Value) -> Result<(), ApiError> {
        self.send(Method::POST, path, Some(object)).await.map(drop)
    }

    /// Replaces the object of a path.
    ///
    /// # Errors
    /// As [`Api::get`]; also when it has changed since the version that the object names, if it names one.
    pub(super) async fn replace(&self, path: &str, object: &Value) -> Result<(), ApiError> {
        self.send(Method::PUT, path, Some(object)).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, object: Option<&Value>) -> Result<Value, ApiError> {
        let no_answer = |cause: String| ApiError::NoAnswer {
            server: self.server.clone(),
            cause,
        };
        let uri: Uri = format!("{}{path}", self.server)
            .parse()
            .map_err(|_| no_answer("this is no address".to_owned()))?;
        let mut token = HeaderValue::try_from(format!("Bearer {}", self.token.as_str()))
            .map_err(|_| no_answer("the token has characters that no token has".to_owned()))?;
        token.set_sensitive(true);
        let body = object.map(|object| Bytes::from(object.to_string()));
        let request = Request::builder()
            .method(method.clone())
            .uri(uri.path())
            .header("host", uri.authority().map_or("", http::uri::Authority::as_str))
            .header("authorization", token)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| no_answer(error.to_string()))?;
        let answer = https::send(&uri, self.tls.as_ref(), request, TIMEOUT).await;
        let (status, body) = answer.map_err(|error| no_answer(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let message = answer["message"].as_str().unwrap_or("no reason given");
        Err(ApiError::Refused {
            method,
            path: path.to_owned(),
            status,
            message: message.replace(char::is_control, " "),
        })
    }
}

/// A server that keeps objects, for tests.
#[cfg(test)]
pub(super) mod fake {
    use std::collections::BTreeMap;

    use axum::Router;
    use axum::body::Bytes;
    use axum::extract::State;
    use axum::response::{IntoResponse as _, Response};
    use http::HeaderMap;
    use parking_lot::Mutex;
    use serde_json::json;
    use tempfile::TempDir;
    use tokio::net::TcpListener;

    use super::*;

    /// The objects, by path, and which requests there were.
    #[derive(Default)]
    pub(crate) struct Objects {
        pub(crate) kept: Mutex<BTreeMap<String, Value>>,
        pub(crate) asked: Mutex<Vec<String>>,
    }

    async fn answer(
        State(objects): State<Arc<Objects>>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let path = uri.path().to_owned();
        objects.asked.lock().push(format!("{method} {path}"));
        if headers
            .get("authorization")
            .is_none_or(|token| token != "Bearer a-token")
        {
            return (StatusCode::UNAUTHORIZED, json!({"message": "who?"}).to_string()).into_response();
        }
        let mut kept = objects.kept.lock();
        let object: Value = serde_json::from_slice(&body).unwrap_or_default();
        let created = format!(
            "{path}/{}",
            object["metadata"]["name"].as_str().unwrap_or_default()
        );
        let (status, object) = match method {
            Method::GET | Method::PUT if !kept.contains_key(&path) => (StatusCode::NOT_FOUND, Value::Null),
            Method::GET => (StatusCode::OK, kept[&path].clone()),
            Method::PUT => (StatusCode::OK, kept.insert(path, object).unwrap_or_default()),
            _ if kept.contains_key(&created) => (StatusCode::CONFLICT, json!({"message": "exists"})),
            _ => (
                StatusCode::CREATED,
                kept.insert(created, object).unwrap_or_default(),
            ),
        };
        (status, object.to_string()).into_response()
    }

    /// A running server, asked with this token.
    pub(crate) async fn api(token: &str) -> (Arc<Objects>, Api) {
        let objects = Arc::new(Objects::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&objects));
        let guard = crate::http::guard::Guard::new(crate::http::limits::HttpLimits::default());
        let plain = crate::http::serve::Security::Plain;
        tokio::spawn(crate::http::serve::serve(
            listener,
            plain,
            router,
            guard,
            std::future::pending(),
        ));
        let account = TempDir::new().unwrap();
        std::fs::write(account.path().join("token"), format!("{token}\n")).unwrap();
        std::fs::write(account.path().join("namespace"), "here").unwrap();
        (objects, Api::of_account(account.path(), server).unwrap())
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_from_what_is_refused() {
        let (objects, api) = api("a-token").await;
        assert!(api.get("/api/x").await.unwrap().is_none());
        api.create("/api", &json!({"metadata": {"name": "x"}}))
            .await
            .unwrap();
        assert_eq!(api.get("/api/x").await.unwrap().unwrap()["metadata"]["name"], "x");
        let again = api
            .create("/api", &json!({"metadata": {"name": "x"}}))
            .await
            .unwrap_err();
        assert!(again.to_string().contains("409 Conflict exists"), "{again}");
        assert_eq!(objects.asked.lock().len(), 4);
    }

    #[tokio::test]
    async fn a_refusal_names_what_was_asked_and_not_the_token() {
        let (_, api) = api("another-token").await;
        let refused = api.get("/api/x").await.unwrap_err().to_string();
        assert!(refused.contains("GET /api/x: 401 Unauthorized who?"), "{refused}");
        assert!(!refused.contains("another-token"), "{refused}");
    }
}
