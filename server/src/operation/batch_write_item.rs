//! BatchWriteItem: puts and deletes up to 25 items of any tables, each on its own.
//!
//! Everything is validated before anything is written. The writes go out together, so that they share a sync of the log;
//! one that fails because the node cannot serve, because a transaction is about to write the item, or because the table has no
//! throughput left comes back as unprocessed.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use stator_cluster::{ConsistencyLevel, Invocation, WriteOptions};
use stator_model::expression::Placeholders;
use stator_model::item::{Item, ItemRef};
use stator_model::key::KeyBytes;

use super::capacity::{CapacityDetail, ConsumedCapacity, Cost};
use super::item_collection::{CollectionMetrics, ItemCollection};
use super::replacement::{check_size, checked};
use super::{Context, Operation, table_name};
use crate::catalog::Table;
use crate::command::{Guard, OnFailure, Replace, WriteAnswer};
use crate::consistency::{self, NamedLevels, Needs};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// Most writes in one request. Source: Amazon DynamoDB API Reference, "BatchWriteItem".
const WRITES_MAX: usize = 25;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct BatchWriteItem {
    /// Tables in the order in which they came.
    pub(crate) tables: Option<Vec<(String, Vec<WriteRequest>)>>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) collection_metrics: Option<String>,
    pub(crate) levels: NamedLevels,
    /// Which call the request is a try of.
    pub(crate) invocation: Option<Invocation>,
}

/// One write as it came: exactly one of the two has to be there.
#[derive(Debug, Default)]
pub(crate) struct WriteRequest {
    pub(crate) put: Option<PutRequest>,
    pub(crate) delete: Option<DeleteRequest>,
}

/// A put as it came.
#[derive(Debug, Default)]
pub(crate) struct PutRequest {
    pub(crate) item: Option<Attributes>,
}

/// A deletion as it came.
#[derive(Debug, Default)]
pub(crate) struct DeleteRequest {
    pub(crate) key: Option<Attributes>,
}

/// A write, validated as far as it can be without its table.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// Replace an item.
    Put(Item),
    /// Remove the item of a key.
    Delete(Item),
}

/// The answer.
#[derive(Debug)]
pub(crate) struct BatchWriteItemOutput {
    pub(crate) unprocessed: Vec<(String, Vec<Write>)>,
    pub(crate) consumed_capacity: Option<Vec<ConsumedCapacity>>,
    /// The collections that were written, by table, when they were asked for; empty when no table has any.
    pub(crate) collections: Vec<(String, Vec<ItemCollection>)>,
}

/// A write with its place.
struct Planned {
    write: Write,
    key: KeyBytes,
    options: WriteOptions,
}

impl Planned {
    /// At least its key attributes, and its key.
    fn item(&self) -> (ItemRef<'_>, &KeyBytes) {
        let (Write::Put(item) | Write::Delete(item)) = &self.write;
        (item.as_ref(), &self.key)
    }
}

/// What all writes of a request have in common, and how many of them there are so far.
struct Common {
    level: Option<ConsistencyLevel>,
    invocation: Option<Invocation>,
    places: std::ops::RangeFrom<u32>,
}

impl Operation for BatchWriteItem {
    type Output = BatchWriteItemOutput;

    async fn run(self, context: &Context) -> Result<BatchWriteItemOutput, ApiError> {
        let (capacity, collections, level) = self.constraints()?;
        let mut common = Common {
            level,
            invocation: self.invocation,
            places: 0..,
        };
        let mut checked = Vec::new();
        for (name, requests) in self.tables.unwrap_or_default() {
            let writes = requests.into_iter().map(check).collect::<Result<Vec<_>, _>>()?;
            checked.push((name, writes));
        }
        let mut plans = Vec::new();
        for (name, writes) in checked {
            let table = context.table(table_name::resolve(&name)?).await?;
            let writes = plan(&table, writes, &mut common)?;
            plans.push((name, table, writes));
        }
        let mut output = BatchWriteItemOutput {
            unprocessed: Vec::new(),
            consumed_capacity: (capacity != CapacityDetail::None).then(Vec::new),
            collections: Vec::new(),
        };
        let written = plans
            .iter()
            .map(|(_, table, writes)| apply_all(context, table, writes));
        let results = join_all(written).await;
        check_results(results.iter().flatten())?;
        for ((name, table, writes), results) in plans.iter().zip(results) {
            let (mut cost, mut unprocessed, mut done) = (Cost::default(), Vec::new(), Vec::new());
            for (planned, result) in writes.iter().zip(results) {
                match result {
                    Ok(of_one) => {
                        cost.add(of_one);
                        done.push(planned);
                    }
                    Err(_) => unprocessed.push(planned.write.clone()),
                }
            }
            if !unprocessed.is_empty() {
                output.unprocessed.push((name.clone(), unprocessed));
            }
            if collections == CollectionMetrics::Size && table.definition().collections().is_some() {
                let level = common.next(table.level()).level;
                let items = done.iter().copied().map(Planned::item);
                let collections = ItemCollection::read_all(context, table, items, level).await?;
                output.collections.push((name.clone(), collections));
            }
            if let Some(consumed) = &mut output.consumed_capacity {
                consumed.extend(capacity.report(name, cost));
            }
        }
        Ok(output)
    }
}

