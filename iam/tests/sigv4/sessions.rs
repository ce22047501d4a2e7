//! What a verifier keeps of sessions: that it opens a token once, and never keeps what the store would not say again.

use std::cell::Cell;
use std::sync::Arc;

use stator_iam::{
    Credential, CredentialStore, Error, Expected, Principal, SecretKey, Service, Timestamp, Transport,
    Verifier, parse_authorization,
};

use crate::signer::{Request, Signer};

const NOW_S: u64 = 1_440_938_160;
const SESSION_S: u64 = 100;

/// Knows one session, and counts how often it is asked.
struct Sessions {
    secret: SecretKey,
    token: Option<String>,
    epoch: Option<u64>,
    asked: Cell<u32>,
}

impl CredentialStore for Sessions {
    fn credential(&self, _: &str) -> Option<Credential> {
        None
    }

    fn session(&self, access_key_id: &str, token: &str) -> Option<Credential> {
        self.asked.set(self.asked.get() + 1);
        (self.token.as_deref() == Some(token)).then(|| Credential {
            secret: self.secret.clone(),
            principal: Arc::new(Principal::root(access_key_id, "000000000000")),
            expires_at: Some(Timestamp::from_unix_s(NOW_S + SESSION_S)),
        })
    }

    fn session_epoch(&self) -> Option<u64> {
        self.epoch
    }
}

fn signer() -> Signer {
    Signer {
        token: Some("IQoJ//+b3JpZ2luX2Vj=".to_owned()),
        ..Signer::default()
    }
}

fn sessions(signer: &Signer) -> Sessions {
    Sessions {
        secret: SecretKey::new(signer.secret.clone()),
        token: signer.token.clone(),
        epoch: Some(1),
        asked: Cell::new(0),
    }
}

fn verify(verifier: &Verifier, now_s: u64, store: &Sessions, request: &Request) -> Result<(), Error> {
    let expected = Expected {
        services: &[Service {
            name: "dynamodb",
            regions: &["us-east-1"],
        }],
        now: Some(Timestamp::from_unix_s(now_s)),
    };
    request.view(|view| {
        let authorization = parse_authorization(view, &expected)?;
        verifier
            .verify(view, &authorization, Transport::Plain, store)
            .map(drop)
    })
}

#[test]
fn a_token_is_opened_once_and_ends_all_the_same() {
    let signer = signer();
    let (verifier, store) = (Verifier::new(), sessions(&signer));
    let signed = signer.sign(Request::get_item());
    for second in 0..SESSION_S {
        assert_eq!(verify(&verifier, NOW_S + second, &store, &signed), Ok(()));
    }
    assert_eq!(store.asked.get(), 1);
    for second in SESSION_S..SESSION_S + 100 {
        assert_eq!(
            verify(&verifier, NOW_S + second, &store, &signed),
            Err(Error::TokenExpired)
        );
    }
    // What has expired is not kept again.
    assert_eq!(store.asked.get(), 101);
}

#[test]
fn what_the_store_would_not_say_again_is_not_said() {
    let signer = signer();
    let (verifier, mut store) = (Verifier::new(), sessions(&signer));
    let signed = signer.sign(Request::get_item());
    assert_eq!(verify(&verifier, NOW_S, &store, &signed), Ok(()));
    // Other keys, which do not open the token.
    let token = store.token.take();
    store.epoch = Some(2);
    assert_eq!(
        verify(&verifier, NOW_S, &store, &signed),
        Err(Error::UnrecognizedClient)
    );
    // None at all.
    store.epoch = None;
    assert_eq!(
        verify(&verifier, NOW_S, &store, &signed),
        Err(Error::UnrecognizedClient)
    );
    // A store that lets nothing be kept is asked each time.
    store.token = token;
    for _ in 0..3 {
        assert_eq!(verify(&verifier, NOW_S, &store, &signed), Ok(()));
    }
    assert_eq!(store.asked.get(), 6);
}

#[test]
fn only_who_has_the_secret_has_a_token_kept_and_only_for_its_access_key() {
    let signer = signer();
    let (verifier, store) = (Verifier::new(), sessions(&signer));
    let thief = Signer {
        secret: "guess".to_owned(),
        ..signer.clone()
    };
    for _ in 0..2 {
        let forged = thief.sign(Request::get_item());
        assert_eq!(
            verify(&verifier, NOW_S, &store, &forged),
            Err(Error::SignatureMismatch)
        );
    }
    assert_eq!(store.asked.get(), 2);
    let signed = signer.sign(Request::get_item());
    assert_eq!(verify(&verifier, NOW_S, &store, &signed), Ok(()));
    let forged = thief.sign(Request::get_item());
    assert_eq!(
        verify(&verifier, NOW_S, &store, &forged),
        Err(Error::SignatureMismatch)
    );
    assert_eq!(store.asked.get(), 3);
    let other = Signer {
        access_key_id: "ASIAOTHER".to_owned(),
        ..signer
    };
    verify(&verifier, NOW_S, &store, &other.sign(Request::get_item())).unwrap();
    assert_eq!(store.asked.get(), 4);
}
