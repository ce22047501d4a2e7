//! The description of a table, and the answers that carry it: CreateTable, DescribeTable, UpdateTable, DeleteTable.

use std::collections::BTreeSet;

use stator_model::index::{IndexKind, Projection};
use stator_model::key::{KeyRole, KeySchema};

use super::Encode;
use super::json::Json;
use super::stream::view_name;
use crate::arn;
use crate::catalog::{
    BillingMode, IndexDefinition, IndexStatus, OnDemandLimits, StreamDefinition, TableClass, Throughput,
};
use crate::operation::create_table::CreateTableOutput;
use crate::operation::delete_table::DeleteTableOutput;
use crate::operation::describe_table::DescribeTableOutput;
use crate::operation::shards::label;
use crate::operation::table_description::{TableDescription, TableStatus};
use crate::operation::update_table::UpdateTableOutput;

impl Encode for CreateTableOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("TableDescription")
                .table_description(&self.table_description);
        });
    }
}

impl Encode for DescribeTableOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.member("Table").table_description(&self.table));
    }
}

impl Encode for UpdateTableOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("TableDescription")
                .table_description(&self.table_description);
        });
    }
}

impl Encode for DeleteTableOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("TableDescription")
                .table_description(&self.table_description);
        });
    }
}

fn status_name(status: TableStatus) -> &'static str {
    match status {
        TableStatus::Creating => "CREATING",
        TableStatus::Active => "ACTIVE",
        TableStatus::Updating => "UPDATING",
        TableStatus::Deleting => "DELETING",
    }
}

impl Json {
    /// A time in seconds since the Unix epoch with its milliseconds.
    pub(super) fn time(&mut self, time_ms: i64) {
        let text = format!("{}.{:03}", time_ms.div_euclid(1000), time_ms.rem_euclid(1000));
        self.raw().extend_from_slice(text.as_bytes());
    }

    pub(super) fn table_description(&mut self, table: &TableDescription) {
        let definition = &table.definition;
        self.object(|json| {
            json.key_attributes(table);
            json.member("TableName").text(&definition.name);
            json.member("TableStatus").text(status_name(table.status));
            json.member("CreationDateTime").time(definition.created_at_ms);
            json.provisioned_throughput(table);
            json.member("TableSizeBytes").integer(table.bytes);
            json.member("ItemCount").integer(table.items);
            json.member("TableArn").text(&table.arn);
            json.member("TableId").text(&definition.id.to_string());
            json.billing_mode_summary(table);
            json.table_class_summary(table);
            json.member("DeletionProtectionEnabled")
                .boolean(definition.deletion_protection);
            json.throughput_limits(table);
            json.indexes(table, IndexKind::Local, "LocalSecondaryIndexes");
            json.indexes(table, IndexKind::Global, "GlobalSecondaryIndexes");
            json.stream_specification(table);
            json.encryption(table);
            json.restore_summary(table);
        });
    }

    fn restore_summary(&mut self, table: &TableDescription) {
        let Some((restore, arns)) = table.definition.restore.as_ref().zip(table.source_arns.as_ref()) else {
            return;
        };
        self.member("RestoreSummary").object(|json| {
            if let Some(backup) = &arns.backup {
                json.member("SourceBackupArn").text(backup);
            }
            json.member("SourceTableArn").text(&arns.table);
            json.member("RestoreDateTime").time(restore.at_ms);
            json.member("RestoreInProgress").boolean(restore.in_progress);
        });
    }

    fn encryption(&mut self, table: &TableDescription) {
        self.encryption_key(table.key_arn.as_deref());
    }

    pub(super) fn encryption_key(&mut self, key_arn: Option<&str>) {
        if let Some(key) = key_arn {
            self.member("SSEDescription").object(|json| {
                json.member("Status").text("ENABLED");
                json.member("SSEType").text("KMS");
                json.member("KMSMasterKeyArn").text(key);
            });
        }
    }

    fn stream_specification(&mut self, table: &TableDescription) {
        let Some(stream) = table.definition.streams.last() else {
            return;
        };
        if table.definition.stream().is_some() {
            self.member("StreamSpecification").enabled_stream(stream);
        }
        let label = label(stream);
        self.member("LatestStreamLabel").text(&label);
        self.member("LatestStreamArn")
            .text(&arn::stream(&table.arn, &label));
    }

    fn indexes(&mut self, table: &TableDescription, kind: IndexKind, member: &str) {
        if table.status == TableStatus::Deleting {
            // Source: service model of DynamoDB, TableDescription: "If the table is in the DELETING state, no information about
            // indexes will be returned."
            return;
        }
        let indexes = table.definition.indexes.iter().zip(&table.indexes);
        let of_kind: Vec<_> = indexes.filter(|(index, _)| index.kind == kind).collect();
        if of_kind.is_empty() {
            return;
        }
        self.member(member).list(of_kind, |json, (index, tally)| {
            json.object(|json| json.index_description(table, index, *tally));
        });
    }

