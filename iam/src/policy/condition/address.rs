//! Conditions on addresses: ranges of IPv4 and IPv6 in CIDR notation (RFC 4632, RFC 4291).
//!
//! Invariant: an IPv4 address that comes as IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.

use std::net::IpAddr;

use super::super::request::Value;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    /// How many bits of the address count.
    prefix: u32,
}

impl Network {
    /// Reads `203.0.113.0/24`, or an address alone.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
        };
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Whether an address is in the range.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

/// The address that a value is.
pub(super) fn of(value: &Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Address(address) => Some(address.to_canonical()),
        other => other
            .text()
            .parse::<IpAddr>()
            .ok()
            .map(|address| address.to_canonical()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_shares_their_first_bits() {
        let holds = |network: &str, address: &str| {
            let address = Value::Text(address.into());
            Network::parse(network).unwrap().contains(of(&address).unwrap())
        };
        assert!(holds("203.0.113.0/24", "203.0.113.255"));
        assert!(!holds("203.0.113.0/24", "203.0.114.0"));
        assert!(holds("203.0.113.7", "203.0.113.7"));
        assert!(!holds("203.0.113.7/32", "203.0.113.6"));
        assert!(holds("0.0.0.0/0", "255.1.2.3"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:DB8:1234:5678::/64", "2001:db8:1234:5678:ffff::1"));
        assert!(!holds("2001:DB8:1234:5678::/64", "2001:db8:1234:5679::1"));
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.9"));
        for text in [
            "",
            "203.0.113.0/33",
            "203.0.113",
            "::/129",
            "1.2.3.4/+3",
            "1.2.3.4/",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
