//! TransactGetItems: reads up to 100 items of any tables as they were at one moment.
//!
//! Limits: API reference of `TransactGetItems`.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{Cell, ConsistencyLevel, Together};
use stator_model::expression::Projection;
use stator_model::item::Item;
use stator_model::key::{KeyBytes, KeyError};

use super::cancellation::{self, CancellationReason};
use super::capacity::{CapacityDetail, ConsumedCapacity, Cost, TransactionCost, UnitKind, read_units};
use super::expressions::{ExpressionInputs, check_all_used, parse};
use super::item_command::open;
use super::replacement::checked;
use super::transact_write_items::{ACTIONS_MAX, TRANSACTION_BYTES_MAX};
use super::{Context, Operation, table_name};
use crate::catalog::Table;
use crate::consistency::{self, NamedLevels};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::decode::attribute::Attributes;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct TransactGetItems {
    pub(crate) items: Option<Vec<TransactGetItem>>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) levels: NamedLevels,
}

/// An element of `TransactItems`.
#[derive(Debug, Default)]
pub(crate) struct TransactGetItem {
    pub(crate) get: Option<Get>,
}

/// Which item is wanted, and what of it.
#[derive(Debug, Default)]
pub(crate) struct Get {
    pub(crate) table_name: Option<String>,
    pub(crate) key: Option<Attributes>,
    pub(crate) projection: Option<String>,
    pub(crate) expressions: ExpressionInputs,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct TransactGetItemsOutput {
    /// In the order of the request; `None` where there is nothing to show.
    pub(crate) responses: Vec<Option<Item>>,
    pub(crate) consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// One read, validated as far as it can be without its table.
struct Read {
    /// The table's name, whichever way the request has it.
    table: String,
    /// The table, as the request names it.
    named: String,
    key: Item,
    projection: Option<Projection>,
}

/// The same with its place.
pub(super) struct Planned {
    pub(super) table: Arc<Table>,
    /// The table, as the request names it.
    pub(super) named: String,
    pub(super) key: KeyBytes,
    pub(super) projection: Option<Projection>,
}

impl Operation for TransactGetItems {
    type Output = TransactGetItemsOutput;

    async fn run(self, context: &Context) -> Result<TransactGetItemsOutput, ApiError> {
        let (capacity, named) = self.constraints()?;
        let gets = self.items.into_iter().flatten().filter_map(|item| item.get);
        let reads: Vec<Read> = gets.map(check).collect::<Result<_, _>>()?;
        // Items are read where they are led, which is all that a transaction can ask for.
        consistency::of_transaction(named, [])?;

        let planned = plan(context, reads).await?;
        carry_out(context, &planned, capacity).await
    }
}

/// Reads what is planned as it was at one moment.
///
/// # Errors
/// TransactionCanceledException, and failures of the cluster.
pub(super) async fn carry_out(
    context: &Context,
    planned: &[Planned],
    capacity: CapacityDetail,
) -> Result<TransactGetItemsOutput, ApiError> {
    let key = |planned: &Planned| {
        let key = Bytes::copy_from_slice(planned.key.as_bytes());
        (planned.table.keyspace(), key)
    };
    let keys: Vec<_> = planned.iter().map(key).collect();
    let least = read_units(0, ConsistencyLevel::Quorum);
    // What reads were refused leaves nothing behind.
    let permits = cancellation::admit(planned, false, |planned| {
        context.admit_read(&planned.table, None, least)
    })?;
    match context.cluster.read_together(&keys).await? {
        Together::Cells(cells) => {
            for ((planned, permit), cell) in planned.iter().zip(permits).zip(&cells) {
                let item = cell.as_ref().map(open).transpose()?;
                let size = item.map_or(0, |item| item.as_ref().size());
                let units = read_units(size, ConsistencyLevel::Quorum);
                context.settle(&planned.table, permit, || Cost::from(units).twice());
            }
            output(planned, &cells, capacity)
        }
        Together::Conflict(is_busy) => {
            let reason = |is_busy: bool| is_busy.then(CancellationReason::conflict);
            let reasons = is_busy.into_iter().map(reason).collect();
            Err(ApiError::TransactionCanceled(reasons))
        }
    }
}

impl TransactGetItems {
    fn constraints(&self) -> Result<(CapacityDetail, Option<ConsistencyLevel>), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("transactItems", self.items.as_ref());
        if let Some(items) = &self.items {
            constraints.length("transactItems", "[...]", items.len(), 1, ACTIONS_MAX);
            for (place, item) in (1..).zip(items) {
                let path = format!("transactItems.{place}.member.get");
                constraints.required(&path, item.get.as_ref());
                if let Some(get) = &item.get {
                    let name = get.table_name.as_ref();
                    table_name::check_at(&mut constraints, &format!("{path}.tableName"), name);
                    constraints.required(&format!("{path}.key"), get.key.as_ref());
                }
            }
        }
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        Ok((capacity.unwrap_or_default(), level))
    }
}

fn check(get: Get) -> Result<Read, ApiError> {
    let named = get.table_name.unwrap_or_default();
    let table = table_name::resolve(&named)?.to_owned();
    let parameter = ("ProjectionExpression", get.projection.as_deref());
    let mut placeholders = get.expressions.check(&[parameter])?;
    let key = checked(get.key)?;
    let projection = parse(parameter, &mut placeholders, Projection::parse)?;
    check_all_used(&placeholders)?;
    Ok(Read {
        table,
        named,
        key,
        projection,
    })
}

/// Finds the table and the key of every read.
///
/// # Errors
/// As for TransactWriteItems.
async fn plan(context: &Context, reads: Vec<Read>) -> Result<Vec<Planned>, ApiError> {
    let (mut planned, mut reasons) = (Vec::with_capacity(reads.len()), Vec::with_capacity(reads.len()));
    let mut seen = HashSet::new();
    for read in reads {
        let table = context.table(&read.table).await?;
        let reason = match table.key_of_key(read.key.as_ref()) {
            Ok(key) => {
                if !seen.insert((read.table, key.clone())) {
                    return Err(ApiError::validation(message::TRANSACTION_SAME_ITEM));
                }
                planned.push(Planned {
                    table,
                    named: read.named,
                    key,
                    projection: read.projection,
                });
                None
            }
            Err(error) => match (&error, message::key(&error)) {
                (KeyError::Empty { .. }, refusal) => return Err(refusal),
                (_, ApiError::Validation(sentence)) => Some(CancellationReason::validation(sentence)),
                (_, refusal) => return Err(refusal),
            },
        };
        reasons.push(reason);
    }
    cancellation::check(reasons)?;
    Ok(planned)
}

fn output(
    planned: &[Planned],
    cells: &[Option<Cell>],
    capacity: CapacityDetail,
) -> Result<TransactGetItemsOutput, ApiError> {
    let (mut cost, mut bytes) = (TransactionCost::default(), 0);
    let mut responses = Vec::with_capacity(planned.len());
    for (planned, cell) in planned.iter().zip(cells) {
        let item = cell.as_ref().map(open).transpose()?;
        let size = item.as_ref().map_or(0, |item| item.as_ref().size());
        let table = (planned.table.name(), &*planned.named);
        cost.add(table, read_units(size, ConsistencyLevel::Quorum));
        let shown = item.map(|item| match &planned.projection {
            Some(projection) => projection.apply(item.as_ref()),
            None => item,
        });
        let shown = shown.filter(|item| !item.as_ref().attributes().is_empty());
        bytes += shown.as_ref().map_or(0, |item| item.as_ref().size());
        responses.push(shown);
    }
    if bytes > TRANSACTION_BYTES_MAX {
        return Err(message::transaction_too_large(bytes));
    }
    Ok(TransactGetItemsOutput {
        responses,
        consumed_capacity: cost.report(capacity, UnitKind::Read),
    })
}
