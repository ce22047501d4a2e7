//! Verification against requests that AWS signed and published.

use std::sync::Arc;

use stator_iam::{
    Credential, CredentialStore, Error, Expected, Principal, RequestView, SecretKey, Service, Transport,
    Verifier, parse_authorization,
};

const VECTORS: &str = include_str!("vectors.txt");

struct Vector<'a> {
    name: &'a str,
    method: &'a str,
    target: &'a str,
    headers: Vec<(String, &'a str)>,
    body: &'a str,
}

/// Reads one block: a name, a request line, headers, and after an empty line the body.
fn read(block: &str) -> Vector<'_> {
    let (head, body) = block.split_once("\n\n").unwrap_or((block.trim_end(), ""));
    let mut lines = head.lines();
    let name = lines.next().unwrap();
    // The target of one vector holds an unencoded space, so it is what lies between the first and the last.
    let (method, rest) = lines.next().unwrap().split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    let headers = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(header, value)| (header.to_ascii_lowercase(), value))
        .collect();
    Vector {
        name,
        method,
        target,
        headers,
        body: body.trim_end_matches('\n'),
    }
}

/// Knows the key pair of the vectors, with and without a session token.
struct Known(SecretKey);

impl CredentialStore for Known {
    fn credential(&self, access_key_id: &str) -> Option<Credential> {
        (access_key_id == "AKIDEXAMPLE").then(|| Credential {
            secret: self.0.clone(),
            principal: Arc::new(Principal::root(access_key_id, "000000000000")),
            expires_at: None,
        })
    }

    fn session(&self, access_key_id: &str, _: &str) -> Option<Credential> {
        self.credential(access_key_id)
    }
}

fn judge(vector: &Vector<'_>, body: &str) -> Result<String, Error> {
    let headers: Vec<(&str, &[u8])> = vector
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let (path, query) = vector.target.split_once('?').unwrap_or((vector.target, ""));
    let request = RequestView {
        method: vector.method,
        path,
        query,
        headers: &headers,
        body: body.as_bytes(),
    };
    let service = if vector.name.contains("iam") {
        "iam"
    } else {
        "service"
    };
    let expected = Expected {
        services: &[Service {
            name: service,
            regions: &["us-east-1"],
        }],
        now: None,
    };
    let store = Known(SecretKey::new(
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
    ));
    let authorization = parse_authorization(&request, &expected)?;
    let principal = Verifier::new().verify(&request, &authorization, Transport::Plain, &store)?;
    Ok(principal.access_key_id.clone())
}

#[test]
fn published_signatures_are_accepted_and_bound_to_the_body() {
    let vectors: Vec<_> = VECTORS.split("=== ").skip(1).map(read).collect();
    assert_eq!(vectors.len(), 40);
    for vector in &vectors {
        assert_eq!(
            judge(vector, vector.body).as_deref(),
            Ok("AKIDEXAMPLE"),
            "{}",
            vector.name
        );
        let altered = format!("{} ", vector.body);
        assert_eq!(
            judge(vector, &altered),
            Err(Error::SignatureMismatch),
            "{}",
            vector.name
        );
    }
}
