//! UpdateTable: throughput, billing mode, limits, table class, deletion protection, whose change is complete when this is
//! answered; indexes and streams, which `steward.rs` completes.

use uuid::Uuid;

use super::{
    Context, Operation, account_limits,
    create_table::AttributeDefinition,
    in_use::{self, Change},
    index_changes::{IndexChanges, IndexUpdate},
    table_description,
    table_description::{TableDescription, TableStatus, Tallies},
    table_name, table_settings,
    table_settings::{
        OnDemandThroughput, ProvisionedThroughput, SseSpecification, StreamSpecification, WarmThroughput,
    },
};
use crate::catalog::{
    BillingMode, OnDemandLimits, StreamDefinition, StreamStatus, StreamView, TableClass, TableDefinition,
    Throughput,
};
use crate::constraint::Constraints;
use crate::message::stream;
use crate::message::table::{self, Unsupported};
use crate::wire::error::ApiError;

/// How often throughput may be lowered on a day, and after which pause once more. Source: the same as for [`check_decrease`].
const DECREASES_FREE: u32 = 4;
const DECREASE_PAUSE_MS: i64 = 3_600_000;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct UpdateTable {
    pub(crate) table_name: Option<String>,
    pub(crate) billing_mode: Option<String>,
    pub(crate) provisioned_throughput: Option<ProvisionedThroughput>,
    pub(crate) on_demand_throughput: Option<OnDemandThroughput>,
    pub(crate) warm_throughput: Option<WarmThroughput>,
    pub(crate) table_class: Option<String>,
    pub(crate) deletion_protection_enabled: Option<bool>,
    pub(crate) stream_specification: Option<StreamSpecification>,
    pub(crate) sse_specification: Option<SseSpecification>,
    pub(crate) attribute_definitions: Option<Vec<AttributeDefinition>>,
    pub(crate) index_updates: Option<Vec<IndexUpdate>>,
    /// What else the request asks for, in its order.
    pub(crate) unsupported: Vec<Unsupported>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct UpdateTableOutput {
    pub(crate) table_description: TableDescription,
}

/// A request that is valid for some table.
#[derive(Debug)]
struct Plan {
    table_name: String,
    billing_mode: Option<BillingMode>,
    /// Read and write units.
    capacity: Option<(i64, i64)>,
    on_demand: Option<OnDemandThroughput>,
    warm: Option<WarmThroughput>,
    table_class: Option<TableClass>,
    deletion_protection: Option<bool>,
    indexes: IndexChanges,
    stream: Option<StreamChange>,
    /// Of a stream that is made.
    stream_id: Uuid,
    account_key: Option<bool>,
    /// Whether throughput may be lowered only so often.
    limits_decreases: bool,
}

/// What is to become of a table's stream.
#[derive(Debug, Clone, Copy)]
enum StreamChange {
    Enable(StreamView),
    Disable,
}

impl Operation for UpdateTable {
    type Output = UpdateTableOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut plan = self.validate()?;
        if plan.indexes.creates() {
            plan.indexes.set_id(context.new_id()?);
        }
        plan.stream_id = context.new_id()?;
        plan.limits_decreases = context.limits.throughput;
        let now_ms = context.clock.now_ms();
        let table = context
            .catalog
            .change(&plan.table_name, |definition| {
                plan.apply(definition, now_ms)?;
                account_limits::check(context, definition)
            })
            .await
            .map_err(table::catalog)??;
        // Whoever completes the change makes them otherwise; it only takes longer.
        if let Err(error) = context.catalog.make_derived_keyspaces(&table).await {
            tracing::warn!(table = plan.table_name, %error, "keyspaces of a change are made later");
        }
        let tallies = Tallies::of(context, &table).await;
        let (definition, status) = (table.definition().clone(), TableStatus::Updating);
        Ok(UpdateTableOutput {
            table_description: TableDescription::new(context, definition, &tallies, status),
        })
    }
}