    /// The settings of a stream that is on.
    pub(super) fn enabled_stream(&mut self, stream: &StreamDefinition) {
        self.object(|json| {
            json.member("StreamEnabled").boolean(true);
            json.member("StreamViewType").text(view_name(stream.view));
        });
    }

    pub(super) fn billing_mode(&mut self, mode: BillingMode) {
        self.member("BillingMode").text(match mode {
            BillingMode::Provisioned => "PROVISIONED",
            BillingMode::PayPerRequest => "PAY_PER_REQUEST",
        });
    }

    pub(super) fn capacity_units(&mut self, throughput: &Throughput) {
        self.member("ReadCapacityUnits").integer(throughput.read_units);
        self.member("WriteCapacityUnits").integer(throughput.write_units);
    }

    /// What the keys of an index are, and what its rows have.
    pub(super) fn index_keys(&mut self, index: &IndexDefinition) {
        let hash = index.hash.iter().map(|attribute| (attribute, "HASH"));
        let range = index.range.iter().map(|attribute| (attribute, "RANGE"));
        self.member("KeySchema")
            .list(hash.chain(range), |json, (attribute, role)| {
                json.object(|json| {
                    json.member("AttributeName").text(&attribute.name);
                    json.member("KeyType").text(role);
                });
            });
        self.member("Projection").object(|json| {
            let (kind, included) = match &index.projection {
                Projection::All => ("ALL", None),
                Projection::KeysOnly => ("KEYS_ONLY", None),
                Projection::Include(names) => ("INCLUDE", Some(names)),
            };
            json.member("ProjectionType").text(kind);
            if let Some(names) = included {
                // Sorted as definitions of attributes are.
                let names: BTreeSet<&String> = names.iter().collect();
                json.member("NonKeyAttributes")
                    .list(names, |json, name| json.text(name));
            }
        });
    }

    fn index_description(
        &mut self,
        table: &TableDescription,
        index: &IndexDefinition,
        (items, bytes): (i64, i64),
    ) {
        self.member("IndexName").text(&index.name);
        self.index_keys(index);
        self.member("IndexSizeBytes").integer(bytes);
        self.member("ItemCount").integer(items);
        self.member("IndexArn").text(&arn::index(&table.arn, &index.name));
        if index.kind == IndexKind::Local {
            return;
        }
        // Of a table that is made everything is on its way.
        let is_being_made = table.status == TableStatus::Creating || index.status.is_being_made();
        self.member("IndexStatus").text(match index.status {
            _ if is_being_made => "CREATING",
            IndexStatus::Deleting => "DELETING",
            _ => "ACTIVE",
        });
        if index.status.is_being_made() {
            let is_backfilling = index.status == IndexStatus::Backfilling;
            self.member("Backfilling").boolean(is_backfilling);
        }
        self.member("ProvisionedThroughput").object(|json| {
            let throughput = &index.throughput;
            if let Some(raised_ms) = throughput.raised_at_ms {
                json.member("LastIncreaseDateTime").time(raised_ms);
            }
            if let Some(lowered_ms) = throughput.lowered_at_ms {
                json.member("LastDecreaseDateTime").time(lowered_ms);
            }
            json.member("NumberOfDecreasesToday")
                .integer(throughput.lowered_that_day);
            json.capacity_units(throughput);
        });
        self.on_demand_limits(index.on_demand_limits);
        let warm = index.warm_units(table.definition.billing_mode);
        self.member("WarmThroughput").object(|json| {
            json.member("ReadUnitsPerSecond").integer(warm.read_units);
            json.member("WriteUnitsPerSecond").integer(warm.write_units);
            // It can only be one of these. Source: service model of DynamoDB, GlobalSecondaryIndexWarmThroughputDescription.
            json.member("Status")
                .text(if is_being_made { "UPDATING" } else { "ACTIVE" });
        });
    }

    /// What is not limited is left out.
    pub(super) fn on_demand_limits(&mut self, limits: OnDemandLimits) {
        if limits.read_units.is_some() || limits.write_units.is_some() {
            self.member("OnDemandThroughput").object(|json| {
                if let Some(units) = limits.read_units {
                    json.member("MaxReadRequestUnits").integer(units);
                }
                if let Some(units) = limits.write_units {
                    json.member("MaxWriteRequestUnits").integer(units);
                }
            });
        }
    }

