//! Master keys that HashiCorp Vault's transit engine has wrapped.
//!
//! Invariant: the key lies on disk as Vault's ciphertext only; a token and a key are in memory that is wiped. Source: HashiCorp
//! Vault API documentation, "Transit secrets engine": "Decrypt data", "Generate data key".

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::{Value, json};
use stator_cluster::{MASTER_KEY_BYTES, MasterKey};
use zeroize::{Zeroize, Zeroizing};

use crate::config::key_source::VaultSource;
use crate::https;
use crate::tls;

/// The variable of the environment that Vault's own tools read the token from.
const TOKEN_VARIABLE: &str = "VAULT_TOKEN";

/// What Vault answers; members that are not named here do not matter.
#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    plaintext: Option<String>,
    ciphertext: Option<String>,
}

impl Drop for Data {
    fn drop(&mut self) {
        self.plaintext.zeroize();
    }
}

/// The master key in the file of a source.
///
/// # Errors
/// A sentence that says what is wrong with the file, the way to Vault, or its answer.
pub(super) async fn unwrap(source: &VaultSource) -> Result<MasterKey, String> {
    let path = &source.wrapped_key;
    let wrapped = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "the wrapped key {} cannot be read: {error}; `stator keys wrap` makes one",
            path.display()
        )
    })?;
    let data = ask(source, "decrypt", &json!({"ciphertext": wrapped.trim()})).await?;
    key(&data)
}

/// A new key that Vault has made, and the same wrapped.
///
/// # Errors
/// As [`unwrap`].
pub(crate) async fn make(source: &VaultSource) -> Result<(MasterKey, String), String> {
    let data = ask(
        source,
        "datakey/plaintext",
        &json!({"bits": 8 * MASTER_KEY_BYTES}),
    )
    .await?;
    let wrapped = data.ciphertext.clone().ok_or("its answer has no `ciphertext`")?;
    Ok((key(&data)?, wrapped))
}

fn key(data: &Data) -> Result<MasterKey, String> {
    let text = data.plaintext.as_deref().ok_or("its answer has no `plaintext`")?;
    let bytes = STANDARD.decode(text).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| "its `plaintext` is no base64")?;
    let key: &[u8; MASTER_KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| {
        format!(
            "the key has {} bytes, a master key has {MASTER_KEY_BYTES}",
            bytes.len()
        )
    })?;
    Ok(MasterKey::new(*key))
}

/// One operation of the transit engine.
async fn ask(source: &VaultSource, operation: &str, body: &Value) -> Result<Data, String> {
    let VaultSource {
        address,
        mount,
        key,
        namespace,
        ..
    } = source;
    let wrong = |error: http::Error| error.to_string();
    let uri = format!("{}/v1/{mount}/{operation}/{key}", address.trim_end_matches('/'));
    let uri: Uri = uri.parse().map_err(|_| format!("{address} is no address"))?;
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let mut request = Request::post(uri.path())
        .header("host", authority)
        .header("content-type", "application/json")
        // Vault's agent wants it, so that a browser cannot be made to ask.
        .header("x-vault-request", "true")
        .header("x-vault-token", token(source)?);
    if let Some(namespace) = namespace {
        request = request.header("x-vault-namespace", namespace);
    }
    let request = request
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(wrong)?;
    let tls = match &source.ca {
        Some(ca) => {
            let pem =
                std::fs::read(ca).map_err(|error| format!("{} cannot be read: {error}", ca.display()))?;
            Some(tls::client(&pem).map_err(|error| format!("{}: {error}", ca.display()))?)
        }
        None => None,
    };
    let tls = tls.filter(|_| uri.scheme_str() == Some("https"));
    let timeout = Duration::from_millis(source.timeout_ms.into());
    let (status, answer) = https::send(&uri, tls.as_ref(), request, timeout)
        .await
        .map_err(|error| format!("there is no answer: {error}"))?;
    if !status.is_success() {
        return Err(format!(
            "it refuses to {operation}: {status}: {}",
            complaint(&answer)
        ));
    }
    let answer: Answer =
        serde_json::from_slice(&answer).map_err(|_| "its answer is not understood".to_owned())?;
    Ok(answer.data)
}

/// The reasons in a refusal.
fn complaint(answer: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let errors = answer["errors"].as_array().into_iter().flatten();
    let errors: Vec<&str> = errors.filter_map(Value::as_str).collect();
    if errors.is_empty() {
        "no reason given".to_owned()
    } else {
        errors.join("; ").replace(char::is_control, " ")
    }
}

/// The token, as a header that is not shown.
fn token(source: &VaultSource) -> Result<HeaderValue, String> {
    let text = match (&source.token_file, &source.token_environment) {
        (Some(path), _) => std::fs::read_to_string(path)
            .map_err(|error| format!("the token {} cannot be read: {error}", path.display()))?,
        (None, name) => {
            let name = name.as_deref().unwrap_or(TOKEN_VARIABLE);
            std::env::var(name)
                .map_err(|_| format!("no token: the variable {name} of the environment is not set"))?
        }
    };
    let text = Zeroizing::new(text);
    let mut token = HeaderValue::from_str(text.trim())
        .map_err(|_| "the token has characters that no token has".to_owned())?;
    token.set_sensitive(true);
    Ok(token)
}

#[cfg(test)]
mod tests;
