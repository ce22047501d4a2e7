//! The operations of the API, one file each: typed request, validation, work, typed answer. No JSON, no HTTP.

mod create_table;
mod delete_table;
mod describe_endpoints;
mod describe_limits;
mod describe_table;
mod list_tables;
mod list_tags_of_resource;
mod table_description;
mod table_name;
mod table_settings;
mod tag_resource;
mod tags;
mod untag_resource;
mod update_table;

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::wire::error::ApiError;

pub(crate) use create_table::{AttributeDefinition, CreateTable, CreateTableOutput, KeySchemaElement};
pub(crate) use delete_table::{DeleteTable, DeleteTableOutput};
pub(crate) use describe_endpoints::{DescribeEndpoints, DescribeEndpointsOutput};
pub(crate) use describe_limits::{DescribeLimits, DescribeLimitsOutput};
pub(crate) use describe_table::{DescribeTable, DescribeTableOutput};
pub(crate) use list_tables::{ListTables, ListTablesOutput};
pub(crate) use list_tags_of_resource::{ListTagsOfResource, ListTagsOfResourceOutput};
pub(crate) use table_description::{TableDescription, TableStatus};
pub(crate) use table_settings::{
    OnDemandThroughput, ProvisionedThroughput, SseSpecification, StreamSpecification, WarmThroughput,
};
pub(crate) use tag_resource::{TagResource, TagResourceOutput};
pub(crate) use tags::Tag;
pub(crate) use untag_resource::{UntagResource, UntagResourceOutput};
pub(crate) use update_table::{UpdateTable, UpdateTableOutput};

/// What operations work with.
#[derive(Debug)]
pub(crate) struct Context {
    /// The cells.
    pub(crate) cluster: stator_cluster::Cluster,
    /// The tables.
    pub(crate) catalog: Arc<Catalog>,
    /// The region that ARNs name.
    pub(crate) region: String,
    /// The host and port that clients reach, for DescribeEndpoints.
    pub(crate) endpoint: String,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Fills a buffer with random bytes.
    pub(crate) random: fn(&mut [u8]) -> std::io::Result<()>,
}

/// A request of the API together with its answer.
pub(crate) trait Operation: Sized {
    /// What it answers.
    type Output;

    /// Validates and carries it out.
    async fn run(self, context: &Context) -> Result<Self::Output, ApiError>;
}
