//! Presigned requests and session tokens: what the AWS SDK for Rust makes is accepted, and what was altered is refused.

use std::sync::Arc;

use crate::signer::{Request, Signer};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use stator_iam::{
    Credential, CredentialStore, Error, Expected, Principal, SecretKey, Service, Timestamp, Transport,
    Verifier, parse_authorization,
};

const NOW_S: u64 = 1_440_938_160;
const SERVICES: &[Service<'_>] = &[
    Service {
        name: "iam",
        regions: &["us-east-1"],
    },
    Service {
        name: "sts",
        regions: &["us-east-1", "eu-west-1"],
    },
];

/// Knows one long-term key and one session.
struct Known {
    secret: SecretKey,
    token: Option<String>,
    expires_at: Timestamp,
}

impl Known {
    fn of(signer: &Signer) -> Self {
        Self {
            secret: SecretKey::new(signer.secret.clone()),
            token: signer.token.clone(),
            expires_at: Timestamp::from_unix_s(NOW_S + 100),
        }
    }

    fn give(&self, access_key_id: &str, expires_at: Option<Timestamp>) -> Credential {
        Credential {
            secret: self.secret.clone(),
            principal: Arc::new(Principal::root(access_key_id, "000000000000")),
            expires_at,
        }
    }
}

impl CredentialStore for Known {
    fn credential(&self, access_key_id: &str) -> Option<Credential> {
        self.token.is_none().then(|| self.give(access_key_id, None))
    }

    fn session(&self, access_key_id: &str, token: &str) -> Option<Credential> {
        (self.token.as_deref() == Some(token)).then(|| self.give(access_key_id, Some(self.expires_at)))
    }
}

fn judge_at(now_s: u64, store: &Known, request: &Request) -> Result<String, Error> {
    let expected = Expected {
        services: SERVICES,
        now: Some(Timestamp::from_unix_s(now_s)),
    };
    request.view(|view| {
        let authorization = parse_authorization(view, &expected)?;
        let principal = Verifier::new().verify(view, &authorization, Transport::Plain, store)?;
        Ok(principal.access_key_id.clone())
    })
}

fn signer() -> Signer {
    Signer {
        service: "sts".to_owned(),
        ..Signer::default()
    }
}

fn request() -> Request {
    let mut request = Request::get_item();
    "GET".clone_into(&mut request.method);
    "/?Action=GetCallerIdentity&Version=2011-06-15".clone_into(&mut request.target);
    request.set("x-amz-target", None);
    request.body.clear();
    request
}

#[test]
fn a_presigned_request_is_good_until_it_expires() {
    let signer = signer();
    let (store, presigned) = (Known::of(&signer), signer.presign(request()));
    for now_s in [NOW_S - 900, NOW_S, NOW_S + 300] {
        assert_eq!(judge_at(now_s, &store, &presigned).as_deref(), Ok("AKIDEXAMPLE"));
    }
    let late = judge_at(NOW_S + 301, &store, &presigned).unwrap_err();
    assert_eq!(late.code(), "InvalidSignatureException");
    assert_eq!(
        late.to_string(),
        "Signature expired: 20150830T124100Z is now earlier than 20150830T124101Z"
    );
    let early = judge_at(NOW_S - 901, &store, &presigned).unwrap_err();
    assert!(matches!(early, Error::SignatureNotYetCurrent { .. }), "{early}");
}

