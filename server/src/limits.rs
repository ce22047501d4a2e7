//! `[limits]`: quotas of the API that a cluster may set lower or higher for itself.
//!
//! The same on all nodes: each holds the writes to it that it leads. Not here: quotas that nobody may change, which stand where
//! they are held.

use serde::Deserialize;

/// Source: Amazon DynamoDB Developer Guide, "Local secondary indexes: item collection size limit".
const ITEM_COLLECTION_BYTES_MAX: u64 = 10 << 30;

/// Source: Amazon DynamoDB Developer Guide, "Quotas: tables".
const TABLES_MAX: usize = 2500;

/// Source: Amazon DynamoDB Developer Guide, "Quotas: throughput default quotas".
const ACCOUNT_UNITS_MAX: i64 = 80_000;

/// See the head of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// How large an item collection may grow, in bytes: all items of one partition key in a table with local indexes, and
    /// what these have of them.
    pub(crate) item_collection_bytes_max: u64,
    /// How many tables there may be.
    pub(crate) tables_max: usize,
    /// How many read units, and how many write units, all tables may be provisioned for together. Held where throughput is.
    pub(crate) account_units_max: i64,
    /// Whether tables are held to their provisioned throughput and on-demand maximums.
    pub(crate) throughput: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            item_collection_bytes_max: ITEM_COLLECTION_BYTES_MAX,
            tables_max: TABLES_MAX,
            account_units_max: ACCOUNT_UNITS_MAX,
            throughput: true,
        }
    }
}
