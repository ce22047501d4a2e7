//! Who is at the other end of a connection: its address, and the principal that its certificate belongs to.
//!
//! Invariant: a certificate stands for a principal only when an authority that the configuration names has issued it and the
//! configuration maps one of its names; names that map to different principals stand for nobody. Not here: the verification
//! of certificates (`tls.rs`), what a principal may do.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// One end of a connection. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<Connected>);

/// What TLS was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TlsDetails {
    /// The version, such as `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite, such as `TLS13_AES_256_GCM_SHA384`.
    pub(crate) cipher_suite: &'static str,
}

#[derive(Debug)]
struct Connected {
    address: SocketAddr,
    tls: Option<TlsDetails>,
    principal: Option<Arc<str>>,
    known: AtomicU64,
}

impl Peer {
    /// A client at this address; `tls` if what it sends is encrypted, `principal` if its certificate stands for one.
    pub(crate) fn new(address: SocketAddr, tls: Option<TlsDetails>, principal: Option<Arc<str>>) -> Self {
        Self(Arc::new(Connected {
            address,
            tls,
            principal,
            known: AtomicU64::new(0),
        }))
    }

    /// A client of which nothing is known.
    pub(crate) fn unknown() -> Self {
        Self::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), None, None)
    }

    /// Where it is. An IPv4 address that came in as an IPv6 one is given as itself.
    pub(crate) fn ip(&self) -> IpAddr {
        self.0.address.ip().to_canonical()
    }

    /// How what it sends is encrypted; `None` if it is not.
    pub(crate) fn tls(&self) -> Option<TlsDetails> {
        self.0.tls
    }

    /// The ARN of whom its certificate stands for.
    pub(crate) fn principal(&self) -> Option<&Arc<str>> {
        self.0.principal.as_ref()
    }

    /// The access key, as a hash, that has last been proved over the connection; 0 if none was.
    pub(super) fn known(&self) -> &AtomicU64 {
        &self.0.known
    }
}

/// A name in a certificate, written `DNS:app.example`, `URI:spiffe://example/app`, `CN:app` or `subject:O=Example, CN=app`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum CertificateName {
    /// A host name among the alternative names; in lower case.
    Dns(String),
    /// A URI among the alternative names.
    Uri(String),
    /// The common name of the subject.
    CommonName(String),
    /// The whole subject, in the order of the certificate.
    Subject(String),
}

impl FromStr for CertificateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(kind, name)| {
            let name = name.trim();
            let make: fn(String) -> Self = match kind {
                _ if name.is_empty() => return None,
                "DNS" => |name| Self::Dns(name.to_ascii_lowercase()),
                "URI" => Self::Uri,
                "CN" => Self::CommonName,
                "subject" => Self::Subject,
                _ => return None,
            };
            Some(make(name.to_owned()))
        });
        parsed.ok_or_else(|| {
            format!(
                "`{text}` is no name of a certificate: write DNS:app.example, URI:spiffe://example/app, CN:app or \
                 subject:O=Example, CN=app"
            )
        })
    }
}

impl TryFrom<String> for CertificateName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(name) => write!(f, "URI:{name}"),
            Self::CommonName(name) => write!(f, "CN:{name}"),
            Self::Subject(name) => write!(f, "subject:{name}"),
        }
    }
}

/// Which names stand for which principals, by their ARNs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Principals(BTreeMap<CertificateName, Arc<str>>);

impl Principals {
    /// From names to ARNs.
    pub(crate) fn new(arns: &BTreeMap<CertificateName, String>) -> Self {
        let pairs = arns.iter().map(|(name, arn)| (name.clone(), arn.as_str().into()));
        Self(pairs.collect())
    }

    /// Who a certificate stands for, if for anybody.
    pub(crate) fn of(&self, certificate: &[u8]) -> Option<Arc<str>> {
        let names = names(certificate)?;
        let mut found: Option<&Arc<str>> = None;
        for principal in names.iter().filter_map(|name| self.0.get(name)) {
            match found {
                Some(other) if other != principal => {
                    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                    tracing::warn!(
                        names = names.join(" "),
                        "a client's certificate stands for more than one principal and is taken for none"
                    );
                    return None;
                }
                _ => found = Some(principal),
            }
        }
        found.cloned()
    }
}

/// The names in a certificate; `None` if it cannot be read.
fn names(certificate: &[u8]) -> Option<Vec<CertificateName>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let mut names = vec![CertificateName::Subject(subject.to_string())];
    for name in subject.iter_common_name() {
        if let Ok(name) = name.as_str() {
            names.push(CertificateName::CommonName(name.to_owned()));
        }
    }
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension() {
            names.extend(alternatives.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(CertificateName::Dns(name.to_ascii_lowercase())),
                GeneralName::URI(uri) => Some(CertificateName::Uri((*uri).to_owned())),
                _ => None,
            }));
        }
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use stator_cluster::NodeId;
    use stator_cluster::transport::certificate::{CertificateAuthority, Validity};

    use super::*;

    fn certificate() -> Vec<u8> {
        let validity = Validity::days_from(1_700_000_000_000, 1);
        let (authority, _) = CertificateAuthority::create(&"blue".parse().unwrap(), validity).unwrap();
        let hosts = ["app.example".to_owned()];
        let made = authority.issue(NodeId(4), &hosts, validity).unwrap();
        CertificateDer::from_pem_slice(made.certificate_pem.as_bytes())
            .unwrap()
            .to_vec()
    }

    fn stands_for(pairs: &[(&str, &str)]) -> Option<String> {
        let arns = pairs
            .iter()
            .map(|(name, arn)| (name.parse().unwrap(), (*arn).to_owned()))
            .collect();
        let principal = Principals::new(&arns).of(&certificate())?;
        Some(principal.to_string())
    }

    #[test]
    fn every_kind_of_name_stands_for_its_principal() {
        for name in [
            "DNS:APP.example",
            "URI:spiffe://blue/node/4",
            "CN:node 4",
            "subject:O=blue, CN=node 4",
        ] {
            assert_eq!(stands_for(&[(name, "arn:a")]).as_deref(), Some("arn:a"), "{name}");
            let shown = name.parse::<CertificateName>().unwrap().to_string();
            assert!(shown.eq_ignore_ascii_case(name), "{shown}");
        }
        assert_eq!(
            stands_for(&[("DNS:other.example", "arn:a"), ("CN:node", "arn:a")]),
            None
        );
    }

    #[test]
    fn a_certificate_of_two_principals_is_nobodys() {
        let both = [("CN:node 4", "arn:a"), ("DNS:app.example", "arn:b")];
        assert_eq!(stands_for(&both), None);
        let same = [("CN:node 4", "arn:a"), ("DNS:app.example", "arn:a")];
        assert_eq!(stands_for(&same).as_deref(), Some("arn:a"));
    }

    #[test]
    fn what_is_no_name_or_no_certificate_is_refused() {
        for text in ["app", "DNS:", "IP:10.0.0.1", "dns:app"] {
            assert!(text.parse::<CertificateName>().is_err(), "{text}");
        }
        assert!(Principals::default().of(b"no certificate").is_none());
    }
}
