//! A statement as one command on one item: `INSERT`, `UPDATE`, `DELETE`, and the `EXISTS` of transactions.
//!
//! `WHERE` names the item with an equality of every key attribute; what else it says is the condition of the command.
//! An item that is not there is no error of a `DELETE`, whatever the condition; an `UPDATE` needs it.

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::Applier as _;
use stator_model::attribute::RawValue;
use stator_model::expression::{self, Placeholders, Update};
use stator_model::item::{Item, ItemWriter};
use stator_model::key::KeyBytes;
use stator_model::partiql::{
    Change as ChangeOfPlace, Condition, Delete, Insert, Returning, Select, Speller, Statement, Value,
};

use super::{PreparedStatement, meaning};
use crate::catalog::Table;
use crate::command::{Change, Check, Guard, OnFailure, Replace, ReturnValues};
use crate::consistency::Needs;
use crate::message;
use crate::operation::item_command::{WriteChoices, WriteOutput};
use crate::operation::modification::check_key_stays;
use crate::operation::replacement::check_size;
use crate::operation::{Context, legacy, table_name};
use crate::wire::error::ApiError;

/// What a statement writes.
#[derive(Debug)]
pub(crate) struct TableWrite {
    pub(crate) table: Arc<Table>,
    /// The key attributes of the item.
    pub(crate) key: Item,
    pub(crate) key_bytes: KeyBytes,
    pub(crate) action: WriteAction,
    condition: Option<(String, expression::Condition)>,
    placeholders: Placeholders,
    on_failure: OnFailure,
}

/// What is done with the item.
#[derive(Debug)]
pub(crate) enum WriteAction {
    /// It is stored, and nothing may be there.
    Insert(Item),
    /// It is changed.
    Update {
        update: (String, Update),
        return_values: ReturnValues,
    },
    /// It is removed.
    Delete { returns_old: bool },
    /// It is looked at. Of transactions only.
    Check,
}

impl TableWrite {
    /// What a prepared statement writes.
    ///
    /// # Errors
    /// ValidationException, ResourceNotFoundException, and ServiceUnavailable when the table is not known here and other
    /// nodes cannot be asked. A `SELECT` writes nothing, and is a fault of the caller.
    pub(crate) async fn plan(context: &Context, prepared: PreparedStatement) -> Result<Self, ApiError> {
        let name = table_name::resolve(prepared.statement.table())?;
        let table = context.table(name).await?;
        Self::of(table, prepared)
    }

