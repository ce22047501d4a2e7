//! `stator top`: the nodes of a cluster, live.
//!
//! Asks one node for its status, another one when that does not answer, and every node for its metrics. What is shown follows from two
//! looks (`top/model.rs`, pure); drawing is dull (`top/draw.rs`).

mod draw;
mod model;
mod scrape;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use futures_util::future::join_all;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::draw::Key;
use self::model::{Look, Order, Status, View};
use self::scrape::Scraped;
use super::reach::{Reach, ReachError, Reached, with_port};
use crate::http::admin::STATUS_PATH;
use crate::https;

/// How long a node's metrics may take: a node that is stuck must not hold the others up.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(2);

/// Options of `stator top`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    reach: Reach,
    /// API of another node, to be asked for the status when the first does not answer; may be given several times
    #[arg(long, value_name = "URL")]
    peer: Vec<String>,
    /// Where a node tells its metrics, when that is not the host of its address and the port of this node's metrics_listen
    #[arg(long, value_name = "NODE=URL", value_parser = node_at)]
    metrics: Vec<(u64, String)>,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Column to sort by at the beginning
    #[arg(long, value_enum, default_value_t = Order::Node)]
    sort: Order,
    /// Print one frame and end
    #[arg(long)]
    once: bool,
    /// Print one line of JSON a look, instead of frames
    #[arg(long)]
    json: bool,
}

fn node_at(text: &str) -> Result<(u64, String), String> {
    let wrong = || format!("`{text}` is no node with its metrics: write 2=http://db-2:9400");
    let (node, url) = text.split_once('=').ok_or_else(wrong)?;
    let node = node.parse().map_err(|_| wrong())?;
    if url.starts_with("http://") {
        Ok((node, url.to_owned()))
    } else {
        Err(wrong())
    }
}

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopError {
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error("no node says how the cluster is: {0}")]
    NoStatus(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Shows the cluster until it is told to stop, or once.
///
/// # Errors
/// [`TopError::NoStatus`] when no node answers at the beginning.
pub(crate) fn run(options: &Options) -> Result<(), TopError> {
    let reached = options.reach.read()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut watcher = Watcher::new(&reached, options);
        let interval = Duration::from_secs(options.interval);
        if options.once || options.json {
            return print(&mut watcher, interval, options).await;
        }
        // What goes wrong at the beginning is told on a terminal that is as it was.
        watcher.look().await?;
        let mut terminal = ratatui::try_init()?;
        let ended = show(&mut watcher, interval, options.sort, &mut terminal).await;
        ratatui::try_restore()?;
        ended
    })
}

/// Prints frames, or lines of JSON.
async fn print(watcher: &mut Watcher<'_>, interval: Duration, options: &Options) -> Result<(), TopError> {
    watcher.look().await?;
    loop {
        tokio::time::sleep(interval).await;
        let view = watcher.look().await?;
        let mut out = io::stdout().lock();
        if options.json {
            serde_json::to_writer(&mut out, &view).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            out.write_all(draw::plain(&view, options.sort)?.as_bytes())?;
        }
        out.flush()?;
        if options.once {
            return Ok(());
        }
    }
}

/// Draws frames until a key says that it is enough.
async fn show(
    watcher: &mut Watcher<'_>,
    interval: Duration,
    mut order: Order,
    terminal: &mut DefaultTerminal,
) -> Result<(), TopError> {
    let mut keys = keys()?;
    let mut view = watcher.look().await?;
    let mut problem = None;
    let mut next = Instant::now() + interval;
    loop {
        terminal.draw(|frame| draw::frame(frame, &view, order, problem.as_deref()))?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Key::Sort) => order = order.next(),
                Some(Key::Redraw) => {}
                Some(Key::Quit) | None => return Ok(()),
            },
            () = tokio::time::sleep_until(next) => {
                next = Instant::now() + interval;
                match watcher.look().await {
                    Ok(seen) => (view, problem) = (seen, None),
                    // The last view stays, and it is said that it is old.
                    Err(error) => problem = Some(error.to_string()),
                }
            }
        }
    }
}

/// Keys as they are pressed. A thread of its own waits for them, because that blocks; it ends with the process.
fn keys() -> io::Result<mpsc::UnboundedReceiver<Key>> {
    let (pressed, keys) = mpsc::unbounded_channel();
    std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            while let Ok(event) = event::read() {
                let key = match event {
                    Event::Key(key) => Key::of(key),
                    Event::Resize(..) => Some(Key::Redraw),
                    _ => None,
                };
                if key.is_some_and(|key| pressed.send(key).is_err()) {
                    return;
                }
            }
        })?;
    Ok(keys)
}

