//! What a client has to know to use a server: its keys, its region, and the authority of its certificate; and how
//! requests are signed with it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::{Result, clock};

/// A key pair, and how the server that takes it is reached.
#[derive(Debug, Clone)]
pub struct Access {
    identity: Identity,
    region: String,
    /// Without it, HTTP is spoken in clear.
    tls: Option<Arc<ClientConfig>>,
    keys: (String, String),
    ca_file: Option<PathBuf>,
}

impl Access {
    /// A key pair for a server that speaks HTTP, or HTTPS with a certificate of the authority in `ca_file`.
    ///
    /// # Errors
    /// When the file is not there or holds no certificate.
    pub fn new(
        region: &str,
        access_key_id: &str,
        secret_access_key: &str,
        ca_file: Option<&Path>,
    ) -> Result<Self> {
        let credentials = Credentials::new(access_key_id, secret_access_key, None, None, "compat-tests");
        Ok(Self {
            identity: credentials.into(),
            region: region.to_owned(),
            tls: ca_file.map(trusting).transpose()?.map(Arc::new),
            keys: (access_key_id.to_owned(), secret_access_key.to_owned()),
            ca_file: ca_file.map(Path::to_path_buf),
        })
    }

    /// The key pair: its id and its secret.
    pub(crate) fn keys(&self) -> (&str, &str) {
        (&self.keys.0, &self.keys.1)
    }

    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The authority of the server's certificate.
    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// How a connection is encrypted; `None` for HTTP in clear.
    pub fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.clone()
    }

    /// The bytes of a signed request. `more` are headers that are not signed, `host` is what the client has connected to.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn request(&self, host: &str, operation: &str, body: &str, more: &[(&str, &str)]) -> Result<Vec<u8>> {
        // Operations of DynamoDB Streams are named with their service.
        let target = if operation.contains('.') {
            operation.to_owned()
        } else {
            format!("DynamoDB_20120810.{operation}")
        };
        let headers = [
            ("host", host),
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
        ];
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("dynamodb")
            .time(clock::time_of_day())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let uri = format!("{scheme}://{host}/");
        let body_bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", &uri, headers.into_iter(), body_bytes)?;
        let (added, _) = sign(signable, &parameters)?.into_parts();
        let mut text = String::from("POST / HTTP/1.1\r\n");
        let all = headers.into_iter().chain(added.headers());
        for (name, value) in all.chain(more.iter().copied()) {
            write!(text, "{name}: {value}\r\n")?;
        }
        write!(text, "content-length: {}\r\n\r\n{body}", body.len())?;
        Ok(text.into_bytes())
    }
}

/// The settings of a client that trusts this authority and no other.
///
/// # Errors
/// When the file is not there or holds no certificate.
pub fn trusting(ca_file: &Path) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let shown = ca_file.display();
    let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| format!("{shown}: {error}"))?;
    for certificate in certificates {
        roots.add(certificate.map_err(|error| format!("{shown}: {error}"))?)?;
    }
    if roots.is_empty() {
        return Err(format!("{shown} holds no certificate").into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// The key pair in a file of the form that `AWS_SHARED_CREDENTIALS_FILE` names.
///
/// # Errors
/// When the file is not there or does not hold both.
pub(crate) fn key_pair(path: &Path) -> Result<(String, String)> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut found = lines.filter(|(own, _)| own.trim() == name);
        found
            .next()
            .map(|(_, value)| value.trim().to_owned())
            .ok_or_else(|| format!("{}: no {name}", path.display()))
    };
    Ok((value("aws_access_key_id")?, value("aws_secret_access_key")?))
}

/// Where a cluster's files are, as `stator init` lays them out.
pub(crate) fn ca_file(directory: &Path) -> PathBuf {
    directory.join("ca.pem")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_what_is_not_signed_as_well() {
        let access = Access::new("us-east-1", "AKIDEXAMPLE", "secret", None).unwrap();
        let more = [("amz-sdk-invocation-id", "one")];
        let request = access.request("127.0.0.1:1", "GetItem", "{}", &more).unwrap();
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "{}");
        assert!(head.contains("\r\namz-sdk-invocation-id: one\r\n"), "{head}");
        assert!(head.contains("Credential=AKIDEXAMPLE/"), "{head}");
        let signed = head.split("SignedHeaders=").nth(1).unwrap();
        assert!(
            !signed.split(',').next().unwrap().contains("invocation"),
            "{head}"
        );
    }

    #[test]
    fn a_key_pair_is_read_from_a_file_of_shared_credentials() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root-credentials");
        std::fs::write(
            &path,
            "[default]\naws_access_key_id = A\naws_secret_access_key = s=1\n",
        )
        .unwrap();
        assert_eq!(key_pair(&path).unwrap(), ("A".to_owned(), "s=1".to_owned()));
        std::fs::write(&path, "[default]\naws_access_key_id = A\n").unwrap();
        assert!(
            key_pair(&path)
                .unwrap_err()
                .to_string()
                .contains("no aws_secret_access_key")
        );
    }

    #[test]
    fn an_authority_without_a_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        assert!(trusting(&path).is_err());
        std::fs::write(&path, "nothing").unwrap();
        assert!(
            trusting(&path)
                .unwrap_err()
                .to_string()
                .contains("holds no certificate")
        );
    }
}
