//! Where a master key comes from: a file, the environment, the output of a command, or Vault.
//!
//! Invariant: exactly one of them. Not here: fetching the key (`cli/master_key.rs`).

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// How long a command or Vault may take, in milliseconds.
const TIMEOUT_MS: u32 = 10_000;

/// See the head of the file. In a configuration a file may be written as its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A file with 64 hexadecimal digits.
    File(PathBuf),
    /// A variable of the environment, with the same.
    Environment(String),
    /// What a command prints: the same.
    Command(CommandSource),
    /// A file with a key that Vault's transit engine has wrapped, and unwraps.
    Vault(VaultSource),
}

/// A command that prints a master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandSource {
    /// The program and its arguments; no shell is between.
    pub(crate) command: Vec<String>,
    /// How long it may take, in milliseconds.
    pub(crate) timeout_ms: u32,
}

/// `vault = { … }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VaultSource {
    /// `https://host:port`; `http://` only for loopback addresses.
    pub(crate) address: String,
    /// Where the transit engine is mounted.
    #[serde(default = "mount")]
    pub(crate) mount: String,
    /// The name of the key in it.
    pub(crate) key: String,
    /// The file with the wrapped master key, `vault:v1:…`, which `stator keys wrap` makes.
    pub(crate) wrapped_key: PathBuf,
    /// A file with the token.
    pub(crate) token_file: Option<PathBuf>,
    /// A variable of the environment with the token; `VAULT_TOKEN` when no file is named either.
    pub(crate) token_environment: Option<String>,
    /// Vault Enterprise's namespace.
    pub(crate) namespace: Option<String>,
    /// The authorities that Vault's certificate is verified against.
    pub(crate) ca: Option<PathBuf>,
    /// How long it may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub(crate) timeout_ms: u32,
}

fn mount() -> String {
    "transit".to_owned()
}

fn timeout_ms() -> u32 {
    TIMEOUT_MS
}

/// A source with its name, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    file: Option<PathBuf>,
    environment: Option<String>,
    command: Option<Vec<String>>,
    timeout_ms: Option<u32>,
    vault: Option<VaultSource>,
}

impl TryFrom<Named> for KeySource {
    type Error = String;

    fn try_from(named: Named) -> Result<Self, String> {
        let is_command = named.command.is_some();
        let sources = [
            named.file.map(Self::File),
            named.environment.map(Self::Environment),
            named.command.map(|command| {
                Self::Command(CommandSource {
                    command,
                    timeout_ms: named.timeout_ms.unwrap_or(TIMEOUT_MS),
                })
            }),
            named.vault.map(Self::Vault),
        ];
        if named.timeout_ms.is_some() && !is_command {
            return Err("timeout_ms is of a command; that of Vault goes into its own table".to_owned());
        }
        let mut sources = sources.into_iter().flatten();
        let source = sources.next();
        match (source, sources.next()) {
            (Some(source), None) => source.check().map(|()| source),
            _ => Err("name one source of the master key: file, environment, command or vault".to_owned()),
        }
    }
}

impl KeySource {
    fn check(&self) -> Result<(), String> {
        match self {
            Self::Environment(name) if name.is_empty() || name.contains(['=', '\0']) => {
                Err(format!("`{name}` is no name of a variable of the environment"))
            }
            Self::Command(source) if source.command.is_empty() => {
                Err("the command is empty; write the program and its arguments, like [\"/usr/bin/key\", \"stator\"]"
                    .to_owned())
            }
            Self::Vault(vault) => vault.check(),
            _ => Ok(()),
        }
    }

    /// Makes relative paths those of a directory.
    pub(super) fn resolve(&mut self, directory: &Path) {
        match self {
            Self::File(path) => *path = directory.join(&*path),
            Self::Vault(vault) => {
                let paths = [&mut vault.token_file, &mut vault.ca].into_iter().flatten();
                for path in paths.chain([&mut vault.wrapped_key]) {
                    *path = directory.join(&*path);
                }
            }
            Self::Environment(_) | Self::Command(_) => {}
        }
    }
}

