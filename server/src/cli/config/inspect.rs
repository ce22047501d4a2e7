//! What is to be said of the files and directories that a configuration names: whether they are there, can be used, belong
//! together, and are readable by whom they should be.
//!
//! Invariant: nothing is changed, and no message has a secret in it. Not here: where messages go.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, access};
use serde::Serialize;
use stator_cluster::{MasterKey, World};

use crate::cli::files::{self, Certificates};
use crate::config::Config;
use crate::config::key_source::KeySource;
use crate::http::peer::Principals;
use crate::tls::{self, ServerTls};

/// A certificate that expires within so many days is to be replaced.
pub(in crate::cli) const EXPIRY_DAYS: i64 = 30;
/// Seconds of a day.
pub(in crate::cli) const DAY_S: i64 = 24 * 3600;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Severity {
    /// A node does not start with it.
    Error,
    /// It may be regretted.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Something to be said of a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Remark {
    pub(in crate::cli) severity: Severity,
    /// The value that names the file.
    pub(in crate::cli) field: &'static str,
    pub(in crate::cli) problem: String,
}

#[derive(Default)]
struct Remarks(Vec<Remark>);

impl Remarks {
    fn error(&mut self, field: &'static str, problem: impl Into<String>) {
        self.add(Severity::Error, field, problem.into());
    }

    fn warning(&mut self, field: &'static str, problem: impl Into<String>) {
        self.add(Severity::Warning, field, problem.into());
    }

    fn add(&mut self, severity: Severity, field: &'static str, problem: String) {
        self.0.push(Remark {
            severity,
            field,
            problem,
        });
    }
}

/// Looks at everything that a configuration names. `world` has the clock that certificates are held against.
pub(in crate::cli) fn inspect(config: &Config, world: Arc<dyn World>, now_ms: i64) -> Vec<Remark> {
    let mut remarks = Remarks::default();
    certificates(config, world, now_ms, &mut remarks);
    secrets(config, &mut remarks);
    directories(config, &mut remarks);
    remarks.0
}

/// The certificate files of a configuration, by the values that name them.
pub(in crate::cli) fn certificate_files(config: &Config) -> Vec<(&'static str, &Path)> {
    let (security, http) = (&config.security, &config.http);
    let clients = http.client_certificates.as_ref();
    let own = [
        ("security.ca", Some(security.ca.as_path())),
        ("security.certificate", Some(security.certificate.as_path())),
        ("http.certificate", http.certificate.as_deref()),
        (
            "http.client_certificates.authority",
            clients.map(|clients| clients.authority.as_path()),
        ),
    ];
    own.into_iter()
        .filter_map(|(field, path)| Some((field, path?)))
        .collect()
}

fn certificates(config: &Config, world: Arc<dyn World>, now_ms: i64, remarks: &mut Remarks) {
    for (field, path) in certificate_files(config) {
        let valid = files::read(path).map_err(|error| error.to_string());
        let valid = valid.and_then(|pem| tls::validity(&pem).map_err(|error| error.to_string()));
        match valid {
            Ok(valid) => validity(field, valid, now_ms / 1000, remarks),
            Err(error) => remarks.error(field, error),
        }
    }
    let Ok(certificates) = Certificates::read(config) else {
        // Certificates were told; keys were not.
        let keys = [
            ("security.key", Some(&config.security.key)),
            ("http.key", config.http.key.as_ref()),
        ];
        for (field, path) in keys {
            if let Some(Err(error)) = path.map(|path| files::read(path)) {
                remarks.error(field, error.to_string());
            }
        }
        return;
    };
    match certificates.nodes.identity() {
        Ok(certified) if certified.node.0 != config.node.id || certified.cluster != config.cluster.id => {
            let problem = format!(
                "is for {certified}, while the configuration is of node {} of the cluster {}",
                config.node.id, config.cluster.id
            );
            remarks.error("security.certificate", problem);
        }
        Ok(_) => {
            if let Err(error) = certificates.nodes.check(world) {
                remarks.error("security.certificate", error.to_string());
            }
        }
        Err(error) => remarks.error("security.certificate", error.to_string()),
    }
    let principals = config.http.client_certificates.as_ref();
    let principals = principals.map(|clients| Principals::new(&clients.principals));
    if let Err(error) = ServerTls::new(certificates.for_clients(), principals.unwrap_or_default()) {
        let field = match config.http.certificate {
            Some(_) => "http.certificate",
            None => "security.certificate",
        };
        remarks.error(field, error.to_string());
    }
}