    fn key_attributes(&mut self, table: &TableDescription) {
        // Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/table-indexes.md,
        // DDB-TABLE-125.
        let mut attributes = table.definition.key_attributes();
        attributes.sort_by(|one, two| one.name.cmp(&two.name));
        self.member("AttributeDefinitions")
            .list(attributes, |json, attribute| {
                json.object(|json| {
                    json.member("AttributeName").text(&attribute.name);
                    json.member("AttributeType").text(attribute.kind.descriptor());
                });
            });
        self.key_schema(&table.definition.key_schema);
    }

    pub(super) fn key_schema(&mut self, schema: &KeySchema) {
        self.member("KeySchema")
            .list(schema.attributes(), |json, (role, attribute)| {
                json.object(|json| {
                    json.member("AttributeName").text(&attribute.name);
                    json.member("KeyType").text(match role {
                        KeyRole::Partition => "HASH",
                        KeyRole::Sort => "RANGE",
                    });
                });
            });
    }

    fn provisioned_throughput(&mut self, table: &TableDescription) {
        let throughput = &table.definition.throughput;
        self.member("ProvisionedThroughput").object(|json| {
            if let Some(raised_ms) = throughput.raised_at_ms {
                json.member("LastIncreaseDateTime").time(raised_ms);
            }
            if let Some(lowered_ms) = throughput.lowered_at_ms {
                json.member("LastDecreaseDateTime").time(lowered_ms);
            }
            json.member("NumberOfDecreasesToday")
                .integer(table.decreases_today);
            json.capacity_units(throughput);
        });
    }

    /// Written for tables that are, or ever were, paid per request. Its date is not yet told by CreateTable.
    fn billing_mode_summary(&mut self, table: &TableDescription) {
        let definition = &table.definition;
        let Some(since_ms) = definition.pay_per_request_since_ms else {
            return;
        };
        self.member("BillingModeSummary").object(|json| {
            json.billing_mode(definition.billing_mode);
            if table.status != TableStatus::Creating {
                json.member("LastUpdateToPayPerRequestDateTime").time(since_ms);
            }
        });
    }

    fn table_class_summary(&mut self, table: &TableDescription) {
        let Some(class) = table.definition.table_class else {
            return;
        };
        self.member("TableClassSummary").object(|json| {
            json.member("TableClass").text(match class {
                TableClass::Standard => "STANDARD",
                TableClass::StandardInfrequentAccess => "STANDARD_INFREQUENT_ACCESS",
            });
            if let Some(changed_ms) = table.definition.table_class_changed_at_ms {
                json.member("LastUpdateDateTime").time(changed_ms);
            }
        });
    }

