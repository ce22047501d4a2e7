//! A node that `stator init` has made, in this process: HTTPS, status, metrics, certificates that change.

use std::fs;
use std::net::{Ipv4Addr, TcpListener as StdListener};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use stator_iam::SecretKey;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::cli::ask::{AskError, Asker};
use crate::cli::credentials::KeyPair;
use crate::cli::init::{Member, Shape, make_cluster};
use crate::config::key_source::KeySource;
use crate::config::{HostPort, NodeAddress};
use crate::http::admin::{KEYS_PATH, STATUS_PATH};
use crate::tls;

/// A node that runs in a task, until it is told to stop.
struct Running {
    config: Config,
    endpoint: String,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), ServeError>>,
    directory: TempDir,
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
        hosts: Vec::new(),
        metrics: None,
        traces: None,
        backups: None,
    };
    let path = make_cluster(directory.path(), &[member], &shape)
        .unwrap()
        .remove(0);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[http]\n", &format!("[http]\n{more}\n"))).unwrap();
    (directory, files::config(&path).unwrap())
}

/// Waits until nobody listens there any more: the task that has listened ends a moment after the node has.
async fn until_free(address: SocketAddr) {
    let patience = Duration::from_secs(20);
    let free = async {
        while Reserved::take("node.listen", address)
            .and_then(Reserved::listen)
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, free).await.unwrap();
}

impl Running {
    async fn start(more: &str) -> Self {
        let (directory, config) = made(more);
        Self::run(directory, config).await
    }

