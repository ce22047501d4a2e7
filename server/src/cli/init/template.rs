//! The text of a first `stator.toml`. Every value that goes into it has been parsed, and has no character that TOML would want
//! quoted.

use stator_cluster::Durability;
use stator_cluster::transport::ClusterId;

use super::{Member, Shape, Traces};
use crate::config::NodeAddress;

/// Names the files that are made along with the configuration.
const SECURITY: &str = r#"[security]
# The certificate of the cluster's authority, this node's certificate and its private key. They are read again when they change.
ca = "ca.pem"
certificate = "node.pem"
key = "node-key.pem"
# The key that wraps the keys of the data. Whoever loses it loses the data. Instead of a file it may come from the environment,
# from the output of a command, or from Vault's transit engine:
#   master_key = { environment = "STATOR_MASTER_KEY" }
#   master_key = { command = ["/usr/local/bin/master-key", "stator"], timeout_ms = 10000 }
#   master_key = { vault = { address = "https://vault:8200", key = "stator", wrapped_key = "master.key.wrapped",
#                            token_file = "vault-token", ca = "vault-ca.pem" } }
master_key = "master.key"
# Master keys from before, while data may still be wrapped by them: files, or sources as above.
# older_master_keys = []
# The key pair of the root principal, as the AWS command line reads it: AWS_SHARED_CREDENTIALS_FILE=root-credentials
root_credentials = "root-credentials"

# [security.rotation]
# A data key that is so many days old is replaced by another; 0 leaves that to `stator keys rotate`.
# data_key_days = 90
# Whether files of older data keys are written anew when no other compaction is due, so that old keys go.
# rewrite_files = true

[audit]
# Who has asked for what, as JSON lines with the fields of CloudTrail. Without this section nothing is written down.
file = "audit/audit.jsonl"
# Operations on items too, not only those on tables and denials; and what is in them: keys, items, expressions.
# data_events = false
# item_data = false
# A file of this size is replaced; so many of those that were are kept.
# file_bytes_max = 67108864
# files_kept = 10
# When lines are synced: "always", "interval" or "never".
# sync = "interval"
# sync_interval_ms = 1000
# What may wait for the disk, in bytes. More is dropped and counted; no request waits.
# queue_bytes_max = 16777216

# [backup]
# Where backups of tables are: a directory that all nodes reach by this path. Without this section there are none.
# directory = "/mnt/stator-backups"
# How many bytes of items a backup or a restore moves in a second at most.
# bytes_per_second = 1073741824

# [object_store]
# Where buckets are that tables are exported to and imported from: a server with S3's API, and the file of a key pair for it.
# Without this section tables are neither exported nor imported. With `directory`, and neither endpoint, credentials nor
# authority, buckets are the folders of a directory that all nodes reach by this path.
# endpoint = "https://s3.eu-west-1.amazonaws.com"
# region = "us-east-1"
# credentials = "bucket-credentials"
# certificate_authority = "/etc/ssl/certs/ca-certificates.crt"
# How many bytes of items an export or an import moves in a second at most.
# bytes_per_second = 134217728
"#;

/// What clients may do.
const CLIENTS: &str = r#"# [http.limits]
# What one client may take of the node. More connections are closed at once; more requests of a principal at a time, and more
# failed authentications of an address, get a ThrottlingException.
# connections_max = 10000
# connections_per_address_max = 5000
# requests_per_principal_max = 4096
# authentication_failures_burst = 100
# authentication_failures_per_minute = 60
# header_bytes_max = 65536
# headers_max = 100
# How long a client may take, in milliseconds: for the handshake, for headers, for a body; longer if it sends so many bytes a
# second on the average.
# handshake_timeout_ms = 10000
# header_timeout_ms = 30000
# body_timeout_ms = 30000
# body_bytes_per_second_min = 16000
# What bodies of requests may take of memory together, of all clients, in bytes. Beyond it, requests get a ThrottlingException.
# bodies_bytes_max = 1073741824

# [http.client_certificates]
# Clients may be known by a certificate of this authority instead of a signature. Names in certificates, and the principals
# that they stand for.
# authority = "clients-ca.pem"
# principals = { "URI:spiffe://example/app" = "arn:aws:iam::000000000000:user/app" }

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

/// What is told of what the node does.
const LOG: &str = r#"# [log]
# Lines on standard error: "text", or "json" for programs. STATOR_LOG in the environment says what is logged.
# format = "text"
# A request that takes so many milliseconds is logged with where they went; 0 for none.
# slow_request_ms = 1000

