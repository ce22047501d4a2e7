//! The text of a first `stator.toml`. Every value that goes into it has been parsed, and has no character that TOML would want
//! quoted.

use stator_cluster::Durability;
use stator_cluster::transport::ClusterId;

use super::{Member, Shape};
use crate::config::NodeAddress;

/// Names the files that are made along with the configuration.
const SECURITY: &str = r#"[security]
# The certificate of the cluster's authority, this node's certificate and its private key. They are read again when they change.
ca = "ca.pem"
certificate = "node.pem"
key = "node-key.pem"
# The key that wraps the keys of the data. Whoever loses it loses the data.
master_key = "master.key"
# The key pair of the root principal, as the AWS command line reads it: AWS_SHARED_CREDENTIALS_FILE=root-credentials
root_credentials = "root-credentials"
"#;

/// Time, and connections between nodes.
const TRANSPORT: &str = "\
# [cluster.timing]
# The unit in which groups keep time: leaders speak up, and are missed, after some of them. The same on all nodes.
# tick_ms = 100
# An operation that finds no leader, or no majority, is refused after so many milliseconds.
# patience_ms = 900

# [cluster.transport]
# What may wait for one node to be sent, in bytes.
# queue_urgent_bytes_max = 16777216
# queue_bulk_bytes_max = 67108864
# A node that has not answered a ping for so long is taken to be gone.
# ping_interval_ms = 2000
# ping_timeout_ms = 5000
";

/// The configuration of a node, with comments.
pub(super) fn config(
    cluster: &ClusterId,
    member: &Member,
    founders: &[NodeAddress],
    shape: &Shape,
) -> String {
    let Member { node, .. } = member;
    let durability = match shape.durability {
        Durability::Sync => "sync",
        Durability::Interval => "interval",
    };
    let known: Vec<String> = founders.iter().map(|node| format!("    \"{node}\",")).collect();
    let known = known.join("\n");
    format!(
        r#"# Configuration of node {id} of the cluster {cluster}.
# Relative paths are of the directory in which this file lies. Lines that begin with # show what holds without them.

[cluster]
# The cluster's id, which the certificates of its nodes name. It never changes.
id = "{cluster}"
# The nodes that make the cluster together when they start for the first time, each with its id and where it is reached: the
# same on each of them. A node that joins later names some that are running, and not itself.
nodes = [
{known}
]
# On how many nodes each item lies; fewer while there are fewer nodes. The same on all nodes.
# replication = 3
# The ring has two to the power of this many token ranges. Settled when the cluster is made.
# range_bits = 8

# [cluster.gossip]
# How often a node looks after one other, and how long one that is missed may object before it is down. The same on all nodes.
# probe_period_ms = 50
# suspicion_ms = 250

{TRANSPORT}
{node_sections}[storage]
# When a write is answered: "sync" survives a power cut, "interval" may lose the last 100 ms to one.
durability = "{durability}"

# [storage.engine]
# Memory for blocks that were read, and for writes before they are flushed, in bytes.
# block_cache_bytes = 268435456
# memtable_bytes_max = 67108864

# [limits]
# How large all items of one partition key may be together in a table with local indexes, in bytes. The same on all nodes.
# item_collection_bytes_max = 10737418240
# How many tables there may be.
# tables_max = 2500
# How many read units, and how many write units, all tables may be provisioned for together.
# account_units_max = 80000
# Whether tables are held to their provisioned throughput and on-demand maximums.
# throughput = true

{SECURITY}"#,
        id = node.id,
        node_sections = node_sections(member, &shape.region),
    )
}

/// `[node]` and `[http]`.
fn node_sections(Member { node, listen }: &Member, region: &str) -> String {
    format!(
        r#"[node]
# The node's id, which its certificate names. It is given out once in the life of a cluster.
id = {id}
# Where other nodes reach it.
address = "{address}"
# Where it listens for them.
listen = "{node_listen}"
# Its data. Made when it is not there.
data_dir = "data"
# Where it stands: copies of data are put into different racks, and different zones first.
# zone = ""
# rack = ""
# Its share of the data in relation to other nodes.
# capacity = 1

[http]
# Where clients are served, with TLS.
listen = "{listen}"
# The region that ARNs and signatures name.
region = "{region}"
# A certificate that clients know, instead of the node's own, and its private key.
# certificate = "/etc/ssl/stator.pem"
# key = "/etc/ssl/stator-key.pem"
# Where GET /metrics is answered, in plain and to anybody. Nowhere when it is left out.
# metrics_listen = "127.0.0.1:9400"

"#,
        id = node.id,
        address = node.address,
        node_listen = node.address.to_listen(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn written() -> String {
        let nodes: Vec<NodeAddress> = ["1=10.0.0.1:7400", "2=[::1]:7400"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let member = Member {
            node: nodes[1].clone(),
            listen: "0.0.0.0:8000".parse().unwrap(),
        };
        let shape = Shape {
            region: "eu-west-1".to_owned(),
            days: 1,
            durability: Durability::Sync,
        };
        config(&"blue".parse().unwrap(), &member, &nodes, &shape)
    }

    #[test]
    fn what_is_written_parses_back() {
        let config = Config::parse(&written(), Path::new("/d")).unwrap();
        assert_eq!(config.cluster.id.as_ref(), "blue");
        assert_eq!(config.cluster.nodes.len(), 2);
        assert_eq!(config.node.id, 2);
        assert_eq!(config.node.address.to_string(), "[::1]:7400");
        assert_eq!(config.node.listen.to_string(), "[::1]:7400");
        assert_eq!(config.node.data_dir, Path::new("/d/data"));
        assert_eq!(config.http.listen.port(), 8000);
        assert_eq!(config.http.region, "eu-west-1");
        assert_eq!(config.security.root_credentials, Path::new("/d/root-credentials"));
    }

    /// What comments show as the default is the default, in the right section.
    #[test]
    fn lines_in_comments_hold_without_them() {
        let bare = Config::parse(&written(), Path::new("/d")).unwrap();
        let is_setting = |line: &str| {
            let line = line.strip_prefix("# ")?;
            let section = line.starts_with('[') && line.ends_with(']');
            let (name, _) = line.split_once(" = ").unwrap_or((line, ""));
            let named = line.contains(" = ")
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
            (section || named).then(|| line.to_owned())
        };
        let mut shown = 0;
        let text: Vec<String> = written()
            .lines()
            .map(|line| match is_setting(line) {
                Some(setting) => {
                    shown += 1;
                    setting
                }
                None => line.to_owned(),
            })
            .collect();
        assert!(shown > 10, "{shown}");
        let full = Config::parse(&text.join("\n"), Path::new("/d")).unwrap();
        assert_eq!(format!("{:?}", full.cluster), format!("{:?}", bare.cluster));
        assert_eq!(format!("{:?}", full.node), format!("{:?}", bare.node));
        assert_eq!(format!("{:?}", full.storage), format!("{:?}", bare.storage));
        assert_eq!(full.limits, bare.limits);
        // An example rather than a default.
        assert_eq!(
            full.http.key.as_deref(),
            Some(Path::new("/etc/ssl/stator-key.pem"))
        );
    }
}
