//! `GlobalSecondaryIndexUpdates` of UpdateTable: one index is made, changed or given up at a time, while writes go on.
//!
//! Invariant: an index that is made or given up here is on its way only; `steward.rs` completes it. Not here: the rest of
//! UpdateTable.

use stator_model::index::IndexKind;
use stator_model::key::KeyAttribute;
use uuid::Uuid;

use super::create_table::{AttributeDefinition, KeySchemaElement};
use super::in_use;
use super::index_settings::{GLOBAL_INDEXES_MAX, IndexRequest, Setting, check_all, check_name};
use super::table_settings::{OnDemandThroughput, ProvisionedThroughput, WarmThroughput, Whose};
use super::throughput_change::{changed, check_decrease};
use super::update_combinations::Asked;
use crate::catalog::{BillingMode, IndexDefinition, IndexStatus, TableDefinition};
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
    /// Whether there was a list of them, which may have been empty.
    is_given: bool,
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
        let is_given = updates.is_some();
        let updates = updates.unwrap_or_default();
        for (place, update) in updates.iter().enumerate() {
            let member = format!("globalSecondaryIndexUpdates.{}.member", place + 1);
            if let Some(create) = &update.create {
                create.check(constraints, IndexKind::Global, &format!("{member}.create"));
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
            is_given,
            definitions,
            id: None,
        }
    }

    /// Refuses what the list alone shows to be wrong, in a request that asks for something.
    pub(super) fn check_actions(&self) -> Result<(), ApiError> {
        if self.is_given && self.updates.is_empty() {
            return Err(index::none("GlobalSecondaryIndexUpdates"));
        }
        for (place, update) in self.updates.iter().enumerate() {
            let actions = [
                update.create.is_some(),
                update.update.is_some(),
                update.delete.is_some(),
            ];
            match actions.into_iter().filter(|is_there| *is_there).count() {
                0 => return Err(ApiError::validation(index::NO_ACTION)),
                1 => {}
                _ => return Err(ApiError::validation(index::SEVERAL_ACTIONS)),
            }
            let name = update.name();
            if self.updates[..place].iter().any(|earlier| earlier.name() == name) {
                return Err(index::changed_twice(name));
            }
            let warm = update
                .update
                .as_ref()
                .and_then(|change| change.warm_throughput.as_ref());
            if warm.is_some_and(|warm| !warm.is_named()) {
                return Err(index::no_warm_units(name));
            }
        }
        Ok(())
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

    /// What is asked for.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let mut asked = Vec::new();
        for update in &self.updates {
            for (is_there, one) in [
                (update.create.is_some(), Asked::CreateIndex),
                (update.update.is_some(), Asked::UpdateIndex),
                (update.delete.is_some(), Asked::DeleteIndex),
            ] {
                if is_there {
                    asked.push(one);
                }
            }
        }
        asked
    }

    /// Refuses to provision a table without its indexes. One that is given up needs no throughput any more.
    pub(super) fn check_all_provisioned(&self, table: &TableDefinition) -> Result<(), ApiError> {
        let is_left_out = |index: &&IndexDefinition| {
            let mut own = self.updates.iter().filter(|update| update.name() == index.name);
            index.kind == IndexKind::Global
                && !own.any(|update| {
                    let change = update.update.as_ref();
                    update.delete.is_some()
                        || change.is_some_and(|change| change.provisioned_throughput.is_some())
                })
        };
        match table.indexes.iter().find(is_left_out) {
            Some(left_out) => Err(index::to_be_provisioned(&left_out.name)),
            None => Ok(()),
        }
    }

    /// Changes a definition, or refuses to because of what it is now; `limits_decreases` says whether throughput may be
    /// lowered only so often.
    pub(super) fn apply(
        &self,
        table: &mut TableDefinition,
        now_ms: i64,
        limits_decreases: bool,
    ) -> Result<(), ApiError> {
        let online = |update: &&IndexUpdate| update.create.is_some() || update.delete.is_some();
        if self.updates.iter().filter(online).count() > 1 {
            return Err(ApiError::LimitExceeded(index::ONE_AT_A_TIME.to_owned()));
        }
        for update in &self.updates {
            if let Some(create) = &update.create {
                self.create(table, create)?;
            }
            if let Some(change) = &update.update {
                change.apply(table, now_ms, limits_decreases)?;
            }
            if let Some(delete) = &update.delete {
                let name = delete.index_name.as_deref().unwrap_or_default();
                in_use::check_index(table, name, true)?;
                global(table, name, "delete")?.status = IndexStatus::Deleting;
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
        match (table.billing_mode, &request.provisioned_throughput) {
            (BillingMode::PayPerRequest, Some(_)) => return Err(index::surplus_units(name)),
            (BillingMode::Provisioned, None) => return Err(index::missing_units(name)),
            _ => {}
        }
        let globals = table
            .indexes
            .iter()
            .filter(|index| index.kind == IndexKind::Global);
        if globals.count() >= GLOBAL_INDEXES_MAX {
            return Err(index::one_too_many_global(GLOBAL_INDEXES_MAX));
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
        let mut keys = request.key_schema.iter().flatten();
        let is_defined = |key: &KeySchemaElement| {
            let name = key.attribute_name.as_deref();
            definitions.iter().any(|known| Some(&known.name[..]) == name)
        };
        if self.definitions.is_empty() && !keys.all(is_defined) {
            return Err(index::no_definitions(name));
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

impl IndexUpdate {
    /// The name of the index that it is about.
    fn name(&self) -> &str {
        let create = self.create.as_ref().map(|create| &create.index_name);
        let change = self.update.as_ref().map(|change| &change.index_name);
        let delete = self.delete.as_ref().map(|delete| &delete.index_name);
        let name = create.or(change).or(delete);
        name.and_then(Option::as_deref).unwrap_or_default()
    }
}

impl IndexThroughput {
    fn apply(
        &self,
        table: &mut TableDefinition,
        now_ms: i64,
        limits_decreases: bool,
    ) -> Result<(), ApiError> {
        let billing_mode = table.billing_mode;
        let table_name = table.name.clone();
        let index = global(table, self.index_name.as_deref().unwrap_or_default(), "update")?;
        in_use::check_index_settings(&table_name, index)?;
        let on_demand = self.on_demand_throughput.as_ref();
        let is_on_demand = self.provisioned_throughput.is_none()
            && (self.warm_throughput.is_some() || on_demand.is_some_and(OnDemandThroughput::is_named));
        if billing_mode == BillingMode::PayPerRequest && !is_on_demand {
            return Err(index::only_on_demand(&index.name));
        }
        if let Some(throughput) = &self.provisioned_throughput {
            let units = throughput.units()?;
            if units == (index.throughput.read_units, index.throughput.write_units) {
                return Err(index::same_throughput(&index.name, units));
            }
            if limits_decreases {
                check_decrease(&index.throughput, units, now_ms)?;
            }
            index.throughput = changed(&index.throughput, units, now_ms);
        }
        if let Some(request) = on_demand {
            let whose = Whose::index(&index.name);
            index.on_demand_limits = request.applied(billing_mode, index.on_demand_limits, whose)?;
        }
        if let Some(request) = &self.warm_throughput {
            let whose = Whose::index(&index.name);
            index.warm_units_requested = Some(request.applied(index.warm_units(billing_mode), whose)?);
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

/// The global index of a name; `action` is what is to be done to it.
fn global<'a>(
    table: &'a mut TableDefinition,
    name: &str,
    action: &str,
) -> Result<&'a mut IndexDefinition, ApiError> {
    let missing = index::not_there(name, &table.name);
    match table.indexes.iter_mut().find(|index| index.name == name) {
        Some(found) if found.kind == IndexKind::Global => Ok(found),
        Some(_) => Err(index::not_global(action, name)),
        None => Err(missing),
    }
}
