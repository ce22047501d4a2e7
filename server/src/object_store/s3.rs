//! Buckets at a server that speaks S3's API: a few of its requests, signed, tried again when that may help.
//!
//! Buckets are named in the path, which every such server understands. Source: Amazon S3 API Reference, ListObjectsV2,
//! GetObject, PutObject, DeleteObject and "Error responses". Not here: objects in several parts (`multipart.rs`).

mod answer;
mod multipart;

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use rustls::ClientConfig;
use stator_iam::SecretKey;

use super::{Listed, Object, StoreError, pause};
use crate::clock::Clock;
use crate::https::{self, BoxError};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// So often a request is tried.
const TRIES: u32 = 6;

/// What a server is asked with.
#[derive(Debug)]
pub(crate) struct S3Settings {
    /// `http://host:port` or `https://host:port`.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret: SecretKey,
    /// For an `https` endpoint.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// See the head of the file. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct S3 {
    settings: Arc<S3Settings>,
}

/// A request before it is signed.
struct Asked<'a> {
    method: Method,
    bucket: &'a str,
    key: &'a str,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// Whether the server begins to answer before it knows how that ends: 200 may have an error in its body.
    fails_late: bool,
}

impl<'a> Asked<'a> {
    fn new(method: Method, bucket: &'a str, key: &'a str) -> Self {
        Self {
            method,
            bucket,
            key,
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            fails_late: false,
        }
    }

    /// Whether this answer is what was asked for.
    fn is_done(&self, answer: &Response<Bytes>) -> bool {
        let is_error = || !answer::error(answer.body()).0.is_empty();
        answer.status().is_success() && !(self.fails_late && is_error())
    }

    /// What it is about, for messages.
    fn what(&self) -> String {
        if self.key.is_empty() {
            self.bucket.to_owned()
        } else {
            format!("{}/{}", self.bucket, self.key)
        }
    }
}

impl S3 {
    /// A server.
    pub(crate) fn new(settings: S3Settings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }

    /// A page of a listing is in memory at a time, beside what is wanted.
    pub(super) async fn list(
        &self,
        (bucket, prefix): (&str, &str),
        most: usize,
        is_wanted: impl Fn(&Object) -> bool + Send,
    ) -> Result<Listed, StoreError> {
        let mut listed = Listed::default();
        let mut behind: Option<String> = None;
        loop {
            let mut asked = Asked::new(Method::GET, bucket, "");
            asked.query = format!("list-type=2&prefix={}", encoded(prefix, false));
            if let Some(token) = &behind {
                // In the order of their names, as the signature wants them.
                asked.query = format!("continuation-token={}&{}", encoded(token, false), asked.query);
            }
            let answer = self.ask(&asked).await?;
            let page = answer::listing(&answer.into_body());
            let page = page.map_err(|cause| failed(&asked, &cause))?;
            for object in page.objects {
                if listed.take(object, most, &is_wanted).is_break() {
                    return Ok(listed);
                }
            }
            behind = page.next;
            if behind.is_none() {
                return Ok(listed);
            }
        }
    }

    pub(super) async fn read(
        &self,
        bucket: &str,
        object: &Object,
        range: Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let mut asked = Asked::new(Method::GET, bucket, &object.key);
        asked.headers = vec![
            ("range", format!("bytes={}-{}", range.start, range.end - 1)),
            ("if-match", object.tag.clone()),
        ];
        let body = self.ask(&asked).await?.into_body();
        if body.len() as u64 != range.end - range.start {
            let cause = format!("{} bytes instead of {}", body.len(), range.end - range.start);
            return Err(failed(&asked, &cause));
        }
        Ok(body)
    }

    pub(super) async fn remove(&self, bucket: &str, key: &str) -> Result<(), StoreError> {
        let asked = Asked::new(Method::DELETE, bucket, key);
        self.ask(&asked).await.map(drop)
    }

    pub(super) async fn put(&self, bucket: &str, key: &str, bytes: Bytes) -> Result<String, StoreError> {
        if bytes.len() > multipart::PART_BYTES {
            return self.put_in_parts(bucket, key, bytes).await;
        }
        let mut asked = Asked::new(Method::PUT, bucket, key);
        asked.body = bytes;
        Ok(tag(&self.ask(&asked).await?))
    }

