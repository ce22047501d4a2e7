//! No secret and no item shows where it does not belong: every file of a node, everything it prints, and its command line are
//! searched for what was planted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use compat_tests::{Access, Client, address, holds_within, stator};
use serde_json::{Value, json};
use std::time::Duration;

const REGION: &str = "eu-west-1";
const TOKEN: &str = "hvs.PlantedVaultToken";
const ITEM: &str = "PlantedItemData";
const WRONG_SECRET: &str = "PlantedWrongSecretAccessKey0123456789abcd";

/// A master key that no other bytes look like.
fn master_key() -> [u8; 32] {
    std::array::from_fn(|place| u8::try_from(place * 7 + 13).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for place in 0..4 {
            let letter = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap();
            text.push(if place <= chunk.len() {
                char::from(LETTERS[letter])
            } else {
                '='
            });
        }
    }
    text
}

/// A Vault that has one data key and wraps it as `vault:v1:sealed`. Gives its address.
fn vault() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            transit(stream.unwrap());
        }
    });
    format!("http://{address}")
}

/// Answers one request as the transit engine does.
fn transit(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length, mut allowed) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "x-vault-token" => allowed = value == TOKEN,
                _ => {}
            }
        } else {
            line.clone_into(&mut head);
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let plaintext = base64(&master_key());
    let answer = match head.split(' ').nth(1) {
        _ if !allowed => None,
        Some("/v1/transit/datakey/plaintext/stator") => {
            Some(json!({"plaintext": plaintext, "ciphertext": "vault:v1:sealed"}))
        }
        Some("/v1/transit/decrypt/stator") if body["ciphertext"] == "vault:v1:sealed" => {
            Some(json!({"plaintext": plaintext}))
        }
        _ => None,
    };
    let (status, answer) = match answer {
        Some(data) => ("200 OK", json!({"data": data})),
        None => ("403 Forbidden", json!({"errors": ["permission denied"]})),
    };
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    stream
        .get_mut()
        .write_all(format!("{head}{answer}").as_bytes())
        .unwrap();
}

