//! UpdateTable: throughput, billing mode, limits, table class, deletion protection, whose change is complete when this is
//! answered; indexes and streams, which `steward.rs` completes.

use uuid::Uuid;

use super::{
    Context, Operation, account_limits,
    create_table::AttributeDefinition,
    in_use::{self, Change},
    index_changes::{IndexChanges, IndexUpdate},
    table_description::{TableDescription, TableStatus, Tallies},
    table_name, table_settings,
    table_settings::{
        OnDemandThroughput, ProvisionedThroughput, SseSpecification, StreamSpecification, WarmThroughput,
        Whose,
    },
    throughput_change::{self, Warm},
    update_combinations::{self, Asked},
};
use crate::catalog::{
    BillingMode, OnDemandLimits, StreamDefinition, StreamStatus, StreamView, TableClass, TableDefinition,
};
use crate::constraint::Constraints;
use crate::message::stream;
use crate::message::table::{self, Unsupported};
use crate::wire::error::ApiError;

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
        table_name::check_of_table(&mut constraints, self.table_name.as_ref());
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
        let mut asked = self.asked(billing_mode);
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
        if asked.is_empty() && indexes.is_empty() {
            return Err(ApiError::validation(table::NOTHING_TO_UPDATE));
        }
        indexes.check_actions()?;
        asked.extend(indexes.asked());
        update_combinations::check(&asked)?;
        let capacity = match (billing_mode, &self.provisioned_throughput) {
            (Some(BillingMode::PayPerRequest), throughput) => {
                table_settings::capacity(BillingMode::PayPerRequest, throughput.as_ref())?
            }
            (_, Some(throughput)) => Some(throughput.units()?),
            (Some(BillingMode::Provisioned), None) => {
                return Err(ApiError::validation(table::UPDATED_CAPACITY_MISSING));
            }
            (None, None) => None,
        };
        let stream = self.stream_specification.as_ref();
        let stream = match stream.map(|stream| stream.view(false)).transpose()? {
            None => None,
            Some(Some(view)) => Some(StreamChange::Enable(view)),
            Some(None) => Some(StreamChange::Disable),
        };
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

    /// What is asked for, but for indexes. A structure without members asks for nothing.
    fn asked(&self, billing_mode: Option<BillingMode>) -> Vec<Asked> {
        let on_demand = self.on_demand_throughput.as_ref();
        let warm = self.warm_throughput.as_ref();
        let members = [
            (self.sse_specification.is_some(), Asked::Encryption),
            (self.table_class.is_some(), Asked::TableClass),
            (
                self.deletion_protection_enabled.is_some(),
                Asked::DeletionProtection,
            ),
            (
                on_demand.is_some_and(OnDemandThroughput::is_named),
                Asked::OnDemandThroughput,
            ),
            (warm.is_some_and(WarmThroughput::is_named), Asked::WarmThroughput),
            (self.stream_specification.is_some(), Asked::Stream),
            (self.provisioned_throughput.is_some(), Asked::Throughput),
            (
                billing_mode == Some(BillingMode::PayPerRequest),
                Asked::PayPerRequest,
            ),
            (billing_mode == Some(BillingMode::Provisioned), Asked::Provisioned),
        ];
        let there = members.into_iter().filter(|(is_there, _)| *is_there);
        there.map(|(_, one)| one).collect()
    }
}

impl Plan {
    /// Changes a definition, or refuses to because of what it is now.
    fn apply(&self, definition: &mut TableDefinition, now_ms: i64) -> Result<(), ApiError> {
        in_use::check_update(definition, self.change())?;
        let warm = Warm::of(definition);
        self.apply_billing(definition, now_ms)?;
        self.indexes.apply(definition, now_ms, self.limits_decreases)?;
        warm.keep(definition);
        self.apply_stream(definition, now_ms)?;
        if let Some(request) = &self.on_demand {
            let current = definition.on_demand_limits;
            definition.on_demand_limits = request.applied(definition.billing_mode, current, Whose::TABLE)?;
        }
        if let Some(request) = &self.warm {
            let units = request.applied(definition.warm_units(), Whose::TABLE)?;
            definition.warm_units_requested = Some(units);
        }
        if let Some(table_class) = self.table_class {
            let current = definition.table_class.unwrap_or(TableClass::Standard);
            if table_class != current {
                definition.table_class_changed_at_ms = Some(now_ms);
                definition.table_class = Some(table_class);
            }
        }
        if let Some(account_key) = self.account_key {
            if !account_key && !definition.account_key {
                return Err(ApiError::validation(table::SSE_DISABLED));
            }
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
            (Some(_), Some(_)) => Err(stream::already_enabled(&definition.name)),
            (None, None) => Err(stream::not_enabled(&definition.name)),
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
            || self.stream.is_some()
            || self.account_key.is_some();
        if self.billing_mode.is_some() || self.capacity.is_some() {
            Change::Throughput
        } else if is_other {
            Change::Other
        } else if self.deletion_protection.is_some() {
            // It comes alone.
            Change::Protection
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
                    clear_indexes(definition);
                }
            }
            (BillingMode::Provisioned, Some(capacity)) if before == BillingMode::PayPerRequest => {
                self.indexes.check_all_provisioned(definition)?;
                clear_indexes(definition);
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
                    throughput_change::check_decrease(throughput, capacity, now_ms)?;
                }
                definition.throughput = throughput_change::changed(throughput, capacity, now_ms);
            }
            (BillingMode::Provisioned, None) => {}
        }
        definition.billing_mode = billing_mode;
        Ok(())
    }
}

