//! From a target to its operation: decode, run, encode. The one list of which type serves which operation.

use crate::operation::batch_get_item::BatchGetItem;
use crate::operation::batch_write_item::BatchWriteItem;
use crate::operation::delete_item::DeleteItem;
use crate::operation::get_item::GetItem;
use crate::operation::put_item::PutItem;
use crate::operation::query::Query;
use crate::operation::scan::Scan;
use crate::operation::update_item::UpdateItem;
use crate::operation::{Context, Operation};
use crate::wire::decode::{Decode, decode};
use crate::wire::encode::{Encode, encode};
use crate::wire::error::ApiError;
use crate::wire::target::Target;

/// Runs the operation of a target on a JSON body and returns the JSON of its answer.
///
/// # Errors
/// Whatever the operation refuses with.
pub(super) async fn run(target: Target, json: &[u8], context: &Context) -> Result<Vec<u8>, ApiError> {
    match target {
        Target::BatchGetItem => answer::<BatchGetItem>(json, context).await,
        Target::BatchWriteItem => answer::<BatchWriteItem>(json, context).await,
        Target::DeleteItem => answer::<DeleteItem>(json, context).await,
        Target::GetItem => answer::<GetItem>(json, context).await,
        Target::PutItem => answer::<PutItem>(json, context).await,
        Target::Query => answer::<Query>(json, context).await,
        Target::Scan => answer::<Scan>(json, context).await,
        Target::UpdateItem => answer::<UpdateItem>(json, context).await,
        _ => Err(ApiError::UnknownOperation),
    }
}

async fn answer<O>(json: &[u8], context: &Context) -> Result<Vec<u8>, ApiError>
where
    O: Operation + Decode,
    O::Output: Encode,
{
    let output = decode::<O>(json)?.run(context).await?;
    Ok(encode(&output))
}
