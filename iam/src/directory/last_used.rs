//! When an access key was used last: noted on the path of a request without a lock, told and kept now and then.
//!
//! Source: IAM API reference, GetAccessKeyLastUsed. Invariant: a later use is never replaced by an earlier one.

use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;

const FORMAT_VERSION: u8 = 1;
/// Services as they are numbered here, which is stored. The first stands for anything else.
const SERVICES: [&str; 4] = ["N/A", "dynamodb", "iam", "sts"];
/// Low bits of the cell that hold the service.
const SERVICE_BITS: u32 = 2;

/// A use of an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Seconds since the Unix epoch.
    pub at_s: u64,
    /// `dynamodb`, `iam` or `sts`.
    pub service: &'static str,
}

/// The last use of an access key, as this node has seen it; a cell that any thread may note in.
#[derive(Debug, Default)]
pub struct LastUsed(AtomicU64);

#[derive(Clone, PartialEq, Eq, Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    at_s: u64,
    #[prost(uint32, tag = "2")]
    service: u32,
}

impl LastUsed {
    /// Notes a use.
    pub fn note(&self, at_s: u64, service: &str) {
        let number = SERVICES.iter().position(|known| *known == service).unwrap_or(0);
        let noted = at_s << SERVICE_BITS | u64::try_from(number).unwrap_or(0);
        // Mostly the second is the same as before, and nothing is written to memory that all threads share.
        if self.0.load(Ordering::Relaxed) >> SERVICE_BITS < at_s {
            self.0.fetch_max(noted, Ordering::Relaxed);
        }
    }

    /// The last use; none when there was none.
    pub fn get(&self) -> Option<Use> {
        let noted = self.0.load(Ordering::Relaxed);
        let at_s = noted >> SERVICE_BITS;
        let service = usize::try_from(noted & ((1 << SERVICE_BITS) - 1)).unwrap_or(0);
        (at_s > 0).then(|| Use {
            at_s,
            service: SERVICES[service],
        })
    }
}

impl Use {
    /// The bytes of its row.
    pub fn to_bytes(self) -> Vec<u8> {
        let number = SERVICES
            .iter()
            .position(|known| *known == self.service)
            .unwrap_or(0);
        let stored = Stored {
            at_s: self.at_s,
            service: u32::try_from(number).unwrap_or(0),
        };
        let mut bytes = vec![FORMAT_VERSION];
        bytes.extend(stored.encode_to_vec());
        bytes
    }

    /// Reads the bytes of a row; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT_VERSION, message) = bytes.split_first()? else {
            return None;
        };
        let stored = Stored::decode(message).ok()?;
        let service = SERVICES.get(usize::try_from(stored.service).ok()?)?;
        Some(Self {
            at_s: stored.at_s,
            service,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{LastUsed, Use};

    #[test]
    fn the_latest_use_stays() {
        let cell = LastUsed::default();
        assert_eq!(cell.get(), None);
        cell.note(10, "dynamodb");
        cell.note(9, "iam");
        let used = Use {
            at_s: 10,
            service: "dynamodb",
        };
        assert_eq!(cell.get(), Some(used));
        cell.note(11, "sts");
        assert_eq!(cell.get().map(|used| used.service), Some("sts"));
        assert_eq!(Use::from_bytes(&used.to_bytes()), Some(used));
        assert_eq!(Use::from_bytes(b""), None);
    }
}
