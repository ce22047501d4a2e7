//! What it costs to verify one request: `cargo run --release -p stator-iam --example verify_cost`.
//!
//! A GetItem with the headers of an AWS SDK and a body of 1 KB, signed by `aws-sigv4`, is parsed and verified over and
//! over on one thread with a warm cache of signing keys; then the same with a session token, kept opened and opened each time.
//! Printed: the median of 21 rounds, for the whole and for the parts that hashing alone would cost.
#![expect(clippy::print_stdout, reason = "printing is what this example is for")]
#![expect(clippy::unwrap_used, reason = "an example stops where its assumption fails")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock itself")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use sha2::{Digest, Sha256};
use stator_iam::directory::sealing::{KEY_BYTES, NONCE_BYTES, SealingKeys, WrappingKey};
use stator_iam::directory::token;
use stator_iam::{
    Credential, CredentialStore, Expected, Identity, Principal, RequestView, SecretKey, Service, Session,
    StaticCredentials, Timestamp, Transport, Verifier, parse_authorization,
};
use zeroize::Zeroizing;

const NOW_S: u64 = 1_440_938_160;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const ROUNDS: usize = 21;
const CALLS_A_ROUND: u32 = 20_000;

/// Nanoseconds a call, the median of the rounds.
fn median_ns(mut call: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..CALLS_A_ROUND {
                call();
            }
            start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS_A_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn signed_headers(body: &[u8], access_key_id: &str, token: Option<String>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = [
        ("host", "localhost:8000"),
        ("user-agent", "aws-sdk-rust/1.3.3 os/linux lang/rust/1.95.0"),
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", "DynamoDB_20120810.GetItem"),
        ("amz-sdk-request", "attempt=1; max=3"),
        ("amz-sdk-invocation-id", "b4b3f3a0-2f6b-4b8f-9d5a-0d4a1f5c7d11"),
        ("accept-encoding", "identity"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let identity = Credentials::new(access_key_id, SECRET, token, None, "example").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("dynamodb")
        .time(UNIX_EPOCH + Duration::from_secs(NOW_S))
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let views = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let request =
        SignableRequest::new("POST", "http://localhost:8000/", views, SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    headers.extend(
        instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    headers
}

/// What it costs to refuse a signature whose hexadecimal digit at each of these places is wrong, in nanoseconds: the least of
/// the rounds, which go through the places in turn, so that a busy machine disturbs them alike.
fn refused_ns(
    places: [usize; 3],
    body: &[u8],
    expected: &Expected<'_>,
    store: &StaticCredentials,
) -> [f64; 3] {
    let verifier = Verifier::new();
    let signed = places.map(|place| {
        let mut headers = signed_headers(body, "AKIDEXAMPLE", None);
        let (_, value) = headers
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .unwrap();
        let at = value.len() - 64 + place;
        let other = if &value[at..=at] == "0" { "1" } else { "0" };
        value.replace_range(at..=at, other);
        headers
    });
    let mut least = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        for (headers, least) in signed.iter().zip(&mut least) {
            let headers: Vec<(&str, &[u8])> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
                .collect();
            let request = RequestView {
                method: "POST",
                path: "/",
                query: "",
                headers: &headers,
                body,
            };
            let start = Instant::now();
            for _ in 0..CALLS_A_ROUND {
                let authorization = parse_authorization(black_box(&request), expected).unwrap();
                let refused = verifier.verify(&request, &authorization, Transport::Plain, store);
                assert!(black_box(refused).is_err());
            }
            *least = least.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS_A_ROUND));
        }
    }
    least
}

fn main() {
    let body = vec![b'x'; 1024];
    let headers = signed_headers(&body, "AKIDEXAMPLE", None);
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let request = RequestView {
        method: "POST",
        path: "/",
        query: "",
        headers: &headers,
        body: &body,
    };
    let now = Some(Timestamp::from_unix_s(NOW_S));
    let expected = Expected {
        services: &[Service {
            name: "dynamodb",
            regions: &["us-east-1"],
        }],
        now,
    };
    let principal = Principal::root("AKIDEXAMPLE", "000000000000");
    let store = StaticCredentials::new(principal, SecretKey::new(SECRET.to_owned()));
    let verifier = Verifier::new();

    let parse = median_ns(|| {
        black_box(parse_authorization(black_box(&request), &expected).unwrap());
    });
    let whole = median_ns(|| {
        let authorization = parse_authorization(black_box(&request), &expected).unwrap();
        black_box(
            verifier
                .verify(&request, &authorization, Transport::Plain, &store)
                .unwrap(),
        );
    });
    let body_hash = median_ns(|| {
        black_box(Sha256::digest(black_box(&body)));
    });
    let [first, middle, last] = refused_ns([0, 32, 63], &body, &expected, &store);
    let (keys, token) = session();
    let headers = signed_headers(&body, SESSION_KEY, Some(token));
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let request = RequestView {
        headers: &headers,
        ..request
    };
    let store = Sessions { keys, is_kept: true };
    let kept = median_ns(|| {
        let authorization = parse_authorization(black_box(&request), &expected).unwrap();
        black_box(
            verifier
                .verify(&request, &authorization, Transport::Plain, &store)
                .unwrap(),
        );
    });
    let store = Sessions {
        is_kept: false,
        ..store
    };
    let opened = median_ns(|| {
        let authorization = parse_authorization(black_box(&request), &expected).unwrap();
        black_box(
            verifier
                .verify(&request, &authorization, Transport::Plain, &store)
                .unwrap(),
        );
    });
    println!("parse the Authorization header   {parse:8.0} ns");
    println!("SHA-256 of the 1 KB body alone   {body_hash:8.0} ns");
    println!("parse and verify, warm cache     {whole:8.0} ns");
    println!("refused, first digit wrong        {first:7.0} ns");
    println!("refused, middle digit wrong       {middle:7.0} ns");
    println!("refused, last digit wrong         {last:7.0} ns");
    println!("the same with a session token    {kept:8.0} ns");
    println!("... that is opened each time     {opened:8.0} ns");
}

const SESSION_KEY: &str = "ASIAIOSFODNN7EXAMPLE";

/// Knows sessions alone.
struct Sessions {
    keys: SealingKeys,
    /// Whether a verifier may keep what a token says.
    is_kept: bool,
}

impl CredentialStore for Sessions {
    fn credential(&self, _: &str) -> Option<Credential> {
        None
    }

    fn session(&self, access_key_id: &str, token: &str) -> Option<Credential> {
        token::read(&self.keys, access_key_id, token)
    }

    fn session_epoch(&self) -> Option<u64> {
        self.is_kept.then(|| self.keys.epoch())
    }
}

/// Sealing keys, and a token of a session of a role.
fn session() -> (SealingKeys, String) {
    let wrapping = WrappingKey::derive("example".to_owned(), b"master");
    let ring = SealingKeys::make(&wrapping, &Zeroizing::new([7; KEY_BYTES]), [3; NONCE_BYTES]);
    let keys = SealingKeys::open(&ring, &[wrapping]).unwrap();
    let principal = Principal {
        access_key_id: SESSION_KEY.to_owned(),
        arn: "arn:aws:sts::000000000000:assumed-role/Reader/session".to_owned(),
        identity: Identity::Role {
            id: "AROACKCEVSQ6C2EXAMPLE".to_owned(),
            session_name: "session".to_owned(),
        },
        session: Some(Arc::new(Session {
            issued_at_s: NOW_S,
            expires_at_s: NOW_S + 3600,
            ..Session::default()
        })),
    };
    let token = token::issue(
        &keys,
        &principal,
        &SecretKey::new(SECRET.to_owned()),
        [1; NONCE_BYTES],
    );
    (keys, token)
}
