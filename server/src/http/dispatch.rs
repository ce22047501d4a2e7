//! From a target to its operation: decode, authorize, run, encode. The one list of which type serves which operation.

use std::pin::Pin;
#[cfg(test)]
use std::sync::{Arc, OnceLock};

use crate::authorize::{Authorize, Caller, Judge};
use crate::message::table;
use crate::metrics::Concern;
#[cfg(test)]
use crate::metrics::OperationMetrics;
use crate::operation::batch_execute_statement::BatchExecuteStatement;
use crate::operation::batch_get_item::BatchGetItem;
use crate::operation::batch_write_item::BatchWriteItem;
use crate::operation::cancel_bulk_operation::CancelBulkOperation;
use crate::operation::create_backup::CreateBackup;
use crate::operation::create_table::CreateTable;
use crate::operation::delete_backup::DeleteBackup;
use crate::operation::delete_item::DeleteItem;
use crate::operation::delete_resource_policy::DeleteResourcePolicy;
use crate::operation::delete_table::DeleteTable;
use crate::operation::describe_backup::DescribeBackup;
use crate::operation::describe_bulk_operation::DescribeBulkOperation;
use crate::operation::describe_continuous_backups::DescribeContinuousBackups;
use crate::operation::describe_endpoints::DescribeEndpoints;
use crate::operation::describe_export::DescribeExport;
use crate::operation::describe_import::DescribeImport;
use crate::operation::describe_limits::DescribeLimits;
use crate::operation::describe_stream::DescribeStream;
use crate::operation::describe_table::DescribeTable;
use crate::operation::describe_time_to_live::DescribeTimeToLive;
use crate::operation::execute_statement::ExecuteStatement;
use crate::operation::execute_transaction::ExecuteTransaction;
use crate::operation::export_table_to_point_in_time::ExportTableToPointInTime;
use crate::operation::get_item::GetItem;
use crate::operation::get_records::GetRecords;
use crate::operation::get_resource_policy::GetResourcePolicy;
use crate::operation::get_shard_iterator::GetShardIterator;
use crate::operation::import_table::ImportTable;
use crate::operation::list_backups::ListBackups;
use crate::operation::list_bulk_operations::ListBulkOperations;
use crate::operation::list_exports::ListExports;
use crate::operation::list_imports::ListImports;
use crate::operation::list_streams::ListStreams;
use crate::operation::list_tables::ListTables;
use crate::operation::list_tags_of_resource::ListTagsOfResource;
use crate::operation::put_item::PutItem;
use crate::operation::put_resource_policy::PutResourcePolicy;
use crate::operation::query::Query;
use crate::operation::restore_table_from_backup::RestoreTableFromBackup;
use crate::operation::restore_table_to_point_in_time::RestoreTableToPointInTime;
use crate::operation::scan::Scan;
use crate::operation::start_bulk_put_items::StartBulkPutItems;
use crate::operation::tag_resource::TagResource;
use crate::operation::transact_get_items::TransactGetItems;
use crate::operation::transact_write_items::TransactWriteItems;
use crate::operation::untag_resource::UntagResource;
use crate::operation::update_continuous_backups::UpdateContinuousBackups;
use crate::operation::update_item::UpdateItem;
use crate::operation::update_table::UpdateTable;
use crate::operation::update_time_to_live::UpdateTimeToLive;
use crate::operation::{Context, Operation};
use crate::wire::decode::{Decode, decode};
use crate::wire::encode::{Encode, encode};
use crate::wire::error::ApiError;
use crate::wire::head::Head;
use crate::wire::target::Target;

/// What a request comes with beside its body.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) head: Head<'a>,
    pub(super) caller: &'a Caller<'a>,
    pub(super) concern: Concern<'a>,
}

