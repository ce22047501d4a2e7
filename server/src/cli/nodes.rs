//! `stator join`, `drain`, `remove`, `replace` and `replication`: changes of the cluster's nodes, and how far they are.
//!
//! The cluster carries a change out by itself, whatever becomes of this command: interrupting it interrupts nothing, and giving
//! it again shows how far the cluster is. Not here: what is asked of the node (`http/admin.rs`), moves (`cluster`).

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;

use super::ask::{AskError, Asker};
use super::files::{self, FileError};
use super::status::endpoint_of;
use crate::http::admin::{NODES_PATH, STATUS_PATH};
use crate::tls::{self, TlsError};

/// How often the node is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);
/// For how long somebody is asked again who cannot do it now.
const ASKED_FOR: Duration = Duration::from_secs(20);

/// Whom to ask, and whether to wait.
#[derive(Debug, Args)]
pub(crate) struct Whom {
    /// Configuration of a node of the cluster; names its address and the root principal's key pair
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Node to be asked instead, such as https://db-2:8000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Authority of the node's certificate for clients, when it is not the cluster's own
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Return at once; the cluster goes on by itself, and `stator status` says how far it is
    #[arg(long)]
    no_wait: bool,
}

/// Options of `stator join`.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The node that is to become one of the cluster; `stator init --add-node` makes its files, `stator serve` runs it
    node: u64,
    #[command(flatten)]
    whom: Whom,
}

/// Options of `stator replace`.
#[derive(Debug, Args)]
pub(crate) struct Replace {
    /// The node whose place is taken; if it is alive it gives up its data to the others before it leaves
    node: u64,
    /// The node that has joined in its place
    #[arg(long, value_name = "NODE")]
    by: u64,
    #[command(flatten)]
    whom: Whom,
}

/// Options of `stator drain`.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The node that is to give up its data to the others and leave
    node: u64,
    /// Let the node stay after all, if it has not left yet
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    whom: Whom,
}

/// Options of `stator remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The node that is gone and does not come back; its ranges get new replicas on others
    node: u64,
    #[command(flatten)]
    whom: Whom,
}

/// Options of `stator replication`.
#[derive(Debug, Args)]
pub(crate) struct Replication {
    /// On how many nodes each item is to lie
    replicas: NonZeroU8,
    #[command(flatten)]
    whom: Whom,
}

/// Why a change is not known to be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodesError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the node's answer is not understood: {0}; use the program of the node's version")]
    Answer(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(
        "node {0} is not in the cluster, or not alive: run it with `stator serve`; `stator init --add-node --node-id {0}` makes its files"
    )]
    NotThere(u64),
    #[error("a node cannot take its own place")]
    Itself,
    #[error("data are damaged that no other node has; restore them from a backup, and replace the disk")]
    NotWhole,
}

/// What a node answers, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    node: u64,
    moves: Moves,
    #[serde(default)]
    nodes: Vec<Known>,
}

impl Answer {
    /// Whether a node takes part, as the one that was asked knows.
    fn is_alive(&self, node: u64) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|known| known.node == node && known.liveness == "alive")
    }

    /// Whether it has a share of the data, as it says.
    fn has_replicas(&self, node: u64) -> bool {
        let mut nodes = self.nodes.iter();
        nodes.any(|known| known.node == node && known.replicas > 0)
    }

    /// How many hints the nodes keep that leave, as they say.
    fn hints_of_leaving(&self) -> u64 {
        let leaving = self.nodes.iter();
        let leaving = leaving.filter(|known| self.moves.leaving.contains(&known.node));
        leaving.map(|known| known.hints_waiting).sum()
    }
}

/// A node, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Known {
    node: u64,
    liveness: String,
    replicas: u64,
    #[serde(default)]
    hints_waiting: u64,
}

#[derive(Debug, Deserialize)]
struct Moves {
    pending: u64,
    leaving: Vec<u64>,
    departed: Vec<u64>,
}

/// Waits until a node has been taken in and has its share of the data.
pub(crate) fn join(options: &Join) -> Result<(), NodesError> {
    let node = options.node;
    tell(&format!(
        "node {node} is taken in when it runs, and gets its share of the data from the others"
    ));
    options.whom.ask(async |asker| {
        let answer: Answer = serde_json::from_slice(&asker.get(STATUS_PATH).await?)?;
        if !answer.is_alive(node) {
            return Err(NodesError::NotThere(node));
        }
        let done = format!("node {node} has its share of the data");
        let is_done = |answer: &Answer, is_still| is_still && answer.has_replicas(node);
        options.whom.wait(asker, answer.moves, &done, is_done).await
    })
}