    fn throughput_limits(&mut self, table: &TableDescription) {
        self.on_demand_limits(table.definition.on_demand_limits);
        let warm = table.definition.warm_units();
        self.member("WarmThroughput").object(|json| {
            json.member("ReadUnitsPerSecond").integer(warm.read_units);
            json.member("WriteUnitsPerSecond").integer(warm.write_units);
            json.member("Status").text(match table.status {
                TableStatus::Creating | TableStatus::Updating => "UPDATING",
                TableStatus::Active => "ACTIVE",
                TableStatus::Deleting => "DELETING",
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use stator_model::attribute::Kind;
    use stator_model::key::{KeyAttribute, KeySchema};
    use uuid::Uuid;

    use super::*;
    use crate::catalog::{OnDemandLimits, TableDefinition, Throughput, WarmUnits};

    fn text(answer: &impl Encode) -> String {
        let mut json = Json::default();
        answer.encode(&mut json);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    fn description() -> TableDescription {
        let key = |name: &str, kind| KeyAttribute {
            name: name.to_owned(),
            kind,
        };
        TableDescription {
            definition: TableDefinition {
                name: "Tab".to_owned(),
                id: Uuid::from_u128(7),
                created_at_ms: 1_795_493_551_051,
                key_schema: KeySchema {
                    partition: key("pk", Kind::String),
                    sort: Some(key("sk", Kind::Number)),
                },
                billing_mode: BillingMode::Provisioned,
                pay_per_request_since_ms: None,
                throughput: Throughput {
                    read_units: 5,
                    write_units: 6,
                    ..Throughput::default()
                },
                table_class: None,
                table_class_changed_at_ms: None,
                on_demand_limits: OnDemandLimits::default(),
                warm_units_requested: None,
                deletion_protection: false,
                tags: BTreeMap::new(),
                indexes: Vec::new(),
                streams: Vec::new(),
                time_to_live: None,
                resource_policies: Vec::new(),
                account_key: false,
                restore: None,
                import: None,
                deletion: None,
                reads_begun: 0,
                history: None,
            },
            status: TableStatus::Active,
            arn: "arn:x".to_owned(),
            items: 3,
            bytes: 40,
            indexes: Vec::new(),
            decreases_today: 0,
            key_arn: None,
            source_arns: None,
        }
    }

    #[test]
    fn a_description_has_what_dynamodb_always_tells() {
        let answer = DescribeTableOutput { table: description() };
        assert_eq!(
            text(&answer),
            concat!(
                r#"{"Table":{"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},"#,
                r#"{"AttributeName":"sk","AttributeType":"N"}],"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},"#,
                r#"{"AttributeName":"sk","KeyType":"RANGE"}],"TableName":"Tab","TableStatus":"ACTIVE","#,
                r#""CreationDateTime":1795493551.051,"ProvisionedThroughput":{"NumberOfDecreasesToday":0,"#,
                r#""ReadCapacityUnits":5,"WriteCapacityUnits":6},"TableSizeBytes":40,"ItemCount":3,"TableArn":"arn:x","#,
                r#""TableId":"00000000-0000-0000-0000-000000000007","DeletionProtectionEnabled":false,"#,
                r#""WarmThroughput":{"ReadUnitsPerSecond":5,"WriteUnitsPerSecond":6,"Status":"ACTIVE"}}}"#
            )
        );
    }

    #[test]
    fn what_was_set_is_told() {
        let mut table = description();
        table.definition.billing_mode = BillingMode::PayPerRequest;
        table.definition.pay_per_request_since_ms = Some(1_000);
        table.definition.throughput.raised_at_ms = Some(2_500);
        table.definition.throughput.lowered_at_ms = Some(3_050);
        table.definition.table_class = Some(TableClass::Standard);
        table.definition.table_class_changed_at_ms = Some(4_000);
        table.definition.on_demand_limits.read_units = Some(9);
        table.key_arn = Some("arn:key".to_owned());
        table.definition.warm_units_requested = Some(WarmUnits {
            read_units: 13_000,
            write_units: 4_000,
        });
        let told = text(&UpdateTableOutput {
            table_description: TableDescription {
                status: TableStatus::Updating,
                ..table.clone()
            },
        });
        for part in [
            r#"{"TableDescription":{"#,
            r#""TableStatus":"UPDATING""#,
            r#""LastIncreaseDateTime":2.500,"LastDecreaseDateTime":3.050,"#,
            r#""BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST","LastUpdateToPayPerRequestDateTime":1.000}"#,
            r#""SSEDescription":{"Status":"ENABLED","SSEType":"KMS","KMSMasterKeyArn":"arn:key"}"#,
            r#""TableClassSummary":{"TableClass":"STANDARD","LastUpdateDateTime":4.000}"#,
            r#""OnDemandThroughput":{"MaxReadRequestUnits":9}"#,
            r#""WarmThroughput":{"ReadUnitsPerSecond":13000,"WriteUnitsPerSecond":4000,"Status":"UPDATING"}"#,
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let told = text(&CreateTableOutput {
            table_description: TableDescription {
                status: TableStatus::Creating,
                ..table
            },
        });
        assert!(told.contains(r#""BillingModeSummary":{"BillingMode":"PAY_PER_REQUEST"}"#));
    }

    /// A table with a global index, and what is told of it in a status.
    fn indexed(status: TableStatus) -> String {
        let mut table = description();
        let attribute = |name: &str| KeyAttribute {
            name: name.to_owned(),
            kind: Kind::Binary,
        };
        table.definition.indexes.push(IndexDefinition {
            name: "by-a".to_owned(),
            id: Uuid::from_u128(8),
            kind: IndexKind::Global,
            hash: vec![attribute("a")],
            range: Vec::new(),
            projection: Projection::Include(vec!["z".to_owned(), "y".to_owned()]),
            status: IndexStatus::Active,
            throughput: Throughput {
                read_units: 7,
                write_units: 8,
                ..Throughput::default()
            },
            on_demand_limits: OnDemandLimits::default(),
            warm_units_requested: None,
        });
        table.indexes.push((1, 2));
        table.status = status;
        text(&DescribeTableOutput { table })
    }

    #[test]
    fn an_index_tells_what_it_serves_at_once() {
        let told = indexed(TableStatus::Active);
        for part in [
            r#"[{"AttributeName":"a","AttributeType":"B"},{"AttributeName":"pk","AttributeType":"S"},{"#,
            r#""NonKeyAttributes":["y","z"]"#,
            r#""IndexStatus":"ACTIVE","#,
            r#""WarmThroughput":{"ReadUnitsPerSecond":7,"WriteUnitsPerSecond":8,"Status":"ACTIVE"}}]"#,
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let told = indexed(TableStatus::Creating);
        for part in [
            r#""IndexStatus":"CREATING","#,
            r#""WriteUnitsPerSecond":8,"Status":"UPDATING"}}]"#,
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }

    #[test]
    fn nothing_is_told_of_the_indexes_of_a_table_that_is_deleted() {
        let told = indexed(TableStatus::Deleting);
        assert!(!told.contains("GlobalSecondaryIndexes"), "{told}");
    }
}