    /// What a prepared statement writes into its table.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn of(table: Arc<Table>, prepared: PreparedStatement) -> Result<Self, ApiError> {
        let planner = Planner {
            table,
            placeholders: prepared.placeholders,
            parameters: prepared.parameters,
            on_failure: prepared.on_failure,
        };
        match prepared.statement {
            Statement::Insert(insert) => planner.insert(&insert),
            Statement::Update(update) => planner.update(&update.changes, update.condition, update.returning),
            Statement::Delete(delete) => planner.delete(delete),
            Statement::Exists(select) => planner.check(select),
            Statement::Select(_) => Err(ApiError::Internal("a SELECT is no write".to_owned())),
        }
    }

    /// The condition of the command.
    pub(crate) fn guard(&self) -> Guard<'_> {
        Guard {
            condition: legacy::spelled(self.condition.as_ref()),
            placeholders: &self.placeholders,
            on_failure: self.on_failure,
        }
    }

    /// What it counts with in the size of a transaction, as an action of TransactWriteItems does: item or key, values, and texts.
    pub(crate) fn bytes(&self) -> usize {
        let subject = self.stored().unwrap_or(&self.key);
        let values = self.placeholders.values().map(|(_, value)| value.size());
        let condition = self.condition.as_ref().map_or(0, |(text, _)| text.len());
        let update = match &self.action {
            WriteAction::Update {
                update: (text, _), ..
            } => text.len(),
            WriteAction::Insert(_) | WriteAction::Delete { .. } | WriteAction::Check => 0,
        };
        subject.as_ref().size() + values.sum::<usize>() + condition + update
    }

    /// What the command needs to know of the item.
    pub(crate) fn needs(&self) -> Needs {
        match self.action {
            WriteAction::Update { .. } => Needs::ReadModifyWrite,
            _ if self.condition.is_some() => Needs::Condition,
            _ => Needs::Nothing,
        }
    }

    /// The item that is stored, if one is.
    pub(super) fn stored(&self) -> Option<&Item> {
        match &self.action {
            WriteAction::Insert(item) => Some(item),
            WriteAction::Update { .. } | WriteAction::Delete { .. } | WriteAction::Check => None,
        }
    }

    /// The names of the attributes that the statement names beside those of an item that it stores.
    pub(super) fn for_each_name<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        let mut of_path = |path: &'a expression::Path| visit(path.top_level());
        if let Some((_, condition)) = &self.condition {
            condition.for_each_path(&mut of_path);
        }
        if let WriteAction::Update {
            update: (_, update), ..
        } = &self.action
        {
            update.for_each_path(&mut of_path);
        }
    }

    /// The command in bytes, for a transaction.
    pub(crate) fn command(&self) -> Bytes {
        let mut bytes = Vec::new();
        let guard = self.guard();
        match &self.action {
            WriteAction::Insert(_) | WriteAction::Delete { .. } => {
                let new = match &self.action {
                    WriteAction::Insert(item) => Some(item),
                    _ => None,
                };
                let command = Replace {
                    new,
                    guard,
                    returns_old: false,
                };
                command.encode(&mut bytes);
            }
            WriteAction::Update { update, .. } => {
                let command = Change {
                    key: &self.key,
                    update: legacy::spelled(Some(update)),
                    guard,
                    return_values: ReturnValues::None,
                };
                command.encode(&mut bytes);
            }
            WriteAction::Check => Check { guard }.encode(&mut bytes),
        }
        bytes.into()
    }

    /// Carries the command out. `choices` says with which level and as which call; the rest is the statement's.
    ///
    /// # Errors
    /// What the command refuses with, and failures of the cluster.
    pub(crate) async fn carry_out(
        &self,
        context: &Context,
        choices: WriteChoices,
    ) -> Result<WriteOutput, ApiError> {
        let choices = WriteChoices {
            on_failure: self.on_failure,
            ..choices
        };
        let guard = Guard {
            on_failure: choices.on_failure(context),
            ..self.guard()
        };
        let (table, needs) = (&self.table, self.needs());
        let of = (self.key.as_ref(), &self.key_bytes);
        match &self.action {
            WriteAction::Insert(item) => {
                let command = Replace {
                    new: Some(item),
                    guard,
                    returns_old: false,
                };
                let inserted = choices.carry_out(context, table, of, needs, &command).await;
                inserted.map_err(|error| match error {
                    ApiError::ConditionalCheckFailed(_) => ApiError::DuplicateItem,
                    error => error,
                })
            }
            WriteAction::Update {
                update,
                return_values,
            } => {
                let command = Change {
                    key: &self.key,
                    update: legacy::spelled(Some(update)),
                    guard,
                    return_values: *return_values,
                };
                choices.carry_out(context, table, of, needs, &command).await
            }
            WriteAction::Delete { returns_old } => {
                let command = Replace {
                    new: None,
                    guard,
                    returns_old: *returns_old,
                };
                choices.carry_out(context, table, of, needs, &command).await
            }
            WriteAction::Check => Err(ApiError::validation(
                message::statement::EXISTS_OUTSIDE_TRANSACTION,
            )),
        }
    }
}

/// Makes a [`TableWrite`] for a table.
struct Planner {
    table: Arc<Table>,
    placeholders: Placeholders,
    parameters: Vec<usize>,
    on_failure: OnFailure,
}

