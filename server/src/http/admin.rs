//! What operators ask a node beside the API: a signed `GET /_stator/status`, by whoever may do
//! `stator:GetStatus`.

use http::StatusCode;

use super::App;
use crate::wire::error::ApiError;

/// The path of the status.
pub(crate) const STATUS_PATH: &str = "/_stator/status";

/// What this node knows of the cluster, as JSON (`docs/operations.md`).
pub(super) fn status(app: &App) -> (StatusCode, Vec<u8>) {
    match serde_json::to_vec(&app.context.cluster.status()) {
        Ok(json) => (StatusCode::OK, json),
        Err(error) => {
            let error = ApiError::Internal(error.to_string());
            (error.status(), error.body())
        }
    }
}
