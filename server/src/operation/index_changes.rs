//! `GlobalSecondaryIndexUpdates` of UpdateTable: one index is made, changed or given up at a time, while writes go on.
//!
//! Invariant: an index that is made or given up here is on its way only; `steward.rs` completes it. Not here: the rest of
//! UpdateTable.

use stator_model::index::IndexKind;
use stator_model::key::KeyAttribute;
use uuid::Uuid;

use super::create_table::AttributeDefinition;
use super::in_use;
use super::index_settings::{IndexRequest, Setting, check_all, check_name};
use super::table_settings::{OnDemandThroughput, ProvisionedThroughput, WarmThroughput};
use crate::catalog::{IndexStatus, TableDefinition, WarmUnits};
use crate::constraint::Constraints;
use crate::message::index;
use crate::wire::error::ApiError;

/// One of `GlobalSecondaryIndexUpdates`.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexUpdate {
    pub(crate) create: Option<IndexRequest>,
    pub(crate) update: Option<IndexThroughput>,
    /// Name of the index to be given up, in a structure of its own.
    pub(crate) delete: Option<IndexName>,
}

/// `Delete`.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexName {
    pub(crate) index_name: Option<String>,
}

/// `Update`.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexThroughput {
    pub(crate) index_name: Option<String>,
    pub(crate) provisioned_throughput: Option<ProvisionedThroughput>,
    pub(crate) on_demand_throughput: Option<OnDemandThroughput>,
    pub(crate) warm_throughput: Option<WarmThroughput>,
}

/// All of them, checked against the service model.
#[derive(Debug, Clone, Default)]
pub(super) struct IndexChanges {
    updates: Vec<IndexUpdate>,
    definitions: Vec<KeyAttribute>,
    /// For an index that is made.
    id: Option<Uuid>,
}

