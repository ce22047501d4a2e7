//! TransactWriteItems: up to 100 writes and checks of items of any tables, all or none.
//!
//! Everything is validated before anything is decided. Invariant: an action is the command that PutItem, UpdateItem or
//! DeleteItem would make of it; what makes them one transaction is the cluster's.
//!
//! Limits: API reference of `TransactWriteItems`.

mod action;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{
    Answer as _, ConsistencyLevel, Invocation, InvocationId, Token, TransactionAction, TransactionOutcome,
};
use stator_model::key::KeyBytes;

use self::action::{Action, Misfit};
use super::cancellation;
use super::capacity::{CapacityDetail, ConsumedCapacity, Cost, TransactionCost, UnitKind, read_units};
use super::item_collection::{CollectionMetrics, ItemCollection};
use super::{Context, Operation};
use crate::arn;
use crate::catalog::Table;
use crate::command::{Done, WriteAnswer};
use crate::consistency::{self, NamedLevels};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

pub(crate) use self::action::{ActionInput, ActionKind, TransactWriteItem};

/// Most actions in one request.
pub(super) const ACTIONS_MAX: usize = 100;
/// Largest sum of what actions carry.
pub(super) const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest `ClientRequestToken`.
const TOKEN_LENGTH_MAX: usize = 36;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct TransactWriteItems {
    pub(crate) items: Option<Vec<TransactWriteItem>>,
    /// `ClientRequestToken`
    pub(crate) token: Option<String>,
    pub(crate) consumed_capacity: Option<String>,
    pub(crate) collection_metrics: Option<String>,
    pub(crate) levels: NamedLevels,
    /// Which call the request is a try of.
    pub(crate) invocation: Option<Invocation>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct TransactWriteItemsOutput {
    pub(crate) consumed_capacity: Option<Vec<ConsumedCapacity>>,
    /// The collections that were written, by table, when they were asked for; empty when no table has any.
    pub(crate) collections: Vec<(String, Vec<ItemCollection>)>,
}

/// An action with its place.
pub(super) struct Planned {
    pub(super) table: Arc<Table>,
    /// The table, as the request names it.
    pub(super) named: String,
    pub(super) key: KeyBytes,
    pub(super) command: Bytes,
}

impl Operation for TransactWriteItems {
    type Output = TransactWriteItemsOutput;

    async fn run(self, context: &Context) -> Result<TransactWriteItemsOutput, ApiError> {
        let (capacity, metrics, named) = self.constraints()?;
        let mut inputs = Vec::new();
        for item in self.items.unwrap_or_default() {
            inputs.push(item.only()?);
        }
        let actions: Vec<Action> = inputs.into_iter().map(Action::check).collect::<Result<_, _>>()?;
        let bytes = actions.iter().map(|action| action.bytes).sum::<usize>();
        if bytes > TRANSACTION_BYTES_MAX {
            return Err(message::transaction_too_large(bytes));
        }
        consistency::of_transaction(named, [])?;

        let planned = plan(context, &actions).await?;
        let ids = (self.token.as_deref(), self.invocation);
        let consumed_capacity = carry_out(context, &planned, named, ids, capacity).await?;
        let collections = match metrics {
            CollectionMetrics::Size => {
                let levels = planned.iter().map(|planned| planned.table.level());
                collections(
                    context,
                    &actions,
                    &planned,
                    consistency::of_transaction(named, levels)?,
                )
                .await?
            }
            CollectionMetrics::None => Vec::new(),
        };
        Ok(TransactWriteItemsOutput {
            consumed_capacity,
            collections,
        })
    }
}

/// Carries out what is planned, all or none, and reports the capacity. `ids` are the client's token and the id of the call.
///
/// # Errors
/// TransactionCanceledException, IdempotentParameterMismatchException, TransactionInProgressException, what a retry is
/// throttled with, and failures of the cluster.
pub(super) async fn carry_out(
    context: &Context,
    planned: &[Planned],
    named: Option<ConsistencyLevel>,
    (client, invocation): (Option<&str>, Option<Invocation>),
    capacity: CapacityDetail,
) -> Result<Option<Vec<ConsumedCapacity>>, ApiError> {
    let level = consistency::of_transaction(named, planned.iter().map(|planned| planned.table.level()))?;
    let token = token(client, invocation, planned);
    let commands: Vec<_> = planned.iter().map(Planned::action).collect();
    let is_retry = invocation.is_some_and(|invocation| invocation.is_repeated);
    let permits = cancellation::admit(planned, is_retry, |planned| {
        context.admit_write(&planned.table, None)
    })?;
    let outcome = context.cluster.transact(&commands, token, level).await?;
    let (answers, is_repeated) = answers(outcome)?;
    for ((planned, permit), done) in planned.iter().zip(permits).zip(&answers) {
        // What had been done before has been paid for.
        context.settle(&planned.table, permit, || {
            if is_repeated {
                Cost::default()
            } else {
                Cost::of_write(done).twice()
            }
        });
    }
    Ok(cost(planned, &answers, is_repeated, capacity))
}

/// The constraints of `ClientRequestToken`.
pub(super) fn check_token(constraints: &mut Constraints, token: Option<&str>) {
    if let Some(token) = token {
        let length = token.chars().count();
        constraints.length("clientRequestToken", token, length, 1, TOKEN_LENGTH_MAX);
    }
}

impl TransactWriteItems {
    fn constraints(&self) -> Result<(CapacityDetail, CollectionMetrics, Option<ConsistencyLevel>), ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("transactItems", self.items.as_ref());
        if let Some(items) = &self.items {
            constraints.length("transactItems", "[...]", items.len(), 1, ACTIONS_MAX);
            for (place, item) in (1..).zip(items) {
                item.check(&mut constraints, place);
            }
        }
        let capacity = constraints.one_of("returnConsumedCapacity", self.consumed_capacity.as_deref());
        let metrics = constraints.one_of("returnItemCollectionMetrics", self.collection_metrics.as_deref());
        check_token(&mut constraints, self.token.as_deref());
        let level = self.levels.check(&mut constraints);
        constraints.finish()?;
        Ok((capacity.unwrap_or_default(), metrics.unwrap_or_default(), level))
    }
}