impl Planner {
    fn speller(&mut self) -> Speller<'_> {
        Speller::new(&mut self.placeholders, &self.parameters)
    }

    fn insert(mut self, insert: &Insert) -> Result<TableWrite, ApiError> {
        let mut item = ItemWriter::with_capacity(1024);
        let speller = self.speller();
        for (name, value) in &insert.attributes {
            item.writer().name(name.as_bytes());
            item.writer().raw(speller.value(value)?);
        }
        let item = item.finish();
        let key_bytes = self.table.key_of_item(item.as_ref());
        let key_bytes = key_bytes.map_err(|error| message::statement::key(&error))?;
        check_size(&item)?;
        self.table.check_index_keys(item.as_ref())?;
        let absent = Condition::presence(&self.table.schema().partition.name, false);
        let condition = Some(self.spelled(&absent)?);
        let key = self.table.schema().project(item.as_ref());
        Ok(self.write(key, key_bytes, WriteAction::Insert(item), condition))
    }

    fn update(
        mut self,
        changes: &[ChangeOfPlace],
        condition: Option<Condition>,
        returning: Option<Returning>,
    ) -> Result<TableWrite, ApiError> {
        let text = self.speller().update(changes)?;
        let update =
            Update::parse_unbounded(&text, &mut self.placeholders).map_err(|error| meaning(&error))?;
        let (key, key_bytes, rest) = self.key(condition)?;
        check_key_stays(&self.table, Some(&update))?;
        let mut all = vec![Condition::presence(&self.table.schema().partition.name, true)];
        all.extend(rest);
        let condition = Some(self.spelled(&Condition::All(all))?);
        let action = WriteAction::Update {
            update: (text, update),
            return_values: match returning {
                None => ReturnValues::None,
                Some(Returning::AllOld) => ReturnValues::AllOld,
                Some(Returning::AllNew) => ReturnValues::AllNew,
                Some(Returning::ModifiedOld) => ReturnValues::UpdatedOld,
                Some(Returning::ModifiedNew) => ReturnValues::UpdatedNew,
            },
        };
        Ok(self.write(key, key_bytes, action, condition))
    }

    fn delete(mut self, delete: Delete) -> Result<TableWrite, ApiError> {
        let (key, key_bytes, rest) = self.key(delete.condition)?;
        let condition = if rest.is_empty() {
            None
        } else {
            let absent = Condition::presence(&self.table.schema().partition.name, false);
            Some(self.spelled(&Condition::Any(vec![absent, Condition::All(rest)]))?)
        };
        let action = WriteAction::Delete {
            returns_old: delete.returns_old,
        };
        Ok(self.write(key, key_bytes, action, condition))
    }

    fn check(mut self, select: Select) -> Result<TableWrite, ApiError> {
        if select.source.index.is_some() {
            return Err(ApiError::Validation(
                stator_model::partiql::Problem::OnIndex.to_string(),
            ));
        }
        let refusal = || ApiError::validation(message::statement::EXISTS_OF_MORE);
        let key_not_given = ApiError::validation(message::statement::KEY_NOT_GIVEN);
        let of_key = self
            .key(select.condition)
            .map_err(|error| if error == key_not_given { refusal() } else { error });
        let (key, key_bytes, rest) = of_key?;
        if rest.is_empty() {
            return Err(refusal());
        }
        let mut all = vec![Condition::presence(&self.table.schema().partition.name, true)];
        all.extend(rest);
        let condition = Some(self.spelled(&Condition::All(all))?);
        Ok(self.write(key, key_bytes, WriteAction::Check, condition))
    }

    /// The key that a condition names, and what else it asks for.
    fn key(&mut self, condition: Option<Condition>) -> Result<(Item, KeyBytes, Vec<Condition>), ApiError> {
        let table = Arc::clone(&self.table);
        let (key, rest) = key_and_rest(&table, &self.speller(), condition)?;
        let key_bytes = table.key_of_key(key.as_ref());
        let key_bytes = key_bytes.map_err(|error| message::statement::key(&error))?;
        Ok((key, key_bytes, rest))
    }

    fn spelled(&mut self, condition: &Condition) -> Result<(String, expression::Condition), ApiError> {
        let text = self.speller().condition(condition)?;
        let parsed = expression::Condition::parse_unbounded(&text, &mut self.placeholders)
            .map_err(|error| meaning(&error))?;
        Ok((text, parsed))
    }

    fn write(
        self,
        key: Item,
        key_bytes: KeyBytes,
        action: WriteAction,
        condition: Option<(String, expression::Condition)>,
    ) -> TableWrite {
        TableWrite {
            table: self.table,
            key,
            key_bytes,
            action,
            condition,
            placeholders: self.placeholders,
            on_failure: self.on_failure,
        }
    }
}

/// The key attributes that a condition requires to be equal to values, and the conditions beside those.
///
/// # Errors
/// ValidationException when a key attribute has no such value, or two of them.
pub(super) fn key_and_rest(
    table: &Table,
    speller: &Speller<'_>,
    condition: Option<Condition>,
) -> Result<(Item, Vec<Condition>), ApiError> {
    let (mut found, mut rest) = (Vec::<(String, Value)>::new(), Vec::new());
    for conjunct in condition.map(Condition::into_conjuncts).into_iter().flatten() {
        let equality = conjunct.equality();
        let of_key = equality.filter(|(name, _)| table.schema().contains(name.as_bytes()));
        let Some((name, given)) = of_key.map(|(name, given)| (name.to_owned(), given.clone())) else {
            rest.push(conjunct);
            continue;
        };
        let Some((_, other)) = found.iter().find(|(other, _)| *other == name) else {
            found.push((name, given));
            continue;
        };
        let other = speller.value(other)?.as_bytes();
        if other != speller.value(&given)?.as_bytes() {
            return Err(message::statement::key_twice(&name));
        }
    }
    if table.schema().attributes().count() != found.len() {
        return Err(ApiError::validation(message::statement::KEY_NOT_GIVEN));
    }
    let mut attributes: Vec<(&[u8], RawValue<'_>)> = Vec::with_capacity(found.len());
    for (name, given) in &found {
        attributes.push((name.as_bytes(), speller.value(given)?));
    }
    Ok((Item::build(attributes), rest))
}
