//! What a configuration says of the API that clients are served with.
//!
//! Not here: where it is served, and how a node begins (`serve.rs`).

use std::sync::Arc;

use super::ServeError;
use crate::audit::AuditLog;
use crate::auth::Authenticator;
use crate::cli::credentials::KeyPair;
use crate::cli::files;
use crate::config::Config;
use crate::health::Health;
use crate::node::Api;

/// What clients are served with.
pub(super) fn of(
    config: &Config,
    (keys, endpoint): (&KeyPair, &str),
    audit: Option<AuditLog>,
    health: Arc<Health>,
) -> Result<Api, ServeError> {
    Ok(Api {
        region: config.http.region.clone(),
        endpoint: endpoint.to_owned(),
        authenticator: Authenticator::of_root(
            &keys.access_key_id,
            keys.secret.clone(),
            config.http.region.clone(),
            stator_iam::Transport::Tls,
        ),
        upkeep: config.upkeep,
        http_limits: config.http.limits,
        audit,
        backup: config.backup.clone(),
        object_store: files::buckets(config)?,
        fetch: Some(super::fetch_again(config)),
        rotation: config.security.rotation,
        limits: config.limits,
        health,
        slow_request: config.log.slow_request(),
    })
}
