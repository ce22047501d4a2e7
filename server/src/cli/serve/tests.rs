//! A node that `stator init` has made, in this process: HTTPS, status, metrics, certificates that change.

use std::fs;
use std::net::{Ipv4Addr, TcpListener as StdListener};

use stator_iam::SecretKey;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::cli::ask::{AskError, Asker};
use crate::cli::credentials::KeyPair;
use crate::cli::init::{Member, Shape, make_cluster};
use crate::config::{HostPort, NodeAddress};
use crate::http::admin::STATUS_PATH;
use crate::tls;

/// A node that runs in a task, until it is told to stop.
struct Running {
    config: Config,
    endpoint: String,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), ServeError>>,
    _directory: TempDir,
}

/// Runs a test on a runtime like the command's.
fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(tokio::task::LocalSet::new().run_until(test));
}

/// The configuration of a cluster of one in a new directory, with `more` in its section `[http]`.
fn made(more: &str) -> (TempDir, Config) {
    let directory = TempDir::new().unwrap();
    let member = Member {
        node: NodeAddress {
            id: 1,
            address: HostPort::local().with_port(crate::cli::demo_cluster::free_ports(1).unwrap()[0]),
        },
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
    };
    let shape = Shape {
        region: "eu-west-1".to_owned(),
        days: 1,
        durability: stator_cluster::Durability::Interval,
    };
    let path = make_cluster(directory.path(), &[member], &shape)
        .unwrap()
        .remove(0);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[http]\n", &format!("[http]\n{more}\n"))).unwrap();
    (directory, files::config(&path).unwrap())
}

impl Running {
    async fn start(more: &str) -> Self {
        let (directory, config) = made(more);
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let node = config.clone();
        let ended = tokio::task::spawn_local(async move {
            let stop = async move { drop(stopped.await) };
            run_node(&node, false, stop, |endpoint| {
                ready
                    .send(format!("https://{endpoint}"))
                    .map_err(io::Error::other)
            })
            .await
        });
        let Ok(endpoint) = is_ready.await else {
            panic!("{:?}", ended.await);
        };
        Self {
            config,
            endpoint,
            stop,
            ended,
            _directory: directory,
        }
    }

    async fn ask(&self, path: &str, keys: &KeyPair, region: &str) -> Result<String, AskError> {
        let authority = files::authority(&self.config.security.ca).unwrap();
        let asker = Asker {
            endpoint: &self.endpoint,
            tls: tls::client(&authority).unwrap(),
            keys,
            region,
        };
        let answer = asker.get(path).await?;
        Ok(String::from_utf8(answer.to_vec()).unwrap())
    }

    async fn stop(self) {
        drop(self.stop);
        self.ended.await.unwrap().unwrap();
    }
}

#[test]
fn a_node_serves_https_and_tells_its_status_to_the_root_principal_only() {
    on_one_thread(async {
        let node = Running::start("").await;
        let keys = files::root_keys(&node.config).unwrap();
        let health = node.ask("/", &keys, "eu-west-1").await.unwrap();
        assert_eq!(health, "healthy: dynamodb.eu-west-1.amazonaws.com ");
        let status = node.ask(STATUS_PATH, &keys, "eu-west-1").await.unwrap();
        assert!(status.contains(r#""node":1"#), "{status}");
        for (secret, region, expected) in [
            ("wrong", "eu-west-1", "InvalidSignatureException"),
            (keys.secret.expose(), "us-east-1", "us-east-1"),
        ] {
            let keys = KeyPair {
                access_key_id: keys.access_key_id.clone(),
                secret: SecretKey::new(secret.to_owned()),
            };
            let error = node.ask(STATUS_PATH, &keys, region).await.unwrap_err();
            assert!(
                matches!(error, AskError::Refused { status, .. } if status == 400),
                "{error}"
            );
            assert!(error.to_string().contains(expected), "{error}");
        }
        node.stop().await;
    });
}

#[test]
fn a_client_that_does_not_trust_the_authority_does_not_ask() {
    on_one_thread(async {
        let node = Running::start("").await;
        let (_other, config) = made("");
        let keys = files::root_keys(&node.config).unwrap();
        let authority = files::authority(&config.security.ca).unwrap();
        let asker = Asker {
            endpoint: &node.endpoint,
            tls: tls::client(&authority).unwrap(),
            keys: &keys,
            region: "eu-west-1",
        };
        let error = asker.get(STATUS_PATH).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
        node.stop().await;
    });
}

#[test]
fn metrics_are_told_in_plain_on_a_listener_of_their_own() {
    on_one_thread(async {
        let port = crate::cli::demo_cluster::free_ports(1).unwrap()[0];
        let node = Running::start(&format!("metrics_listen = \"127.0.0.1:{port}\"")).await;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("content-type: text/plain; version=0.0.4"),
            "{answer}"
        );
        for line in [
            "# TYPE stator_ranges_led gauge\nstator_ranges_led 256\n",
            "# TYPE stator_hints_written_total counter\nstator_hints_written_total 0\n",
            "stator_node_alive{node=\"1\"} 1\n",
        ] {
            assert!(answer.contains(line), "{line} is not in {answer}");
        }
        // Clients are not told them, with or without a signature.
        let keys = files::root_keys(&node.config).unwrap();
        let refused = node.ask("/metrics", &keys, "eu-west-1").await.unwrap_err();
        assert!(matches!(refused, AskError::Refused { status, .. } if status == 404));
        node.stop().await;
    });
}

#[test]
fn another_nodes_certificate_and_a_taken_port_are_refused_in_words() {
    on_one_thread(async {
        let (_directory, config) = made("");
        let refusal = async |config: Config| {
            let never = std::future::pending();
            let error = run_node(&config, false, never, |_| Ok(())).await.unwrap_err();
            error.to_string()
        };
        let mut wrong = config.clone();
        wrong.node.id = 2;
        let error = refusal(wrong).await;
        assert!(error.contains("is for node 1 of cluster"), "{error}");
        let taken = StdListener::bind(("127.0.0.1", 0)).unwrap();
        let mut wrong = config.clone();
        wrong.http.listen = taken.local_addr().unwrap();
        let error = refusal(wrong).await;
        assert!(
            error.contains("cannot listen on") && error.contains("http.listen"),
            "{error}"
        );
        let mut wrong = config;
        wrong.security.key = wrong.security.ca.clone();
        let error = refusal(wrong).await;
        assert!(error.contains("private key"), "{error}");
    });
}

#[test]
fn certificates_that_change_are_noticed() {
    let (_directory, config) = made("");
    let (_other, other) = made("");
    let before = Certificates::read(&config).unwrap();
    assert_eq!(
        Certificates::read(&config).unwrap().differ(&before),
        (false, false)
    );
    fs::copy(&other.security.key, &config.security.key).unwrap();
    assert_eq!(Certificates::read(&config).unwrap().differ(&before), (true, true));
    let tls = ServerTls::new(&before.clients, &before.clients_key).unwrap();
    let after = Certificates::read(&config).unwrap();
    assert!(
        tls.replace(&after.clients, &after.clients_key).is_err(),
        "it does not fit the certificate"
    );
    fs::copy(&other.security.certificate, &config.security.certificate).unwrap();
    let after = Certificates::read(&config).unwrap();
    tls.replace(&after.clients, &after.clients_key).unwrap();
}
