//! `stator health`: whether a node serves, by the exit status. What container runtimes without a shell run as their health
//! check.
//!
//! It needs no key and proves nothing: it asks what probes ask (`health.rs`). Not here: how the cluster stands (`status.rs`).

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use rustls::ClientConfig;
use serde::Serialize;

use super::files::{self, FileError};
use super::status::{endpoint_of, host_of};
use crate::health::{LIVE_PATH, READY_PATH};
use crate::https;
use crate::tls::{self, TlsError};

/// Where `stator dev` listens if it is not told otherwise.
const DEV_ENDPOINT: &str = "http://127.0.0.1:8000";

/// Options of `stator health`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Configuration of the node; names where it listens
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Node to be asked instead; without a configuration, that of `stator dev` [default: http://127.0.0.1:8000]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Authority of the node's certificate for clients, when it is not the cluster's own
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Ask only whether the process goes on, not whether it serves
    #[arg(long)]
    live: bool,
    /// How long the node may take, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    timeout_ms: u64,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Why the node is not known to be well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{endpoint} is no endpoint: write https://host:port or http://host:port")]
    Endpoint { endpoint: String },
    #[error(
        "{endpoint} speaks TLS: name the authority of its certificate with --ca, or the node's configuration with --config"
    )]
    Authority { endpoint: String },
    #[error("{endpoint} is not well: {state}")]
    NotWell { endpoint: String, state: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is printed; the names are part of the command line's interface.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Answer {
    /// Whether the node is well.
    ok: bool,
    /// `ok`, why it is not ready, or `no answer`.
    state: String,
    /// Who was asked.
    endpoint: String,
}

/// Whom to ask.
struct Whom {
    endpoint: String,
    tls: Option<Arc<ClientConfig>>,
}

/// Asks the node, and says how it is; fails when it is not well.
pub(crate) fn run(options: &Options) -> Result<(), HealthError> {
    let whom = whom(options)?;
    let uri = uri(&whom.endpoint, if options.live { LIVE_PATH } else { READY_PATH })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(ask(&whom, &uri, Duration::from_millis(options.timeout_ms)));
    let mut out = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut out, &answer).map_err(io::Error::from)?;
        writeln!(out)?;
    } else if answer.ok {
        writeln!(out, "{}", answer.state)?;
    }
    out.flush()?;
    let Answer { ok, state, endpoint } = answer;
    if ok {
        Ok(())
    } else {
        Err(HealthError::NotWell { endpoint, state })
    }
}

/// The endpoint that is named, or where the configuration says that probes are answered.
fn whom(options: &Options) -> Result<Whom, HealthError> {
    let config = options.config.as_deref().map(files::config).transpose()?;
    let authority = match (&options.ca, &config) {
        (Some(ca), _) => Some(files::authority(ca)?),
        (None, Some(config)) => Some(files::authority(&config.security.ca)?),
        (None, None) => None,
    };
    let endpoint = match (&options.endpoint, &config) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Some(config)) => match config.http.metrics_listen {
            // There the reason is told, and from the first moment on.
            Some(listen) => plain_endpoint_of(listen),
            None => endpoint_of(config.http.listen),
        },
        (None, None) => DEV_ENDPOINT.to_owned(),
    };
    let is_plain = endpoint.starts_with("http://");
    let tls = match (is_plain, authority) {
        (true, _) => None,
        (false, Some(authority)) => Some(tls::client(&authority)?),
        (false, None) => return Err(HealthError::Authority { endpoint }),
    };
    Ok(Whom { endpoint, tls })
}

fn plain_endpoint_of(listen: SocketAddr) -> String {
    format!("http://{}", host_of(listen))
}

fn uri(endpoint: &str, path: &str) -> Result<Uri, HealthError> {
    let wrong = || HealthError::Endpoint {
        endpoint: endpoint.to_owned(),
    };
    let parsed: Uri = endpoint.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority), "/") = (
        parsed.scheme().cloned(),
        parsed.authority().cloned(),
        parsed.path(),
    ) else {
        return Err(wrong());
    };
    Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(path)
        .build()
        .map_err(|_| wrong())
}

async fn ask(whom: &Whom, uri: &Uri, timeout: Duration) -> Answer {
    let host = uri.authority().map_or("", http::uri::Authority::as_str);
    let request = Request::get(uri.path())
        .header(http::header::HOST, host)
        .body(Full::new(Bytes::new()));
    let answer = match request {
        Ok(request) => https::send(uri, whom.tls.as_ref(), request, timeout).await,
        Err(error) => Err(error.into()),
    };
    let (ok, state) = match answer {
        Ok((status, words)) => (
            status == StatusCode::OK,
            String::from_utf8_lossy(&words).into_owned(),
        ),
        Err(error) => (false, format!("no answer: {error}")),
    };
    Answer {
        ok,
        state,
        endpoint: whom.endpoint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::health::Health;
    use crate::metrics::Telling;
    use tokio::net::TcpListener;

    async fn asked(endpoint: &str, path: &str) -> Answer {
        let whom = Whom {
            endpoint: endpoint.to_owned(),
            tls: None,
        };
        ask(&whom, &uri(endpoint, path).unwrap(), Duration::from_secs(10)).await
    }

    #[tokio::test]
    async fn a_node_that_starts_is_alive_and_not_ready_and_one_that_is_not_there_is_neither() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = plain_endpoint_of(address);
        let telling = Telling::start(listener, Health::new(Arc::new(SystemClock)));
        let ready = asked(&endpoint, READY_PATH).await;
        assert_eq!((ready.ok, ready.state.as_str()), (false, "starting"));
        let live = asked(&endpoint, LIVE_PATH).await;
        assert_eq!((live.ok, live.state.as_str()), (true, "ok"));
        assert_eq!(asked(&endpoint, "/metrics").await.state, "starting");
        drop(telling);
        let gone = loop {
            // The task that has listened ends a moment later.
            let answer = asked(&endpoint, READY_PATH).await;
            if answer.state.starts_with("no answer: ") {
                break answer;
            }
        };
        assert!(!gone.ok, "{gone:?}");
    }

    #[test]
    fn an_endpoint_is_a_scheme_and_an_address() {
        assert_eq!(
            uri("http://127.0.0.1:9400", LIVE_PATH).unwrap().to_string(),
            "http://127.0.0.1:9400/livez"
        );
        for wrong in ["", "127.0.0.1:9400", "http://127.0.0.1/x"] {
            assert!(uri(wrong, LIVE_PATH).is_err(), "{wrong}");
        }
    }
}