    /// The answer to a request that has succeeded, at once or later.
    async fn ask(&self, asked: &Asked<'_>) -> Result<Response<Bytes>, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let cause = match self.try_once(asked).await {
                Ok(answer) if asked.is_done(&answer) => return Ok(answer),
                Ok(answer) if is_lasting(&answer) => return Err(refusal(asked, &answer)),
                Ok(answer) => {
                    let (code, sentence) = answer::error(answer.body());
                    format!("{} {code} {sentence}", answer.status())
                }
                Err(error) => error.to_string(),
            };
            if tries >= TRIES {
                return Err(failed(asked, &cause));
            }
            tracing::debug!(
                what = asked.what(),
                cause,
                "a request to the object store is tried again"
            );
            tokio::time::sleep(pause(tries)).await;
        }
    }

    async fn try_once(&self, asked: &Asked<'_>) -> Result<Response<Bytes>, BoxError> {
        let (uri, request) = self.request(asked)?;
        https::fetch(&uri, self.settings.tls.as_ref(), request, TIMEOUT).await
    }

    fn uri(&self, asked: &Asked<'_>) -> Result<Uri, BoxError> {
        let mut uri = self.settings.endpoint.trim_end_matches('/').to_owned();
        write!(uri, "/{}", encoded(asked.bucket, false))?;
        if !asked.key.is_empty() {
            write!(uri, "/{}", encoded(asked.key, true))?;
        }
        if !asked.query.is_empty() {
            write!(uri, "?{}", asked.query)?;
        }
        Ok(uri.parse()?)
    }

    /// The request with its signature.
    fn request(&self, asked: &Asked<'_>) -> Result<(Uri, Request<Full<Bytes>>), BoxError> {
        let settings = &self.settings;
        let uri = self.uri(asked)?;
        let id = &settings.access_key_id;
        let credentials = Credentials::new(id, settings.secret.expose(), None, None, "stator");
        let identity = Identity::from(credentials);
        let now_ms = u64::try_from(settings.clock.now_ms())?;
        let mut signing = SigningSettings::default();
        signing.percent_encoding_mode = PercentEncodingMode::Single;
        signing.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        signing.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&settings.region)
            .name("s3")
            .time(UNIX_EPOCH + Duration::from_millis(now_ms))
            .settings(signing)
            .build()?
            .into();
        let target = uri.to_string();
        let authority = uri.authority().map_or("", http::uri::Authority::as_str);
        let own = asked.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let headers = [("host", authority)].into_iter().chain(own);
        let body = SignableBody::Bytes(&asked.body);
        let signable = SignableRequest::new(asked.method.as_str(), &target, headers.clone(), body)?;
        let (added, _) = sign(signable, &parameters)?.into_parts();
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut request = Request::builder().method(&asked.method).uri(path);
        for (name, value) in headers.chain(added.headers()) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(asked.body.clone()))?;
        Ok((uri, request))
    }
}

/// The tag of what was written.
fn tag(answer: &Response<Bytes>) -> String {
    let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
    tag.unwrap_or_default().trim_matches('"').to_owned()
}

