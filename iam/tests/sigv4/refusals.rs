//! Every way to be refused, and the sentence that goes with it.

use crate::signer::{Request, Signer};
use stator_iam::{
    Error, Expected, Principal, SecretKey, Service, StaticCredentials, Timestamp, Transport, Verifier,
    parse_authorization,
};

const NOW_S: u64 = 1_440_938_160;
const INCOMPLETE: &str = "IncompleteSignatureException";
const INVALID: &str = "InvalidSignatureException";
const MISSING: &str = "MissingAuthenticationTokenException";
const UNRECOGNIZED: &str = "UnrecognizedClientException";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
                        AWS Secret Access Key and signing method. Consult the service documentation for details.";
const INVALID_TOKEN: &str = "The security token included in the request is invalid.";

fn expected() -> Expected<'static> {
    Expected {
        services: &[Service {
            name: "dynamodb",
            regions: &["us-east-1"],
        }],
        now: Some(Timestamp::from_unix_s(NOW_S)),
    }
}

fn store() -> StaticCredentials {
    let signer = Signer::default();
    StaticCredentials::new(
        Principal::root(&signer.access_key_id, "000000000000"),
        SecretKey::new(signer.secret),
    )
}

fn judge_over(transport: Transport, expected: &Expected<'_>, request: &Request) -> Result<String, Error> {
    request.view(|view| {
        let authorization = parse_authorization(view, expected)?;
        let principal = Verifier::new().verify(view, &authorization, transport, &store())?;
        Ok(principal.arn.clone())
    })
}

fn judge(request: &Request) -> Result<String, Error> {
    judge_over(Transport::Plain, &expected(), request)
}

fn signed() -> Request {
    Signer::default().sign(Request::get_item())
}

/// A signed request whose `Authorization` header went through `alter`.
fn with_header(alter: impl FnOnce(&str) -> String) -> Request {
    let mut request = signed();
    let header = alter(request.get("authorization"));
    request.set("authorization", Some(&header));
    request
}

fn assert_refused(request: &Request, code: &str, message: &str) {
    let error = judge(request).unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (code, message));
}

#[test]
fn a_signed_request_is_accepted_as_the_owner_of_the_key() {
    assert_eq!(judge(&signed()).as_deref(), Ok("arn:aws:iam::000000000000:root"));
}

#[test]
fn no_version_4_signature_is_a_missing_token() {
    let missing = "Request is missing Authentication Token";
    assert_refused(&Request::get_item(), MISSING, missing);
    for header in [
        "",
        "Bearer abc",
        "Basic Zm9vOmJhcg==",
        "AWS AKIDEXAMPLE:c2ln",
        "aws4-hmac-sha256 Credential=a",
    ] {
        assert_refused(&with_header(|_| header.to_owned()), MISSING, missing);
    }
}

#[test]
fn a_signature_in_header_and_query_string_is_refused() {
    let query = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00";
    let mut both = signed();
    query.clone_into(&mut both.target);
    assert_refused(
        &both,
        INVALID,
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    );
}

#[test]
fn missing_parts_are_listed_in_one_message() {
    let sentence = |parameter: &str| format!("Authorization header requires '{parameter}' parameter. ");
    let (credential, signature, signed_headers) = (
        sentence("Credential"),
        sentence("Signature"),
        sentence("SignedHeaders"),
    );
    let cases = [
        (
            "AWS4-HMAC-SHA256",
            format!("{credential}{signature}{signed_headers}"),
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a",
            format!("{signature}{signed_headers}"),
        ),
        (
            "AWS4-HMAC-SHA256 Signature=a",
            format!("{credential}{signed_headers}"),
        ),
        (
            "AWS4-HMAC-SHA256 SignedHeaders=host,Credential=a",
            signature.clone(),
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=, Signature=1",
            signed_headers.clone(),
        ),
        (
            "AWS4-HMAC-SHA256 credential=a, SignedHeaders=host, Signature=1",
            credential.clone(),
        ),
    ];
    for (header, sentences) in cases {
        let message = format!("{sentences}Authorization={header}");
        assert_refused(&with_header(|_| header.to_owned()), INCOMPLETE, &message);
    }

    let mut request = with_header(|_| "AWS4-HMAC-SHA256".to_owned());
    request.set("x-amz-date", None);
    let date = "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ";
    let message = format!("{credential}{signature}{signed_headers}{date}Authorization=AWS4-HMAC-SHA256");
    assert_refused(&request, INCOMPLETE, &message);
}

#[test]
fn a_header_that_is_not_text_is_incomplete() {
    let mut request = signed();
    request.set("authorization", None);
    request.headers.push((
        "authorization".to_owned(),
        b"AWS4-HMAC-SHA256 Credential=\xff".to_vec(),
    ));
    assert_eq!(judge(&request).unwrap_err().code(), INCOMPLETE);
}

