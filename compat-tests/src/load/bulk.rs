//! Many items that are written once: something to be moved, and to be found again whole.
//!
//! Invariant: what an item holds follows from its number, so that each is compared, not only counted.

use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

use crate::{Access, Mode, Random, Result, Sdk};

/// Clients that write or read at once.
const CLIENTS: u64 = 8;
/// Items of a batch (`BatchWriteItem`: 25).
const BATCH: u64 = 25;

/// See the head of the file.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// A table with the partition key `pk`, a string.
    pub table: String,
    /// How many.
    pub items: u64,
    /// Bytes of each, beside its key.
    pub bytes: usize,
}

impl Bulk {
    /// Writes all items.
    ///
    /// # Errors
    /// When one is refused.
    pub fn write(&self, access: &Access, address: SocketAddr) -> Result<()> {
        self.in_parts(access, address, |sdk, numbers| {
            let puts: Vec<Value> = numbers
                .map(|number| json!({ "PutRequest": { "Item": self.item(number) } }))
                .collect();
            let mut left = json!({ self.table.clone(): puts });
            while left.as_object().is_some_and(|tables| !tables.is_empty()) {
                let answer = sdk.ok("BatchWriteItem", &json!({ "RequestItems": left }))?;
                left = answer["UnprocessedItems"].clone();
            }
            Ok(())
        })
    }

    /// Reads all items with strong consistency, and holds that each is what was written.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn check(&self, access: &Access, address: SocketAddr) -> Result<()> {
        self.in_parts(access, address, |sdk, numbers| {
            for number in numbers {
                let item = self.item(number);
                let request =
                    json!({ "TableName": self.table, "Key": { "pk": item["pk"] }, "ConsistentRead": true });
                let answer = sdk.ok("GetItem", &request)?;
                if answer["Item"] != item {
                    return Err(format!("item {number} of {}: {answer}", self.table).into());
                }
            }
            Ok(())
        })
    }

    fn in_parts(
        &self,
        access: &Access,
        address: SocketAddr,
        carry_out: impl Fn(&mut Sdk, std::ops::Range<u64>) -> Result<()> + Sync,
    ) -> Result<()> {
        let carry_out = &carry_out;
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|own| {
                    scope.spawn(move || -> Result<()> {
                        let random = Random::new(own, 1);
                        let mut sdk = Sdk::new(access.clone(), address, Mode::Standard, random);
                        let firsts = (0..self.items).step_by(usize::try_from(BATCH)?);
                        for first in firsts.filter(|first| first / BATCH % CLIENTS == own) {
                            carry_out(&mut sdk, first..self.items.min(first + BATCH))?;
                        }
                        Ok(())
                    })
                })
                .collect();
            clients.into_iter().try_for_each(|client| {
                client
                    .join()
                    .unwrap_or_else(|_| Err("a client has panicked".into()))
            })
        })
    }

    fn item(&self, number: u64) -> Value {
        // Of the kind that hardly gets smaller by compression.
        let mut random = Random::new(number, 0);
        let mut text = String::with_capacity(self.bytes + 36);
        while text.len() < self.bytes {
            text.push_str(&random.uuid());
        }
        text.truncate(self.bytes);
        json!({ "pk": { "S": format!("bulk-{number}") }, "text": { "S": text } })
    }
}
