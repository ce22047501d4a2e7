//! From a target to its operation: decode, run, encode. The one list of which type serves which operation.

use crate::message::table;
use crate::operation::batch_execute_statement::BatchExecuteStatement;
use crate::operation::batch_get_item::BatchGetItem;
use crate::operation::batch_write_item::BatchWriteItem;
use crate::operation::create_table::CreateTable;
use crate::operation::delete_item::DeleteItem;
use crate::operation::delete_table::DeleteTable;
use crate::operation::describe_endpoints::DescribeEndpoints;
use crate::operation::describe_limits::DescribeLimits;
use crate::operation::describe_stream::DescribeStream;
use crate::operation::describe_table::DescribeTable;
use crate::operation::describe_time_to_live::DescribeTimeToLive;
use crate::operation::execute_statement::ExecuteStatement;
use crate::operation::execute_transaction::ExecuteTransaction;
use crate::operation::get_item::GetItem;
use crate::operation::get_records::GetRecords;
use crate::operation::get_shard_iterator::GetShardIterator;
use crate::operation::list_streams::ListStreams;
use crate::operation::list_tables::ListTables;
use crate::operation::list_tags_of_resource::ListTagsOfResource;
use crate::operation::put_item::PutItem;
use crate::operation::query::Query;
use crate::operation::scan::Scan;
use crate::operation::tag_resource::TagResource;
use crate::operation::transact_get_items::TransactGetItems;
use crate::operation::transact_write_items::TransactWriteItems;
use crate::operation::untag_resource::UntagResource;
use crate::operation::update_item::UpdateItem;
use crate::operation::update_table::UpdateTable;
use crate::operation::update_time_to_live::UpdateTimeToLive;
use crate::operation::{Context, Operation};
use crate::wire::decode::{Decode, decode};
use crate::wire::encode::{Encode, encode};
use crate::wire::error::ApiError;
use crate::wire::head::Head;
use crate::wire::target::Target;

/// Runs the operation of a target on a JSON body and the headers it came with, and returns the JSON of its answer.
///
/// # Errors
/// Whatever the operation refuses with.
pub(super) async fn run(
    target: Target,
    json: &[u8],
    head: Head<'_>,
    context: &Context,
) -> Result<Vec<u8>, ApiError> {
    match target {
        Target::BatchExecuteStatement => answer::<BatchExecuteStatement>(json, head, context).await,
        Target::BatchGetItem => answer::<BatchGetItem>(json, head, context).await,
        Target::BatchWriteItem => answer::<BatchWriteItem>(json, head, context).await,
        Target::CreateTable => answer::<CreateTable>(json, head, context).await,
        Target::DeleteItem => answer::<DeleteItem>(json, head, context).await,
        Target::DeleteTable => answer::<DeleteTable>(json, head, context).await,
        Target::DescribeEndpoints => answer::<DescribeEndpoints>(json, head, context).await,
        Target::DescribeLimits => answer::<DescribeLimits>(json, head, context).await,
        Target::DescribeStream => answer::<DescribeStream>(json, head, context).await,
        Target::DescribeTable => answer::<DescribeTable>(json, head, context).await,
        Target::DescribeTimeToLive => answer::<DescribeTimeToLive>(json, head, context).await,
        Target::ExecuteStatement => answer::<ExecuteStatement>(json, head, context).await,
        Target::ExecuteTransaction => answer::<ExecuteTransaction>(json, head, context).await,
        Target::GetItem => answer::<GetItem>(json, head, context).await,
        Target::GetRecords => answer::<GetRecords>(json, head, context).await,
        Target::GetShardIterator => answer::<GetShardIterator>(json, head, context).await,
        Target::ListStreams => answer::<ListStreams>(json, head, context).await,
        Target::ListTables => answer::<ListTables>(json, head, context).await,
        Target::ListTagsOfResource => answer::<ListTagsOfResource>(json, head, context).await,
        Target::PutItem => answer::<PutItem>(json, head, context).await,
        Target::Query => answer::<Query>(json, head, context).await,
        Target::Scan => answer::<Scan>(json, head, context).await,
        Target::TagResource => answer::<TagResource>(json, head, context).await,
        Target::TransactGetItems => answer::<TransactGetItems>(json, head, context).await,
        Target::TransactWriteItems => answer::<TransactWriteItems>(json, head, context).await,
        Target::UntagResource => answer::<UntagResource>(json, head, context).await,
        Target::UpdateItem => answer::<UpdateItem>(json, head, context).await,
        Target::UpdateTable => answer::<UpdateTable>(json, head, context).await,
        Target::UpdateTimeToLive => answer::<UpdateTimeToLive>(json, head, context).await,
    }
}

async fn answer<O>(json: &[u8], head: Head<'_>, context: &Context) -> Result<Vec<u8>, ApiError>
where
    O: Operation + Decode,
    O::Output: Encode,
{
    let output = match decode::<O>(json, head)?.run(context).await {
        // The name may be that of another table by now. What other nodes have acknowledged is looked at before the
        // client is told that there is none.
        Err(ApiError::TableDropped) => {
            context.catalog.catch_up().await.map_err(table::catalog)?;
            decode::<O>(json, head)?.run(context).await?
        }
        result => result?,
    };
    Ok(encode(&output))
}

#[cfg(test)]
mod tests;
