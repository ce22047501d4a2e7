//! Requests signed ahead of time, as the bytes that go over the wire, so that sending one costs the load generator next
//! to nothing.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;

use super::load::Cycle;
use super::process::Ready;
use crate::Result;

/// A signature is good for 15 minutes; one older than this is made anew before a round.
const FRESH: Duration = Duration::from_mins(10);

/// The header with the invocation id, which is not signed, so that each sending has one of its own: 32 hexadecimal digits
/// follow it.
pub(super) const INVOCATION_HEADER: &str = "amz-sdk-invocation-id: ";

/// Signs for one server.
#[derive(Debug)]
pub(super) struct Signer {
    identity: Identity,
    region: String,
    /// `127.0.0.1:8000`.
    host: String,
}

impl Signer {
    /// A signer for the server that has said this of itself.
    pub(super) fn new(ready: &Ready) -> Result<Self> {
        let credentials = Credentials::new(
            &ready.access_key_id,
            &ready.secret_access_key,
            None,
            None,
            "stator-bench",
        );
        Ok(Self {
            identity: credentials.into(),
            region: ready.region.clone(),
            host: ready.address()?.to_string(),
        })
    }

    /// One request with the headers of an AWS SDK.
    pub(super) fn request(&self, operation: &str, body: &str, time: SystemTime) -> Result<Vec<u8>> {
        // Operations of DynamoDB Streams are named with their service.
        let target = if operation.contains('.') {
            operation.to_owned()
        } else {
            format!("DynamoDB_20120810.{operation}")
        };
        let headers = [
            ("host", self.host.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
            ("user-agent", "aws-sdk-rust/1.3.3 os/linux lang/rust/1.95.0"),
            ("amz-sdk-request", "attempt=1; max=3"),
            ("accept-encoding", "identity"),
        ];
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("dynamodb")
            .time(time)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let uri = format!("http://{}/", self.host);
        let signable = SignableRequest::new(
            "POST",
            &uri,
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )?;
        let (added, _) = sign(signable, &parameters)?.into_parts();

        let mut text = String::from("POST / HTTP/1.1\r\n");
        for (name, value) in headers.into_iter().chain(added.headers()) {
            write!(text, "{name}: {value}\r\n")?;
        }
        write!(text, "{INVOCATION_HEADER}{:032x}\r\n", 0)?;
        write!(text, "content-length: {}\r\n\r\n{body}", body.len())?;
        Ok(text.into_bytes())
    }
}

/// Many requests of one operation to one server, kept freshly signed.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    signer: &'a Signer,
    operation: &'static str,
    bodies: &'a [String],
    signed: Vec<Vec<u8>>,
    signed_at: SystemTime,
    sent: usize,
}

impl<'a> Pool<'a> {
    /// A request for each body.
    pub(super) fn new(
        signer: &'a Signer,
        operation: &'static str,
        bodies: &'a [String],
        now: SystemTime,
    ) -> Result<Self> {
        let mut pool = Self {
            signer,
            operation,
            bodies,
            signed: Vec::new(),
            signed_at: now,
            sent: 0,
        };
        pool.sign(now)?;
        Ok(pool)
    }

    /// How many requests have been sent from here.
    pub(super) fn sent(&self) -> usize {
        self.sent
    }

    /// The requests, from the next one on, signed anew if their signatures are about to be refused for their age.
    pub(super) fn requests(&mut self, now: SystemTime) -> Result<Cycle<'_>> {
        // A clock that was set back makes them doubtful as well.
        if now
            .duration_since(self.signed_at)
            .map_or(true, |age| age >= FRESH)
        {
            self.sign(now)?;
        }
        Ok(Cycle {
            requests: &self.signed,
            sent: &mut self.sent,
        })
    }

    fn sign(&mut self, now: SystemTime) -> Result<()> {
        self.signed = self
            .bodies
            .iter()
            .map(|body| self.signer.request(self.operation, body, now))
            .collect::<Result<_>>()?;
        self.signed_at = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Pool, Signer};
    use crate::bench::process::Ready;

    fn signer() -> Signer {
        let ready = Ready {
            endpoint: "http://127.0.0.1:8000".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        Signer::new(&ready).unwrap()
    }

    #[test]
    fn a_request_is_complete_and_signed() {
        let time = UNIX_EPOCH + Duration::from_mins(24_015_636);
        let request = signer().request("GetItem", r#"{"TableName":"t"}"#, time).unwrap();
        let text = String::from_utf8(request).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, r#"{"TableName":"t"}"#);
        assert!(
            head.starts_with("POST / HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n"),
            "{head}"
        );
        for line in [
            "content-length: 17",
            "x-amz-date: 20150830T123600Z",
            "x-amz-target: DynamoDB_20120810.GetItem",
        ] {
            assert!(head.lines().any(|own| own == line), "{line} in {head}");
        }
        let credential = "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/dynamodb/aws4_request, ";
        assert!(head.contains(credential), "{head}");
    }

    #[test]
    fn a_pool_is_signed_anew_when_it_ages() {
        let start = UNIX_EPOCH + Duration::from_mins(24_015_636);
        let (signer, bodies) = (signer(), ["{}".to_owned()]);
        let mut pool = Pool::new(&signer, "PutItem", &bodies, start).unwrap();
        let first = pool.requests(start).unwrap().requests.to_vec();
        let young = start + Duration::from_mins(9);
        assert_eq!(pool.requests(young).unwrap().requests, first);
        let old = start + Duration::from_mins(11);
        assert_ne!(pool.requests(old).unwrap().requests, first);
        // The clock was set back: what is signed for the future is as doubtful.
        assert_eq!(pool.requests(start).unwrap().requests, first);
    }
}
