//! `stator repair`: has all replicas compared and all files checked now, puts right what is wrong, and shows how far that is.
//!
//! The cluster carries it out by itself, whatever becomes of this command: interrupting it interrupts nothing, and giving it again
//! shows how far the cluster is. Not here: what is asked of the node (`http/admin.rs`), comparisons (`cluster`).

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::ask::AskError;
use super::nodes::{NodesError, Whom};
use crate::http::admin::REPAIR_PATH;

/// How often the node is asked how far it is.
const LOOK: Duration = Duration::from_secs(1);

/// It is over when nothing was left at so many looks: between two steps there is a moment like that.
const STILL_LOOKS: u32 = 3;

/// Options of `stator repair`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    whom: Whom,
    /// Begin nothing, and show how far it is once
    #[arg(long)]
    status: bool,
    /// Show how far it is as JSON, a line at a time
    #[arg(long)]
    json: bool,
}

/// How far every node is; none for one that does not answer.
type Nodes = BTreeMap<u64, Option<Node>>;

/// How far a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Node {
    ranges_waiting: u64,
    suspects: u64,
    files_waiting: u64,
    bytes_waiting: u64,
    files_damaged: u64,
    ranges: u64,
    healed: u64,
    undecided: u64,
    is_beyond_repair: bool,
}

impl Node {
    /// What is left to do, as far as something can be done.
    fn left(&self) -> u64 {
        let damaged = if self.is_beyond_repair {
            0
        } else {
            self.files_damaged
        };
        self.ranges_waiting + self.suspects + self.files_waiting + damaged
    }
}

/// Has everything compared and checked.
///
/// # Errors
/// [`NodesError`]; [`NodesError::NotWhole`] if something is left that cannot be put right.
pub(crate) fn run(options: &Options) -> Result<(), NodesError> {
    options.whom.ask(async |asker| {
        if options.status {
            let nodes = serde_json::from_slice(&asker.get(REPAIR_PATH).await?)?;
            return end(options, &nodes, &nodes);
        }
        let first: Nodes = serde_json::from_slice(&asker.post(REPAIR_PATH, bytes::Bytes::new()).await?)?;
        if options.whom.no_wait() {
            return say("it is under way; `stator repair --status` says how far it is");
        }
        let bar = (io::stderr().is_terminal() && !options.json).then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let (mut most, mut still) = (0, 0);
        loop {
            tokio::time::sleep(LOOK).await;
            let nodes: Nodes = match asker.get(REPAIR_PATH).await {
                Ok(answer) => serde_json::from_slice(&answer)?,
                // A node that is busy, or starts anew, is asked again.
                Err(AskError::NoAnswer { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let left: u64 = nodes.values().flatten().map(Node::left).sum();
            most = most.max(left);
            still = if left == 0 { still + 1 } else { 0 };
            if let Some(bar) = &bar {
                bar.set_length(most);
                bar.set_position(most - left);
                bar.set_message("ranges and files");
            } else if options.json {
                say(&serde_json::to_string(&nodes)?)?;
            }
            if still >= STILL_LOOKS {
                if let Some(bar) = &bar {
                    bar.finish_and_clear();
                }
                return end(options, &first, &nodes);
            }
        }
    })
}

/// Says what has come of it.
fn end(options: &Options, first: &Nodes, nodes: &Nodes) -> Result<(), NodesError> {
    if options.json && options.status {
        say(&serde_json::to_string(nodes)?)?;
    } else if !options.json {
        for (id, node) in nodes {
            say(&describe(*id, first.get(id).copied().flatten(), *node))?;
        }
    }
    let is_beyond = |node: &Node| node.is_beyond_repair;
    if nodes.values().flatten().any(is_beyond) {
        return Err(NodesError::NotWhole);
    }
    Ok(())
}

fn describe(id: u64, first: Option<Node>, node: Option<Node>) -> String {
    let Some(node) = node else {
        return format!("node {id} does not answer; what it leads was compared by whoever leads it now");
    };
    let before = first.unwrap_or_default();
    let mut parts = vec![format!(
        "node {id}: {} ranges compared, {} cells put right",
        node.ranges.saturating_sub(before.ranges),
        node.healed.saturating_sub(before.healed)
    )];
    if node.left() > 0 {
        parts.push(format!(
            "{} ranges and {} files ({} bytes) are waiting, {} replicas are not right yet",
            node.ranges_waiting, node.files_waiting, node.bytes_waiting, node.suspects
        ));
    }
    if node.undecided > before.undecided {
        parts.push("replicas differ, and nobody can say which of them is right: see the log".to_owned());
    }
    if node.is_beyond_repair {
        parts.push(format!(
            "{} files are damaged that no other node has",
            node.files_damaged
        ));
    }
    parts.join("; ")
}

fn say(what: &str) -> Result<(), NodesError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{what}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_was_done_since_the_beginning_and_what_is_left() {
        let first = Node {
            ranges: 10,
            healed: 5,
            ..Node::default()
        };
        let node = Node {
            ranges: 18,
            healed: 6,
            ..first
        };
        assert_eq!(node.left(), 0);
        assert_eq!(
            describe(2, Some(first), Some(node)),
            "node 2: 8 ranges compared, 1 cells put right"
        );
        let hopeless = Node {
            files_damaged: 1,
            is_beyond_repair: true,
            ..node
        };
        // It would never end.
        assert_eq!(hopeless.left(), 0);
        assert!(describe(1, None, Some(hopeless)).ends_with("1 files are damaged that no other node has"));
        let left = Node {
            ranges_waiting: 3,
            suspects: 1,
            ..node
        };
        assert_eq!(left.left(), 4);
        assert!(describe(1, None, None).contains("does not answer"));
    }
}
