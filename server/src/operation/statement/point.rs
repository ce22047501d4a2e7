//! A `SELECT` as the read of one item by its key, which batches and transactions are made of.

use std::sync::Arc;

use stator_cluster::ConsistencyLevel;
use stator_model::expression::Projection;
use stator_model::item::Item;
use stator_model::key::KeyBytes;
use stator_model::partiql::{Speller, Statement};

use super::PreparedStatement;
use super::write::key_and_rest;
use crate::catalog::Table;
use crate::message;
use crate::operation::capacity::read_units;
use crate::operation::item_command::open;
use crate::operation::{Context, table_name};
use crate::wire::error::ApiError;

/// What such a `SELECT` reads.
#[derive(Debug)]
pub(crate) struct PointRead {
    pub(crate) table: Arc<Table>,
    pub(crate) key_bytes: KeyBytes,
    pub(crate) projection: Option<Projection>,
    /// `ConsistentRead`
    pub(crate) consistent: bool,
}

impl PointRead {
    /// What a prepared `SELECT` of an operation reads.
    ///
    /// # Errors
    /// ValidationException for a statement that does not name one item by its key and nothing else,
    /// ResourceNotFoundException, and ServiceUnavailable when the table is not known here and other nodes cannot be asked.
    pub(crate) async fn plan(
        context: &Context,
        operation: &str,
        mut prepared: PreparedStatement,
    ) -> Result<Self, ApiError> {
        let Statement::Select(select) = prepared.statement else {
            return Err(ApiError::Internal("only a SELECT is a read".to_owned()));
        };
        let table = context.table(table_name::resolve(&select.source.table)?).await?;
        let not_by_key = || ApiError::Validation(message::statement::not_by_key(operation));
        if select.source.index.is_some() {
            return Err(not_by_key());
        }
        let projection = select.projection()?;
        let speller = Speller::new(&mut prepared.placeholders, &prepared.parameters);
        let (key, rest) = key_and_rest(&table, &speller, select.condition).map_err(|error| match error {
            ApiError::Validation(text) if text == message::statement::KEY_NOT_GIVEN => not_by_key(),
            error => error,
        })?;
        if !rest.is_empty() {
            return Err(not_by_key());
        }
        let key_bytes = table.key_of_key(key.as_ref());
        Ok(Self {
            key_bytes: key_bytes.map_err(|error| message::statement::key(&error))?,
            table,
            projection,
            consistent: prepared.consistent,
        })
    }

    /// Reads what is asked for of the item, if there is one, and says how many units that took.
    ///
    /// # Errors
    /// Failures of the cluster.
    pub(crate) async fn read(
        &self,
        context: &Context,
        level: ConsistencyLevel,
    ) -> Result<(Option<Item>, f64), ApiError> {
        let key = self.key_bytes.as_bytes();
        let permit = context.admit_read(&self.table, None, read_units(0, level))?;
        let cell = context.cluster.read(self.table.keyspace(), key, level).await?;
        let item = cell.as_ref().map(open).transpose()?;
        let units = read_units(item.as_ref().map_or(0, |item| item.as_ref().size()), level);
        context.settle(&self.table, permit, || units.into());
        Ok((item.map(|item| self.shown(item)), units))
    }

    /// What the statement shows of the item.
    pub(crate) fn shown(&self, item: Item) -> Item {
        match &self.projection {
            Some(projection) => projection.apply(item.as_ref()),
            None => item,
        }
    }
}