impl UpdateTable {
    fn validate(self) -> Result<Plan, ApiError> {
        let mut constraints = Constraints::default();
        table_name::check(&mut constraints, self.table_name.as_ref());
        let billing_mode = constraints.one_of("billingMode", self.billing_mode.as_deref());
        if let Some(throughput) = &self.provisioned_throughput {
            throughput.check(&mut constraints);
        }
        if let Some(stream) = &self.stream_specification {
            stream.check(&mut constraints);
        }
        if let Some(encryption) = &self.sse_specification {
            encryption.check(&mut constraints);
        }
        let table_class = constraints.one_of("tableClass", self.table_class.as_deref());
        let asks_for_nothing = self.asks_for_nothing();
        let indexes = IndexChanges::check(
            &mut constraints,
            self.index_updates,
            self.attribute_definitions.as_deref(),
        );
        constraints.finish()?;
        let table_name = table_name::resolve(self.table_name.as_deref().unwrap_or_default())?.to_owned();
        if let Some(unsupported) = self.unsupported.first() {
            return Err(unsupported.refusal());
        }
        if asks_for_nothing && indexes.is_empty() {
            return Err(ApiError::validation(table::NOTHING_TO_UPDATE));
        }
        let capacity = match (billing_mode, &self.provisioned_throughput) {
            (Some(BillingMode::PayPerRequest), throughput) => {
                table_settings::capacity(BillingMode::PayPerRequest, throughput.as_ref())?
            }
            (_, Some(throughput)) => Some(throughput.units()?),
            (_, None) => None,
        };
        let stream = self.stream_specification.as_ref();
        let stream = match stream.map(StreamSpecification::view).transpose()? {
            None => None,
            Some(Some(view)) => Some(StreamChange::Enable(view)),
            Some(None) => Some(StreamChange::Disable),
        };
        if capacity.is_some() && stream.is_some() {
            return Err(ApiError::validation(table::THROUGHPUT_WITH_STREAM));
        }
        let encryption = self.sse_specification.as_ref();
        Ok(Plan {
            account_key: encryption.map(SseSpecification::is_enabled).transpose()?,
            limits_decreases: false,
            indexes,
            stream,
            stream_id: Uuid::nil(),
            table_name,
            billing_mode,
            capacity,
            on_demand: self.on_demand_throughput,
            warm: self.warm_throughput,
            table_class,
            deletion_protection: self.deletion_protection_enabled,
        })
    }

    fn asks_for_nothing(&self) -> bool {
        self.billing_mode.is_none()
            && self.provisioned_throughput.is_none()
            && self.on_demand_throughput.is_none()
            && self.warm_throughput.is_none()
            && self.table_class.is_none()
            && self.deletion_protection_enabled.is_none()
            && self.stream_specification.is_none()
            && self.sse_specification.is_none()
    }
}

impl Plan {
    /// Changes a definition, or refuses to because of what it is now.
    fn apply(&self, definition: &mut TableDefinition, now_ms: i64) -> Result<(), ApiError> {
        in_use::check_update(definition, self.change())?;
        self.apply_billing(definition, now_ms)?;
        self.indexes.apply(definition, now_ms)?;
        self.apply_stream(definition, now_ms)?;
        if let Some(request) = &self.on_demand {
            definition.on_demand_limits =
                request.applied(definition.billing_mode, definition.on_demand_limits)?;
        }
        if let Some(request) = &self.warm {
            definition.warm_units_requested = Some(request.applied(definition.warm_units())?);
        }
        if let Some(table_class) = self.table_class {
            let current = definition.table_class.unwrap_or(TableClass::Standard);
            if table_class != current {
                definition.table_class_changed_at_ms = Some(now_ms);
            }
            definition.table_class = Some(table_class);
        }
        if let Some(account_key) = self.account_key {
            definition.account_key = account_key;
        }
        if let Some(protection) = self.deletion_protection {
            definition.deletion_protection = protection;
        }
        Ok(())
    }

