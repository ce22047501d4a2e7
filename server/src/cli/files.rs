//! The configuration of a node, and the files that it names.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderMap;
use stator_cluster::transport::Credentials;
use zeroize::Zeroizing;

use super::credentials::KeyPair;
use super::root_credentials;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::place::Place;
use crate::object_store::{Buckets, S3, S3Settings};
use crate::tls::{self, ServerPem};
use crate::trace::{self, Destination, TracingSettings};

/// A file is of no use.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", path.display())]
pub(crate) struct FileError {
    path: PathBuf,
    cause: String,
}

fn failed(path: &Path, cause: &impl ToString) -> FileError {
    FileError {
        path: path.to_owned(),
        cause: cause.to_string(),
    }
}

/// The bytes of a file, which may be secret.
///
/// # Errors
/// [`FileError`] when it cannot be read.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| failed(path, &format!("cannot be read: {error}")))
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, FileError> {
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| failed(path, &format!("cannot be read: {error}")))
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`FileError`] with the place or the field.
pub(super) fn config(path: &Path) -> Result<Config, FileError> {
    config_for(path, &Place::default())
}

/// The same for a node that shares the file with others.
///
/// # Errors
/// As [`config`].
pub(super) fn config_for(path: &Path, place: &Place) -> Result<Config, FileError> {
    let (text, path) = config_text(path)?;
    Config::parse_for(&text, directory_of(&path), place).map_err(|error| failed(&path, &error))
}

/// The text of a configuration, and where it lies.
///
/// # Errors
/// [`FileError`] when it cannot be read.
pub(super) fn config_text(path: &Path) -> Result<(Zeroizing<String>, PathBuf), FileError> {
    let text = read_text(path)?;
    let path = path.canonicalize().map_err(|error| failed(path, &error))?;
    Ok((text, path))
}

/// The directory that relative paths of a configuration are of.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// The key pair of the root principal.
///
/// # Errors
/// [`FileError`] when it cannot be read or understood.
pub(super) fn root_keys(config: &Config) -> Result<KeyPair, FileError> {
    let path = &config.security.root_credentials;
    root_credentials::parse(&read_text(path)?).map_err(|cause| failed(path, &cause))
}

/// Where buckets are, and how many bytes of items an export or an import moves in a second.
///
/// # Errors
/// [`FileError`] when the key pair or the authorities cannot be read or understood.
pub(super) fn buckets(config: &Config) -> Result<Option<(Buckets, u64)>, FileError> {
    let Some(settings) = &config.object_store else {
        return Ok(None);
    };
    let rate = settings.bytes_per_second;
    if let Some(directory) = &settings.directory {
        return Ok(Some((Buckets::in_directory(directory.clone()), rate)));
    }
    let (Some(endpoint), Some(path)) = (&settings.endpoint, &settings.credentials) else {
        return Ok(None);
    };
    let keys = root_credentials::parse(&read_text(path)?).map_err(|cause| failed(path, &cause))?;
    let tls = match &settings.certificate_authority {
        Some(path) if endpoint.starts_with("https:") => {
            Some(tls::client(&authority(path)?).map_err(|error| failed(path, &error))?)
        }
        _ => None,
    };
    let s3 = S3::new(S3Settings {
        endpoint: endpoint.clone(),
        region: settings.region.clone(),
        access_key_id: keys.access_key_id,
        secret: keys.secret,
        tls,
        clock: Arc::new(SystemClock),
    });
    Ok(Some((Buckets::S3(s3), rate)))
}

/// Where traces are sent, if they are to be.
///
/// # Errors
/// [`FileError`] when the headers or the authorities cannot be read or understood.
pub(super) fn collector(config: &Config) -> Result<Option<(&TracingSettings, Destination)>, FileError> {
    let Some(settings) = &config.tracing else {
        return Ok(None);
    };
    let headers = match &settings.headers {
        Some(path) => trace::headers_of(&read_text(path)?).map_err(|cause| failed(path, &cause))?,
        None => HeaderMap::new(),
    };
    let tls = match &settings.certificate_authority {
        Some(path) => Some(tls::client(&authority(path)?).map_err(|error| failed(path, &error))?),
        None => None,
    };
    let destination = Destination::new(settings, headers, tls);
    let destination = destination.map_err(|cause| failed(Path::new(&settings.endpoint), &cause))?;
    Ok(Some((settings, destination)))
}

/// The certificates of the authorities that nodes are verified against.
///
/// # Errors
/// [`FileError`] when the file cannot be read.
pub(super) fn authority(path: &Path) -> Result<Vec<u8>, FileError> {
    Ok(read(path)?.to_vec())
}