/// Looks again and again, and remembers the last look.
struct Watcher<'a> {
    reached: &'a Reached,
    /// APIs to be asked for the status, the first first.
    endpoints: Vec<String>,
    /// Where nodes tell their metrics, as options say.
    metrics: BTreeMap<u64, String>,
    begin: Instant,
    last: Option<Look>,
}

impl<'a> Watcher<'a> {
    fn new(reached: &'a Reached, options: &Options) -> Self {
        let endpoints = [reached.endpoint.clone()].into_iter().chain(options.peer.clone());
        Self {
            reached,
            endpoints: endpoints.collect(),
            metrics: options.metrics.iter().cloned().collect(),
            begin: Instant::now(),
            last: None,
        }
    }

    /// What is to be shown now.
    async fn look(&mut self) -> Result<View, TopError> {
        let status = self.status().await?;
        let scrapes = status.nodes.iter().filter_map(|node| {
            let at = self.metrics_of(node.id, &node.address)?;
            Some(async move { (node.id, scrape(&at).await) })
        });
        let scraped = join_all(scrapes).await;
        let scraped = scraped
            .into_iter()
            .filter_map(|(node, scraped)| Some((node, scraped?)));
        let look = Look {
            at: self.begin.elapsed(),
            metrics: scraped.collect(),
            status,
        };
        let view = View::new(self.last.as_ref(), &look);
        self.last = Some(look);
        Ok(view)
    }

    /// The status that the first node gives that answers.
    async fn status(&mut self) -> Result<Status, TopError> {
        let mut problems = Vec::new();
        for place in 0..self.endpoints.len() {
            let endpoint = self.endpoints[place].clone();
            let answer = self.reached.asker_of(&endpoint).get(STATUS_PATH).await;
            let status = answer
                .map_err(|error| error.to_string())
                .and_then(|body| serde_json::from_slice::<Status>(&body).map_err(|error| error.to_string()));
            match status {
                Ok(status) => {
                    self.learn(&status);
                    // It is asked first from now on.
                    self.endpoints.swap(0, place);
                    return Ok(status);
                }
                Err(problem) => problems.push(problem),
            }
        }
        Err(TopError::NoStatus(problems.join("; ")))
    }

    /// Other nodes may answer when this one does not.
    fn learn(&mut self, status: &Status) {
        let port = self.reached.config.http.listen.port();
        for node in status.nodes.iter().filter(|node| node.id != status.id) {
            if let Ok(address) = with_port(&node.address, port) {
                let endpoint = format!("https://{address}");
                if !self.endpoints.contains(&endpoint) {
                    self.endpoints.push(endpoint);
                }
            }
        }
    }

    fn metrics_of(&self, node: u64, address: &str) -> Option<String> {
        if let Some(url) = self.metrics.get(&node) {
            return Some(url.clone());
        }
        let port = self.reached.config.http.metrics_listen?.port();
        Some(format!("http://{}", with_port(address, port).ok()?))
    }
}

/// What a node tells collectors; `None` when it does not.
async fn scrape(endpoint: &str) -> Option<Scraped> {
    let uri: Uri = format!("{}/metrics", endpoint.trim_end_matches('/'))
        .parse()
        .ok()?;
    let request = Request::get("/metrics").header(http::header::HOST, uri.authority()?.as_str());
    let request = request.body(Full::new(Bytes::new())).ok()?;
    let tls: Option<&Arc<rustls::ClientConfig>> = None;
    let (status, body) = https::send(&uri, tls, request, SCRAPE_TIMEOUT).await.ok()?;
    (status == StatusCode::OK).then(|| Scraped::parse(&String::from_utf8_lossy(&body)))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_place_of_metrics_is_a_node_and_a_url() {
        assert_eq!(
            node_at("2=http://db-2:9400"),
            Ok((2, "http://db-2:9400".to_owned()))
        );
        for wrong in ["", "2", "x=http://a:1", "2=https://a:1"] {
            assert!(node_at(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn metrics_are_read_and_a_node_that_is_gone_has_none() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 512];
            let count = stream.read(&mut head).await.unwrap();
            assert!(head[..count].starts_with(b"GET /metrics HTTP/1.1\r\n"));
            let body = "stator_lag_entries_max 7\n";
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        assert_eq!(scrape(&endpoint).await.unwrap().lag, Some(7));
        serving.await.unwrap();
        assert!(scrape(&endpoint).await.is_none());
    }
}