#[test]
fn parameters_that_are_missing_or_wrong_are_named() {
    let signer = signer();
    let store = Known::of(&signer);
    let presigned = signer.presign(request());
    let altered = |from: &str, to: &str| {
        let mut request = presigned.clone();
        assert!(request.target.contains(from), "{from}");
        request.target = request.target.replace(from, to);
        judge_at(NOW_S, &store, &request).unwrap_err()
    };
    for name in ["Algorithm", "Credential", "SignedHeaders", "Date"] {
        let error = altered(&format!("X-Amz-{name}="), "other=");
        assert_eq!(error.code(), "IncompleteSignatureException", "{name}");
        assert_eq!(
            error.to_string(),
            format!(
                "AWS query-string parameters must include 'X-Amz-{name}'. Re-examine the query-string parameters."
            )
        );
    }
    for (expires, sentence) in [
        ("x", "X-Amz-Expires should be a number"),
        ("-1", "X-Amz-Expires must be non-negative"),
        (
            "604801",
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds",
        ),
    ] {
        let error = altered("X-Amz-Expires=300", &format!("X-Amz-Expires={expires}"));
        assert_eq!(error.to_string(), sentence);
    }
    assert_eq!(
        altered("X-Amz-Expires=300", "X-Amz-Expires=600"),
        Error::SignatureMismatch
    );
    assert_eq!(altered("Action=Get", "Action=Put"), Error::SignatureMismatch);
    assert!(matches!(
        altered("X-Amz-Expires=300", "X-Amz-Expires=300&X-Amz-Expires=300"),
        Error::DuplicateQueryParameter { .. }
    ));
    assert!(matches!(
        altered("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        Error::UnsupportedAlgorithm { .. }
    ));
    assert!(matches!(
        altered("%2Fsts%2F", "%2Fs3%2F"),
        Error::CredentialScope { .. }
    ));
}

#[test]
fn each_service_has_its_regions() {
    let judge = |service: &str, region: &str| {
        let signer = Signer {
            service: service.to_owned(),
            region: region.to_owned(),
            ..Signer::default()
        };
        let store = Known::of(&signer);
        judge_at(NOW_S, &store, &signer.sign(request())).map_err(|error| error.to_string())
    };
    assert!(judge("iam", "us-east-1").is_ok() && judge("sts", "eu-west-1").is_ok());
    assert_eq!(
        judge("iam", "eu-west-1").unwrap_err(),
        "Credential should be scoped to a valid region, not 'eu-west-1'. "
    );
    assert_eq!(
        judge("dynamodb", "us-east-1").unwrap_err(),
        "Credential should be scoped to correct service: 'iam'. "
    );
}

#[test]
fn a_session_needs_its_token_and_ends() {
    let signer = Signer {
        token: Some("IQoJ//+b3JpZ2luX2Vj=".to_owned()),
        ..signer()
    };
    let store = Known::of(&signer);
    let signed = signer.sign(request());
    assert!(judge_at(NOW_S, &store, &signed).is_ok());
    assert!(judge_at(NOW_S + 99, &store, &signed).is_ok());
    let over = judge_at(NOW_S + 100, &store, &signed).unwrap_err();
    assert_eq!(
        (over.code(), over.to_string().as_str()),
        (
            "ExpiredTokenException",
            "The security token included in the request is expired"
        )
    );
    // A wrong signature comes first: who has no secret is not told that the session is over.
    let mut forged = signed.clone();
    forged.set("x-amz-date", Some("20150830T123601Z"));
    assert_eq!(
        judge_at(NOW_S + 100, &store, &forged),
        Err(Error::SignatureMismatch)
    );

    let mut other = signed.clone();
    other.set("x-amz-security-token", Some("other"));
    assert_eq!(judge_at(NOW_S, &store, &other), Err(Error::UnrecognizedClient));
    let mut without = signed.clone();
    without.set("x-amz-security-token", None);
    assert_eq!(judge_at(NOW_S, &store, &without), Err(Error::UnrecognizedClient));
    let mut twice = signed;
    twice
        .headers
        .push(("x-amz-security-token".to_owned(), b"other".to_vec()));
    assert_eq!(judge_at(NOW_S, &store, &twice), Err(Error::UnrecognizedClient));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn presigned_is_accepted_and_altered_is_refused(
        secret in "[!-~]{1,80}",
        token in proptest::option::of("[A-Za-z0-9+/=]{1,60}"),
        token_after in any::<bool>(),
        path in "/[a-zA-Z0-9._~-]{0,20}",
        query in "([a-zA-Z0-9]{1,5}=[a-zA-Z0-9._~-]{0,9}){0,1}",
        body in proptest::collection::vec(any::<u8>(), 0..300),
        place in any::<Index>(),
    ) {
        let signer = Signer { secret, token, token_after, ..signer() };
        let store = Known::of(&signer);
        let mut plain = Request { method: "POST".to_owned(), body, ..request() };
        plain.target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let presigned = signer.presign(plain);
        prop_assert_eq!(judge_at(NOW_S, &store, &presigned), Ok("AKIDEXAMPLE".to_owned()));

        let mut altered = presigned.clone();
        altered.body.push(b'x');
        prop_assert_eq!(judge_at(NOW_S, &store, &altered), Err(Error::SignatureMismatch));

        let mut bytes = presigned.target.clone().into_bytes();
        let at = place.index(bytes.len());
        let was = bytes[at];
        bytes[at] = if was == b'0' { b'1' } else { b'0' };
        let altered = Request { target: String::from_utf8(bytes).unwrap(), ..presigned };
        // The sixth bit of a letter in an escape stands for the same byte; a digit never does.
        prop_assert!(judge_at(NOW_S, &store, &altered).is_err(), "{} at {at}", altered.target);
    }
}
