//! Making certificates: a cluster's authority, and a certificate for each of its nodes. ECDSA on P-256, PEM.
//!
//! Invariant: times are arguments; keys come from the operating system's generator by way of rcgen and ring. Not here:
//! files, and the verification of certificates (`tls.rs`).

use std::net::IpAddr;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::identity::{self, CertifiedNode, ClusterId};
use super::tls::certificates;
use crate::world::NodeId;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The authority's files are of no use.
    #[error(
        "the certificate authority cannot be used: {cause}; it is the pair of ca.pem and ca-key.pem of this cluster"
    )]
    Authority {
        /// What is wrong.
        cause: String,
    },
    /// An argument is of no use.
    #[error("no certificate can be made with {what}: {cause}")]
    Argument {
        /// Which one.
        what: String,
        /// What is wrong.
        cause: String,
    },
    /// Making a key or a signature failed.
    #[error("making the certificate failed: {0}")]
    Signing(#[from] rcgen::Error),
}

/// When a certificate is valid, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when on.
    pub not_before_s: u64,
    /// Until when.
    pub not_after_s: u64,
}

impl Validity {
    /// From an hour before now, for clocks that are behind, until so many days after now.
    pub fn days_from(unix_ms: u64, days: u32) -> Self {
        let now = unix_ms / 1000;
        Self {
            not_before_s: now.saturating_sub(3600),
            not_after_s: now.saturating_add(u64::from(days).saturating_mul(86_400)),
        }
    }

    fn times(self) -> Result<(OffsetDateTime, OffsetDateTime), CertificateError> {
        let time = |seconds: u64| {
            i64::try_from(seconds)
                .ok()
                .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        };
        match (time(self.not_before_s), time(self.not_after_s)) {
            (Some(from), Some(until)) if from < until => Ok((from, until)),
            _ => Err(CertificateError::Argument {
                what: "this validity".to_owned(),
                cause: format!(
                    "from {} to {} s is no span of time",
                    self.not_before_s, self.not_after_s
                ),
            }),
        }
    }
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct CertifiedKey {
    /// The certificate.
    pub certificate_pem: String,
    /// The key: a secret.
    pub key_pem: Zeroizing<String>,
}

impl std::fmt::Debug for CertifiedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertifiedKey").finish_non_exhaustive()
    }
}

