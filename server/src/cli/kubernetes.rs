//! `stator kubernetes`: what the chart (`helm/stator`) has the program itself do in a cluster of pods, because its image has no
//! shell and nothing else in it.
//!
//! `secrets` makes keys and certificates, `pre-stop` lets a node leave when its stateful set has become smaller. Both ask
//! Kubernetes' API as the service account of their pod. Not here: what a node is, and what certificates say.

mod api;
mod pre_stop;
mod secrets;

use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::api::{Api, ApiError};
use super::files::FileError;
use super::nodes::NodesError;
use crate::tls::TlsError;
use stator_cluster::transport::certificate::CertificateError;

/// Options of `stator kubernetes`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where Kubernetes' API is, instead of what the pod says; such as http://127.0.0.1:8001 for `kubectl proxy`
    #[arg(long, value_name = "URL", requires = "account")]
    server: Option<String>,
    /// Folder with `token`, `namespace` and, for https, `ca.crt`, instead of that of the pod's service account
    #[arg(long, value_name = "D", requires = "server")]
    account: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the secrets of a cluster that are not there yet, and new certificates for its nodes
    Secrets(secrets::Options),
    /// Let the node of this pod leave the cluster, if its stateful set has become too small for it
    PreStop(pre_stop::Options),
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubernetesError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(
        "the secret {secret} has no usable `{member}`: {cause}; restore it, or delete the secret if nothing needs it"
    )]
    Secret {
        secret: String,
        member: &'static str,
        cause: String,
    },
    #[error("{0}")]
    Name(String),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Nodes(#[from] NodesError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs a command.
pub(crate) fn run(options: &Options) -> Result<(), KubernetesError> {
    let api = match (&options.account, &options.server) {
        (Some(account), Some(server)) => Api::of_account(account, server.clone())?,
        _ => Api::of_pod()?,
    };
    match &options.command {
        Command::Secrets(options) => secrets::run(options, &api),
        Command::PreStop(options) => pre_stop::run(options, &api),
    }
}

/// Runs what asks Kubernetes.
fn block_on<T>(future: impl Future<Output = Result<T, KubernetesError>>) -> Result<T, KubernetesError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}
