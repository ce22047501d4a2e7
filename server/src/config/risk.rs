//! What a configuration allows and an operator may regret.
//!
//! Invariant: everything here is a warning; a node starts with it. Not here: what is wrong (`validate.rs`).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use stator_cluster::Durability;

use super::Config;
use crate::audit::AuditSync;

/// A data key that protects data for longer than this does not go with any rule on keys that we know of.
const DATA_KEY_DAYS_MAX: u32 = 365;
/// A node that is away for so long without a replacement leaves its ranges one failure away from standing still.
const REPLACE_AFTER_S_MAX: u64 = 24 * 3600;
/// Damage that nobody looks for is found when the other copies have it, too.
const SCRUB_INTERVAL_S_MAX: u64 = 30 * 24 * 3600;

/// A value that may be regretted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Risk {
    /// The value with its section.
    pub(crate) field: &'static str,
    /// What may happen, and what prevents it.
    pub(crate) problem: String,
}

/// All risks of a configuration.
pub(crate) fn risks(config: &Config) -> Vec<Risk> {
    let mut found = Vec::new();
    let mut add = |field, problem: String| found.push(Risk { field, problem });
    cluster(config, &mut add);
    listeners(config, &mut add);
    keys_and_data(config, &mut add);
    found
}

fn cluster(config: &Config, add: &mut impl FnMut(&'static str, String)) {
    let cluster = &config.cluster;
    let (nodes, replicas) = (cluster.nodes.len(), cluster.replication.get());
    match replicas {
        1 => add(
            "cluster.replication",
            "is 1: each item lies on one node, and is lost with its disk; use 3".to_owned(),
        ),
        even if even % 2 == 0 => add(
            "cluster.replication",
            format!(
                "is {even}, which bears no more failures than {}; use an odd number",
                even - 1
            ),
        ),
        _ => {}
    }
    if nodes < usize::from(replicas) && replicas > 1 {
        let problem = format!(
            "{nodes} nodes make the cluster, fewer than the {replicas} copies of an item: until others have joined, there are {nodes}"
        );
        add("cluster.nodes", problem);
    }
    let mut hosts = BTreeMap::<&str, usize>::new();
    for node in &cluster.nodes {
        *hosts.entry(node.address.host()).or_default() += 1;
    }
    if let Some((host, count)) = hosts.iter().find(|(_, count)| **count > 1) {
        let problem = format!("{count} nodes are on the host {host}: copies of an item may be lost with it");
        add("cluster.nodes", problem);
    }
    match cluster.moves.replace_after_s {
        0 => add(
            "cluster.moves.replace_after_s",
            "is 0: a node that is gone is replaced only by `stator remove`, and until then its ranges have a copy less"
                .to_owned(),
        ),
        long if long > REPLACE_AFTER_S_MAX => add(
            "cluster.moves.replace_after_s",
            format!("is {long}: for so long the ranges of a node that is gone have a copy less (docs/scaling.md)"),
        ),
        _ => {}
    }
    match cluster.scrub.interval_s {
        0 => add(
            "cluster.scrub.interval_s",
            "is 0: damage of disks is found only by `stator repair`".to_owned(),
        ),
        long if long > SCRUB_INTERVAL_S_MAX => add(
            "cluster.scrub.interval_s",
            format!("is {long}: damage of disks may go unseen until the other copies have some, too"),
        ),
        _ => {}
    }
}

fn listeners(config: &Config, add: &mut impl FnMut(&'static str, String)) {
    let http = &config.http;
    if let Some(listen) = http.metrics_listen.filter(|listen| listen.ip().is_unspecified()) {
        let problem = format!(
            "is {listen}: metrics are told in plain to whoever reaches it; name an address that collectors reach"
        );
        add("http.metrics_listen", problem);
    }
    if http.metrics_listen.is_none() {
        let problem = "is not set: nobody can collect metrics, and no alert can be given".to_owned();
        add("http.metrics_listen", problem);
    }
    let loopback = |listen: SocketAddr| listen.ip().is_loopback();
    if config.cluster.nodes.len() > 1 && loopback(config.node.listen) {
        let problem = format!("is {}: only nodes of this machine reach it", config.node.listen);
        add("node.listen", problem);
    }
    let limits = &http.limits;
    if limits.authentication_failures_burst == 0 {
        let problem = "is 0: whoever guesses keys may do so as fast as the node answers".to_owned();
        add("http.limits.authentication_failures_burst", problem);
    }
    if limits.connections_per_address_max == 0 {
        let problem = "is 0: one client may take all connections".to_owned();
        add("http.limits.connections_per_address_max", problem);
    }
}

fn keys_and_data(config: &Config, add: &mut impl FnMut(&'static str, String)) {
    if config.storage.durability == Durability::Interval {
        let problem = "is \"interval\": a power cut of a majority loses the writes of the last 100 ms that were answered; use \
                       \"sync\" where that must not happen"
            .to_owned();
        add("storage.durability", problem);
    }
    match config.security.rotation.data_key_days {
        0 => add(
            "security.rotation.data_key_days",
            "is 0: data keys are replaced only by `stator keys rotate`".to_owned(),
        ),
        long if long > DATA_KEY_DAYS_MAX => add(
            "security.rotation.data_key_days",
            format!("is {long}: data keys stay for more than a year"),
        ),
        _ => {}
    }
    match &config.audit {
        None => add(
            "audit",
            "is not there: nobody can tell who has asked for what".to_owned(),
        ),
        Some(audit) => {
            if audit.item_data {
                let problem = "is true: keys and items lie in the audit log in clear".to_owned();
                add("audit.item_data", problem);
            }
            if audit.sync == AuditSync::Never {
                let problem = "is \"never\": a power cut loses lines of the audit log".to_owned();
                add("audit.sync", problem);
            }
        }
    }
    match &config.backup {
        None => add(
            "backup",
            "is not there: what an operator or a program deletes by mistake is gone".to_owned(),
        ),
        Some(backup) if backup.directory.starts_with(&config.node.data_dir) => add(
            "backup.directory",
            "is in node.data_dir: a disk that fails takes the backups along".to_owned(),
        ),
        Some(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::check::tests::SOUND;

    fn fields(text: &str) -> Vec<&'static str> {
        let config = Config::parse(text, Path::new("/d")).unwrap();
        risks(&config).iter().map(|risk| risk.field).collect()
    }

    #[test]
    fn each_risk_is_told_with_its_field_and_a_sound_configuration_has_none() {
        assert_eq!(fields(SOUND), <[&str; 0]>::default());
        for (from, to, field) in [
            ("replication = 3", "replication = 1", "cluster.replication"),
            ("replication = 3", "replication = 2", "cluster.replication"),
            ("replication = 3", "replication = 5", "cluster.nodes"),
            ("3=10.0.0.3:7400", "3=10.0.0.2:7401", "cluster.nodes"),
            (
                "listen = \"10.0.0.1:7400\"",
                "listen = \"127.0.0.1:7400\"",
                "node.listen",
            ),
            (
                "metrics_listen = \"10.0.0.1:9400\"",
                "metrics_listen = \"0.0.0.0:9400\"",
                "http.metrics_listen",
            ),
            ("metrics_listen = \"10.0.0.1:9400\"", "", "http.metrics_listen"),
            ("\"sync\"", "\"interval\"", "storage.durability"),
            ("[audit]\nfile = \"audit\"", "", "audit"),
            (
                "file = \"audit\"",
                "file = \"audit\"\nsync = \"never\"",
                "audit.sync",
            ),
            (
                "file = \"audit\"",
                "file = \"audit\"\nitem_data = true",
                "audit.item_data",
            ),
            ("[backup]\ndirectory = \"/mnt/backup\"", "", "backup"),
            ("/mnt/backup", "/d/data/backup", "backup.directory"),
            (
                "[storage]",
                "[cluster.moves]\nreplace_after_s = 0\n[storage]",
                "cluster.moves.replace_after_s",
            ),
            (
                "[storage]",
                "[cluster.scrub]\ninterval_s = 0\n[storage]",
                "cluster.scrub.interval_s",
            ),
            (
                "[storage]",
                "[security.rotation]\ndata_key_days = 0\n[storage]",
                "security.rotation.data_key_days",
            ),
            (
                "[storage]",
                "[http.limits]\nauthentication_failures_burst = 0\n[storage]",
                "http.limits.authentication_failures_burst",
            ),
            (
                "[storage]",
                "[http.limits]\nconnections_per_address_max = 0\n[storage]",
                "http.limits.connections_per_address_max",
            ),
        ] {
            assert!(SOUND.contains(from), "{from}");
            assert_eq!(fields(&SOUND.replace(from, to)), [field], "{to}");
        }
    }
}
