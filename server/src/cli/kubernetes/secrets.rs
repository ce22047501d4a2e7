//! `stator kubernetes secrets`: the secrets of a cluster of pods.
//!
//! Three of them, so that pods get no more than they need: `<name>-authority` with the authority and its key, which no node
//! mounts; `<name>-keys` with the master key and root's key pair; `<name>-nodes` with the nodes' certificates. Invariant: keys
//! that are there are never replaced, because data is lost with them; certificates are, each time, because they expire.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde_json::{Value, json};
use stator_cluster::NodeId;
use stator_cluster::transport::ClusterId;
use stator_cluster::transport::certificate::{CertificateAuthority, Validity};
use zeroize::Zeroizing;

use super::api::Api;
use super::{KubernetesError, block_on};
use crate::cli::init::{CA, CA_DAYS, CA_KEY};
use crate::cli::{credentials, master_key, root_credentials};
use crate::clock::{Clock as _, SystemClock};
use crate::config::place::LIFE;
use crate::random;

/// Options of `stator kubernetes secrets`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What the names of the secrets begin with
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Id of the cluster
    #[arg(long, value_name = "NAME")]
    cluster: ClusterId,
    /// Name of the stateful set, which the names of its pods begin with
    #[arg(long, value_name = "NAME")]
    stateful_set: String,
    /// Name of the service by which nodes reach each other
    #[arg(long, value_name = "NAME")]
    node_service: String,
    /// Name of the service by which clients reach the nodes
    #[arg(long, value_name = "NAME")]
    client_service: String,
    /// Domain of the Kubernetes cluster
    #[arg(long, value_name = "NAME", default_value = "cluster.local")]
    domain: String,
    /// Other names and addresses under which clients reach the nodes
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    hosts: Vec<String>,
    /// For how many nodes there are to be certificates
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u64).range(1..=99))]
    nodes: u64,
    /// How often each of them may be followed by another one at its place, whose number is 1000 higher
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=9))]
    successors: u64,
    /// Days for which the certificates of nodes are valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Make the keys only: certificates come from elsewhere
    #[arg(long)]
    keys_only: bool,
    /// Labels of the secrets
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=');
    let (key, value) = parts.ok_or_else(|| format!("`{text}` is no label: write key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// The members of a secret.
type Members = BTreeMap<String, Zeroizing<String>>;

/// Makes what is missing, and new certificates.
pub(super) fn run(options: &Options, api: &Api) -> Result<(), KubernetesError> {
    let now_ms = u64::try_from(SystemClock.now_ms()).unwrap_or_default();
    let done = block_on(make(options, api, now_ms))?;
    let mut out = io::stdout().lock();
    for line in done {
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// The same; says what was done.
async fn make(options: &Options, api: &Api, now_ms: u64) -> Result<Vec<String>, KubernetesError> {
    let mut done = Vec::new();
    let secrets = Secrets { api, options };
    if secrets.get("keys").await?.is_none() {
        let members = Members::from([
            (
                master_key::FILE.to_owned(),
                master_key::to_text(&master_key::make(random::fill)?),
            ),
            (
                root_credentials::FILE.to_owned(),
                root_credentials::to_text(&credentials::make_pair(random::fill)?),
            ),
        ]);
        secrets.create("keys", &members).await?;
        done.push(format!(
            "{} is made: keep a copy elsewhere, whoever loses it loses the data",
            secrets.name("keys")
        ));
    }
    if !options.keys_only {
        make_certificates(&secrets, now_ms, &mut done).await?;
    }
    Ok(done)
}

/// Makes the authority, if it is not there, and new certificates.
async fn make_certificates(
    secrets: &Secrets<'_>,
    now_ms: u64,
    done: &mut Vec<String>,
) -> Result<(), KubernetesError> {
    let options = secrets.options;
    let authority = if let Some(kept) = secrets.get("authority").await? {
        load(&secrets.name("authority"), &kept)?
    } else {
        let validity = Validity::days_from(now_ms, CA_DAYS);
        let (_, made) = CertificateAuthority::create(&options.cluster, validity)?;
        let members = Members::from([
            (CA.to_owned(), made.certificate_pem.clone().into()),
            (CA_KEY.to_owned(), made.key_pem),
        ]);
        secrets.create("authority", &members).await?;
        done.push(format!(
            "{} is made: keep it from everybody",
            secrets.name("authority")
        ));
        load(&secrets.name("authority"), &encoded(&members))?
    };
    let (authority, certificate) = authority;
    if *authority.cluster() != options.cluster {
        return Err(KubernetesError::Secret {
            secret: secrets.name("authority"),
            member: CA,
            cause: format!(
                "it is of cluster {}, not of {}",
                authority.cluster(),
                options.cluster
            ),
        });
    }
    let mut members = Members::from([(CA.to_owned(), certificate.into())]);
    let places =
        (0..=options.successors).flat_map(|life| (1..=options.nodes).map(move |place| (life, place)));
    for (life, place) in places {
        let (node, hosts) = (
            life * LIFE + place,
            options.hosts_of(place, &secrets.api.namespace),
        );
        let made = authority.issue(NodeId(node), &hosts, Validity::days_from(now_ms, options.days))?;
        members.insert(format!("node-{node}.pem"), made.certificate_pem.into());
        members.insert(format!("node-{node}-key.pem"), made.key_pem);
    }
    secrets.put("nodes", &members).await?;
    done.push(format!(
        "{} has certificates for the nodes at places 1 to {}",
        secrets.name("nodes"),
        options.nodes
    ));
    Ok(())
}

/// The authority in a secret, and its certificate.
fn load(secret: &str, data: &Value) -> Result<(CertificateAuthority, String), KubernetesError> {
    let member = |member: &'static str| {
        let wrong = |cause: &str| KubernetesError::Secret {
            secret: secret.to_owned(),
            member,
            cause: cause.to_owned(),
        };
        let text = data[member].as_str().ok_or_else(|| wrong("it is not there"))?;
        let bytes = STANDARD.decode(text).map_err(|_| wrong("it is no base64"))?;
        String::from_utf8(bytes)
            .map(Zeroizing::new)
            .map_err(|_| wrong("it is no text"))
    };
    let (certificate, key) = (member(CA)?, member(CA_KEY)?);
    Ok((
        CertificateAuthority::load(&certificate, &key)?,
        certificate.to_string(),
    ))
}

/// The members as a secret has them.
fn encoded(members: &Members) -> Value {
    let encoded = members
        .iter()
        .map(|(name, text)| (name.clone(), STANDARD.encode(text.as_bytes()).into()));
    encoded.collect::<serde_json::Map<String, Value>>().into()
}

impl Options {
    /// The names under which the node at a place is reached.
    fn hosts_of(&self, place: u64, namespace: &str) -> Vec<String> {
        let pod = format!(
            "{}-{}.{}",
            self.stateful_set,
            place.saturating_sub(1),
            self.node_service
        );
        let mut hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        for service in [&pod, &self.client_service] {
            hosts.push(service.clone());
            hosts.push(format!("{service}.{namespace}"));
            hosts.push(format!("{service}.{namespace}.svc"));
            hosts.push(format!("{service}.{namespace}.svc.{}", self.domain));
        }
        hosts.extend(self.hosts.iter().cloned());
        hosts
    }
}

/// The secrets in Kubernetes.
struct Secrets<'a> {
    api: &'a Api,
    options: &'a Options,
}

impl Secrets<'_> {
    fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.options.name)
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.api.namespace)
    }

    /// The members of one, if it is there.
    async fn get(&self, part: &str) -> Result<Option<Value>, KubernetesError> {
        let found = self
            .api
            .get(&format!("{}/{}", self.path(), self.name(part)))
            .await?;
        Ok(found.map(|mut secret| secret["data"].take()))
    }

    async fn create(&self, part: &str, members: &Members) -> Result<(), KubernetesError> {
        Ok(self.api.create(&self.path(), &self.object(part, members)).await?)
    }

    async fn put(&self, part: &str, members: &Members) -> Result<(), KubernetesError> {
        if self.get(part).await?.is_none() {
            return self.create(part, members).await;
        }
        let path = format!("{}/{}", self.path(), self.name(part));
        Ok(self.api.replace(&path, &self.object(part, members)).await?)
    }

    fn object(&self, part: &str, members: &Members) -> Value {
        let labels: BTreeMap<_, _> = self.options.labels.iter().cloned().collect();
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {"name": self.name(part), "labels": labels},
            "data": encoded(members),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::api::fake;
    use super::*;

    fn options(nodes: u64) -> Options {
        Options {
            name: "db".to_owned(),
            cluster: "blue".parse().unwrap(),
            stateful_set: "db".to_owned(),
            node_service: "db-nodes".to_owned(),
            client_service: "db".to_owned(),
            domain: "cluster.local".to_owned(),
            hosts: vec!["db.example".to_owned()],
            nodes,
            days: 3,
            successors: 1,
            keys_only: false,
            labels: vec![label("a=b").unwrap()],
        }
    }

    #[tokio::test]
    async fn keys_are_made_once_and_certificates_each_time() {
        let (objects, api) = fake::api("a-token").await;
        let now_ms = 1_800_000_000_000;
        let done = make(&options(3), &api, now_ms).await.unwrap();
        assert_eq!(done.len(), 3, "{done:?}");
        let secret =
            |name: &str| objects.kept.lock()[&format!("/api/v1/namespaces/here/secrets/{name}")].clone();
        let names =
            |secret: &Value| -> Vec<String> { secret["data"].as_object().unwrap().keys().cloned().collect() };
        let (authority, keys, nodes) = (secret("db-authority"), secret("db-keys"), secret("db-nodes"));
        assert_eq!(names(&authority), ["ca-key.pem", "ca.pem"]);
        assert_eq!(names(&keys), ["master.key", "root-credentials"]);
        assert_eq!(names(&nodes).len(), 13);
        assert!(nodes["data"]["node-1003.pem"].is_string());
        assert_eq!(nodes["metadata"]["labels"]["a"], "b");
        // What nodes mount has no way to make other nodes.
        assert!(nodes["data"]["ca-key.pem"].is_null());
        make(&options(5), &api, now_ms).await.unwrap();
        assert_eq!((secret("db-authority"), secret("db-keys")), (authority, keys));
        let renewed = secret("db-nodes");
        assert_eq!(names(&renewed).len(), 21);
        assert_eq!(renewed["data"]["ca.pem"], nodes["data"]["ca.pem"]);
        assert_ne!(renewed["data"]["node-1.pem"], nodes["data"]["node-1.pem"]);
    }

    #[tokio::test]
    async fn the_authority_of_another_cluster_is_not_used() {
        let (_, api) = fake::api("a-token").await;
        make(&options(1), &api, 1_800_000_000_000).await.unwrap();
        let mut other = options(1);
        other.cluster = "red".parse().unwrap();
        let refused = make(&other, &api, 1_800_000_000_000)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("it is of cluster blue, not of red"), "{refused}");
    }

    #[test]
    fn a_node_is_reached_under_its_pods_name_and_the_clients_service() {
        let hosts = options(1).hosts_of(2, "here");
        for host in [
            "127.0.0.1",
            "::1",
            "db-1.db-nodes.here.svc.cluster.local",
            "db.here.svc",
            "db",
            "db.example",
        ] {
            assert!(
                hosts.iter().any(|known| known == host),
                "{host} is not in {hosts:?}"
            );
        }
    }
}
