//! `stator keys`: what a node's data is encrypted with, and new keys for it.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::ask::{AskError, Asker};
use super::files::{self, FileError};
use super::private_file::{self, Readers};
use super::status::endpoint_of;
use super::{master_key, master_key::vault};
use crate::config::key_source::KeySource;
use crate::http::admin::KEYS_PATH;
use crate::random;
use crate::tls::{self, TlsError};

/// Options of `stator keys`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Ask a running node which keys it has, and how many files need each
    Status {
        #[command(flatten)]
        node: Node,
        /// Print the node's answer as one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a running node make a new data key, or take a new master key into use
    Rotate {
        #[command(flatten)]
        node: Node,
        /// Read the master key anew from where the configuration says, and wrap the data keys with it
        #[arg(long, conflicts_with = "rewrite")]
        master: bool,
        /// Write the files of older data keys anew, instead of by and by
        #[arg(long)]
        rewrite: bool,
    },
    /// Make a master key in a file
    New {
        /// The file, which must not be there
        file: PathBuf,
    },
    /// Let Vault make a master key, and keep it wrapped in the file that the configuration names
    Wrap {
        /// Configuration of the node
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Whom to ask.
#[derive(Debug, Args)]
struct Node {
    /// Configuration of the node; names its address and the root principal's key pair
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Node to be asked instead, such as https://db-2:8000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Authority of the node's certificate for clients, when it is not the cluster's own
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the node's answer is not understood: {0}; use the program of the node's version, or --json")]
    Answer(#[from] serde_json::Error),
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("security.master_key of {} is {source_name}, and not Vault's", path.display())]
    NotVault { path: PathBuf, source_name: String },
    #[error("no master key from Vault: {0}")]
    Vault(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs one of the commands.
pub(crate) fn run(options: &Options) -> Result<(), KeysError> {
    match &options.work {
        Work::Status { node, json } => {
            let answer = node.ask(None)?;
            show(&answer, *json)
        }
        Work::Rotate {
            node,
            master,
            rewrite,
        } => {
            let body = if *master {
                r#"{"rotate":"master"}"#.to_owned()
            } else {
                format!(r#"{{"rotate":"data","rewrite":{rewrite}}}"#)
            };
            let answer = node.ask(Some(body))?;
            show(&answer, false)
        }
        Work::New { file } => {
            let key = master_key::make(random::fill)?;
            let text = master_key::to_text(&key);
            create(file, text.as_bytes())?;
            say(&format!("master key {} in {}", key.id(), file.display()))
        }
        Work::Wrap { config } => wrap(config),
    }
}

fn wrap(path: &Path) -> Result<(), KeysError> {
    let config = files::config(path)?;
    let KeySource::Vault(source) = &config.security.master_key else {
        return Err(KeysError::NotVault {
            path: path.to_owned(),
            source_name: config.security.master_key.to_string(),
        });
    };
    let made = runtime()?.block_on(vault::make(source));
    let (key, wrapped) = made.map_err(KeysError::Vault)?;
    create(&source.wrapped_key, format!("{wrapped}\n").as_bytes())?;
    let file = source.wrapped_key.display();
    say(&format!("master key {}, wrapped by Vault, in {file}", key.id()))
}

fn create(path: &Path, bytes: &[u8]) -> Result<(), KeysError> {
    private_file::create(path, bytes, Readers::Owner).map_err(|source| KeysError::Write {
        path: path.to_owned(),
        source,
    })
}

fn say(line: &str) -> Result<(), KeysError> {
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Node {
    /// The answer to a GET, or to a POST of a body.
    fn ask(&self, body: Option<String>) -> Result<Bytes, KeysError> {
        let config = files::config(&self.config)?;
        let keys = files::root_keys(&config)?;
        let authority = files::authority(self.ca.as_ref().unwrap_or(&config.security.ca))?;
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => endpoint_of(config.http.listen),
        };
        let asker = Asker {
            endpoint: &endpoint,
            tls: tls::client(&authority)?,
            keys: &keys,
            region: &config.http.region,
        };
        Ok(runtime()?.block_on(async {
            match body {
                None => asker.get(KEYS_PATH).await,
                Some(body) => asker.post(KEYS_PATH, body.into()).await,
            }
        })?)
    }
}

fn show(answer: &[u8], json: bool) -> Result<(), KeysError> {
    let mut out = io::stdout().lock();
    if json {
        out.write_all(answer)?;
        writeln!(out)?;
    } else {
        let status: Status = serde_json::from_slice(answer)?;
        out.write_all(status.table().as_bytes())?;
    }
    Ok(out.flush()?)
}

/// What the table shows of a node's answer.
#[derive(Debug, Deserialize)]
struct Status {
    master_key: String,
    is_rewriting: bool,
    data_keys: Vec<DataKey>,
}

#[derive(Debug, Deserialize)]
struct DataKey {
    id: u32,
    created: String,
    is_current: bool,
    sstables: u64,
    sstable_bytes: u64,
    log_segments: u64,
}

impl Status {
    fn table(&self) -> String {
        let mut text = format!(
            "master key {}, {} data keys\n",
            self.master_key,
            self.data_keys.len()
        );
        for key in &self.data_keys {
            let DataKey {
                id,
                created,
                is_current,
                sstables,
                sstable_bytes,
                log_segments,
            } = key;
            let current = if *is_current { "in use   " } else { "read only" };
            let line = format!(
                "data key {id:<4} of {created}  {current}  {sstables} sstables ({sstable_bytes} bytes), {log_segments} log \
                 segments\n"
            );
            text.push_str(&line);
        }
        if self.is_rewriting {
            text.push_str("files of older keys are being written anew\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_which_files_need_which_key() {
        let answer = r#"{"master_key":"0123456789abcdef","is_rewriting":true,"data_keys":[
            {"id":1,"created":"2026-01-01T00:00:00Z","is_current":false,"sstables":3,"sstable_bytes":9,"log_segments":1,"manifest":false},
            {"id":2,"created":"2026-04-01T00:00:00Z","is_current":true,"sstables":0,"sstable_bytes":0,"log_segments":2,"manifest":true}]}"#;
        let status: Status = serde_json::from_str(answer).unwrap();
        let table = status.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "master key 0123456789abcdef, 2 data keys");
        assert_eq!(
            lines[1],
            "data key 1    of 2026-01-01T00:00:00Z  read only  3 sstables (9 bytes), 1 log segments"
        );
        assert!(lines[2].contains("in use     0 sstables"), "{table}");
        assert_eq!(lines[3], "files of older keys are being written anew");
    }

    #[test]
    fn a_new_key_is_private_and_nothing_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("master.key");
        let new = || {
            run(&Options {
                work: Work::New { file: file.clone() },
            })
        };
        new().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.parse::<stator_cluster::MasterKey>().is_ok());
        assert!(new().unwrap_err().to_string().contains("cannot be written"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}
