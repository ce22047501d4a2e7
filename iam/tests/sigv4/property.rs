//! What the AWS SDK for Rust signs is accepted; the same request with any byte flipped is not.

use crate::signer::{Request, Signer};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;
use stator_iam::{
    Error, Expected, Principal, SecretKey, Service, StaticCredentials, Timestamp, Transport, Verifier,
    parse_authorization,
};

fn requests() -> impl Strategy<Value = Request> {
    let value = "[ -~]{0,40}";
    (
        prop_oneof![Just("POST"), Just("GET"), Just("PUT")],
        prop_oneof![4 => Just("/".to_owned()), 1 => "/[a-zA-Z0-9._~/+*-]{0,20}"],
        prop_oneof![4 => Just(String::new()), 1 => r"\?[a-zA-Z0-9=&+._-]{1,20}"],
        btree_map("h-[a-z0-9-]{1,12}", vec(value, 1..3), 0..8),
        vec(any::<u8>(), 0..2000),
    )
        .prop_map(|(method, path, query, extra, body)| {
            let mut request = Request {
                method: method.to_owned(),
                body,
                ..Request::get_item()
            };
            // `//x` would be read as an authority by the signer's URI parser.
            request.target = format!("{}{query}", path.replace("//", "/"));
            for (name, values) in extra {
                request
                    .headers
                    .extend(values.into_iter().map(|value| (name.clone(), value.into_bytes())));
            }
            request
        })
}

fn signers() -> impl Strategy<Value = Signer> {
    (
        "[A-Z0-9]{16,20}",
        "[!-~]{1,80}",
        "[a-z]{2}-[a-z]{4,9}-[1-9]",
        0..4_102_444_800_u64,
        any::<bool>(),
    )
        .prop_map(|(access_key_id, secret, region, time_s, payload_header)| Signer {
            access_key_id,
            secret,
            region,
            time_s,
            payload_header,
            ..Signer::default()
        })
}

fn judge(verifier: &Verifier, signer: &Signer, request: &Request) -> Result<String, Error> {
    let now = Some(Timestamp::from_unix_s(signer.time_s));
    let expected = Expected {
        services: &[Service {
            name: "dynamodb",
            regions: &[&signer.region],
        }],
        now,
    };
    let principal = Principal::root(&signer.access_key_id, "000000000000");
    let store = StaticCredentials::new(principal, SecretKey::new(signer.secret.clone()));
    request.view(|view| {
        let authorization = parse_authorization(view, &expected)?;
        let principal = verifier.verify(view, &authorization, Transport::Plain, &store)?;
        Ok(principal.access_key_id.clone())
    })
}

/// Flips one bit of one byte; the result may be any byte, printable or not.
fn flip(bytes: &mut [u8], place: Index, bit: u8) {
    let at = place.index(bytes.len());
    bytes[at] ^= 1 << bit;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn signed_is_accepted_and_altered_is_refused(
        request in requests(),
        signer in signers(),
        place in any::<Index>(),
        header in any::<Index>(),
        bit in 0..7_u8,
    ) {
        let verifier = Verifier::new();
        let signed = signer.sign(request);
        prop_assert_eq!(judge(&verifier, &signer, &signed), Ok(signer.access_key_id.clone()));

        if !signed.body.is_empty() {
            let mut altered = signed.clone();
            flip(&mut altered.body, place, bit);
            prop_assert_eq!(judge(&verifier, &signer, &altered), Err(Error::SignatureMismatch));
        }

        let mut altered = signed.clone();
        let signature_at = signed.get("authorization").find("Signature=").unwrap() + "Signature=".len();
        let (_, authorization) = altered.headers.iter_mut().find(|(name, _)| name == "authorization").unwrap();
        flip(&mut authorization[signature_at..], place, bit);
        assert!(judge(&verifier, &signer, &altered).is_err());

        // Spaces may come and go in a header value without changing what it means, so only other bytes are flipped.
        let mut altered = signed.clone();
        let name = altered.headers[header.index(altered.headers.len())].0.clone();
        let (_, value) = altered.headers.iter_mut().find(|(other, _)| *other == name).unwrap();
        let solid: Vec<usize> = (0..value.len()).filter(|at| value[*at] != b' ').collect();
        if !solid.is_empty() {
            let at = solid[place.index(solid.len())];
            value[at] ^= 1 << bit;
            if value[at] != b' ' {
                assert!(judge(&verifier, &signer, &altered).is_err(), "{name}");
            }
        }

        let altered = Request { method: "PATCH".to_owned(), ..signed.clone() };
        prop_assert_eq!(judge(&verifier, &signer, &altered), Err(Error::SignatureMismatch));
        let altered = Request { target: "/other".to_owned(), ..signed };
        prop_assert_eq!(judge(&verifier, &signer, &altered), Err(Error::SignatureMismatch));
    }
}