impl IndexChanges {
    /// Checks the constraints of the service model.
    pub(super) fn check(
        constraints: &mut Constraints,
        updates: Option<Vec<IndexUpdate>>,
        definitions: Option<&[AttributeDefinition]>,
    ) -> Self {
        let definitions =
            super::create_table::check_definitions(constraints, definitions.unwrap_or_default());
        let updates = updates.unwrap_or_default();
        for (place, update) in updates.iter().enumerate() {
            let member = format!("globalSecondaryIndexUpdates.{}.member", place + 1);
            if let Some(create) = &update.create {
                create.check(constraints, &format!("{member}.create"));
            }
            if let Some(change) = &update.update {
                let member = format!("{member}.update");
                check_name_at(constraints, &member, change.index_name.as_deref());
                if let Some(throughput) = &change.provisioned_throughput {
                    throughput.check_at(constraints, &format!("{member}.provisionedThroughput"));
                }
            }
            if let Some(delete) = &update.delete {
                check_name_at(
                    constraints,
                    &format!("{member}.delete"),
                    delete.index_name.as_deref(),
                );
            }
        }
        Self {
            updates,
            definitions,
            id: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// The id of the index that is made, if one is.
    pub(super) fn set_id(&mut self, id: Uuid) {
        self.id = Some(id);
    }

    /// Whether an index is made.
    pub(super) fn creates(&self) -> bool {
        self.updates.iter().any(|update| update.create.is_some())
    }

    /// Changes a definition, or refuses to because of what it is now.
    pub(super) fn apply(&self, table: &mut TableDefinition, now_ms: i64) -> Result<(), ApiError> {
        let online = |update: &IndexUpdate| {
            usize::from(update.create.is_some()) + usize::from(update.delete.is_some())
        };
        let online: usize = self.updates.iter().map(online).sum();
        if online > 1 {
            return Err(ApiError::LimitExceeded(index::ONE_AT_A_TIME.to_owned()));
        }
        for update in &self.updates {
            if update.create.is_none() && update.update.is_none() && update.delete.is_none() {
                return Err(ApiError::validation(index::NO_ACTION));
            }
            if let Some(create) = &update.create {
                self.create(table, create)?;
            }
            if let Some(change) = &update.update {
                change.apply(table, now_ms)?;
            }
            if let Some(delete) = &update.delete {
                let name = delete.index_name.as_deref().unwrap_or_default();
                in_use::check_index(table, name, true)?;
                global(table, name)?.status = IndexStatus::Deleting;
            }
        }
        Ok(())
    }

    fn create(&self, table: &mut TableDefinition, request: &IndexRequest) -> Result<(), ApiError> {
        let name = request.index_name.as_deref().unwrap_or_default();
        in_use::check_index(table, name, false)?;
        if table.index(name).is_some() {
            return Err(ApiError::validation(index::EXISTS));
        }
        // What is defined by keys already need not be defined again, and cannot be defined otherwise.
        let mut definitions = self.definitions.clone();
        for known in table.key_attributes() {
            let named = definitions
                .iter()
                .find(|definition| definition.name == known.name);
            if named.is_some_and(|named| named.kind != known.kind) {
                return Err(index::other_type(&known.name));
            }
            definitions.retain(|definition| definition.name != known.name);
            definitions.push(known.clone());
        }
        let setting = Setting {
            table: &table.key_schema,
            billing_mode: table.billing_mode,
            definitions: &definitions,
            named: &self.definitions,
        };
        let id = self.id.unwrap_or_default();
        let made = request.definition(IndexKind::Global, id, IndexStatus::Creating, setting)?;
        table.indexes.push(made);
        check_all(&table.indexes)
    }
}

impl IndexThroughput {
    fn apply(&self, table: &mut TableDefinition, now_ms: i64) -> Result<(), ApiError> {
        let billing_mode = table.billing_mode;
        let table_name = table.name.clone();
        let index = global(table, self.index_name.as_deref().unwrap_or_default())?;
        in_use::check_index_settings(&table_name, index)?;
        if let Some(throughput) = &self.provisioned_throughput {
            if billing_mode == crate::catalog::BillingMode::PayPerRequest {
                return Err(index::surplus_throughput(&index.name));
            }
            let (read_units, write_units) = throughput.units_of_index()?;
            let known = &mut index.throughput;
            if (read_units, write_units) == (known.read_units, known.write_units) {
                let name = index.name.clone();
                return Err(crate::message::index::same_throughput(
                    &name,
                    (read_units, write_units),
                ));
            }
            if read_units > known.read_units || write_units > known.write_units {
                known.raised_at_ms = Some(now_ms);
            }
            if read_units < known.read_units || write_units < known.write_units {
                known.lowered_at_ms = Some(now_ms);
                known.lowered_that_day += 1;
            }
            (known.read_units, known.write_units) = (read_units, write_units);
        }
        if let Some(request) = &self.on_demand_throughput {
            index.on_demand_limits = request.applied(billing_mode, index.on_demand_limits)?;
        }
        if let Some(request) = &self.warm_throughput {
            let none = WarmUnits {
                read_units: index.throughput.read_units,
                write_units: index.throughput.write_units,
            };
            index.warm_units_requested = Some(request.applied(index.warm_units_requested.unwrap_or(none))?);
        }
        Ok(())
    }
}

/// Notes what the service model has against the name of an index in `member`.
fn check_name_at(constraints: &mut Constraints, member: &str, name: Option<&str>) {
    let member = format!("{member}.indexName");
    constraints.required(&member, name.as_ref());
    if let Some(name) = name {
        check_name(constraints, &member, name);
    }
}

/// The global index of a name.
fn global<'a>(
    table: &'a mut TableDefinition,
    name: &str,
) -> Result<&'a mut crate::catalog::IndexDefinition, ApiError> {
    let mut indexes = table.indexes.iter_mut();
    indexes
        .find(|index| index.kind == IndexKind::Global && index.name == name)
        .ok_or_else(index::not_there)
}
