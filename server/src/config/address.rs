//! Addresses in the configuration file: of a host, and of a node of the cluster.
//!
//! Invariant: what is read is written alike. Not here: what listens there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;
use stator_cluster::{Founder, NodeId};

/// A host name or IP address (IPv6 in brackets) with a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// Where a node is reached that only this machine can reach.
    pub(crate) fn local() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 7400,
        }
    }

    /// The host, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The same host with another port.
    pub(crate) fn with_port(&self, port: u16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }

    /// Where to listen to be reached here: at the address itself, or at all addresses when it is a name.
    pub(crate) fn to_listen(&self) -> SocketAddr {
        let host = self.host.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        SocketAddr::new(host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no address: write host:port, like 10.0.0.1:7400, db-1:7400 or [::1]:7400")
        };
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(wrong()),
                port => Ok(Self {
                    host: address.ip().to_string(),
                    port,
                }),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let port: u16 = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || host.len() > 253 || port == 0 || !host.bytes().all(allowed) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A node and where it is reached, written `id=host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct NodeAddress {
    /// Its id.
    pub(crate) id: u64,
    /// Where it is reached.
    pub(crate) address: HostPort,
}

impl NodeAddress {
    /// As the cluster takes it.
    pub(super) fn founder(&self) -> Founder {
        Founder {
            node: NodeId(self.id),
            address: self.address.to_string(),
        }
    }
}

impl FromStr for NodeAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no node: write id=host:port, like 1=10.0.0.1:7400; ids begin at 1");
        let (id, address) = text.split_once('=').ok_or_else(wrong)?;
        let id = id.trim().parse().ok().filter(|id| *id > 0).ok_or_else(wrong)?;
        Ok(Self {
            id,
            address: address.trim().parse()?,
        })
    }
}

impl TryFrom<String> for NodeAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.id, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["10.0.0.1:7400", "db-1.example:1", "[::1]:7400"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
            let node = format!("3={text}");
            assert_eq!(node.parse::<NodeAddress>().unwrap().to_string(), node);
        }
        for text in [
            "",
            "db-1",
            ":7400",
            "db-1:0",
            "10.0.0.1:0",
            "db 1:7400",
            "::1:7400",
            "a\"b:1",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
        for text in ["10.0.0.1:7400", "0=10.0.0.1:7400", "x=10.0.0.1:7400"] {
            assert!(text.parse::<NodeAddress>().is_err(), "{text}");
        }
        let listen = |text: &str| text.parse::<HostPort>().unwrap().to_listen().to_string();
        assert_eq!(listen("db-1:7400"), "0.0.0.0:7400");
        assert_eq!(listen("[::1]:7400"), "[::1]:7400");
    }
}