"#;

/// Where traces go, which are none unless that is said.
const TRACING: &str = r#"# [tracing]
# Traces of requests, for a collector that speaks OTLP over HTTP. Without this section there are none.
# endpoint = "http://127.0.0.1:4318"
# protocol = "http/protobuf"
# Which share of the requests is traced whose clients have not said whether they are.
# sample_ratio = 0.01
# service_name = "stator"
# How long the collector may take, how long a span waits for others, and how long the end of the node waits for the collector.
# timeout_ms = 10000
# interval_ms = 5000
# shutdown_timeout_ms = 3000
# So many spans may wait; more are dropped and counted.
# queue_spans_max = 16384
# A file of headers that the collector wants, and who may vouch for an https endpoint: `headers` and `certificate_authority`.

"#;

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
{node_sections}{CLIENTS}[storage]
# When a write is answered: "sync" survives a power cut, "interval" may lose the last 100 ms to one.
durability = "{durability}"

# [storage.engine]
# Memory for blocks that were read, and for writes before they are flushed, in bytes.
# block_cache_bytes = 268435456
# memtable_bytes_max = 67108864

{LOG}{tracing}# [limits]
# How large all items of one partition key may be together in a table with local indexes, in bytes. The same on all nodes.
# item_collection_bytes_max = 10737418240
# How many tables there may be.
# tables_max = 2500
# How many read units, and how many write units, all tables may be provisioned for together.
# account_units_max = 80000
# Whether tables are held to their provisioned throughput and on-demand maximums.
# throughput = true

{security}"#,
        id = node.id,
        node_sections = node_sections(member, shape),
        tracing = tracing_section(shape),
        security = security_section(shape),
    )
}

/// A path from the root, as it has to be the same on all nodes, that can stand between quotes.
pub(super) fn plain_path(text: &str) -> Result<String, String> {
    let is_plain = |character: char| !character.is_control() && character != '"' && character != '\\';
    if text.starts_with('/') && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("write a path from the root without quotes and backslashes, such as /mnt/stator-backups".to_owned())
}

/// `[security]` and what follows it, with `[backup]` if backups have a place.
fn security_section(shape: &Shape) -> String {
    let Some(directory) = &shape.backups else {
        return SECURITY.to_owned();
    };
    SECURITY.replacen("# [backup]", "[backup]", 1).replacen(
        r#"# directory = "/mnt/stator-backups""#,
        &format!(r#"directory = "{directory}""#),
        1,
    )
}

/// `[tracing]`, with what is said of it.
fn tracing_section(shape: &Shape) -> String {
    let Some(Traces {
        endpoint,
        sample_ratio,
    }) = &shape.traces
    else {
        return TRACING.to_owned();
    };
    TRACING
        .replacen("# [tracing]", "[tracing]", 1)
        .replacen(
            r#"# endpoint = "http://127.0.0.1:4318""#,
            &format!(r#"endpoint = "{endpoint}""#),
            1,
        )
        .replacen(
            "# sample_ratio = 0.01",
            &format!("sample_ratio = {sample_ratio:?}"),
            1,
        )
}

/// `[node]` and `[http]`.
fn node_sections(Member { node, listen }: &Member, shape: &Shape) -> String {
    let metrics = match shape.metrics {
        Some(metrics) => format!("metrics_listen = \"{metrics}\""),
        None => "# metrics_listen = \"127.0.0.1:9400\"".to_owned(),
    };
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
{metrics}

"#,
        id = node.id,
        address = node.address,
        region = shape.region,
        node_listen = node.address.to_listen(),
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::trace::TracingSettings;

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
            hosts: Vec::new(),
            metrics: None,
            traces: None,
            backups: None,
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
        assert_eq!(full.http.limits, bare.http.limits);
        assert_eq!(full.audit, bare.audit);
        let tracing = TracingSettings::of_endpoint("http://127.0.0.1:4318");
        assert_eq!((full.tracing, bare.tracing), (Some(tracing), None));
        assert_eq!(full.security.rotation, bare.security.rotation);
        assert_eq!(full.security.older_master_keys, bare.security.older_master_keys);
        // An example rather than a default.
        assert_eq!(
            full.http.key.as_deref(),
            Some(Path::new("/etc/ssl/stator-key.pem"))
        );
    }
}