/// The certificate authority of one cluster.
pub struct CertificateAuthority {
    cluster: ClusterId,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Makes the authority of a cluster, with its certificate and key to be kept.
    ///
    /// # Errors
    /// [`CertificateError::Argument`] when the validity is no span of time, [`CertificateError::Signing`] when the
    /// operating system has no randomness to give.
    pub fn create(cluster: &ClusterId, validity: Validity) -> Result<(Self, CertifiedKey), CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = parameters(&format!("{cluster} certificate authority"), cluster, validity)?;
        // It issues certificates of nodes, not of other authorities.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![SanType::URI(ia5(&cluster_uri(cluster))?)];
        let certified = CertifiedKey {
            certificate_pem: params.self_signed(&key)?.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        };
        let authority = Self {
            cluster: cluster.clone(),
            issuer: Issuer::new(params, key),
        };
        Ok((authority, certified))
    }

    /// An authority that [`create`](Self::create) has made. There may be certificates of others beside its own, as there are while
    /// one replaces another: the key says which one issues.
    ///
    /// # Errors
    /// [`CertificateError::Authority`] when the texts are no certificate and key, do not belong together, or are not of a
    /// cluster's authority.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let unusable = |cause: String| CertificateError::Authority { cause };
        let certificates = certificates(certificate_pem.as_bytes(), "authority's certificate")
            .map_err(|error| unusable(error.to_string()))?;
        let key = KeyPair::from_pem(key_pem).map_err(|error| unusable(error.to_string()))?;
        let certificate = identity::authority_of(&certificates, key.public_key_raw()).map_err(unusable)?;
        let uris = identity::uris(certificate).map_err(|error| unusable(error.to_string()))?;
        let cluster = match uris.as_slice() {
            [uri] => uri.strip_prefix("spiffe://").and_then(|name| name.parse().ok()),
            _ => None,
        }
        .ok_or_else(|| unusable("the certificate does not name one cluster as a SPIFFE URI".to_owned()))?;
        let issuer =
            Issuer::from_ca_cert_der(certificate, key).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { cluster, issuer })
    }

    /// The cluster that it issues certificates for.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// Makes a certificate for a node, with a new key. `hosts` are the host names and IP addresses it is reached under, for
    /// clients that look at these; other nodes look at the node id only.
    ///
    /// # Errors
    /// [`CertificateError::Argument`] when a host is neither a name nor an address or the validity is no span of time,
    /// [`CertificateError::Signing`] when the operating system has no randomness to give.
    pub fn issue(
        &self,
        node: NodeId,
        hosts: &[String],
        validity: Validity,
    ) -> Result<CertifiedKey, CertificateError> {
        let identity = CertifiedNode {
            cluster: self.cluster.clone(),
            node,
        };
        let mut params = parameters(&format!("node {node}"), &self.cluster, validity)?;
        params.subject_alt_names = vec![SanType::URI(ia5(&identity.uri())?)];
        for host in hosts {
            params.subject_alt_names.push(alternative_name(host)?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(CertifiedKey {
            certificate_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
        })
    }
}

fn cluster_uri(cluster: &ClusterId) -> String {
    format!("spiffe://{cluster}")
}

fn parameters(
    name: &str,
    cluster: &ClusterId,
    validity: Validity,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = validity.times()?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, cluster.as_ref());
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn ia5(text: &str) -> Result<Ia5String, CertificateError> {
    Ia5String::try_from(text).map_err(|error| CertificateError::Argument {
        what: format!("the name `{text}`"),
        cause: error.to_string(),
    })
}

fn alternative_name(host: &str) -> Result<SanType, CertificateError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    rustls::pki_types::DnsName::try_from(host).map_err(|error| CertificateError::Argument {
        what: format!("the host `{host}`"),
        cause: error.to_string(),
    })?;
    Ok(SanType::DnsName(ia5(host)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Credentials;
    use crate::transport::tls::Tls;
    use crate::{TokioWorld, World as _};

    fn world() -> TokioWorld {
        TokioWorld::new(tokio::runtime::Handle::current()).unwrap()
    }

    fn credentials(authority: &CertifiedKey, node: CertifiedKey) -> Credentials {
        Credentials {
            authority_pem: authority.certificate_pem.clone().into_bytes(),
            certificate_pem: node.certificate_pem.into_bytes(),
            key_pem: Zeroizing::new(node.key_pem.as_bytes().to_vec()),
        }
    }

    #[tokio::test]
    async fn an_authority_that_was_loaded_again_issues_certificates_that_verify() {
        let validity = Validity::days_from(world().unix_ms(), 30);
        let cluster: ClusterId = "blue".parse().unwrap();
        let (_, kept) = CertificateAuthority::create(&cluster, validity).unwrap();
        let authority = CertificateAuthority::load(&kept.certificate_pem, &kept.key_pem).unwrap();
        assert_eq!(authority.cluster(), &cluster);
        let hosts = ["127.0.0.1".to_owned(), "db-1.example".to_owned()];
        let node = authority.issue(NodeId(4), &hosts, validity).unwrap();
        let tls = Tls::new(&credentials(&kept, node), std::sync::Arc::new(world())).unwrap();
        assert_eq!(tls.identity.uri(), "spiffe://blue/node/4");
        assert_eq!(tls.expires_ms, validity.not_after_s * 1000);
    }

    #[tokio::test]
    async fn credentials_that_do_not_belong_together_are_refused() {
        let validity = Validity::days_from(world().unix_ms(), 30);
        let make = || CertificateAuthority::create(&"blue".parse().unwrap(), validity).unwrap();
        let ((one, one_kept), (_, other_kept)) = (make(), make());
        let load = CertificateAuthority::load(&one_kept.certificate_pem, &other_kept.key_pem);
        assert!(load.unwrap_err().to_string().contains("do not belong together"));
        let node = one.issue(NodeId(1), &[], validity).unwrap();
        assert!(CertificateAuthority::load(&node.certificate_pem, &node.key_pem).is_err());

        let refused = |credentials: &Credentials| {
            Tls::new(credentials, std::sync::Arc::new(world()))
                .unwrap_err()
                .to_string()
        };
        let foreign = refused(&credentials(&other_kept, node.clone()));
        assert!(foreign.contains("not issued by this cluster"), "{foreign}");
        let mut mixed = credentials(&one_kept, node);
        mixed.key_pem = Zeroizing::new(other_kept.key_pem.as_bytes().to_vec());
        assert!(refused(&mixed).contains("private key"));
        let past = Validity {
            not_before_s: 1_000_000_000,
            not_after_s: 1_000_086_400,
        };
        let expired = refused(&credentials(&one_kept, one.issue(NodeId(1), &[], past).unwrap()));
        assert!(expired.contains("expired on 2001-09-10"), "{expired}");
    }

    #[tokio::test]
    async fn of_two_authorities_the_one_whose_key_is_there_issues() {
        let validity = Validity::days_from(world().unix_ms(), 30);
        let cluster: ClusterId = "blue".parse().unwrap();
        let make = || CertificateAuthority::create(&cluster, validity).unwrap().1;
        let (old, new, third) = (make(), make(), make());
        let both = CertifiedKey {
            certificate_pem: format!("{}{}", old.certificate_pem, new.certificate_pem),
            key_pem: old.key_pem.clone(),
        };
        for (issuing, other) in [(&old, &new), (&new, &old)] {
            let authority = CertificateAuthority::load(&both.certificate_pem, &issuing.key_pem).unwrap();
            assert_eq!(authority.cluster(), &cluster);
            let node = authority.issue(NodeId(1), &[], validity).unwrap();
            let is_trusted_by = |trusted: &CertifiedKey| {
                Tls::new(&credentials(trusted, node.clone()), std::sync::Arc::new(world())).is_ok()
            };
            assert!(is_trusted_by(issuing) && is_trusted_by(&both) && !is_trusted_by(other));
        }
        let load = CertificateAuthority::load(&both.certificate_pem, &third.key_pem);
        assert!(load.unwrap_err().to_string().contains("do not belong together"));
    }

    #[test]
    fn arguments_that_make_no_certificate_are_named() {
        let none = Validity {
            not_before_s: 5,
            not_after_s: 5,
        };
        let cluster: ClusterId = "blue".parse().unwrap();
        assert!(matches!(
            CertificateAuthority::create(&cluster, none),
            Err(CertificateError::Argument { .. })
        ));
        let validity = Validity::days_from(1_700_000_000_000, 1);
        let (authority, _) = CertificateAuthority::create(&cluster, validity).unwrap();
        let error = authority
            .issue(NodeId(1), &["no host!".to_owned()], validity)
            .unwrap_err();
        assert!(error.to_string().contains("the host `no host!`"), "{error}");
    }
}
