//! What the values of a configuration are checked for: against their ranges, and against each other.
//!
//! Invariant: every problem is found at once, in the order of the file's sections. Not here: values that are risky and allowed
//! (`risk.rs`), files that are named (`cli/config.rs`).

use super::{Config, ConfigError, check_region};
use crate::arn;
use crate::audit::AuditSettings;
use crate::backup::BackupSettings;
use crate::object_store::ObjectStoreSettings;
use crate::trace::TracingSettings;

/// The longest name of a zone or rack.
const PLACE_BYTES_MAX: usize = stator_cluster::gossip::PLACE_BYTES_MAX;
/// Larger ones are a typing error, and would make the shares of other nodes vanish.
const CAPACITY_MAX: u32 = 1_000_000;

/// Most replicas of a token range. More would make every write wait for more nodes than any failure takes away.
const REPLICATION_MAX: u8 = 7;

/// Problems that were found.
#[derive(Default)]
struct Problems(Vec<ConfigError>);

impl Problems {
    fn add(&mut self, field: &'static str, problem: String) {
        self.0.push(ConfigError::Value { field, problem });
    }

    fn check<E: ToString>(&mut self, field: &'static str, result: Result<(), E>) {
        if let Err(error) = result {
            self.add(field, error.to_string());
        }
    }
}

impl Config {
    /// Every value that is out of its range, or does not go with another.
    pub(super) fn problems(&self) -> Vec<ConfigError> {
        let mut found = Problems::default();
        let Self { cluster, node, .. } = self;
        if node.id == 0 {
            found.add("node.id", "is 0, must be at least 1".to_owned());
        }
        if cluster.replication.get() > REPLICATION_MAX {
            let problem = format!("is {}, must be at most {REPLICATION_MAX}", cluster.replication);
            found.add("cluster.replication", problem);
        }
        found.check("upkeep", self.upkeep.problem().map_or(Ok(()), Err));
        self.check_nodes(&mut found);
        self.check_listeners(&mut found);
        for (field, place) in [("node.zone", &node.zone), ("node.rack", &node.rack)] {
            if place.len() > PLACE_BYTES_MAX {
                let problem = format!("has {} bytes, at most {PLACE_BYTES_MAX} are allowed", place.len());
                found.add(field, problem);
            }
        }
        if node.capacity.get() > CAPACITY_MAX {
            let problem = format!("is {}, must be at most {CAPACITY_MAX}", node.capacity);
            found.add("node.capacity", problem);
        }
        found.check("http.region", check_region(&self.http.region));
        self.check_clients(&mut found);
        if self.http.certificate.is_some() != self.http.key.is_some() {
            let problem = "certificate and key go together; give both or none".to_owned();
            found.add("http.certificate", problem);
        }
        found.check("cluster.transport", cluster.transport.validate());
        found.check("cluster.gossip", cluster.gossip.validate());
        found.check("cluster.timing", cluster.timing.validate());
        found.check("storage.engine", self.storage.engine.validate());
        found.0
    }

    /// Checks that no two listeners want one address.
    fn check_listeners(&self, found: &mut Problems) {
        let Self { node, http, .. } = self;
        if node.listen == http.listen && node.listen.port() != 0 {
            let problem = format!("{} is node.listen already; choose another port", http.listen);
            found.add("http.listen", problem);
        }
        if let Some(metrics) = http.metrics_listen
            && metrics.port() != 0
            && [node.listen, http.listen].contains(&metrics)
        {
            let problem = format!("{metrics} is taken already; choose another port");
            found.add("http.metrics_listen", problem);
        }
    }

    /// Checks what is said of clients.
    fn check_clients(&self, found: &mut Problems) {
        found.check("http.limits", self.http.limits.problem().map_or(Ok(()), Err));
        let audit = self.audit.as_ref().and_then(AuditSettings::problem);
        found.check("audit", audit.map_or(Ok(()), Err));
        let backup = self.backup.as_ref().and_then(BackupSettings::problem);
        found.check("backup", backup.map_or(Ok(()), Err));
        let object_store = self.object_store.as_ref().and_then(ObjectStoreSettings::problem);
        found.check("object_store", object_store.map_or(Ok(()), Err));
        let tracing = self.tracing.as_ref().and_then(TracingSettings::problem);
        found.check("tracing", tracing.map_or(Ok(()), Err));
        let certificates = self.http.client_certificates.iter();
        for (name, arn) in certificates.flat_map(|certificates| &certificates.principals) {
            if !arn::is_principal(arn) {
                let problem = format!(
                    "{name} stands for `{arn}`, which is no principal: write its ARN, like \
                     arn:aws:iam::{}:user/app",
                    arn::ACCOUNT
                );
                found.add("http.client_certificates.principals", problem);
            }
        }
    }

    /// Checks the nodes of the cluster against each other and against this one.
    fn check_nodes(&self, found: &mut Problems) {
        let Self { cluster, node, .. } = self;
        if cluster.nodes.is_empty() {
            let problem = "names no node; name those that make the cluster".to_owned();
            found.add("cluster.nodes", problem);
        }
        for (place, known) in cluster.nodes.iter().enumerate() {
            let before = cluster.nodes.iter().take(place);
            if before.clone().any(|other| other.id == known.id) {
                found.add("cluster.nodes", format!("node {} is named twice", known.id));
            } else if before.clone().any(|other| other.address == known.address) {
                found.add("cluster.nodes", format!("{} is named twice", known.address));
            } else if known.id == node.id && known.address != node.address {
                let problem = format!(
                    "node {} is at {}, while node.address is {}; make them equal",
                    node.id, known.address, node.address
                );
                found.add("cluster.nodes", problem);
            } else if known.id != node.id && known.address == node.address {
                let problem = format!(
                    "{} is the address of node {}; give this one another",
                    node.address, known.id
                );
                found.add("node.address", problem);
            }
        }
    }
}
