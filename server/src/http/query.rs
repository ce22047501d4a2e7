//! The IAM and STS APIs over HTTP: forms that are posted to `/`, or sent in its query string.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{Method, StatusCode};
use stator_iam::Principal;

use super::audit::PendingCall;
use super::peer::Peer;
use super::{App, TARGET, authenticate, body, essence, plain};
use crate::identity::Call;
use crate::identity::error::IdentityError;
use crate::request_id::RequestId;
use crate::wire::error::ApiError;
use crate::wire::query::answer::Asked;
use crate::wire::query::form::Form;
use crate::wire::query::{Api, error};

/// Largest form that was compressed. The version in it says which service it is signed for, so that it is looked into before
/// anybody has proved to have sent it.
const UNPACKED_BYTES_MAX: usize = 1024 * 1024;

/// Whether a request is one of these: a form, or a GET with a call in its query string. One that names a target is none.
pub(super) fn is_query(parts: &Parts) -> bool {
    if parts.uri.path() != "/" || parts.headers.contains_key(TARGET) {
        return false;
    }
    match parts.method {
        Method::POST => essence(&parts.headers).eq_ignore_ascii_case(b"application/x-www-form-urlencoded"),
        Method::GET => {
            let query = parts.uri.query().unwrap_or_default();
            query.split('&').any(|pair| pair.starts_with("Action="))
        }
        _ => false,
    }
}

/// Answers a call.
pub(super) async fn answer(app: &App, parts: &Parts, body: Body, id: RequestId) -> Response {
    let (api, result) = match read(app, parts, body).await {
        Ok((received, form)) => {
            let api = Api::of_version(form.get("Version").unwrap_or_default());
            let mut pending = PendingCall::new(app, parts, (api, &form), id);
            let result = run(app, parts, (&received, &form), api, (id, &mut pending.principal)).await;
            pending.answered(&result);
            (api, result)
        }
        Err(error) => (Api::Iam, Err(error)),
    };
    let (status, xml) = match result {
        Ok(xml) => (StatusCode::OK, xml),
        Err(refusal) => {
            log(&refusal);
            error::answer(api, &refusal, id.as_str())
        }
    };
    plain(status, "text/xml", xml)
}

/// The bytes that were signed, and the form that they are.
async fn read(app: &App, parts: &Parts, body: Body) -> Result<(Bytes, Form), IdentityError> {
    let unread = |error: ApiError| match error {
        ApiError::Throttling => IdentityError::Throttling,
        _ => IdentityError::Body,
    };
    let received = body::read(&parts.headers, body, &app.guard)
        .await
        .map_err(unread)?;
    let decoded = body::decoded(&parts.headers, &received, UNPACKED_BYTES_MAX, &app.guard).map_err(unread)?;
    let text = if parts.method == Method::GET {
        parts.uri.query().unwrap_or_default().as_bytes()
    } else {
        &decoded
    };
    let form = Form::parse(text).ok_or(IdentityError::Body)?;
    Ok((received, form))
}

async fn run(
    app: &App,
    parts: &Parts,
    (received, form): (&Bytes, &Form),
    api: Api,
    (id, proved): (RequestId, &mut Option<Arc<Principal>>),
) -> Result<String, IdentityError> {
    let principal = authenticate(app, parts, received, api.service()).map_err(unproved)?;
    let principal = proved.insert(principal);
    let _slot = app.guard.enter(&principal.arn).ok_or(IdentityError::Throttling)?;
    let peer = parts.extensions.get::<Peer>();
    let user_agent = parts.headers.get(USER_AGENT);
    let asked = Asked {
        api,
        form,
        call: Call {
            identities: &app.identities,
            principal,
            source: peer.map(Peer::ip),
            is_secure: peer.is_some_and(|peer| peer.tls().is_some()),
            user_agent: user_agent.and_then(|value| value.to_str().ok()),
            region: &app.context.region,
        },
        request_id: id.as_str(),
    };
    asked.run().await
}

fn unproved(error: ApiError) -> IdentityError {
    match error {
        ApiError::Authentication(error) => IdentityError::Authentication(error),
        ApiError::Throttling => IdentityError::Throttling,
        error => IdentityError::Internal(error.to_string()),
    }
}

fn log(error: &IdentityError) {
    match error {
        IdentityError::Internal(_) | IdentityError::Unavailable(_) => {
            tracing::error!(%error, "request failed");
        }
        _ => tracing::debug!(%error, "request refused"),
    }
}