impl VaultSource {
    fn check(&self) -> Result<(), String> {
        let (scheme, rest) = self.address.split_once("://").unwrap_or(("", ""));
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        let is_loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match scheme {
            "https" if self.ca.is_none() => {
                return Err(
                    "vault.ca is missing: name the file with the authority of Vault's certificate".to_owned(),
                );
            }
            "https" => {}
            "http" if is_loopback => {}
            "http" => {
                return Err(format!(
                    "vault.address is {}, which would show the key to the network; use https",
                    self.address
                ));
            }
            _ => {
                return Err(format!(
                    "vault.address is {}: write https://host:port",
                    self.address
                ));
            }
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(allowed);
        if !is_name(&self.key) || !self.mount.split('/').all(is_name) {
            return Err("vault.key and vault.mount may have letters, digits, `-`, `_` and `.`".to_owned());
        }
        if self.token_file.is_some() && self.token_environment.is_some() {
            return Err("name one of vault.token_file and vault.token_environment".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(name) => write!(f, "the variable {name} of the environment"),
            // Arguments may be nobody's business.
            Self::Command(source) => {
                write!(
                    f,
                    "the command {}",
                    source.command.first().map_or("", String::as_str)
                )
            }
            Self::Vault(vault) => write!(f, "the key {} of Vault at {}", vault.key, vault.address),
        }
    }
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrNamed;

        impl<'de> Visitor<'de> for PathOrNamed {
            type Value = KeySource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a file, or a table that names a source")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<KeySource, E> {
                Ok(KeySource::File(path.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<KeySource, A::Error> {
                let named = Named::deserialize(MapAccessDeserializer::new(map))?;
                named.try_into().map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_any(PathOrNamed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Section {
        master_key: KeySource,
    }

    fn parse(text: &str) -> Result<KeySource, String> {
        toml::from_str::<Section>(text)
            .map(|section| section.master_key)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_source_is_read() {
        let path = KeySource::File("k".into());
        assert_eq!(parse("master_key = \"k\"").unwrap(), path);
        assert_eq!(parse("master_key = { file = \"k\" }").unwrap(), path);
        assert_eq!(
            parse("master_key = { environment = \"KEY\" }").unwrap(),
            KeySource::Environment("KEY".to_owned())
        );
        let command = parse("[master_key]\ncommand = [\"pass\", \"stator\"]\ntimeout_ms = 5").unwrap();
        assert_eq!(
            command,
            KeySource::Command(CommandSource {
                command: vec!["pass".to_owned(), "stator".to_owned()],
                timeout_ms: 5
            })
        );
        assert_eq!(command.to_string(), "the command pass");
        let mut vault = parse(
            "[master_key.vault]\naddress = \"https://vault:8200\"\nkey = \"stator\"\nwrapped_key = \"w\"\nca = \"ca.pem\"",
        )
        .unwrap();
        vault.resolve(Path::new("/d"));
        let KeySource::Vault(vault) = vault else {
            unreachable!("{vault:?}")
        };
        assert_eq!((vault.mount.as_str(), vault.timeout_ms), ("transit", 10_000));
        assert_eq!(vault.wrapped_key, Path::new("/d/w"));
        assert_eq!(vault.ca.as_deref(), Some(Path::new("/d/ca.pem")));
    }

    #[test]
    fn what_is_no_source_is_refused_in_words() {
        let refused = |text: &str, words: &str| {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        };
        refused("master_key = 7", "the path of a file, or a table");
        refused("master_key = {}", "name one source");
        refused(
            "master_key = { file = \"k\", environment = \"K\" }",
            "name one source",
        );
        refused("master_key = { fill = \"k\" }", "fill");
        refused("master_key = { command = [] }", "the command is empty");
        refused(
            "master_key = { file = \"k\", timeout_ms = 1 }",
            "timeout_ms is of a command",
        );
        refused("master_key = { environment = \"A=B\" }", "no name of a variable");
        let vault = |line: &str, words: &str| {
            let text = format!("[master_key.vault]\nkey = \"k\"\nwrapped_key = \"w\"\n{line}");
            refused(&text, words);
        };
        vault("address = \"https://vault:8200\"", "vault.ca is missing");
        vault("address = \"http://vault:8200\"", "use https");
        vault("address = \"vault:8200\"", "write https://host:port");
        vault(
            "address = \"http://127.0.0.1:1\"\nmount = \"a/../b?\"",
            "vault.mount",
        );
        vault(
            "address = \"http://127.0.0.1:1\"\ntoken_file = \"t\"\ntoken_environment = \"T\"",
            "name one of",
        );
    }
}