    async fn run(directory: TempDir, config: Config) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let node = config.clone();
        let ended = tokio::task::spawn_local(async move {
            let stop = async move { drop(stopped.await) };
            run_node(&node, Manner::default(), stop, |endpoint| {
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
            directory,
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

    /// An unsigned request over a connection with a certificate, or without.
    async fn send_unsigned(&self, request: &str, certificate: Option<(&Path, &Path)>) -> String {
        let authority = fs::read(&self.config.security.ca).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&authority).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let client = match certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let address = self.endpoint.strip_prefix("https://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Ends the node, and gives its files.
    async fn stop(self) -> TempDir {
        drop(self.stop);
        self.ended.await.unwrap().unwrap();
        until_free(self.config.node.listen).await;
        self.directory
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
fn probes_are_answered_without_a_signature_and_with_a_reason_beside_the_metrics_only() {
    on_one_thread(async {
        let port = crate::cli::demo_cluster::free_ports(1).unwrap()[0];
        let node = Running::start(&format!("metrics_listen = \"127.0.0.1:{port}\"")).await;
        for path in ["/livez", "/readyz"] {
            let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let answer = node.send_unsigned(&request, None).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        }
        let place = "POST /readyz HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let answer = node.send_unsigned(place, None).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        node.stop().await;
    });
}

#[test]
fn another_nodes_certificate_and_a_taken_port_are_refused_in_words() {
    on_one_thread(async {
        let (_directory, config) = made("");
        let refusal = async |config: Config| {
            let never = std::future::pending();
            let error = run_node(&config, Manner::default(), never, |_| Ok(()))
                .await
                .unwrap_err();
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
    let tls = ServerTls::new(before.for_clients(), Principals::default()).unwrap();
    let after = Certificates::read(&config).unwrap();
    assert!(
        tls.replace(after.for_clients()).is_err(),
        "it does not fit the certificate"
    );
    fs::copy(&other.security.certificate, &config.security.certificate).unwrap();
    let after = Certificates::read(&config).unwrap();
    tls.replace(after.for_clients()).unwrap();
}

/// A request for the names of the tables, after which the connection ends.
const LIST_TABLES: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-amz-json-1.0\r\nx-amz-target: \
                           DynamoDB_20120810.ListTables\r\nuser-agent: test\r\nconnection: close\r\ncontent-length: \
                           2\r\n\r\n{}";

#[test]
fn a_client_is_known_by_its_certificate_and_it_is_written_down_who_has_asked_for_what() {
    on_one_thread(async {
        let mapped = "client_certificates = { authority = \"ca.pem\", principals = { \"CN:node 1\" = \
                      \"arn:aws:iam::000000000000:root\" } }";
        let node = Running::start(mapped).await;
        let security = node.config.security.clone();
        let own = (security.certificate.as_path(), security.key.as_path());
        let refused = node.send_unsigned(LIST_TABLES, None).await;
        assert!(refused.contains("MissingAuthenticationToken"), "{refused}");
        let answer = node.send_unsigned(LIST_TABLES, Some(own)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.ends_with("{\"TableNames\":[]}"), "{answer}");
        let keys = files::root_keys(&node.config).unwrap();
        let answer = node.ask(KEYS_PATH, &keys, "eu-west-1").await.unwrap();
        assert!(answer.contains("\"data_keys\":[{"), "{answer}");
        let file = node.config.audit.as_ref().unwrap().file.clone();
        let _directory = node.stop().await;

        let text = fs::read_to_string(file).unwrap();
        let records: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let names: Vec<_> = records
            .iter()
            .map(|record| record["eventName"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["ListTables", "ListTables", "GetKeys"]);
        assert_eq!(records[0]["errorCode"], "MissingAuthenticationTokenException");
        assert_eq!(records[0]["userIdentity"], serde_json::json!({"type": "Unknown"}));
        let done = &records[1];
        assert_eq!(done["userIdentity"]["arn"], "arn:aws:iam::000000000000:root");
        assert_eq!(done["userIdentity"]["type"], "Root");
        for (field, value) in [
            ("eventVersion", "1.11"),
            ("eventSource", "dynamodb.amazonaws.com"),
            ("awsRegion", "eu-west-1"),
            ("sourceIPAddress", "127.0.0.1"),
            ("userAgent", "test"),
            ("eventType", "AwsApiCall"),
            ("recipientAccountId", "000000000000"),
            ("eventCategory", "Management"),
        ] {
            assert_eq!(done[field], value, "{field}");
        }
        assert_eq!(done["readOnly"], true);
        assert_eq!(done["requestID"].as_str().unwrap().len(), 52);
        assert_ne!(done["eventID"], records[0]["eventID"]);
        assert_eq!(records[2]["eventSource"], "stator");
    });
}

#[test]
fn an_address_that_fails_too_often_is_throttled_and_a_proved_key_is_not() {
    on_one_thread(async {
        let limits = "limits = { authentication_failures_burst = 2, authentication_failures_per_minute = 1 }";
        let node = Running::start(limits).await;
        let keys = files::root_keys(&node.config).unwrap();
        assert!(node.ask(STATUS_PATH, &keys, "eu-west-1").await.is_ok());
        let other = KeyPair {
            access_key_id: "AKIAOTHER".to_owned(),
            secret: SecretKey::new("wrong".to_owned()),
        };
        for expected in [
            "UnrecognizedClientException",
            "UnrecognizedClientException",
            "ThrottlingException",
        ] {
            let error = node.ask(STATUS_PATH, &other, "eu-west-1").await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(expected) && text.contains("400"), "{text}");
        }
        assert!(node.ask(STATUS_PATH, &keys, "eu-west-1").await.is_ok());
        node.stop().await;
    });
}

#[test]
fn a_node_without_its_master_key_does_not_start_and_names_the_key() {
    on_one_thread(async {
        let node = Running::start("").await;
        let mut config = node.config.clone();
        let directory = node.stop().await;
        let path = directory.path().join("master.key");
        let text = fs::read_to_string(&path).unwrap();
        let id = text
            .parse::<stator_cluster::MasterKey>()
            .unwrap()
            .id()
            .to_string();
        let refusal = async |config: &Config| {
            let never = std::future::pending();
            let error = run_node(config, Manner::default(), never, |_| Ok(()))
                .await
                .unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&id) && !text.contains('\n'), "{text}");
            until_free(config.node.listen).await;
            text
        };
        let new = "5a".repeat(32);
        fs::write(&path, &new).unwrap();
        let wrong = refusal(&config).await;
        assert!(wrong.contains("is encrypted with the master key"), "{wrong}");
        fs::remove_file(&path).unwrap();
        let missing = refusal(&config).await;
        assert!(
            missing.contains("master.key: No such file") && missing.contains("wants the key"),
            "{missing}"
        );
        // With the old one beside it, the new one takes over.
        let old = directory.path().join("old.key");
        fs::write(&old, &text).unwrap();
        fs::write(&path, &new).unwrap();
        config.security.older_master_keys = vec![KeySource::File(old)];
        let node = Running::run(directory, config.clone()).await;
        let directory = node.stop().await;
        config.security.older_master_keys.clear();
        let node = Running::run(directory, config).await;
        node.stop().await;
    });
}

#[test]
fn changed_certificates_are_in_use_at_once_after_a_hang_up() {
    on_one_thread(async {
        let node = Running::start("").await;
        let (ca, own) = (fs::read(&node.config.security.ca).unwrap(), &node.config.security);
        let authority = stator_cluster::transport::certificate::CertificateAuthority::load(
            std::str::from_utf8(&ca).unwrap(),
            &fs::read_to_string(own.ca.with_file_name("ca-key.pem")).unwrap(),
        );
        let now_ms = u64::try_from(SystemClock.now_ms()).unwrap();
        let validity = stator_cluster::transport::certificate::Validity::days_from(now_ms, 2);
        let hosts = ["127.0.0.1".to_owned()];
        let made = authority
            .unwrap()
            .issue(stator_cluster::NodeId(1), &hosts, validity)
            .unwrap();
        fs::write(&own.key, made.key_pem.as_bytes()).unwrap();
        fs::write(&own.certificate, &made.certificate_pem).unwrap();
        let renewed = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap();
        let process = rustix::process::getpid();
        rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
        let address = node.endpoint.strip_prefix("https://").unwrap();
        let presented = async || {
            let stream = TcpStream::connect(address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(tls::client(&ca).unwrap());
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let stream = connector.connect(name, stream).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].clone()
        };
        // Far below the minute after which it would be noticed anyway.
        let noticed = async {
            while presented().await != renewed {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), noticed)
            .await
            .unwrap();
        node.stop().await;
    });
}