impl Planned {
    fn action(&self) -> TransactionAction {
        TransactionAction {
            keyspace: self.table.keyspace(),
            key: Bytes::copy_from_slice(self.key.as_bytes()),
            command: self.command.clone(),
        }
    }
}

/// Finds the table and the key of every action.
///
/// # Errors
/// ResourceNotFoundException, ValidationException, and TransactionCanceledException with all actions that do not fit their
/// tables.
async fn plan(context: &Context, actions: &[Action]) -> Result<Vec<Planned>, ApiError> {
    let mut tables = BTreeMap::<&str, Arc<Table>>::new();
    for action in actions {
        if !tables.contains_key(&*action.table) {
            tables.insert(&action.table, context.table(&action.table).await?);
        }
    }
    let (mut planned, mut reasons) = (
        Vec::with_capacity(actions.len()),
        Vec::with_capacity(actions.len()),
    );
    let mut seen = HashSet::new();
    for action in actions {
        let Some(table) = tables.get(&*action.table) else {
            return Err(message::no_table());
        };
        match action.key(table) {
            Ok(key) => {
                if !seen.insert((table.name(), key.clone())) {
                    return Err(ApiError::validation(message::TRANSACTION_SAME_ITEM));
                }
                reasons.push(None);
                planned.push(Planned {
                    table: Arc::clone(table),
                    named: action.named.clone(),
                    key,
                    command: action.command(),
                });
            }
            Err(Misfit::Request(refusal)) => return Err(refusal),
            Err(Misfit::Action(reason)) => reasons.push(Some(reason)),
        }
    }
    cancellation::check(reasons)?;
    Ok(planned)
}

/// The item collections that actions have written, by table.
async fn collections(
    context: &Context,
    actions: &[Action],
    planned: &[Planned],
    level: ConsistencyLevel,
) -> Result<Vec<(String, Vec<ItemCollection>)>, ApiError> {
    let mut by_table = BTreeMap::<&str, (&Table, Vec<_>)>::new();
    for (action, planned) in actions.iter().zip(planned) {
        let table: &Table = &planned.table;
        if let Some(item) = action.written()
            && table.definition().collections().is_some()
        {
            let (_, items) = by_table.entry(table.name()).or_insert((table, Vec::new()));
            items.push((item, &planned.key));
        }
    }
    let mut collections = Vec::with_capacity(by_table.len());
    for (name, (table, items)) in by_table {
        let items = items.into_iter();
        let read = ItemCollection::read_all(context, table, items, level).await?;
        collections.push((name.to_owned(), read));
    }
    Ok(collections)
}

/// The id under which the transaction takes place once: the client's, or else that of the call which the request is a try
/// of. Requests are equal if their actions are.
fn token(client: Option<&str>, invocation: Option<Invocation>, planned: &[Planned]) -> Option<Token> {
    let id = match client {
        Some(token) => InvocationId::hashed(format!("{}/{token}", arn::ACCOUNT).as_bytes()),
        None => invocation?.id,
    };
    let mut content = Vec::new();
    for Planned {
        table, key, command, ..
    } in planned
    {
        for part in [table.name().as_bytes(), key.as_bytes(), command] {
            content.extend_from_slice(&part.len().to_le_bytes());
            content.extend_from_slice(part);
        }
    }
    let payload = *InvocationId::hashed(&content).as_bytes();
    Some(Token {
        id,
        payload,
        call: invocation,
    })
}

/// What the actions of a transaction that stands have done, and whether that was before this request.
///
/// # Errors
/// TransactionCanceledException, IdempotentParameterMismatchException, TransactionInProgressException, and an internal
/// error for answers that cannot be read.
fn answers(outcome: TransactionOutcome) -> Result<(Vec<Done>, bool), ApiError> {
    match outcome {
        TransactionOutcome::Done { answers, is_repeated } => {
            let mut done = Vec::with_capacity(answers.len());
            for answer in &answers {
                let WriteAnswer(answer) = WriteAnswer::decode(answer).map_err(stator_cluster::Error::from)?;
                done.push(answer?);
            }
            Ok((done, is_repeated))
        }
        TransactionOutcome::Cancelled { reasons } => {
            let reasons = cancellation::of_writes(reasons)?;
            Err(ApiError::TransactionCanceled(reasons))
        }
        TransactionOutcome::OtherPayload => Err(ApiError::IdempotentParameterMismatch),
        TransactionOutcome::InProgress => Err(ApiError::TransactionInProgress),
    }
}

/// Write units of what was done; of what had been done before, read units for looking at the items.
///
/// Source: API reference of `TransactWriteItems`, `ClientRequestToken`.
fn cost(
    planned: &[Planned],
    done: &[Done],
    is_repeated: bool,
    detail: CapacityDetail,
) -> Option<Vec<ConsumedCapacity>> {
    let mut cost = TransactionCost::default();
    for (planned, done) in planned.iter().zip(done) {
        let table = (planned.table.name(), &*planned.named);
        if is_repeated {
            let bytes = done.sizes.after.unwrap_or(0);
            cost.add(table, read_units(bytes, ConsistencyLevel::Quorum));
        } else {
            cost.add(table, Cost::of_write(done));
        }
    }
    let kind = if is_repeated {
        UnitKind::Read
    } else {
        UnitKind::Write
    };
    cost.report(detail, kind)
}