#[test]
fn a_word_without_equal_sign_is_named() {
    let header =
        "AWS4-HMAC-SHA256 Credential= AKIDEXAMPLE/20150830/us-east-1/dynamodb/aws4_request, Signature=1";
    assert_refused(
        &with_header(|_| header.to_owned()),
        INCOMPLETE,
        &format!(
            "'AKIDEXAMPLE/20150830/us-east-1/dynamodb/aws4_request' not a valid key=value pair (missing equal-sign) \
             in Authorization header: '{header}'."
        ),
    );
}

#[test]
fn parameters_or_headers_given_twice_are_refused() {
    let twice = with_header(|header| format!("{header}, Signature=00"));
    assert!(matches!(
        judge(&twice),
        Err(Error::DuplicateParameter {
            parameter: "Signature",
            ..
        })
    ));
    let mut two_headers = signed();
    let copy = two_headers.get("authorization").to_owned();
    two_headers
        .headers
        .push(("authorization".to_owned(), copy.into_bytes()));
    assert!(matches!(
        judge(&two_headers),
        Err(Error::DuplicateParameter {
            parameter: "Authorization",
            ..
        })
    ));
}

#[test]
fn commas_and_white_space_separate_parameters_alike() {
    for separator in [",", " ", " , ", "\t", ",,  "] {
        let request = with_header(|header| header.replace(", ", separator));
        assert!(judge(&request).is_ok(), "{separator:?}");
    }
}

#[test]
fn another_algorithm_is_refused() {
    let request = with_header(|header| header.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512"));
    assert_refused(
        &request,
        INCOMPLETE,
        "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'.",
    );
}

#[test]
fn host_and_target_must_be_signed() {
    let host = with_header(|header| header.replace("content-type;host;", "content-type;"));
    assert_refused(
        &host,
        INVALID,
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    );

    let target = with_header(|header| header.replace(";x-amz-target", ""));
    assert_refused(
        &target,
        INVALID,
        "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization.",
    );

    let mut untargeted = Request::get_item();
    untargeted.set("x-amz-target", None);
    assert!(judge(&Signer::default().sign(untargeted)).is_ok());
}

#[test]
fn a_date_in_another_form_is_refused() {
    for date in [
        "",
        "2015-08-30T12:36:00Z",
        "20150830",
        "Sun, 30 Aug 2015 12:36:00 GMT",
        "20150231T000000Z",
    ] {
        let mut request = signed();
        request.set("x-amz-date", Some(date));
        let message = format!(
            "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
        );
        assert_refused(&request, INCOMPLETE, &message);
    }
}

#[test]
fn the_date_header_serves_when_x_amz_date_is_absent() {
    let mut request = signed();
    request.set("x-amz-date", None);
    request.set("date", Some("20150830T123600Z"));
    // Well-formed, though not what was signed.
    assert_eq!(judge(&request), Err(Error::SignatureMismatch));
}

#[test]
fn the_date_may_be_fifteen_minutes_off_and_no_second_more() {
    let at = |time_s| {
        judge(
            &Signer {
                time_s,
                ..Signer::default()
            }
            .sign(Request::get_item()),
        )
    };
    assert!(at(NOW_S - 900).is_ok());
    assert!(at(NOW_S + 900).is_ok());
    let (early, late) = (at(NOW_S - 901).unwrap_err(), at(NOW_S + 901).unwrap_err());
    assert_eq!((early.code(), late.code()), (INVALID, INVALID));
    assert_eq!(
        early.to_string(),
        "Signature expired: 20150830T122059Z is now earlier than 20150830T122100Z (20150830T123600Z - 15 min.)"
    );
    assert_eq!(
        late.to_string(),
        "Signature not yet current: 20150830T125101Z is still later than 20150830T125100Z (20150830T123600Z + 15 min.)"
    );
}

#[test]
fn a_credential_has_five_parts() {
    for credential in [
        "a",
        "a/b/20150830/us-east-1/dynamodb/aws4_request",
        "a/20150830/us-east-1/dynamodb",
    ] {
        let request = with_header(|header| {
            header.replace("AKIDEXAMPLE/20150830/us-east-1/dynamodb/aws4_request", credential)
        });
        let message = format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             '{credential}'"
        );
        assert_refused(&request, INCOMPLETE, &message);
    }
}

#[test]
fn every_problem_of_a_scope_is_listed() {
    let region = "Credential should be scoped to a valid region, not 'eu-west-1'. ";
    let service = "Credential should be scoped to correct service: 'dynamodb'. ";
    let terminator =
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. ";
    let date = "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                '20150829' != '20150830', from '20150830T123600Z'. ";
    for (scope, message) in [
        ("20150830/eu-west-1/dynamodb/aws4_request", region.to_owned()),
        ("20150830/us-east-1/s3/aws4_request", service.to_owned()),
        ("20150830/us-east-1/dynamodb/aws5_request", terminator.to_owned()),
        ("20150829/us-east-1/dynamodb/aws4_request", date.to_owned()),
        (
            "20150829/eu-west-1/s3/aws5_request",
            format!("{region}{service}{terminator}{date}"),
        ),
    ] {
        let request = with_header(|header| header.replace("20150830/us-east-1/dynamodb/aws4_request", scope));
        assert_refused(&request, INVALID, &message);
    }
}