fn validity(field: &'static str, valid: tls::Validity, now_s: i64, remarks: &mut Remarks) {
    let days = (valid.until_s - now_s).div_euclid(DAY_S);
    if valid.until_s <= now_s {
        let days = (now_s - valid.until_s) / DAY_S;
        remarks.error(field, format!("has expired {days} days ago"));
    } else if valid.from_s > now_s {
        let problem = format!(
            "is valid in {} s only; is this machine's clock right?",
            valid.from_s - now_s
        );
        remarks.error(field, problem);
    } else if days < EXPIRY_DAYS {
        remarks.warning(field, format!("expires in {days} days; make another one"));
    }
}

/// Files with secrets: whether they are there, can be understood, and are readable by their owner only.
fn secrets(config: &Config, remarks: &mut Remarks) {
    let (security, http) = (&config.security, &config.http);
    if let Err(error) = files::root_keys(config) {
        remarks.error("security.root_credentials", error.to_string());
    }
    if let Err(error) = files::collector(config) {
        remarks.error("tracing", error.to_string());
    }
    let mut paths = vec![
        ("security.key", security.key.as_path()),
        ("security.root_credentials", security.root_credentials.as_path()),
    ];
    paths.extend(http.key.as_deref().map(|path| ("http.key", path)));
    let tracing = config.tracing.as_ref();
    let headers = tracing.and_then(|tracing| tracing.headers.as_deref());
    paths.extend(headers.map(|path| ("tracing.headers", path)));
    let older = security.older_master_keys.iter();
    let sources = [("security.master_key", &security.master_key)]
        .into_iter()
        .chain(older.map(|source| ("security.older_master_keys", source)));
    for (field, source) in sources {
        match source {
            KeySource::File(path) => {
                paths.push((field, path));
                master_key(field, path, remarks);
            }
            KeySource::Environment(name) if std::env::var_os(name).is_none() => {
                remarks.warning(
                    field,
                    format!("the variable {name} is not set where this command runs"),
                );
            }
            KeySource::Vault(vault) => {
                let named = [
                    Some(&vault.wrapped_key),
                    vault.token_file.as_ref(),
                    vault.ca.as_ref(),
                ];
                for path in named.into_iter().flatten() {
                    if let Err(error) = files::read(path) {
                        remarks.error(field, error.to_string());
                    }
                }
            }
            KeySource::Environment(_) | KeySource::Command(_) => {}
        }
    }
    for (field, path) in paths {
        readers(field, path, remarks);
    }
}

fn master_key(field: &'static str, path: &Path, remarks: &mut Remarks) {
    let key = files::read(path)
        .map_err(|error| error.to_string())
        .and_then(|bytes| {
            let text = str::from_utf8(&bytes).map_err(|_| format!("{}: is no text", path.display()))?;
            let key = text.parse::<MasterKey>();
            key.map(drop)
                .map_err(|error| format!("{}: {error}", path.display()))
        });
    if let Err(problem) = key {
        remarks.error(field, problem);
    }
}

/// A secret is for its owner, and maybe for a group that a service runs in.
fn readers(field: &'static str, path: &Path, remarks: &mut Remarks) {
    let Ok(metadata) = fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let problem = format!(
            "{} can be read by every user of this machine (mode {mode:03o}); chmod 600 it",
            path.display()
        );
        remarks.warning(field, problem);
    }
}

