//! A blocking, keep-alive DynamoDB client over one connection: signs, sends JSON, reads JSON.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use serde_json::Value;

use crate::{Node, Result};

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
    region: String,
    identity: Identity,
}

/// What the node answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status of the response.
    pub status: u16,
    /// Its body.
    pub body: Value,
}

impl Answer {
    /// The error's name, without its namespace.
    pub fn error(&self) -> Option<&str> {
        self.body["__type"]
            .as_str()
            .and_then(|name| name.rsplit('#').next())
    }

    /// The body of a successful answer.
    ///
    /// # Errors
    /// When the node refused.
    pub fn ok(self) -> Result<Value> {
        if self.status == 200 {
            Ok(self.body)
        } else {
            Err(format!("{} {}", self.status, self.body).into())
        }
    }
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When the node does not listen.
    pub fn connect(node: &Node) -> Result<Self> {
        let ready = &node.ready;
        let host = ready
            .endpoint
            .strip_prefix("http://")
            .ok_or("no http endpoint")?
            .to_owned();
        let stream = TcpStream::connect(&host)?;
        stream.set_nodelay(true)?;
        let credentials = Credentials::new(
            &ready.access_key_id,
            &ready.secret_access_key,
            None,
            None,
            "compat-tests",
        );
        Ok(Self {
            stream: BufReader::new(stream),
            host,
            region: ready.region.clone(),
            identity: credentials.into(),
        })
    }

    /// Sends an operation and reads its answer. An error means that there was none: the node is gone.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn call(&mut self, operation: &str, body: &Value) -> Result<Answer> {
        let request = self.request(operation, &body.to_string())?;
        self.stream.get_mut().write_all(&request)?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).ok_or("no status line")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err("the connection ended within the headers".into());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&body)?,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "a signature carries the present time")]
    fn request(&self, operation: &str, body: &str) -> Result<Vec<u8>> {
        let target = format!("DynamoDB_20120810.{operation}");
        let headers = [
            ("host", self.host.as_str()),
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
        ];
        let parameters = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("dynamodb")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let uri = format!("http://{}/", self.host);
        let body_bytes = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", &uri, headers.into_iter(), body_bytes)?;
        let (added, _) = sign(signable, &parameters)?.into_parts();
        let mut text = String::from("POST / HTTP/1.1\r\n");
        for (name, value) in headers.into_iter().chain(added.headers()) {
            write!(text, "{name}: {value}\r\n")?;
        }
        write!(text, "content-length: {}\r\n\r\n{body}", body.len())?;
        Ok(text.into_bytes())
    }
}