    /// A stream that is made records from now on, and is enabled when every leader is known to; one that is given up can
    /// be read on. `steward.rs` completes both.
    fn apply_stream(&self, definition: &mut TableDefinition, now_ms: i64) -> Result<(), ApiError> {
        let Some(wanted) = self.stream else { return Ok(()) };
        let wanted = match wanted {
            StreamChange::Enable(view) => Some(view),
            StreamChange::Disable => None,
        };
        let known = definition.streams.last_mut().filter(|stream| stream.records());
        match (known, wanted) {
            (Some(_), Some(_)) => Err(ApiError::validation(stream::ALREADY_ENABLED)),
            (None, None) => Err(ApiError::validation(stream::NOT_ENABLED)),
            (Some(known), None) => {
                known.status = StreamStatus::Disabling;
                known.disabled_at_ms = Some(now_ms);
                Ok(())
            }
            (None, Some(view)) => {
                // A label is a time, and no two streams of a table have the same.
                let before = definition.streams.last().map_or(0, |stream| stream.created_at_ms);
                let at_ms = now_ms.max(before + 1);
                let made = StreamDefinition::new(self.stream_id, view, StreamStatus::Enabling, at_ms);
                definition.streams.push(made);
                Ok(())
            }
        }
    }

    /// What it is about, beside indexes.
    fn change(&self) -> Change {
        let is_other = self.on_demand.is_some()
            || self.warm.is_some()
            || self.table_class.is_some()
            || self.deletion_protection.is_some()
            || self.stream.is_some()
            || self.account_key.is_some();
        if self.billing_mode.is_some() || self.capacity.is_some() {
            Change::Throughput
        } else if is_other {
            Change::Other
        } else {
            Change::Nothing
        }
    }

    fn apply_billing(&self, definition: &mut TableDefinition, now_ms: i64) -> Result<(), ApiError> {
        let before = definition.billing_mode;
        let billing_mode = self.billing_mode.unwrap_or(before);
        match (billing_mode, self.capacity) {
            (BillingMode::PayPerRequest, Some(_)) => {
                return Err(ApiError::validation(table::CAPACITY_WITH_PAY_PER_REQUEST));
            }
            (BillingMode::PayPerRequest, None) => {
                if before == BillingMode::Provisioned {
                    definition.pay_per_request_since_ms = Some(now_ms);
                    definition.throughput.read_units = 0;
                    definition.throughput.write_units = 0;
                }
            }
            (BillingMode::Provisioned, Some(capacity)) if before == BillingMode::PayPerRequest => {
                definition.on_demand_limits = OnDemandLimits::default();
                (
                    definition.throughput.read_units,
                    definition.throughput.write_units,
                ) = capacity;
            }
            (BillingMode::Provisioned, Some(capacity)) => {
                let throughput = &definition.throughput;
                if capacity == (throughput.read_units, throughput.write_units) {
                    return Err(table::same_throughput(capacity));
                }
                if self.limits_decreases {
                    check_decrease(definition, capacity, now_ms)?;
                }
                definition.throughput = changed_throughput(definition, capacity, now_ms);
            }
            (BillingMode::Provisioned, None) if before == BillingMode::PayPerRequest => {
                return Err(ApiError::validation(table::CAPACITY_MISSING));
            }
            (BillingMode::Provisioned, None) => {}
        }
        definition.billing_mode = billing_mode;
        Ok(())
    }
}

