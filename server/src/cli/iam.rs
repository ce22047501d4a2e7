//! `stator iam`: users, groups, roles, policies and access keys of a running cluster, as root.
//!
//! Each command is one call of the IAM API, over TLS to a node of the configuration. Invariant: a secret is printed once, by
//! `key create`, and comes nowhere else; documents are read from files, so that nothing of them stands in process lists.

mod command;
mod reply;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;

use self::command::{Command, IamCall};
use super::ask::{AskError, Asker};
use super::files::{self, FileError};
use super::status::endpoint_of;
use crate::tls::{self, TlsError};

/// Options of `stator iam`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Configuration of the node; names its address and the root principal's key pair
    #[arg(long, value_name = "FILE", global = true, default_value = "stator.toml")]
    config: PathBuf,
    /// Node to be asked instead, such as https://db-2:8000
    #[arg(long, value_name = "URL", global = true)]
    endpoint: Option<String>,
    /// Authority of the node's certificate for clients, when it is not the cluster's own
    #[arg(long, value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Print the answer as one line of JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IamError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{}: cannot be read: {source}", path.display())]
    Document { path: PathBuf, source: io::Error },
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
    #[error("the node's answer is not understood; use the program of the node's version")]
    Answer,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Asks a node and prints what it says.
pub(crate) fn run(options: &Options) -> Result<(), IamError> {
    let call = options.command.call()?;
    let config = files::config(&options.config)?;
    let keys = files::root_keys(&config)?;
    let authority = files::authority(options.ca.as_ref().unwrap_or(&config.security.ca))?;
    let endpoint = match &options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => endpoint_of(config.http.listen),
    };
    let asker = Asker {
        endpoint: &endpoint,
        tls: tls::client(&authority)?,
        keys: &keys,
        region: &config.http.region,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (_, answer) = runtime.block_on(asker.call("iam", call.form()))?;
    let answer = std::str::from_utf8(&answer).map_err(|_| IamError::Answer)?;
    let result = reply::result(answer, &call.action)?;
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, &result).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(reply::text(&result).as_bytes())?;
    }
    Ok(out.flush()?)
}

impl IamCall {
    /// The call as a form.
    fn form(&self) -> String {
        let mut form = format!("Action={}&Version=2010-05-08", self.action);
        for (name, value) in &self.parameters {
            form.push('&');
            form.push_str(name);
            form.push('=');
            form.push_str(&encoded(value));
        }
        form
    }
}

/// Percent-encoded, everything but what never needs to be.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16));
            out.push('%');
            out.extend(
                digits
                    .into_iter()
                    .flatten()
                    .map(|digit| digit.to_ascii_uppercase()),
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_form() {
        let call = IamCall {
            action: "CreateUser".to_owned(),
            parameters: vec![("UserName", "a b/c".to_owned())],
        };
        assert_eq!(
            call.form(),
            "Action=CreateUser&Version=2010-05-08&UserName=a%20b%2Fc"
        );
    }
}
