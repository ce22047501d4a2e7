//! Session tokens: what a temporary credential is, sealed so that any node reads it and nobody else can.
//!
//! A token says who the session is, until when, and what cuts it; nodes keep no list of sessions. Source of what a token
//! stands for: AWS STS API reference, AssumeRole and GetSessionToken. Invariant: a token is read only together with the
//! access key that it was issued with.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use zeroize::{Zeroize as _, Zeroizing};

use super::sealing::{NONCE_BYTES, Purpose, SealingKeys};
use crate::principal::{Credential, Identity, Principal, SecretKey, Session};
use crate::sigv4::Timestamp;

#[derive(Clone, PartialEq, Eq, Message)]
struct Token {
    #[prost(string, tag = "1")]
    access_key_id: String,
    #[prost(string, tag = "2")]
    secret: String,
    #[prost(string, tag = "3")]
    arn: String,
    /// 1 root, 2 user, 3 role.
    #[prost(uint32, tag = "4")]
    kind: u32,
    #[prost(string, tag = "5")]
    id: String,
    #[prost(string, tag = "6")]
    session_name: String,
    #[prost(uint64, tag = "7")]
    issued_at_s: u64,
    #[prost(uint64, tag = "8")]
    expires_at_s: u64,
    /// Whether field 10 cuts the session; without any policy, it cuts everything.
    #[prost(bool, tag = "9")]
    is_cut: bool,
    #[prost(string, repeated, tag = "10")]
    policies: Vec<String>,
    #[prost(btree_map = "string, string", tag = "11")]
    tags: BTreeMap<String, String>,
    #[prost(string, repeated, tag = "12")]
    transitive_tag_keys: Vec<String>,
    #[prost(string, optional, tag = "13")]
    source_identity: Option<String>,
}

/// The token of a temporary credential, in base64.
pub fn issue(
    keys: &SealingKeys,
    principal: &Principal,
    secret: &SecretKey,
    nonce: [u8; NONCE_BYTES],
) -> String {
    let (kind, id, session_name) = match &principal.identity {
        Identity::Root => (1, "", ""),
        Identity::User { id } => (2, id.as_str(), ""),
        Identity::Role { id, session_name } => (3, id.as_str(), session_name.as_str()),
    };
    let session = principal.session.as_deref().cloned().unwrap_or_default();
    let mut token = Token {
        access_key_id: principal.access_key_id.clone(),
        secret: secret.expose().to_owned(),
        arn: principal.arn.clone(),
        kind,
        id: id.to_owned(),
        session_name: session_name.to_owned(),
        issued_at_s: session.issued_at_s,
        expires_at_s: session.expires_at_s,
        is_cut: session.policies.is_some(),
        policies: session.policies.unwrap_or_default(),
        tags: session.tags.into_iter().collect(),
        transitive_tag_keys: session.transitive_tag_keys,
        source_identity: session.source_identity,
    };
    let plain = Zeroizing::new(token.encode_to_vec());
    token.secret.zeroize();
    STANDARD.encode(keys.seal(Purpose::SessionToken, "", nonce, &plain))
}

/// The credential of a token; `None` when it was not issued with these keys and for this access key. Whether it has expired is
/// not judged.
pub fn read(keys: &SealingKeys, access_key_id: &str, token: &str) -> Option<Credential> {
    let plain = keys.unseal(Purpose::SessionToken, "", &STANDARD.decode(token).ok()?)?;
    let token = Token::decode(plain.as_slice()).ok()?;
    let secret = SecretKey::new(token.secret);
    if token.access_key_id != access_key_id {
        return None;
    }
    let identity = match token.kind {
        1 => Identity::Root,
        2 => Identity::User { id: token.id },
        3 => Identity::Role {
            id: token.id,
            session_name: token.session_name,
        },
        _ => return None,
    };
    let session = Session {
        issued_at_s: token.issued_at_s,
        expires_at_s: token.expires_at_s,
        policies: token.is_cut.then_some(token.policies),
        tags: token.tags.into_iter().collect(),
        transitive_tag_keys: token.transitive_tag_keys,
        source_identity: token.source_identity,
    };
    Some(Credential {
        secret,
        principal: Arc::new(Principal {
            access_key_id: token.access_key_id,
            arn: token.arn,
            identity,
            session: Some(Arc::new(session)),
        }),
        expires_at: Some(Timestamp::from_unix_s(token.expires_at_s)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::sealing::{KEY_BYTES, WrappingKey};

    fn keys(byte: u8) -> SealingKeys {
        let wrapping = WrappingKey::derive("m".to_owned(), b"master");
        let row = SealingKeys::make(&wrapping, &Zeroizing::new([byte; KEY_BYTES]), [3; NONCE_BYTES]);
        SealingKeys::open(&row, &[wrapping]).unwrap()
    }

    #[test]
    fn a_token_comes_back_with_its_access_key_alone() {
        let principal = Principal {
            access_key_id: "ASIAEXAMPLE".to_owned(),
            arn: "arn:aws:sts::000000000000:assumed-role/R/s".to_owned(),
            identity: Identity::Role {
                id: "AROAEXAMPLE".to_owned(),
                session_name: "s".to_owned(),
            },
            session: Some(Arc::new(Session {
                issued_at_s: 1,
                expires_at_s: 2,
                policies: Some(vec!["{}".to_owned()]),
                tags: vec![("a".to_owned(), "b".to_owned())],
                transitive_tag_keys: vec!["a".to_owned()],
                source_identity: Some("me".to_owned()),
            })),
        };
        let secret = SecretKey::new("hush".to_owned());
        let token = issue(&keys(1), &principal, &secret, [5; NONCE_BYTES]);
        let read_back = read(&keys(1), "ASIAEXAMPLE", &token).unwrap();
        assert_eq!(*read_back.principal, principal);
        assert_eq!(read_back.secret.expose(), "hush");
        assert_eq!(read_back.expires_at, Some(Timestamp::from_unix_s(2)));
        assert!(read(&keys(1), "ASIAOTHER", &token).is_none());
        assert!(read(&keys(2), "ASIAEXAMPLE", &token).is_none());
        assert!(read(&keys(1), "ASIAEXAMPLE", &token[4..]).is_none());
    }
}