/// Has a node leave in whose place another one has come.
pub(crate) fn replace(options: &Replace) -> Result<(), NodesError> {
    let (node, by) = (options.node, options.by);
    if node == by {
        return Err(NodesError::Itself);
    }
    let answer: Answer = options
        .whom
        .ask(async |asker| Ok(serde_json::from_slice(&asker.get(STATUS_PATH).await?)?))?;
    if !answer.is_alive(by) {
        return Err(NodesError::NotThere(by));
    }
    // Of a node that is there its own copies are the best ones, and it may be needed until they are elsewhere.
    let change = if answer.is_alive(node) {
        tell(&format!(
            "node {node} is alive: it gives up its data to the others, and leaves"
        ));
        "drain"
    } else {
        tell(&format!(
            "node {node} is not alive: its data come from the others, and it is removed"
        ));
        "remove"
    };
    let done = format!("node {by} is there in the place of node {node}, which has left the cluster");
    let change = json!({"change": change, "node": node});
    options.whom.change(&change, &done, has_left(node))
}

/// Has a node leave, or stay.
pub(crate) fn drain(options: &Drain) -> Result<(), NodesError> {
    let node = options.node;
    if options.undo {
        let change = json!({"change": "stay", "node": node});
        return options
            .whom
            .change(&change, &format!("node {node} stays"), |_, is_still| is_still);
    }
    let change = json!({"change": "drain", "node": node});
    let done = format!("node {node} has left the cluster; stop it and keep its number for nobody else");
    options.whom.change(&change, &done, has_left(node))
}

/// Has the node leave that runs where a configuration says, and waits until it has.
///
/// # Errors
/// [`NodesError`]; among others when too few nodes would be left.
pub(super) fn leave(config: &Path) -> Result<(), NodesError> {
    let whom = Whom {
        config: config.to_owned(),
        endpoint: None,
        ca: None,
        no_wait: false,
    };
    let node = whom.own_number()?;
    drain(&Drain {
        node,
        undo: false,
        whom,
    })
}

/// Has the ranges of a node that is gone get replicas elsewhere.
pub(crate) fn remove(options: &Remove) -> Result<(), NodesError> {
    let node = options.node;
    let change = json!({"change": "remove", "node": node});
    let done = format!("node {node} is removed; all ranges have their replicas on other nodes");
    options.whom.change(&change, &done, has_left(node))
}

/// Whether a node has left: what else has to move is not waited for.
fn has_left(node: u64) -> impl Fn(&Answer, bool) -> bool {
    move |answer, _| answer.moves.departed.contains(&node)
}

/// Sets how many replicas ranges have.
pub(crate) fn replication(options: &Replication) -> Result<(), NodesError> {
    let replicas = options.replicas;
    let change = json!({"change": "replication", "replicas": replicas});
    let done = format!("each item lies on {replicas} nodes");
    options.whom.change(&change, &done, |_, is_still| is_still)
}

impl Whom {
    /// The number of the node that is asked, by its own word: a configuration that nodes share does not say it.
    fn own_number(&self) -> Result<u64, NodesError> {
        self.ask(async |asker| {
            let answer = insist(AskError::may_pass, || asker.get(STATUS_PATH)).await?;
            Ok(serde_json::from_slice::<Answer>(&answer)?.node)
        })
    }

    /// Whether to return at once.
    pub(super) fn no_wait(&self) -> bool {
        self.no_wait
    }