/// Runs the operation of a target on a JSON body for a caller, and returns the JSON of its answer.
///
/// # Errors
/// AccessDeniedException, and whatever the operation refuses with.
pub(super) async fn run_for(
    target: Target,
    json: &[u8],
    asked: Asked<'_>,
    context: &Context,
) -> Result<Vec<u8>, ApiError> {
    context.cluster.count_request();
    match target {
        Target::BatchExecuteStatement => at_leisure::<BatchExecuteStatement>(json, asked, context).await,
        Target::BatchGetItem => answer::<BatchGetItem>(json, asked, context).await,
        Target::BatchWriteItem => answer::<BatchWriteItem>(json, asked, context).await,
        Target::CancelBulkOperation => at_leisure::<CancelBulkOperation>(json, asked, context).await,
        Target::CreateBackup => at_leisure::<CreateBackup>(json, asked, context).await,
        Target::CreateTable => at_leisure::<CreateTable>(json, asked, context).await,
        Target::DeleteBackup => at_leisure::<DeleteBackup>(json, asked, context).await,
        Target::DeleteItem => answer::<DeleteItem>(json, asked, context).await,
        Target::DeleteResourcePolicy => at_leisure::<DeleteResourcePolicy>(json, asked, context).await,
        Target::DeleteTable => at_leisure::<DeleteTable>(json, asked, context).await,
        Target::DescribeBackup => at_leisure::<DescribeBackup>(json, asked, context).await,
        Target::DescribeBulkOperation => at_leisure::<DescribeBulkOperation>(json, asked, context).await,
        Target::DescribeContinuousBackups => {
            at_leisure::<DescribeContinuousBackups>(json, asked, context).await
        }
        Target::DescribeEndpoints => at_leisure::<DescribeEndpoints>(json, asked, context).await,
        Target::DescribeExport => at_leisure::<DescribeExport>(json, asked, context).await,
        Target::DescribeImport => at_leisure::<DescribeImport>(json, asked, context).await,
        Target::DescribeLimits => at_leisure::<DescribeLimits>(json, asked, context).await,
        Target::DescribeStream => at_leisure::<DescribeStream>(json, asked, context).await,
        Target::DescribeTable => at_leisure::<DescribeTable>(json, asked, context).await,
        Target::DescribeTimeToLive => at_leisure::<DescribeTimeToLive>(json, asked, context).await,
        Target::ExecuteStatement => at_leisure::<ExecuteStatement>(json, asked, context).await,
        Target::ExecuteTransaction => at_leisure::<ExecuteTransaction>(json, asked, context).await,
        Target::ExportTableToPointInTime => {
            at_leisure::<ExportTableToPointInTime>(json, asked, context).await
        }
        Target::GetItem => answer::<GetItem>(json, asked, context).await,
        Target::GetRecords => answer::<GetRecords>(json, asked, context).await,
        Target::GetResourcePolicy => at_leisure::<GetResourcePolicy>(json, asked, context).await,
        Target::GetShardIterator => at_leisure::<GetShardIterator>(json, asked, context).await,
        Target::ImportTable => at_leisure::<ImportTable>(json, asked, context).await,
        Target::ListBackups => at_leisure::<ListBackups>(json, asked, context).await,
        Target::ListBulkOperations => at_leisure::<ListBulkOperations>(json, asked, context).await,
        Target::ListExports => at_leisure::<ListExports>(json, asked, context).await,
        Target::ListImports => at_leisure::<ListImports>(json, asked, context).await,
        Target::ListStreams => at_leisure::<ListStreams>(json, asked, context).await,
        Target::ListTables => at_leisure::<ListTables>(json, asked, context).await,
        Target::ListTagsOfResource => at_leisure::<ListTagsOfResource>(json, asked, context).await,
        Target::PutItem => answer::<PutItem>(json, asked, context).await,
        Target::PutResourcePolicy => at_leisure::<PutResourcePolicy>(json, asked, context).await,
        Target::Query => answer::<Query>(json, asked, context).await,
        Target::RestoreTableFromBackup => at_leisure::<RestoreTableFromBackup>(json, asked, context).await,
        Target::RestoreTableToPointInTime => {
            at_leisure::<RestoreTableToPointInTime>(json, asked, context).await
        }
        Target::Scan => answer::<Scan>(json, asked, context).await,
        Target::StartBulkPutItems => at_leisure::<StartBulkPutItems>(json, asked, context).await,
        Target::TagResource => at_leisure::<TagResource>(json, asked, context).await,
        Target::TransactGetItems => answer::<TransactGetItems>(json, asked, context).await,
        Target::TransactWriteItems => answer::<TransactWriteItems>(json, asked, context).await,
        Target::UntagResource => at_leisure::<UntagResource>(json, asked, context).await,
        Target::UpdateContinuousBackups => at_leisure::<UpdateContinuousBackups>(json, asked, context).await,
        Target::UpdateItem => answer::<UpdateItem>(json, asked, context).await,
        Target::UpdateTable => at_leisure::<UpdateTable>(json, asked, context).await,
        Target::UpdateTimeToLive => at_leisure::<UpdateTimeToLive>(json, asked, context).await,
    }
}

/// Runs the operation of a target as the root of the account.
#[cfg(test)]
async fn run(target: Target, json: &[u8], head: Head<'_>, context: &Context) -> Result<Vec<u8>, ApiError> {
    let caller = Caller {
        policies: Arc::new(stator_iam::policy::PrincipalPolicies::root(crate::arn::ACCOUNT)),
        source: None,
        secure: false,
        user_agent: None,
    };
    run_as(target, json, (head, &caller), context).await
}

/// Runs the operation of a target as somebody, for whom nothing is counted.
#[cfg(test)]
async fn run_as(
    target: Target,
    json: &[u8],
    (head, caller): (Head<'_>, &Caller<'_>),
    context: &Context,
) -> Result<Vec<u8>, ApiError> {
    let (metrics, table) = (OperationMetrics::default(), OnceLock::new());
    let concern = Concern {
        metrics: &metrics,
        table: &table,
    };
    let asked = Asked {
        head,
        caller,
        concern,
    };
    run_for(target, json, asked, context).await
}

/// As [`answer`], for operations that come seldom: on the heap, so that the others, which come all the time, take no room for them.
fn at_leisure<'a, O>(
    json: &'a [u8],
    asked: Asked<'a>,
    context: &'a Context,
) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, ApiError>> + Send + 'a>>
where
    O: Operation + Decode + Authorize + 'a,
    O::Output: Encode,
{
    Box::pin(answer::<O>(json, asked, context))
}

async fn answer<O>(json: &[u8], asked: Asked<'_>, context: &Context) -> Result<Vec<u8>, ApiError>
where
    O: Operation + Decode + Authorize,
    O::Output: Encode,
{
    let output = match permitted::<O>(json, asked, context).await?.run(context).await {
        // The name may be that of another table by now. What other nodes have acknowledged is looked at before the
        // client is told that there is none.
        Err(ApiError::TableDropped) => {
            context.catalog.catch_up().await.map_err(table::catalog)?;
            // So it is authorized anew, too.
            permitted::<O>(json, asked, context).await?.run(context).await?
        }
        result => result?,
    };
    Ok(encode(&output))
}

/// A request that its caller may make.
async fn permitted<O: Operation + Decode + Authorize>(
    json: &[u8],
    asked: Asked<'_>,
    context: &Context,
) -> Result<O, ApiError> {
    let mut request = decode::<O>(json, asked.head)?;
    request.authorize(&Judge::new(asked.caller, context)).await?;
    if let Some(table) = request.table() {
        asked.concern.is(table, || context.catalog.table(table).is_some());
    }
    Ok(request)
}

#[cfg(test)]
mod tests;