/// Directories that the node makes if they are not there, and those that others have to make.
fn directories(config: &Config, remarks: &mut Remarks) {
    let audit = config.audit.as_ref().and_then(|audit| audit.file.parent());
    let made = [
        ("node.data_dir", Some(config.node.data_dir.as_path())),
        ("audit.file", audit),
    ];
    for (field, path) in made.into_iter().filter_map(|(field, path)| Some((field, path?))) {
        // The nearest that is there is where the others are made.
        let Some(there) = path.ancestors().find(|path| path.exists()) else {
            remarks.error(
                field,
                format!("{}: no directory above it is there", path.display()),
            );
            continue;
        };
        if !there.is_dir() {
            remarks.error(field, format!("{} is no directory", there.display()));
        } else if let Err(error) = access(there, Access::WRITE_OK | Access::EXEC_OK) {
            let problem = format!("{} cannot be written to by this user: {error}", there.display());
            remarks.error(field, problem);
        }
    }
    if let Some(backup) = &config.backup
        && !backup.directory.is_dir()
    {
        let problem = format!(
            "{} is not there, or no directory; is the disk mounted?",
            backup.directory.display()
        );
        remarks.warning("backup.directory", problem);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::init;
    use crate::clock::{Clock as _, SystemClock};
    use crate::node;

    /// A cluster of three as `stator init` makes it; the configuration of node 1.
    fn made(directory: &Path) -> Config {
        init::tests::three_nodes(directory);
        files::config(&directory.join("node-1/stator.toml")).unwrap()
    }

    fn said(config: &Config, now_ms: i64) -> Vec<(Severity, &'static str)> {
        let remarks = inspect(config, node::world().unwrap(), now_ms);
        remarks
            .iter()
            .map(|remark| (remark.severity, remark.field))
            .collect()
    }

    #[tokio::test]
    async fn nothing_is_said_of_what_init_makes() {
        let directory = tempfile::tempdir().unwrap();
        let config = made(directory.path());
        let remarks = inspect(&config, node::world().unwrap(), SystemClock.now_ms());
        assert_eq!(remarks, []);
    }

    #[tokio::test]
    async fn files_that_do_not_belong_together_or_are_open_to_all_are_told() {
        use Severity::{Error, Warning};

        let directory = tempfile::tempdir().unwrap();
        let sound = made(directory.path());
        let now_ms = SystemClock.now_ms();
        let of_two = |name: &str| directory.path().join("node-2").join(name);

        let mut config = sound.clone();
        config.security.certificate = of_two("node.pem");
        let other = said(&config, now_ms);
        assert_eq!(
            other,
            [(Error, "security.certificate"), (Error, "security.certificate")]
        );

        let mut config = sound.clone();
        config.security.key = PathBuf::from("/nowhere/key.pem");
        assert_eq!(said(&config, now_ms), [(Error, "security.key")]);

        let mut config = sound.clone();
        config.security.master_key = KeySource::File(config.security.ca.clone());
        let expected = [(Error, "security.master_key"), (Warning, "security.master_key")];
        assert_eq!(said(&config, now_ms), expected);

        let mut config = sound.clone();
        config.node.data_dir = config.security.ca.join("data");
        assert_eq!(said(&config, now_ms), [(Error, "node.data_dir")]);

        fs::set_permissions(&sound.security.key, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(said(&sound, now_ms), [(Warning, "security.key")]);
    }

    #[test]
    fn certificates_are_told_before_they_expire_and_after() {
        let valid = tls::Validity {
            from_s: 10 * DAY_S,
            until_s: 100 * DAY_S,
        };
        let said = |now_s: i64| {
            let mut remarks = Remarks::default();
            validity("security.ca", valid, now_s, &mut remarks);
            let said = remarks.0.first().map(|remark| remark.problem.clone());
            said.unwrap_or_default()
        };
        assert_eq!(said(20 * DAY_S), "");
        assert_eq!(said(70 * DAY_S), "");
        assert_eq!(said(70 * DAY_S + 1), "expires in 29 days; make another one");
        assert_eq!(said(100 * DAY_S), "has expired 0 days ago");
        assert_eq!(said(103 * DAY_S + 5), "has expired 3 days ago");
        assert!(said(10 * DAY_S - 5).starts_with("is valid in 5 s only"));
    }
}