impl BatchWriteItem {
    fn constraints(&self) -> Result<(CapacityDetail, CollectionMetrics, Option<ConsistencyLevel>), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("requestItems", self.tables.as_ref());
        if let Some(tables) = &self.tables {
            constraints.length("requestItems", "{}", tables.len(), 1, WRITES_MAX);
            check_lengths(&mut constraints, tables);
            for (name, writes) in tables {
                let member = format!("requestItems.{name}.member");
                for (place, write) in writes.iter().enumerate() {
                    let member = format!("{member}.{}.member", place + 1);
                    if let Some(put) = &write.put {
                        constraints.required(&format!("{member}.putRequest.item"), put.item.as_ref());
                    }
                    if let Some(delete) = &write.delete {
                        constraints.required(&format!("{member}.deleteRequest.key"), delete.key.as_ref());
                    }
                }
            }
        }
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let collections =
            constraints.one_of("returnItemCollectionMetrics", self.collection_metrics.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        if self
            .tables
            .iter()
            .flatten()
            .map(|(_, writes)| writes.len())
            .sum::<usize>()
            > WRITES_MAX
        {
            return Err(ApiError::validation(
                "Too many items requested for the BatchWriteItem call",
            ));
        }
        let (capacity, collections) = (capacity.unwrap_or_default(), collections.unwrap_or_default());
        Ok((capacity, collections, level))
    }
}