    /// Asks the node.
    pub(super) fn ask<T>(
        &self,
        ask: impl AsyncFnOnce(&Asker<'_>) -> Result<T, NodesError>,
    ) -> Result<T, NodesError> {
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
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(ask(&asker))
    }

    /// Has a change made, and waits until `is_done` says that it is as wanted, which is told whether nothing has to move any more.
    fn change(
        &self,
        change: &serde_json::Value,
        done: &str,
        is_done: impl Fn(&Answer, bool) -> bool,
    ) -> Result<(), NodesError> {
        let body = serde_json::to_vec(change)?;
        self.ask(async |asker| {
            let body = Bytes::from(body);
            let answer = insist(AskError::may_pass, || asker.post(NODES_PATH, body.clone())).await?;
            let moves = serde_json::from_slice::<Answer>(&answer)?.moves;
            self.wait(asker, moves, done, is_done).await
        })
    }

    /// Waits until `is_done` says that it is as wanted, which is told whether nothing has to move any more.
    async fn wait(
        &self,
        asker: &Asker<'_>,
        moves: Moves,
        done: &str,
        is_done: impl Fn(&Answer, bool) -> bool,
    ) -> Result<(), NodesError> {
        if self.no_wait {
            return say(&format!(
                "it is under way; {} replicas have to move, see `stator status`",
                moves.pending
            ));
        }
        let mut progress = Progress::new();
        loop {
            // The steward takes up what was asked for a moment later.
            tokio::time::sleep(LOOK).await;
            match asker.get(STATUS_PATH).await {
                Ok(answer) => {
                    let answer: Answer = serde_json::from_slice(&answer)?;
                    let is_still = progress.shows(&answer);
                    if is_done(&answer, is_still) {
                        progress.end();
                        return say(done);
                    }
                }
                Err(error) if error.may_pass() => progress.says(&error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Asks for something that may be asked for again until it is done or refused, for a while.
pub(super) async fn insist<T, E: Display>(
    may_pass: impl Fn(&E) -> bool,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let begun = tokio::time::Instant::now();
    let mut has_said = false;
    loop {
        match ask().await {
            Err(error) if may_pass(&error) && begun.elapsed() < ASKED_FOR => {
                if !std::mem::replace(&mut has_said, true) {
                    let seconds = ASKED_FOR.as_secs();
                    tell(&format!("{error}; asking again for {seconds} s"));
                }
                tokio::time::sleep(LOOK).await;
            }
            outcome => return outcome,
        }
    }
}

/// How far it is: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    most: u64,
    /// What was said last, where there is no bar.
    last: Option<String>,
    /// Looks at which nothing had to move, one after the other.
    still: u32,
}

/// Nothing has to move when that was so at so many looks: between two steps of one change there is a moment like that.
const STILL_LOOKS: u32 = 3;

impl Progress {
    fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} replicas moved {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self {
            bar,
            most: 0,
            last: None,
            still: 0,
        }
    }

    fn says(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("({what})"));
        }
    }

    /// Shows what has to move, and what is waited for; says whether nothing had to move for a while.
    fn shows(&mut self, answer: &Answer) -> bool {
        let pending = answer.moves.pending;
        self.most = self.most.max(pending);
        self.still = if pending == 0 { self.still + 1 } else { 0 };
        let hints = match answer.hints_of_leaving() {
            0 => String::new(),
            hints => format!("a node that is leaving has {hints} hints to hand on"),
        };
        if let Some(bar) = &self.bar {
            bar.set_length(self.most);
            bar.set_position(self.most - pending);
            bar.set_message(match hints.as_str() {
                "" if answer.moves.leaving.is_empty() => String::new(),
                "" => "(a node is leaving)".to_owned(),
                hints => format!("({hints})"),
            });
        } else {
            let separator = if hints.is_empty() { "" } else { "; " };
            let line = format!("{pending} replicas have to move{separator}{hints}");
            if self.last.as_ref() != Some(&line) {
                tell(&line);
                self.last = Some(line);
            }
        }
        self.still >= STILL_LOOKS
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says what will be done, where no script looks for an answer.
fn tell(what: &str) {
    drop(writeln!(io::stderr(), "{what}"));
}

fn say(what: &str) -> Result<(), NodesError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pending: u64, hints: u64) -> Answer {
        let node = |node: u64, hints: u64| json!({"node": node, "liveness": "alive", "replicas": 0, "hints_waiting": hints});
        serde_json::from_value(json!({
            "moves": {"pending": pending, "leaving": [2], "departed": []}, "nodes": [node(1, 7), node(2, hints)]}))
        .unwrap()
    }

    #[test]
    fn a_node_has_joined_when_it_says_that_it_has_replicas() {
        let node =
            |node, liveness, replicas| json!({"node": node, "liveness": liveness, "replicas": replicas});
        let answer: Answer = serde_json::from_value(json!({
            "moves": {"pending": 0, "leaving": [], "departed": []},
            "nodes": [node(1, "alive", 5), node(2, "suspect", 4), node(3, "alive", 0)]}))
        .unwrap();
        assert_eq!(
            [1, 2, 3, 4].map(|node| answer.is_alive(node)),
            [true, false, true, false]
        );
        assert_eq!(
            [1, 2, 3, 4].map(|node| answer.has_replicas(node)),
            [true, true, false, false]
        );
    }

    #[test]
    fn who_has_left_has_left_whatever_else_still_has_to_move() {
        let mut answer = answer(7, 0);
        assert!(!has_left(2)(&answer, true));
        answer.moves.departed.push(2);
        assert!(has_left(2)(&answer, false) && !has_left(3)(&answer, true));
    }

    #[test]
    fn it_is_said_that_hints_are_waited_for() {
        assert_eq!(
            answer(0, 5).hints_of_leaving(),
            5,
            "those of other nodes do not count"
        );
        let mut progress = without_a_bar();
        progress.shows(&answer(1, 0));
        assert_eq!(progress.last.as_deref(), Some("1 replicas have to move"));
        progress.shows(&answer(0, 5));
        let said = "0 replicas have to move; a node that is leaving has 5 hints to hand on";
        assert_eq!(progress.last.as_deref(), Some(said));
    }

    fn without_a_bar() -> Progress {
        Progress {
            bar: None,
            ..Progress::new()
        }
    }

    #[test]
    fn a_moment_in_which_nothing_moves_is_not_the_end() {
        let mut progress = Progress::new();
        let shown = [3, 0, 2, 0, 0, 0].map(|pending| progress.shows(&answer(pending, 0)));
        assert_eq!(shown, [false, false, false, false, false, true]);
        assert_eq!(progress.most, 3);
    }
}