/// Certificates with their private keys, all PEM.
#[derive(Clone)]
pub(super) struct Certificates {
    /// Between nodes.
    pub(super) nodes: Credentials,
    /// For clients.
    pub(super) clients: Vec<u8>,
    pub(super) clients_key: Zeroizing<Vec<u8>>,
    /// What clients' own certificates are verified against.
    pub(super) clients_authority: Option<Vec<u8>>,
}

impl Certificates {
    /// Reads them.
    ///
    /// # Errors
    /// [`FileError`] when one cannot be read.
    pub(super) fn read(config: &Config) -> Result<Self, FileError> {
        let (security, http) = (&config.security, &config.http);
        let nodes = Credentials {
            authority_pem: authority(&security.ca)?,
            certificate_pem: read(&security.certificate)?.to_vec(),
            key_pem: read(&security.key)?,
        };
        let certificate = http.certificate.as_ref().unwrap_or(&security.certificate);
        let key = http.key.as_ref().unwrap_or(&security.key);
        Ok(Self {
            nodes,
            clients: read(certificate)?.to_vec(),
            clients_key: read(key)?,
            clients_authority: http
                .client_certificates
                .as_ref()
                .map(|clients| authority(&clients.authority))
                .transpose()?,
        })
    }

    /// Those for clients, as TLS wants them.
    pub(super) fn for_clients(&self) -> ServerPem<'_> {
        ServerPem {
            certificate: &self.clients,
            key: &self.clients_key,
            clients_authority: self.clients_authority.as_deref(),
        }
    }

    /// Whether these are others between nodes, and for clients.
    pub(super) fn differ(&self, from: &Self) -> (bool, bool) {
        let (ours, theirs) = (&self.nodes, &from.nodes);
        let nodes = ours.authority_pem != theirs.authority_pem
            || ours.certificate_pem != theirs.certificate_pem
            || ours.key_pem != theirs.key_pem;
        let clients = self.clients != from.clients
            || self.clients_key != from.clients_key
            || self.clients_authority != from.clients_authority;
        (nodes, clients)
    }

    /// Takes what `found` has differently into use, between nodes and for clients each for itself, and remembers what is in use
    /// then: files of one that are of no use neither hold up the other nor have its connections made anew at every look. Says what
    /// has come of those that differ.
    pub(super) fn renew(
        &mut self,
        found: Self,
        use_between_nodes: impl FnOnce(&Credentials) -> Result<(), String>,
        use_for_clients: impl FnOnce(ServerPem<'_>) -> Result<(), String>,
    ) -> Vec<(&'static str, Result<(), String>)> {
        let (nodes, clients) = found.differ(self);
        let nodes = nodes.then(|| use_between_nodes(&found.nodes));
        let clients = clients.then(|| use_for_clients(found.for_clients()));
        if nodes == Some(Ok(())) {
            self.nodes = found.nodes;
        }
        if clients == Some(Ok(())) {
            self.clients = found.clients;
            self.clients_key = found.clients_key;
            self.clients_authority = found.clients_authority;
        }
        let nodes = nodes.map(|renewed| ("between nodes", renewed));
        let clients = clients.map(|renewed| ("for clients", renewed));
        nodes.into_iter().chain(clients).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(nodes: u8, clients: u8) -> Certificates {
        Certificates {
            nodes: Credentials {
                authority_pem: vec![0],
                certificate_pem: vec![nodes],
                key_pem: Zeroizing::new(vec![nodes]),
            },
            clients: vec![clients],
            clients_key: Zeroizing::new(vec![clients]),
            clients_authority: None,
        }
    }

    #[test]
    fn certificates_of_no_use_do_not_hold_up_the_others_nor_renew_them_again_and_again() {
        let refused = || Err("of no use".to_owned());
        let mut in_use = certificates(1, 1);
        let renewed = in_use.renew(certificates(2, 2), |_| Ok(()), |_| refused());
        assert_eq!(renewed, [("between nodes", Ok(())), ("for clients", refused())]);
        // Those of nodes are in use: connections are not made anew for those of clients.
        let looked = in_use.renew(
            certificates(2, 2),
            |_| panic!("they do not differ"),
            |_| refused(),
        );
        assert_eq!(looked, [("for clients", refused())]);
        let renewed = in_use.renew(certificates(3, 3), |_| refused(), |_| Ok(()));
        assert_eq!(renewed, [("between nodes", refused()), ("for clients", Ok(()))]);
        assert_eq!(in_use.differ(&certificates(2, 3)), (false, false));
        let renewed = in_use.renew(certificates(3, 3), |_| Ok(()), |_| panic!("they do not differ"));
        assert_eq!(renewed, [("between nodes", Ok(()))]);
        assert_eq!(in_use.differ(&certificates(3, 3)), (false, false));
        let looked = in_use.renew(certificates(3, 3), |_| refused(), |_| refused());
        assert!(looked.is_empty());
    }
}
