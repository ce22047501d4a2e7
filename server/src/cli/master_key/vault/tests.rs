//! Against a server that speaks the transit API as Vault documents it.

use std::path::Path;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request as AxumRequest;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use stator_cluster::NodeId;
use stator_cluster::transport::certificate::{CertificateAuthority, Validity};
use tokio::net::TcpListener;

use super::*;
use crate::cli::master_key::fetch::fetch;
use crate::clock::{Clock as _, SystemClock};
use crate::config::key_source::KeySource;
use crate::http::guard::Guard;
use crate::http::limits::HttpLimits;
use crate::http::peer::Principals;
use crate::http::serve::{Security, serve};
use crate::tls::{ServerPem, ServerTls};

const TOKEN: &str = "hvs.planted-token";

/// The transit engine with one key, `stator`: wrapping is turning bytes around, so that what was not wrapped by it is refused.
async fn transit(request: AxumRequest) -> Response {
    let refuse =
        |status: StatusCode, error: &str| (status, json!({"errors": [error]}).to_string()).into_response();
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if header("x-vault-token") != Some(TOKEN) {
        return refuse(StatusCode::FORBIDDEN, "permission denied");
    }
    let body: Value = serde_json::from_slice(&to_bytes(body, 4096).await.unwrap()).unwrap();
    let mut data = match (parts.method.as_str(), parts.uri.path()) {
        ("POST", "/v1/transit/datakey/plaintext/stator") => {
            assert_eq!(body, json!({"bits": 256}));
            let key = [0x5A; 32];
            json!({"plaintext": STANDARD.encode(key), "ciphertext": wrapped(&key), "key_version": 1})
        }
        ("POST", "/v1/transit/decrypt/stator") => {
            let ciphertext = body["ciphertext"]
                .as_str()
                .and_then(|text| text.strip_prefix("vault:v1:"));
            let Some(bytes) = ciphertext.and_then(|text| STANDARD.decode(text).ok()) else {
                return refuse(StatusCode::BAD_REQUEST, "invalid ciphertext: no prefix");
            };
            let plain: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
            json!({"plaintext": STANDARD.encode(plain)})
        }
        _ => return refuse(StatusCode::NOT_FOUND, "no handler for route"),
    };
    data = json!({"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data,
        "wrap_info": null, "warnings": null, "auth": null});
    data.to_string().into_response()
}

fn wrapped(key: &[u8]) -> String {
    let turned: Vec<u8> = key.iter().map(|byte| !byte).collect();
    format!("vault:v1:{}", STANDARD.encode(turned))
}

/// A running Vault, and a source that names it. With an authority it is spoken to over TLS.
async fn vault(directory: &Path, with_tls: bool) -> VaultSource {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let ca = directory.join("vault-ca.pem");
    let security = if with_tls {
        let now_ms = u64::try_from(SystemClock.now_ms()).unwrap();
        let validity = Validity::days_from(now_ms, 1);
        let (authority, kept) = CertificateAuthority::create(&"vault".parse().unwrap(), validity).unwrap();
        let own = authority
            .issue(NodeId(1), &["127.0.0.1".to_owned()], validity)
            .unwrap();
        std::fs::write(&ca, &kept.certificate_pem).unwrap();
        let pem = ServerPem {
            certificate: own.certificate_pem.as_bytes(),
            key: own.key_pem.as_bytes(),
            clients_authority: None,
        };
        Security::Tls(ServerTls::new(pem, Principals::default()).unwrap())
    } else {
        Security::Plain
    };
    let router = Router::new().fallback(transit);
    let guard = Guard::new(HttpLimits::default());
    tokio::spawn(serve(listener, security, router, guard, std::future::pending()));
    let token_file = directory.join("token");
    std::fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
    VaultSource {
        address: format!("{}://{address}", if with_tls { "https" } else { "http" }),
        mount: "transit".to_owned(),
        key: "stator".to_owned(),
        wrapped_key: directory.join("master.key.wrapped"),
        token_file: Some(token_file),
        token_environment: None,
        namespace: None,
        ca: with_tls.then_some(ca),
        timeout_ms: 60_000,
    }
}

#[tokio::test]
async fn a_key_that_vault_has_wrapped_is_unwrapped_by_it() {
    for with_tls in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let source = vault(directory.path(), with_tls).await;
        let (made, wrapped) = make(&source).await.unwrap();
        assert_eq!(made.id(), MasterKey::new([0x5A; MASTER_KEY_BYTES]).id());
        std::fs::write(&source.wrapped_key, format!("{wrapped}\n")).unwrap();
        let fetched = fetch(&KeySource::Vault(source)).await.unwrap();
        assert_eq!(fetched.id(), made.id());
    }
}

#[tokio::test]
async fn what_goes_wrong_is_told_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let source = vault(directory.path(), false).await;
    let refusal = async |source: &VaultSource| {
        let error = fetch(&KeySource::Vault(source.clone()))
            .await
            .unwrap_err()
            .to_string();
        assert!(!error.contains("planted"), "{error}");
        error
    };
    let error = refusal(&source).await;
    assert!(error.contains("`stator keys wrap` makes one"), "{error}");
    std::fs::write(&source.wrapped_key, "no ciphertext").unwrap();
    let error = refusal(&source).await;
    assert!(
        error.contains("it refuses to decrypt: 400 Bad Request: invalid ciphertext: no prefix"),
        "{error}"
    );
    assert!(
        error.starts_with("no master key from the key stator of Vault at http://127.0.0.1:"),
        "{error}"
    );
    std::fs::write(&source.wrapped_key, wrapped(b"short")).unwrap();
    assert!(
        refusal(&source)
            .await
            .contains("the key has 5 bytes, a master key has 32")
    );
    let other = VaultSource {
        key: "other".to_owned(),
        ..source.clone()
    };
    assert!(
        refusal(&other)
            .await
            .contains("404 Not Found: no handler for route")
    );
    std::fs::write(source.token_file.as_ref().unwrap(), "planted-other").unwrap();
    assert!(
        refusal(&source)
            .await
            .contains("403 Forbidden: permission denied")
    );
    let unset = VaultSource {
        token_file: None,
        token_environment: Some("STATOR_NO_SUCH_VARIABLE".to_owned()),
        ..source.clone()
    };
    assert!(
        refusal(&unset)
            .await
            .contains("no token: the variable STATOR_NO_SUCH_VARIABLE")
    );
}

#[tokio::test]
async fn a_vault_of_another_authority_is_not_told_the_token() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let source = vault(directory.path(), true).await;
    let foreign = vault(other.path(), true).await;
    std::fs::write(&source.wrapped_key, wrapped(&[7; 32])).unwrap();
    let source = VaultSource {
        ca: foreign.ca.clone(),
        ..source
    };
    let error = fetch(&KeySource::Vault(source)).await.unwrap_err().to_string();
    assert!(
        error.contains("there is no answer") && error.contains("certificate"),
        "{error}"
    );
}