/// What the service model has against the lists of writes. It is told of the map that they are in, once for all of them.
///
/// Source: the service's answers in elegantdevelopment/aws-cdk-dynamodb-seeder issue 3 and dtan4/valec pull request 46.
fn check_lengths(constraints: &mut Constraints, tables: &[(String, Vec<WriteRequest>)]) {
    let fits = |writes: &[WriteRequest]| (1..=WRITES_MAX).contains(&writes.len());
    if tables.iter().all(|(_, writes)| fits(writes)) {
        return;
    }
    let shown = tables.iter().map(|(name, writes)| {
        let list = if writes.is_empty() { "[]" } else { "[...]" };
        format!("{name}={list}")
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let rule = format!(
        "Map value must satisfy constraint: [Member must have length less than or equal to {WRITES_MAX}, Member must have \
         length greater than or equal to 1]"
    );
    constraints.violated("requestItems", format_args!("{{{shown}}}"), &rule);
}

fn check(request: WriteRequest) -> Result<Write, ApiError> {
    match (request.put, request.delete) {
        (Some(put), None) => {
            let item = checked(put.item)?;
            check_size(&item)?;
            Ok(Write::Put(item))
        }
        (None, Some(delete)) => Ok(Write::Delete(checked(delete.key)?)),
        (Some(_), Some(_)) | (None, None) => Err(ApiError::validation(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        )),
    }
}

impl Common {
    /// Options of the next write, into a table with this tag. Each has an id of its own, so that a retry of the request finds each by itself.
    fn next(&mut self, tagged: Option<ConsistencyLevel>) -> WriteOptions {
        let place = self.places.next();
        WriteOptions {
            level: consistency::of_write(self.level, tagged, Needs::Nothing),
            invocation: self.invocation.zip(place).map(|(id, place)| id.of_part(place)),
        }
    }
}

fn plan(table: &Table, writes: Vec<Write>, common: &mut Common) -> Result<Vec<Planned>, ApiError> {
    let mut seen = HashSet::new();
    let mut planned = Vec::with_capacity(writes.len());
    for write in writes {
        let key = match &write {
            Write::Put(item) => {
                let key = table.key_of_item(item.as_ref());
                let key = key.map_err(|error| message::item_key(&error))?;
                table.check_index_keys(item.as_ref())?;
                key
            }
            Write::Delete(key) => table
                .key_of_key(key.as_ref())
                .map_err(|error| message::key(&error))?,
        };
        if !seen.insert(key.clone()) {
            return Err(ApiError::validation(message::DUPLICATE_KEYS));
        }
        planned.push(Planned {
            write,
            key,
            options: common.next(table.level()),
        });
    }
    Ok(planned)
}

/// Whether what has failed can be given back as unprocessed: a transaction was about to write it, or it was not available or
/// its table had no throughput left, and something else was done. A client gets what is unprocessed back at once and may send it again at once; an error it meets
/// with a pause.
fn check_results<'a>(results: impl Iterator<Item = &'a Result<Cost, ApiError>>) -> Result<(), ApiError> {
    let (mut done, mut unavailable) = (false, None);
    for result in results {
        match result {
            Ok(_) => done = true,
            Err(ApiError::TransactionConflict) => {}
            Err(error @ (ApiError::Unavailable(_) | ApiError::Throttled(_))) => {
                unavailable = Some(error.clone());
            }
            Err(error) => return Err(error.clone()),
        }
    }
    match unavailable {
        Some(error) if !done => Err(error),
        _ => Ok(()),
    }
}

async fn apply_all(context: &Context, table: &Arc<Table>, writes: &[Planned]) -> Vec<Result<Cost, ApiError>> {
    join_all(writes.iter().map(|planned| apply(context, table, planned))).await
}

async fn apply(context: &Context, table: &Table, planned: &Planned) -> Result<Cost, ApiError> {
    let placeholders = Placeholders::default();
    let guard = Guard {
        condition: None,
        placeholders: &placeholders,
        on_failure: OnFailure::None,
    };
    let command = Replace {
        new: match &planned.write {
            Write::Put(item) => Some(item),
            Write::Delete(_) => None,
        },
        guard,
        returns_old: false,
    };
    let (item, _) = planned.item();
    let permit = context.admit_write(table, Some(item))?;
    let (keyspace, key) = (table.keyspace(), planned.key.as_bytes());
    let written = context.cluster.write(keyspace, key, planned.options, &command);
    let WriteAnswer(answer) = written.await?;
    let cost = Cost::of_write(&answer?);
    context.settle(table, permit, || cost.clone());
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use stator_cluster::InvocationId;

    use super::*;

    #[test]
    fn what_is_not_available_is_given_back_only_beside_what_was_done() {
        let done = || Ok(Cost::from(1.0));
        let unavailable = ApiError::Unavailable("no leader".to_owned());
        let internal = ApiError::Internal("disk".to_owned());
        let check = |results: &[Result<Cost, ApiError>]| check_results(results.iter());
        assert_eq!(check(&[done(), done()]), Ok(()));
        let conflict = || Err(ApiError::TransactionConflict);
        assert_eq!(check(&[conflict()]), Ok(()));
        assert_eq!(
            check(&[conflict(), Err(unavailable.clone())]),
            Err(unavailable.clone())
        );
        assert_eq!(check(&[Err(unavailable.clone()), done()]), Ok(()));
        assert_eq!(
            check(&[Err(unavailable.clone()), Err(unavailable.clone())]),
            Err(unavailable.clone())
        );
        assert_eq!(
            check(&[done(), Err(unavailable), Err(internal.clone())]),
            Err(internal)
        );
    }

    #[test]
    fn a_list_that_is_empty_or_too_long_is_told_of_the_map_that_it_is_in() {
        let refusal = |counts: &[usize]| {
            let writes = |count: usize| {
                std::iter::repeat_with(WriteRequest::default)
                    .take(count)
                    .collect()
            };
            let tables = ["one", "two"].into_iter().zip(counts);
            let tables = tables.map(|(name, count)| (name.to_owned(), writes(*count)));
            let request = BatchWriteItem {
                tables: Some(tables.collect()),
                ..BatchWriteItem::default()
            };
            request.constraints().err()
        };
        let told = |shown: &str| {
            Some(ApiError::Validation(format!(
                "1 validation error detected: Value '{shown}' at 'requestItems' failed to satisfy constraint: Map value \
                 must satisfy constraint: [Member must have length less than or equal to 25, Member must have length \
                 greater than or equal to 1]"
            )))
        };
        assert_eq!(refusal(&[1, 24]), None);
        assert_eq!(refusal(&[0]), told("{one=[]}"));
        assert_eq!(refusal(&[26]), told("{one=[...]}"));
        assert_eq!(refusal(&[2, 0]), told("{one=[...], two=[]}"));
    }

    #[test]
    fn each_write_of_a_request_has_an_id_of_its_own_and_keeps_it() {
        let call = Invocation::first(InvocationId::hashed(b"call"));
        let ids = |invocation| {
            let mut common = Common {
                level: None,
                invocation,
                places: 0..,
            };
            std::iter::repeat_with(|| common.next(None).invocation)
                .take(WRITES_MAX)
                .collect::<Vec<_>>()
        };
        let first = ids(Some(call));
        assert_eq!(first, ids(Some(call)), "a retry finds each write");
        let distinct: HashSet<_> = first.iter().flatten().chain([&call]).collect();
        assert_eq!(distinct.len(), WRITES_MAX + 1);
        assert_eq!(ids(None), vec![None; WRITES_MAX]);
    }
}