/// Takes from the indexes of a table what they had when it was billed otherwise. Source: the service's answers in
/// aws-controllers-k8s/dynamodb-controller, docs/api-quirks/table-indexes.md, DDB-TABLE-133 and DDB-TABLE-153.
fn clear_indexes(definition: &mut TableDefinition) {
    for index in &mut definition.indexes {
        index.on_demand_limits = OnDemandLimits::default();
        (index.throughput.read_units, index.throughput.write_units) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use stator_model::index::IndexKind;

    use super::*;
    use crate::catalog::{IndexStatus, WarmUnits};
    use crate::message::index;
    use crate::operation::create_table::tests::definition;
    use crate::operation::in_use::tests::with_index;
    use crate::operation::throughput_change::{DECREASE_PAUSE_MS, check_decrease, decreases_today};
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
        assert_eq!(decreases_today(&table.throughput, NOON_MS + 2), 2);
        assert_eq!(decreases_today(&table.throughput, NOON_MS + DAY_MS), 0);
        update(&mut table, &units(7, 3), NOON_MS + DAY_MS).unwrap();
        assert_eq!(decreases_today(&table.throughput, NOON_MS + DAY_MS), 1);
    }

    #[test]
    fn after_four_decreases_there_is_one_an_hour() {
        let mut table = definition();
        let lower = |table: &mut TableDefinition, units_left: i64, now_ms| {
            check_decrease(&table.throughput, (units_left, 1), now_ms)?;
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
            Err(ApiError::validation(table::UPDATED_CAPACITY_MISSING))
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

    /// A provisioned table with a global index `by-a` of 5 read and 6 write units.
    fn indexed() -> TableDefinition {
        let mut table = with_index(IndexStatus::Active);
        for index in &mut table.indexes {
            (index.throughput.read_units, index.throughput.write_units) = (5, 6);
        }
        table
    }

    /// `GlobalSecondaryIndexUpdates` with these members of an Update of `name`.
    fn of_index(name: &str, members: &str) -> String {
        format!(r#","GlobalSecondaryIndexUpdates":[{{"Update":{{"IndexName":"{name}"{members}}}}}]"#)
    }

    #[test]
    fn indexes_are_billed_as_their_table() {
        let mut table = indexed();
        let told = |table: &TableDefinition| {
            let index = &table.indexes[0];
            (index.throughput.read_units, index.throughput.write_units)
        };
        update(&mut table, r#","BillingMode":"PAY_PER_REQUEST""#, NOON_MS).unwrap();
        assert_eq!(told(&table), (0, 0));
        let limit = of_index("by-a", r#","OnDemandThroughput":{"MaxReadRequestUnits":9}"#);
        update(&mut table, &limit, NOON_MS).unwrap();
        assert_eq!(table.indexes[0].on_demand_limits.read_units, Some(9));
        assert_eq!(
            update(&mut table, &of_index("by-a", &units(5, 6)), NOON_MS),
            Err(index::only_on_demand("by-a"))
        );
        let back = format!(r#","BillingMode":"PROVISIONED"{}"#, units(5, 6));
        assert_eq!(
            update(&mut table, &back, NOON_MS),
            Err(index::to_be_provisioned("by-a")),
            "nothing says what it is to have"
        );
        update(
            &mut table,
            &format!("{back}{}", of_index("by-a", &units(5, 6))),
            NOON_MS,
        )
        .unwrap();
        assert_eq!(told(&table), (5, 6), "as before, which is a change");
        assert_eq!(table.indexes[0].on_demand_limits, OnDemandLimits::default());
        assert_eq!(table.indexes[0].throughput.raised_at_ms, None);
    }

    #[test]
    fn decreases_of_an_index_are_limited_and_counted_by_themselves() {
        let mut table = indexed();
        update(&mut table, &of_index("by-a", &units(100, 1)), NOON_MS - DAY_MS).unwrap();
        let lower = |table: &mut TableDefinition, units_left, now_ms| {
            let body = format!(
                r#"{{"TableName":"Tab"{}}}"#,
                of_index("by-a", &units(units_left, 1))
            );
            let request = UpdateTable::decode(&mut Reader::new(body.as_bytes())).unwrap();
            let mut plan = request.validate()?;
            plan.limits_decreases = true;
            plan.apply(table, now_ms)
        };
        for left in (96..100).rev() {
            lower(&mut table, left, NOON_MS).unwrap();
        }
        assert_eq!(decreases_today(&table.indexes[0].throughput, NOON_MS), 4);
        assert_eq!(decreases_today(&table.throughput, NOON_MS), 0);
        assert_eq!(lower(&mut table, 95, NOON_MS), Err(table::too_many_decreases(4)));
        lower(&mut table, 95, NOON_MS + DAY_MS).unwrap();
        assert_eq!(decreases_today(&table.indexes[0].throughput, NOON_MS + DAY_MS), 1);
    }

    #[test]
    fn warm_throughput_stays_when_throughput_is_lowered() {
        let mut table = indexed();
        let both = |read| format!("{}{}", units(read, 6), of_index("by-a", &units(read, 6)));
        update(&mut table, &both(9), NOON_MS).unwrap();
        update(&mut table, &both(2), NOON_MS).unwrap();
        let warm = WarmUnits {
            read_units: 9,
            write_units: 6,
        };
        assert_eq!(table.warm_units(), warm);
        assert_eq!(table.indexes[0].warm_units(BillingMode::Provisioned), warm);
        update(&mut table, r#","BillingMode":"PAY_PER_REQUEST""#, NOON_MS).unwrap();
        assert_eq!(table.warm_units().read_units, 12_000);
        assert_eq!(
            table.indexes[0]
                .warm_units(BillingMode::PayPerRequest)
                .write_units,
            4_000
        );
    }

    #[test]
    fn an_index_has_one_change_with_one_action() {
        let mut table = indexed();
        let mut refused = |list: &str| {
            let members = format!(r#","GlobalSecondaryIndexUpdates":{list},"BillingMode":"PAY_PER_REQUEST""#);
            update(&mut table, &members, NOON_MS).unwrap_err()
        };
        assert_eq!(refused("[]"), index::none("GlobalSecondaryIndexUpdates"));
        assert_eq!(refused("[{}]"), ApiError::validation(index::NO_ACTION));
        let delete = r#""Delete":{"IndexName":"by-a"}"#;
        let change = r#""Update":{"IndexName":"by-a","WarmThroughput":{"ReadUnitsPerSecond":20000}}"#;
        assert_eq!(
            refused(&format!("[{{{delete},{change}}}]")),
            ApiError::validation(index::SEVERAL_ACTIONS)
        );
        assert_eq!(
            refused(&format!("[{{{delete}}},{{{change}}}]")),
            index::changed_twice("by-a")
        );
        let warm = r#"[{"Update":{"IndexName":"none","WarmThroughput":{}}}]"#;
        assert_eq!(refused(warm), index::no_warm_units("none"));
        let missing = r#"[{"Delete":{"IndexName":"none"}}]"#;
        assert_eq!(refused(missing), index::not_there("none", "Tab"));
    }

    #[test]
    fn a_local_index_stays_as_it_is() {
        let mut table = indexed();
        table.indexes[0].kind = IndexKind::Local;
        let delete = r#","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"by-a"}}]"#;
        assert_eq!(
            update(&mut table, delete, NOON_MS),
            Err(index::not_global("delete", "by-a"))
        );
    }

    #[test]
    fn an_index_that_is_added_has_its_keys_and_units() {
        let mut table = indexed();
        let mut refused = |definitions: &str, members: &str| {
            let members = format!(
                r#"{definitions},"GlobalSecondaryIndexUpdates":[{{"Create":{{"IndexName":"by-b","KeySchema":[{{
                    "AttributeName":"b","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}{members}}}}}]"#
            );
            update(&mut table, &members, NOON_MS).unwrap_err()
        };
        assert_eq!(refused("", &units(1, 1)), index::no_definitions("by-b"));
        let definitions = r#","AttributeDefinitions":[{"AttributeName":"b","AttributeType":"S"}]"#;
        assert_eq!(refused(definitions, ""), index::missing_units("by-b"));
        let other = table.indexes[0].clone();
        for number in 0..19 {
            let mut index = other.clone();
            index.name = format!("by-{number}");
            table.indexes.push(index);
        }
        let create = format!(
            r#"{definitions},"GlobalSecondaryIndexUpdates":[{{"Create":{{"IndexName":"by-b","KeySchema":[{{
                "AttributeName":"b","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}{}}}}}]"#,
            units(1, 1)
        );
        assert_eq!(
            update(&mut table, &create, NOON_MS),
            Err(index::one_too_many_global(20))
        );
    }

    #[test]
    fn encryption_by_default_is_not_turned_off() {
        let mut table = definition();
        let off = r#","SSESpecification":{"Enabled":false}"#;
        assert_eq!(
            update(&mut table, off, NOON_MS),
            Err(ApiError::validation(table::SSE_DISABLED))
        );
        update(&mut table, r#","SSESpecification":{"Enabled":true}"#, NOON_MS).unwrap();
        update(&mut table, off, NOON_MS).unwrap();
    }

    #[test]
    fn class_and_protection_change_alone() {
        let mut table = definition();
        update(&mut table, r#","TableClass":"STANDARD""#, NOON_MS).unwrap();
        assert_eq!(
            (table.table_class, table.table_class_changed_at_ms),
            (None, None),
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