#[test]
fn unknown_key_and_session_token_are_unrecognized() {
    let other = Signer {
        access_key_id: "AKIDOTHER".to_owned(),
        ..Signer::default()
    };
    assert_refused(&other.sign(Request::get_item()), UNRECOGNIZED, INVALID_TOKEN);
    let mut session = Request::get_item();
    session.set("x-amz-security-token", Some("IQoJb3JpZ2luX2VjEXAMPLE"));
    assert_refused(&Signer::default().sign(session), UNRECOGNIZED, INVALID_TOKEN);
}

#[test]
fn a_wrong_secret_is_a_mismatch() {
    let wrong = Signer {
        secret: "wrong".to_owned(),
        ..Signer::default()
    };
    assert_refused(&wrong.sign(Request::get_item()), INVALID, MISMATCH);
}

#[test]
fn a_signature_of_the_wrong_length_or_case_is_a_mismatch() {
    let alter = |alter: fn(&str) -> String| {
        with_header(|header| {
            let (start, signature) = header.split_once("Signature=").unwrap();
            format!("{start}Signature={}", alter(signature))
        })
    };
    assert_refused(&alter(|signature| signature[..63].to_owned()), INVALID, MISMATCH);
    assert_refused(&alter(|signature| format!("{signature}0")), INVALID, MISMATCH);
    assert_refused(&alter(str::to_uppercase), INVALID, MISMATCH);
    assert_refused(&alter(|_| "0".to_owned()), INVALID, MISMATCH);
}

#[test]
fn signed_headers_out_of_order_or_absent_from_the_request_are_a_mismatch() {
    let order = with_header(|header| header.replace("content-type;host", "host;content-type"));
    assert_refused(&order, INVALID, MISMATCH);
    let absent = with_header(|header| header.replace("content-type;host", "accept;content-type;host"));
    assert_refused(&absent, INVALID, MISMATCH);
}

#[test]
fn a_declared_body_hash_must_be_true() {
    let signer = Signer {
        payload_header: true,
        ..Signer::default()
    };
    let mut request = signer.sign(Request::get_item());
    assert!(judge(&request).is_ok());
    request.body.push(b' ');
    assert_refused(&request, INVALID, MISMATCH);

    // Signed as declared, and yet not the hash of the body.
    let mut lying = Request::get_item();
    lying.set("x-amz-content-sha256", Some(&"0".repeat(64)));
    assert_refused(&Signer::default().sign(lying), INVALID, MISMATCH);
}

#[test]
fn an_unsigned_payload_needs_tls() {
    let signer = Signer {
        payload_header: true,
        unsigned_payload: true,
        ..Signer::default()
    };
    let mut request = signer.sign(Request::get_item());
    assert_eq!(judge(&request), Err(Error::UnsignedPayloadOverPlain));
    assert!(judge_over(Transport::Tls, &expected(), &request).is_ok());
    request.body.push(b' ');
    assert!(judge_over(Transport::Tls, &expected(), &request).is_ok());
    // Unsigned, the declaration is ignored and the body must match.
    let mut unsigned = signed();
    unsigned.set("x-amz-content-sha256", Some("UNSIGNED-PAYLOAD"));
    assert!(judge(&unsigned).is_ok());
    unsigned.body.push(b' ');
    assert_eq!(
        judge_over(Transport::Tls, &expected(), &unsigned),
        Err(Error::SignatureMismatch)
    );
}

#[test]
fn without_region_and_clock_any_well_formed_signature_parses() {
    let any = Expected {
        services: &[Service {
            name: "dynamodb",
            regions: &[],
        }],
        now: None,
    };
    let signer = Signer {
        region: "mars-1".to_owned(),
        time_s: 0,
        ..Signer::default()
    };
    signer.sign(Request::get_item()).view(|view| {
        let authorization = parse_authorization(view, &any).unwrap();
        assert_eq!(authorization.access_key_id(), "AKIDEXAMPLE");
        assert_eq!(
            (authorization.day(), authorization.region()),
            ("19700101", "mars-1")
        );
        assert!(parse_authorization(view, &expected()).is_err());
    });
    for bad in [
        Request::get_item(),
        with_header(|header| header.replace("content-type;host;", "content-type;")),
        with_header(|header| header.replace("/dynamodb/", "/s3/")),
        with_header(|header| header.replace("/20150830/", "/20150831/")),
    ] {
        bad.view(|view| parse_authorization(view, &any).unwrap_err());
    }
}
