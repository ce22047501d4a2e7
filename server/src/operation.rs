//! The operations of the API, one file each: typed request, validation, work, typed answer. No JSON, no HTTP.

mod account_limits;
mod admission;
pub(crate) mod backup_description;
pub(crate) mod batch_execute_statement;
pub(crate) mod batch_get_item;
pub(crate) mod batch_write_item;
pub(crate) mod cancel_bulk_operation;
pub(crate) mod cancellation;
pub(crate) mod capacity;
pub(crate) mod condition_check;
pub(crate) mod create_backup;
pub(crate) mod create_table;
pub(crate) mod delete_backup;
pub(crate) mod delete_item;
pub(crate) mod delete_resource_policy;
pub(crate) mod delete_table;
pub(crate) mod describe_backup;
pub(crate) mod describe_bulk_operation;
pub(crate) mod describe_continuous_backups;
pub(crate) mod describe_endpoints;
pub(crate) mod describe_export;
pub(crate) mod describe_import;
pub(crate) mod describe_limits;
pub(crate) mod describe_stream;
pub(crate) mod describe_table;
pub(crate) mod describe_time_to_live;
pub(crate) mod execute_statement;
pub(crate) mod execute_transaction;
pub(crate) mod export_table_to_point_in_time;
pub(crate) mod expressions;
pub(crate) mod get_item;
pub(crate) mod get_records;
pub(crate) mod get_resource_policy;
pub(crate) mod get_shard_iterator;
pub(crate) mod import_table;
mod in_use;
pub(crate) mod index_changes;
pub(crate) mod index_settings;
pub(crate) mod item_collection;
pub(crate) mod item_command;
mod job_cancellation;
pub(crate) mod legacy;
pub(crate) mod list_backups;
pub(crate) mod list_bulk_operations;
pub(crate) mod list_exports;
pub(crate) mod list_imports;
pub(crate) mod list_streams;
pub(crate) mod list_tables;
pub(crate) mod list_tags_of_resource;
pub(crate) mod modification;
pub(crate) mod page;
pub(crate) mod put_item;
pub(crate) mod put_resource_policy;
pub(crate) mod query;
pub(crate) mod readers;
pub(crate) mod replacement;
pub(crate) mod resource_policy;
pub(crate) mod restore_table_from_backup;
pub(crate) mod restore_table_to_point_in_time;
pub(crate) mod scan;
pub(crate) mod shards;
pub(crate) mod start_bulk_put_items;
pub(crate) mod statement;
pub(crate) mod table_description;
pub(crate) mod table_name;
pub(crate) mod table_settings;
pub(crate) mod tag_resource;
pub(crate) mod tags;
mod throughput_change;
pub(crate) mod transact_get_items;
pub(crate) mod transact_write_items;
pub(crate) mod transfer_page;
pub(crate) mod untag_resource;
mod update_combinations;
pub(crate) mod update_continuous_backups;
pub(crate) mod update_item;
pub(crate) mod update_table;
pub(crate) mod update_time_to_live;

use std::sync::Arc;

use uuid::Uuid;

use crate::backup::Backups;
use crate::catalog::{Catalog, Table};
use crate::clock::Clock;
use crate::limits::Limits;
use crate::message;
use crate::throttle::Throttle;
use crate::transfer::Transfers;
use crate::wire::error::ApiError;

/// What operations work with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The cells.
    pub(crate) cluster: stator_cluster::Cluster,
    /// The tables.
    pub(crate) catalog: Arc<Catalog>,
    /// The backups, if this node was told where they are to be.
    pub(crate) backups: Option<Arc<Backups>>,
    /// Exports and imports, if this node was told where buckets are.
    pub(crate) transfers: Option<Arc<Transfers>>,
    /// The region that ARNs name.
    pub(crate) region: String,
    /// The host and port that clients reach, for DescribeEndpoints.
    pub(crate) endpoint: String,
    /// Holds tables to their throughput, if this node does.
    pub(crate) throttle: Option<Arc<Throttle>>,
    /// Quotas.
    pub(crate) limits: Limits,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Fills a buffer with random bytes.
    pub(crate) random: crate::random::Fill,
}

impl Context {
    /// An id that nobody else has.
    ///
    /// # Errors
    /// InternalServerError when the operating system has no randomness to give.
    pub(crate) fn new_id(&self) -> Result<Uuid, ApiError> {
        let mut random = [0; 16];
        (self.random)(&mut random).map_err(|error| ApiError::Internal(error.to_string()))?;
        Ok(uuid::Builder::from_random_bytes(random).into_uuid())
    }

    /// The table that an item operation names. There is none as long as its items are being restored or imported, and when it is
    /// being deleted.
    ///
    /// # Errors
    /// ResourceNotFoundException, and ServiceUnavailable when it is not known here and other nodes cannot be asked.
    pub(crate) async fn table(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        let is_there = |table: &Arc<Table>| table.definition().has_items();
        let found = self.catalog.find(name).await.map_err(message::table::catalog)?;
        let found = match found {
            // They may be there by now.
            Some(table) if !is_there(&table) => {
                let latest = self.catalog.latest(name).await;
                latest.map_err(message::table::catalog)?
            }
            found => found,
        };
        found.filter(is_there).ok_or_else(message::no_table)
    }
}

/// A request of the API together with its answer.
pub(crate) trait Operation: Sized + Send {
    /// What it answers.
    type Output: Send;

    /// The name of the one table whose items it is about, if there is one, as far as it is valid.
    fn table(&self) -> Option<&str> {
        None
    }

    /// Validates and carries it out.
    fn run(self, context: &Context) -> impl Future<Output = Result<Self::Output, ApiError>> + Send;
}