/// Whether another try gets the same answer. Source: Amazon S3 API reference, "Error responses": some that pass have the statuses of
/// others that do not, or come with 200.
fn is_lasting(answer: &Response<Bytes>) -> bool {
    let status = answer.status();
    // What a server has not it has not later either.
    let passes = (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    let (code, _) = answer::error(answer.body());
    !passes
        && !matches!(
            code.as_str(),
            "RequestTimeout"
                | "OperationAborted"
                | "RequestTimeTooSkewed"
                | "InternalError"
                | "SlowDown"
                | "ServiceUnavailable"
        )
}

fn failed(asked: &Asked<'_>, cause: &str) -> StoreError {
    StoreError::Failed {
        what: asked.what(),
        cause: cause.to_owned(),
    }
}

fn refusal(asked: &Asked<'_>, answer: &Response<Bytes>) -> StoreError {
    let (code, sentence) = answer::error(answer.body());
    match (code.as_str(), answer.status()) {
        ("NoSuchBucket", _) => StoreError::NoSuchBucket {
            bucket: asked.bucket.to_owned(),
        },
        ("NoSuchKey", _) | (_, StatusCode::PRECONDITION_FAILED) => StoreError::NoSuchKey {
            key: asked.key.to_owned(),
        },
        ("AccessDenied", _) | (_, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => StoreError::Denied {
            what: asked.what(),
            cause: format!("{code} {sentence}"),
        },
        (_, status) => failed(asked, &format!("{status} {code} {sentence}")),
    }
}

/// Text with everything encoded but what a URI takes as it is, and slashes where they separate parts of a path.
fn encoded(text: &str, is_path: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            b'/' if is_path => encoded.push('/'),
            _ => {
                // Writing to a string does not fail.
                let _infallible = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn keys_and_queries_are_encoded_as_s3_wants_them() {
        assert_eq!(encoded("a b/ä+1", true), "a%20b/%C3%A4%2B1");
        assert_eq!(encoded("a/b", false), "a%2Fb");
    }

    #[test]
    fn refusals_are_told_apart() {
        let asked = Asked::new(Method::GET, "b", "k");
        let told = |status: u16, code: &str| {
            let body =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
            let answer = Response::builder()
                .status(status)
                .body(Bytes::from(body))
                .unwrap();
            refusal(&asked, &answer)
        };
        assert!(matches!(
            told(404, "NoSuchBucket"),
            StoreError::NoSuchBucket { .. }
        ));
        assert!(matches!(told(404, "NoSuchKey"), StoreError::NoSuchKey { .. }));
        assert!(matches!(
            told(412, "PreconditionFailed"),
            StoreError::NoSuchKey { .. }
        ));
        assert!(matches!(
            told(403, "SignatureDoesNotMatch"),
            StoreError::Denied { .. }
        ));
        assert!(matches!(told(400, "InvalidArgument"), StoreError::Failed { .. }));
    }

    /// Takes a request, and answers it with a head and a body; gives the request.
    async fn serve(listener: &TcpListener, head: &str, body: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4096]);
        let has_ended = |request: &[u8]| {
            let body: &[u8] = if request.starts_with(b"GET") {
                b"\r\n\r\n"
            } else {
                b"hello"
            };
            request.ends_with(body)
        };
        while !has_ended(&request) {
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "the request ends early");
            request.extend_from_slice(&part[..read]);
        }
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    }

    fn asking(listener: &TcpListener) -> S3 {
        S3::new(S3Settings {
            endpoint: format!("http://{}/", listener.local_addr().unwrap()),
            region: "eu-west-1".to_owned(),
            access_key_id: "AKID".to_owned(),
            secret: SecretKey::new("secret".to_owned()),
            tls: None,
            clock: Arc::new(SystemClock),
        })
    }

    #[tokio::test]
    async fn a_listing_ends_when_it_is_known_that_there_are_more_objects_than_wanted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = asking(&listener);
        let page = |keys: [(&str, u64); 2], next: &str| {
            let object = |(key, size): (&str, u64)| {
                format!("<Contents><Key>{key}</Key><ETag>t</ETag><Size>{size}</Size></Contents>")
            };
            let [one, two] = keys.map(object);
            format!(
                "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>{next}\
                 </NextContinuationToken>{one}{two}</ListBucketResult>"
            )
        };
        let serving = async {
            // Nobody asks for what is behind the second page.
            for (body, begin) in [
                (
                    page([("p/1", 0), ("p/2", 7)], "n"),
                    "GET /b?list-type=2&prefix=p%2F ",
                ),
                (
                    page([("p/3", 7), ("p/4", 7)], "o"),
                    "GET /b?continuation-token=n&list-type=2&prefix=p%2F ",
                ),
            ] {
                let asked = serve(&listener, "200 OK", &body).await;
                assert!(asked.starts_with(begin), "{asked}");
            }
        };
        let listing = s3.list(("b", "p/"), 2, |object| object.size > 0);
        let (listed, ()) = tokio::join!(listing, serving);
        let listed = listed.unwrap();
        let keys: Vec<_> = listed.objects.iter().map(|object| object.key.as_str()).collect();
        assert_eq!((keys, listed.has_more), (vec!["p/2", "p/3"], true));
    }

    #[tokio::test]
    async fn a_request_is_signed_and_tried_again_when_the_server_is_busy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = asking(&listener);
        let serving = async {
            let busy = "<Error><Code>SlowDown</Code><Message>Later.</Message></Error>";
            let first = serve(&listener, "503 Slow Down", busy).await;
            let second = serve(&listener, "200 OK\r\nETag: \"tag\"", "").await;
            for request in [&first, &second] {
                assert!(
                    request.starts_with("PUT /bucket/a%20b/c HTTP/1.1\r\n"),
                    "{request}"
                );
                assert!(request.contains("Credential=AKID/"), "{request}");
                assert!(request.contains("/eu-west-1/s3/aws4_request"), "{request}");
                assert!(
                    request.contains("x-amz-content-sha256: 2cf24dba5fb0a30e"),
                    "{request}"
                );
            }
            serve(
                &listener,
                "403 Forbidden",
                "<Error><Code>AccessDenied</Code></Error>",
            )
            .await;
        };
        let asking = async {
            let hello = || Bytes::from_static(b"hello");
            assert_eq!(s3.put("bucket", "a b/c", hello()).await, Ok("tag".to_owned()));
            let denied = s3.put("bucket", "d", hello()).await;
            assert!(matches!(denied, Err(StoreError::Denied { .. })), "{denied:?}");
        };
        tokio::join!(serving, asking);
    }
}
