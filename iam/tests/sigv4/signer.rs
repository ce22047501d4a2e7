//! The signing side for tests: an owned request, signed by the `aws-sigv4` crate as the AWS SDK for Rust does it.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SessionTokenMode, SignableBody, SignableRequest, SignatureLocation,
    SigningInstructions, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use stator_iam::RequestView;

/// A request whose parts a test may alter.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// HTTP method.
    pub(crate) method: String,
    /// Path and, after a question mark, query.
    pub(crate) target: String,
    /// Headers, names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Body.
    pub(crate) body: Vec<u8>,
}

/// How to sign.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// Access key id.
    pub(crate) access_key_id: String,
    /// Secret access key.
    pub(crate) secret: String,
    /// Region of the scope.
    pub(crate) region: String,
    /// Service of the scope.
    pub(crate) service: String,
    /// Time of signing, Unix seconds.
    pub(crate) time_s: u64,
    /// Whether to add `x-amz-content-sha256`.
    pub(crate) payload_header: bool,
    /// Whether to sign `UNSIGNED-PAYLOAD` in place of the body.
    pub(crate) unsigned_payload: bool,
    /// Session token.
    pub(crate) token: Option<String>,
    /// For how long a presigned request is good.
    pub(crate) expires_s: u64,
    /// Whether a presigned request gets its token after signing.
    pub(crate) token_after: bool,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            region: "us-east-1".to_owned(),
            service: "dynamodb".to_owned(),
            time_s: 1_440_938_160,
            payload_header: false,
            unsigned_payload: false,
            token: None,
            expires_s: 300,
            token_after: false,
        }
    }
}

impl Signer {
    /// Adds the headers of a signature to `request`.
    pub(crate) fn sign(&self, mut request: Request) -> Request {
        let mut settings = SigningSettings::default();
        if self.payload_header {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let instructions = self.instructions(&request, settings);
        let added: Vec<_> = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect();
        request.headers.extend(added);
        request
    }

    /// Adds the parameters of a signature to the query string of `request`.
    pub(crate) fn presign(&self, mut request: Request) -> Request {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(self.expires_s));
        if self.token_after {
            settings.session_token_mode = SessionTokenMode::Exclude;
        }
        let instructions = self.instructions(&request, settings);
        let (_, parameters) = instructions.into_parts();
        for (name, value) in parameters {
            let separator = if request.target.contains('?') { '&' } else { '?' };
            let value = encoded(&value);
            request.target = format!("{}{separator}{name}={value}", request.target);
        }
        request
    }

    fn instructions(&self, request: &Request, settings: SigningSettings) -> SigningInstructions {
        let token = self.token.clone();
        let identity: Identity =
            Credentials::new(&self.access_key_id, &self.secret, token, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(UNIX_EPOCH + Duration::from_secs(self.time_s))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let uri = format!("http://localhost:8000{}", request.target);
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), str::from_utf8(value).unwrap()));
        let body = if self.unsigned_payload {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Bytes(&request.body)
        };
        let signable = SignableRequest::new(&request.method, &uri, headers, body).unwrap();
        sign(signable, &params).unwrap().into_parts().0
    }
}

/// Percent-encoded for a query string.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
    }
    out
}

impl Request {
    /// An unsigned GetItem.
    pub(crate) fn get_item() -> Self {
        Self {
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: [
                ("host", "localhost:8000"),
                ("content-type", "application/x-amz-json-1.0"),
                ("x-amz-target", "DynamoDB_20120810.GetItem"),
            ]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .to_vec(),
            body: br#"{"TableName":"Music","Key":{"Artist":{"S":"x"}}}"#.to_vec(),
        }
    }

    /// Replaces, adds or (with `None`) removes a header.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        self.headers.retain(|(header, _)| header != name);
        self.headers
            .extend(value.map(|value| (name.to_owned(), value.as_bytes().to_vec())));
    }

    /// The first value of a header, as text.
    pub(crate) fn get(&self, name: &str) -> &str {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name).unwrap();
        str::from_utf8(value).unwrap()
    }

    /// Calls `judge` with the view of this request.
    pub(crate) fn view<T>(&self, judge: impl FnOnce(&RequestView<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
            .collect();
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        judge(&RequestView {
            method: &self.method,
            path,
            query,
            headers: &headers,
            body: &self.body,
        })
    }
}