/// Refuses to lower throughput once more on a day on which it was lowered often.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas: decreasing provisioned throughput".
fn check_decrease(
    definition: &TableDefinition,
    (read_units, write_units): (i64, i64),
    now_ms: i64,
) -> Result<(), ApiError> {
    let Throughput {
        read_units: reads,
        write_units: writes,
        lowered_at_ms,
        ..
    } = definition.throughput;
    let today = table_description::decreases_today(definition, now_ms);
    let is_lower = read_units < reads || write_units < writes;
    let is_soon = lowered_at_ms.is_some_and(|lowered_ms| now_ms < lowered_ms + DECREASE_PAUSE_MS);
    if is_lower && is_soon && today >= DECREASES_FREE {
        return Err(table::too_many_decreases(today));
    }
    Ok(())
}

/// The throughput of a provisioned table after a change to other units.
fn changed_throughput(
    definition: &TableDefinition,
    (read_units, write_units): (i64, i64),
    now_ms: i64,
) -> Throughput {
    let mut throughput = definition.throughput;
    if read_units > throughput.read_units || write_units > throughput.write_units {
        throughput.raised_at_ms = Some(now_ms);
    }
    if read_units < throughput.read_units || write_units < throughput.write_units {
        throughput.lowered_that_day = table_description::decreases_today(definition, now_ms) + 1;
        throughput.lowered_at_ms = Some(now_ms);
    }
    throughput.read_units = read_units;
    throughput.write_units = write_units;
    throughput
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;
    use crate::wire::decode::Decode as _;
    use crate::wire::decode::reader::Reader;

    const DAY_MS: i64 = 86_400_000;
    const NOON_MS: i64 = 20_000 * DAY_MS + DAY_MS / 2;

    /// Applies an update with these members to a table.
    fn update(definition: &mut TableDefinition, members: &str, now_ms: i64) -> Result<(), ApiError> {
        let body = format!(r#"{{"TableName":"Tab"{members}}}"#);
        let request = UpdateTable::decode(&mut Reader::new(body.as_bytes())).unwrap();
        request.validate()?.apply(definition, now_ms)
    }

    /// What an update of a provisioned table with 5 read and 6 write units is refused with.
    fn refusal(members: &str) -> String {
        match update(&mut definition(), members, NOON_MS) {
            Err(ApiError::Validation(text)) => text,
            other => unreachable!("{members} gave {other:?}"),
        }
    }

    fn units(read: i64, write: i64) -> String {
        format!(r#","ProvisionedThroughput":{{"ReadCapacityUnits":{read},"WriteCapacityUnits":{write}}}"#)
    }

    #[test]
    fn an_update_has_to_change_something() {
        for members in [
            "",
            r#","GlobalSecondaryIndexUpdates":[]"#,
            r#","AttributeDefinitions":[]"#,
        ] {
            assert_eq!(refusal(members), table::NOTHING_TO_UPDATE);
        }
        assert_eq!(
            refusal(&units(5, 6)),
            "The provisioned throughput for the table will not change. The requested value equals the current value. \
             Current ReadCapacityUnits provisioned for the table: 5. Requested ReadCapacityUnits: 5. Current \
             WriteCapacityUnits provisioned for the table: 6. Requested WriteCapacityUnits: 6. Refer to the Amazon \
             DynamoDB Developer Guide for current limits and how to request higher limits."
        );
    }

    #[test]
    fn changes_of_throughput_are_dated_and_decreases_counted_by_the_day() {
        let mut table = definition();
        update(&mut table, &units(7, 5), NOON_MS).unwrap();
        assert_eq!(table.throughput.raised_at_ms, Some(NOON_MS));
        assert_eq!(table.throughput.lowered_at_ms, Some(NOON_MS));
        update(&mut table, &units(7, 4), NOON_MS + 1).unwrap();
        assert_eq!(table.throughput.raised_at_ms, Some(NOON_MS));
        assert_eq!(table_description::decreases_today(&table, NOON_MS + 2), 2);
        assert_eq!(table_description::decreases_today(&table, NOON_MS + DAY_MS), 0);
        update(&mut table, &units(7, 3), NOON_MS + DAY_MS).unwrap();
        assert_eq!(table_description::decreases_today(&table, NOON_MS + DAY_MS), 1);
    }

    #[test]
    fn after_four_decreases_there_is_one_an_hour() {
        let mut table = definition();
        let lower = |table: &mut TableDefinition, units_left: i64, now_ms| {
            check_decrease(table, (units_left, 1), now_ms)?;
            update(table, &units(units_left, 1), now_ms)
        };
        update(&mut table, &units(100, 1), NOON_MS - DAY_MS).unwrap();
        for left in (96..100).rev() {
            lower(&mut table, left, NOON_MS).unwrap();
        }
        let refused = Err(table::too_many_decreases(4));
        assert_eq!(lower(&mut table, 95, NOON_MS + DECREASE_PAUSE_MS - 1), refused);
        lower(&mut table, 101, NOON_MS + 1).unwrap();
        lower(&mut table, 95, NOON_MS + DECREASE_PAUSE_MS).unwrap();
        lower(&mut table, 94, NOON_MS + DAY_MS).unwrap();
    }

    #[test]
    fn billing_changes_both_ways() {
        let mut table = definition();
        update(&mut table, r#","BillingMode":"PAY_PER_REQUEST""#, NOON_MS).unwrap();
        assert_eq!(table.billing_mode, BillingMode::PayPerRequest);
        assert_eq!(table.pay_per_request_since_ms, Some(NOON_MS));
        assert_eq!(
            (table.throughput.read_units, table.throughput.write_units),
            (0, 0)
        );
        // A second time nothing changes, least of all the date.
        update(&mut table, r#","BillingMode":"PAY_PER_REQUEST""#, NOON_MS + 1).unwrap();
        assert_eq!(table.pay_per_request_since_ms, Some(NOON_MS));
        assert_eq!(
            update(&mut table, &units(1, 1), NOON_MS),
            Err(ApiError::validation(table::CAPACITY_WITH_PAY_PER_REQUEST))
        );
        update(
            &mut table,
            r#","OnDemandThroughput":{"MaxReadRequestUnits":9}"#,
            NOON_MS,
        )
        .unwrap();
        assert_eq!(
            update(&mut table, r#","BillingMode":"PROVISIONED""#, NOON_MS),
            Err(ApiError::validation(table::CAPACITY_MISSING))
        );
        update(
            &mut table,
            &format!(r#","BillingMode":"PROVISIONED"{}"#, units(5, 6)),
            NOON_MS,
        )
        .unwrap();
        assert_eq!(
            (table.throughput.read_units, table.throughput.write_units),
            (5, 6)
        );
        assert_eq!(table.on_demand_limits, OnDemandLimits::default());
        assert_eq!(
            table.pay_per_request_since_ms,
            Some(NOON_MS),
            "the description still tells"
        );
    }

    #[test]
    fn class_and_protection_change_alone() {
        let mut table = definition();
        update(&mut table, r#","TableClass":"STANDARD""#, NOON_MS).unwrap();
        assert_eq!(
            table.table_class_changed_at_ms, None,
            "it is what every table has"
        );
        update(
            &mut table,
            r#","TableClass":"STANDARD_INFREQUENT_ACCESS""#,
            NOON_MS,
        )
        .unwrap();
        assert_eq!(table.table_class_changed_at_ms, Some(NOON_MS));
        update(&mut table, r#","DeletionProtectionEnabled":true"#, NOON_MS).unwrap();
        assert!(table.deletion_protection);
    }

    #[test]
    fn what_this_version_does_not_have_is_refused() {
        for (members, unsupported) in [
            (
                r#","ReplicaUpdates":[{}]"#,
                Unsupported::GlobalTables("ReplicaUpdates"),
            ),
            (
                r#","VectorIndexUpdates":[{}]"#,
                Unsupported::VectorIndexes("VectorIndexUpdates"),
            ),
        ] {
            assert_eq!(
                ApiError::Validation(refusal(members)),
                unsupported.refusal(),
                "{members}"
            );
        }
    }
}