/// A node with its files, and everything that it and the commands have printed.
struct Served {
    directory: tempfile::TempDir,
    child: Option<Child>,
    printed: Vec<u8>,
    endpoint: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Served {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command to its end and keeps what it prints.
    fn run(&mut self, arguments: &[&str]) -> bool {
        let output = stator()
            .unwrap()
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        self.printed.extend(&output.stdout);
        self.printed.extend(&output.stderr);
        output.status.success()
    }

    /// The files of a node whose master key Vault wraps, with an audit log of everything.
    fn make() -> Self {
        let mut served = Self {
            directory: tempfile::tempdir().unwrap(),
            child: None,
            printed: Vec::new(),
            endpoint: String::new(),
        };
        let directory = served.path("node");
        let directory = directory.to_str().unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let own = format!("127.0.0.1:{port}");
        assert!(served.run(&[
            "init",
            "--directory",
            directory,
            "--region",
            REGION,
            "--address",
            &own,
            "--listen",
            "127.0.0.1:0"
        ]));
        fs::remove_file(served.path("node/master.key")).unwrap();
        fs::write(served.path("token"), TOKEN).unwrap();
        let config = served.config();
        let text = fs::read_to_string(&config).unwrap();
        let vault = format!(
            "master_key = {{ vault = {{ address = \"{}\", key = \"stator\", wrapped_key = \"wrapped\", token_file = \
             \"../token\" }} }}",
            vault()
        );
        let changed = text
            .replace("master_key = \"master.key\"\n", &format!("{vault}\n"))
            .replace("# data_events = false", "data_events = true")
            .replace(
                "[storage]\n",
                "[storage.engine]\nmemtable_bytes_max = 65536\n[storage]\n",
            );
        fs::write(&config, changed).unwrap();
        served
    }

    fn config(&self) -> PathBuf {
        self.path("node/stator.toml")
    }

    /// Starts the node with everything in its log that it can say short of `trace`.
    fn start(&mut self) {
        let stderr = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("stderr.txt"))
            .unwrap();
        let mut child = stator()
            .unwrap()
            .args(["serve", "--json", "--config"])
            .arg(self.config())
            .env("STATOR_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        self.child = Some(child);
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{}", fs::read_to_string(self.path("stderr.txt")).unwrap()));
        ready["endpoint"].as_str().unwrap().clone_into(&mut self.endpoint);
        self.printed.extend(line.as_bytes());
    }

    fn command_line(&self) -> Vec<u8> {
        let pid = self.child.as_ref().unwrap().id();
        fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn root(&self) -> (String, String) {
        let text = fs::read_to_string(self.path("node/root-credentials")).unwrap();
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
            lines.find(|(own, _)| *own == name).unwrap().1.to_owned()
        };
        (value("aws_access_key_id"), value("aws_secret_access_key"))
    }

    /// A connection under a secret of the root principal's key.
    fn client(&self, secret: &str) -> Client {
        let access = Access::new(REGION, &self.root().0, secret, Some(&self.path("node/ca.pem"))).unwrap();
        Client::open(access, address(&self.endpoint).unwrap()).unwrap()
    }

    /// Asks, and keeps refusals, which tell more than answers do.
    fn call(&mut self, client: &mut Client, operation: &str, body: &Value) -> u16 {
        let answer = client.call(operation, body).unwrap();
        if answer.status != 200 {
            self.printed.extend(answer.body.to_string().into_bytes());
        }
        answer.status
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn work(served: &mut Served) {
    let secret = served.root().1;
    let mut client = served.client(&secret);
    let table = json!({"TableName": "Music", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}});
    assert_eq!(served.call(&mut client, "CreateTable", &table), 200);
    let is_active = || {
        let mut client = served.client(&secret);
        let answer = client
            .call("DescribeTable", &json!({"TableName": "Music"}))
            .unwrap();
        answer.body["Table"]["TableStatus"] == "ACTIVE"
    };
    assert!(holds_within(Duration::from_secs(30), is_active));
    let planted = |number: u32| json!({"S": format!("{ITEM}{number}")});
    for number in 0..200 {
        let item = json!({"pk": planted(number), ITEM: planted(number), "filler": {"S": "x".repeat(900)}});
        let put = json!({"TableName": "Music", "Item": item});
        assert_eq!(served.call(&mut client, "PutItem", &put), 200);
    }
    let update = json!({"TableName": "Music", "Key": {"pk": planted(1)}, "UpdateExpression": "SET a = :a",
        "ExpressionAttributeValues": {":a": planted(7)}});
    assert_eq!(served.call(&mut client, "UpdateItem", &update), 200);
    let statement = format!("SELECT * FROM \"Music\" WHERE pk = '{ITEM}1'");
    let statement = json!({"Statement": statement});
    assert_eq!(served.call(&mut client, "ExecuteStatement", &statement), 200);
    let scan = json!({"TableName": "Music", "FilterExpression": "pk = :v", "ExpressionAttributeValues": {":v": planted(1)}});
    assert_eq!(served.call(&mut client, "Scan", &scan), 200);
    // What is refused is logged more often than what is done.
    let failed = json!({"TableName": "Music", "Item": {"pk": planted(1)}, "ConditionExpression": "attribute_not_exists(pk)"});
    assert_eq!(client.call("PutItem", &failed).unwrap().status, 400);
    for (operation, body) in [
        (
            "PutItem",
            json!({"TableName": "Music", "Item": {"pk": {"N": "1"}, "a": planted(1)}}),
        ),
        (
            "PutItem",
            json!({"TableName": "Missing", "Item": {"pk": planted(1)}}),
        ),
        (
            "GetItem",
            json!({"TableName": "Music", "Key": {"pk": planted(1), "more": planted(1)}}),
        ),
        (
            "TransactWriteItems",
            json!({"TransactItems": [{"Put": {"TableName": "Music", "Item": {"pk": planted(1)},
            "ConditionExpression": "attribute_not_exists(pk)"}}]}),
        ),
    ] {
        assert_eq!(client.call(operation, &body).unwrap().status, 400, "{operation}");
    }
    let mut wrong = served.client(WRONG_SECRET);
    let put = json!({"TableName": "Music", "Item": {"pk": planted(1)}});
    assert_eq!(served.call(&mut wrong, "PutItem", &put), 400);
}

fn commands(served: &mut Served) {
    let config = served.config();
    let config = config.to_str().unwrap();
    let endpoint = served.endpoint.clone();
    let asked = ["--config", config, "--endpoint", &endpoint];
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["keys", "status"],
        &["keys", "rotate", "--rewrite"],
    ] {
        assert!(served.run(&[arguments, &asked].concat()), "{arguments:?}");
    }
    // The same master key again is refused.
    assert!(!served.run(&[&["keys", "rotate", "--master"][..], &asked].concat()));
    for command in ["", "serve", "keys", "init", "status", "storage", "dev"] {
        let arguments: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        assert!(served.run(&arguments), "{arguments:?}");
    }
}

#[test]
fn nothing_that_was_planted_shows_where_it_does_not_belong() {
    let mut served = Served::make();
    let config = served.config();
    let config = config.to_str().unwrap().to_owned();
    assert!(served.run(&["keys", "wrap", "--config", &config]));
    served.start();
    work(&mut served);
    commands(&mut served);
    served.printed.extend(served.command_line());
    // Once more from what is on disk, and once with a token that Vault refuses.
    served.kill();
    served.start();
    served.kill();
    assert!(served.run(&["storage", "verify", "--config", &config]));
    fs::write(served.path("token"), "hvs.Other").unwrap();
    assert!(!served.run(&["serve", "--config", &config]));
    let refusal = String::from_utf8_lossy(&served.printed).into_owned();
    assert!(
        refusal.contains("403 Forbidden: permission denied; the data in "),
        "{refusal}"
    );
    fs::write(served.path("token"), TOKEN).unwrap();

    search(&served);
    let audit = fs::read_to_string(served.path("node/audit/audit.jsonl")).unwrap();
    let records: Vec<Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for event in [
        "CreateTable",
        "PutItem",
        "Scan",
        "ExecuteStatement",
        "GetKeys",
        "RotateKeys",
        "GetStatus",
    ] {
        assert!(
            records.iter().any(|record| record["eventName"] == event),
            "{event}"
        );
    }
    let denied = |record: &&Value| record["errorCode"] == "InvalidSignatureException";
    assert_eq!(records.iter().filter(denied).count(), 1);
}

/// Looks for everything that was planted in every file and in what was printed.
fn search(served: &Served) {
    let key = master_key();
    let secret = served.root().1;
    let needles: [(&str, Vec<u8>, &[&str]); 7] = [
        ("the master key", key.to_vec(), &[]),
        ("the master key in hexadecimal", hex(&key).into(), &[]),
        ("the master key in base64", base64(&key).into(), &[]),
        (
            "the root principal's secret",
            secret.into(),
            &["root-credentials"],
        ),
        ("Vault's token", TOKEN.into(), &["token"]),
        ("item data", ITEM.into(), &[]),
        ("a secret that a client has signed with", WRONG_SECRET.into(), &[]),
    ];
    let mut found = Vec::new();
    files(served.directory.path(), &mut found);
    assert!(
        found
            .iter()
            .any(|path| path.extension().is_some_and(|kind| kind == "sst")),
        "{found:?}"
    );
    for (name, needle, allowed) in needles {
        let is_allowed = |path: &Path| {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            allowed.contains(&name)
        };
        for path in &found {
            let shown = contains(&fs::read(path).unwrap(), &needle);
            assert_eq!(shown, is_allowed(path), "{name} in {}", path.display());
        }
        assert!(!contains(&served.printed, &needle), "{name} was printed");
    }
}

/// That the search would find what it looks for.
#[test]
fn what_is_planted_is_found_where_it_is() {
    assert!(contains(b"xxPlantedItemDatayy", ITEM.as_bytes()));
    assert_eq!(base64(b"Man"), "TWFu");
    assert_eq!(base64(b"Ma"), "TWE=");
    let mut output = Command::new("printf").arg(TOKEN).output().unwrap().stdout;
    output.push(b'\n');
    assert!(contains(&output, TOKEN.as_bytes()));
}
