//! A blocking, keep-alive DynamoDB client over one connection: signs, sends JSON, reads JSON. It never tries again; that
//! is `sdk.rs`.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::{Access, Node, Result};

/// How long a connection may take, and a server may be silent: boto3's defaults (botocore, "Config Reference",
/// `connect_timeout` and `read_timeout`). Other SDKs wait for a connection for 2 to 3 s, and for an answer without end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to a node.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<Stream>,
    host: String,
    access: Access,
    is_over: bool,
}

#[derive(Debug)]
enum Stream {
    Clear(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Encrypted(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Encrypted(stream) => stream.flush(),
        }
    }
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
    /// Connects to a node of its own.
    ///
    /// # Errors
    /// When the node does not listen.
    pub fn connect(node: &Node) -> Result<Self> {
        Self::open(node.access()?, node.address()?)
    }

    /// Connects to whatever listens there: a node, or a balancer before several. A certificate has to name the address.
    ///
    /// # Errors
    /// When nothing listens. A handshake that fails is noticed by the first call.
    pub fn open(access: Access, address: SocketAddr) -> Result<Self> {
        Self::open_within(access, address, CONNECT_TIMEOUT, READ_TIMEOUT)
    }

    fn open_within(
        access: Access,
        address: SocketAddr,
        connect_timeout: Duration,
        read_timeout: Duration,
    ) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, connect_timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(read_timeout))?;
        let stream = match access.tls() {
            Some(tls) => {
                let name = ServerName::IpAddress(address.ip().into());
                let connection = ClientConnection::new(Arc::clone(&tls), name)?;
                Stream::Encrypted(Box::new(StreamOwned::new(connection, stream)))
            }
            None => Stream::Clear(stream),
        };
        Ok(Self {
            stream: BufReader::new(stream),
            host: address.to_string(),
            access,
            is_over: false,
        })
    }

    /// Sends an operation and reads its answer. An error means that there was none: the node is gone.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn call(&mut self, operation: &str, body: &Value) -> Result<Answer> {
        self.call_with(operation, body, &[])
    }

    /// The same with more headers.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn call_with(&mut self, operation: &str, body: &Value, more: &[(&str, &str)]) -> Result<Answer> {
        let request = self
            .access
            .request(&self.host, operation, &body.to_string(), more)?;
        let (status, body) = self.exchange(&request)?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&body)?,
        })
    }

    /// Whether the node has said that it answers nothing more over this connection.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The health check of a balancer: whether a node says within a time that it is well (`GET /`, AWS General Reference,
    /// "DynamoDB endpoints"). The time holds for the connection and for each wait for bytes.
    pub fn is_healthy(access: Access, address: SocketAddr, within: Duration) -> bool {
        let ask = || -> Result<u16> {
            let mut client = Self::open_within(access, address, within, within)?;
            let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
            Ok(client.exchange(request.as_bytes())?.0)
        };
        ask().is_ok_and(|status| status == 200)
    }

    /// Sends a request and reads the status and body of its answer.
    fn exchange(&mut self, request: &[u8]) -> Result<(u16, Vec<u8>)> {
        let stream = self.stream.get_mut();
        stream.write_all(request)?;
        stream.flush()?;
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
            self.is_over |= name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close");
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
