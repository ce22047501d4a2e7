//! RestoreTableFromBackup. The table is there when this is answered, and can be used when its items are (`archivist.rs`).
//!
//! As in DynamoDB, the new table has the items, the keys and the indexes of the one that was backed up, and its throughput,
//! unless the request says otherwise; it has no stream, no time to live, no tags, no policy and no deletion protection.

use stator_model::index::IndexKind;
use stator_model::key::KeyAttribute;
use uuid::Uuid;

use super::backup_description::check_arn;
use super::index_settings::{IndexRequest, Setting};
use super::table_description::{TableDescription, TableStatus, Tallies};
use super::table_settings::{OnDemandThroughput, ProvisionedThroughput, SseSpecification, Whose};
use super::{Context, Operation, account_limits, table_name};
use crate::arn;
use crate::backup::{BackupRecord, BackupStatus};
use crate::catalog::{
    BillingMode, CatalogError, IndexDefinition, IndexStatus, OnDemandLimits, Restore, TableDefinition,
    Throughput,
};
use crate::constraint::Constraints;
use crate::message::table::Unsupported;
use crate::message::{backup, table};
use crate::wire::error::ApiError;

/// So many tables are restored at a time. Source: Amazon DynamoDB Developer Guide, "Quotas: API-specific limits".
const RESTORES_MAX: usize = 50;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct RestoreTableFromBackup {
    pub(crate) target_table_name: Option<String>,
    pub(crate) backup_arn: Option<String>,
    pub(crate) overrides: RestoreOverrides,
}

/// What is to be otherwise than it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct RestoreOverrides {
    pub(crate) billing_mode: Option<String>,
    pub(crate) global_indexes: Option<Vec<IndexRequest>>,
    pub(crate) local_indexes: Option<Vec<IndexRequest>>,
    pub(crate) provisioned_throughput: Option<ProvisionedThroughput>,
    pub(crate) on_demand_throughput: Option<OnDemandThroughput>,
    pub(crate) sse_specification: Option<SseSpecification>,
    /// Whether vector indexes are named.
    pub(crate) vector_indexes: bool,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct RestoreTableFromBackupOutput {
    pub(crate) table_description: TableDescription,
}

/// Makes ids that nobody else has.
pub(super) type NewId<'a> = &'a mut dyn FnMut() -> Result<Uuid, ApiError>;

impl Operation for RestoreTableFromBackup {
    type Output = RestoreTableFromBackupOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let (name, arn, billing_mode) = self.validate()?;
        let record = context.backup(&arn).await?;
        if record.status != BackupStatus::Available {
            return Err(backup::being_created(&arn));
        }
        check_target(context, &name).await?;
        check_source(context, &record, &arn).await?;
        let now_ms = context.clock.now_ms();
        let new_id = &mut || context.new_id();
        let definition =
            self.overrides
                .definition(name, of_backup(&record), billing_mode, (new_id, now_ms))?;
        let made = (definition.name.clone(), definition.id);
        let table_description = Box::pin(begin(context, definition)).await?;
        // DeleteBackup looks at tables first: one of the two sees the other.
        let there = Box::pin(context.backup(&arn)).await;
        if !matches!(&there, Ok(there) if there.status == BackupStatus::Available) {
            Box::pin(undo(context, made)).await?;
            return Err(there.err().unwrap_or_else(|| backup::not_found(&arn)));
        }
        Ok(RestoreTableFromBackupOutput { table_description })
    }
}

/// What a table is restored from: its definition then, and where its items are.
pub(super) type Source<'a> = (&'a TableDefinition, Restore);

fn of_backup(record: &BackupRecord) -> Source<'_> {
    let source = record.table();
    let restore = Restore {
        table: source.name.clone(),
        backup: record.id.clone(),
        at_ms: record.created_at_ms,
        in_progress: true,
        is_sealed: false,
        history: None,
        part: None,
    };
    (source, restore)
}

/// Refuses a restore into a table that is there, or when there are enough tables, or restores under way.
pub(super) async fn check_target(context: &Context, name: &str) -> Result<(), ApiError> {
    let tables = context.catalog.all().await.map_err(table::catalog)?;
    if let Some(there) = tables.get(name) {
        return Err(taken(there.definition(), &context.region));
    }
    let restored = tables
        .values()
        .filter(|table| table.definition().is_being_restored());
    if restored.count() >= RESTORES_MAX {
        return Err(backup::too_many_restores(RESTORES_MAX));
    }
    if tables.len() >= context.limits.tables_max {
        return Err(table::too_many(context.limits.tables_max));
    }
    Ok(())
}

/// What a restore into a table that is there is told.
fn taken(there: &TableDefinition, region: &str) -> ApiError {
    let is_named = |restore: &&Restore| !restore.backup.is_empty() && restore.part.is_none();
    let restore = there.restore.as_ref().filter(|restore| restore.in_progress);
    match restore.filter(is_named) {
        Some(restore) => {
            let arn = arn::backup(&arn::table(region, &restore.table), &restore.backup);
            backup::target_in_use(&there.name, &arn)
        }
        None => backup::table_exists(&there.name),
    }
}

/// Refuses a restore from a backup from which another table is being restored. As in DynamoDB, one is at a time.
async fn check_source(context: &Context, record: &BackupRecord, arn: &str) -> Result<(), ApiError> {
    let tables = context.catalog.all().await.map_err(table::catalog)?;
    let mut tables = tables.values();
    if tables.any(|table| table.definition().is_being_restored_from(&record.id)) {
        return Err(backup::feeds_another(arn));
    }
    Ok(())
}

/// Removes a table that was made for a restore whose source has gone.
pub(super) async fn undo(context: &Context, (name, id): (String, Uuid)) -> Result<(), ApiError> {
    let is_it = |there: &TableDefinition| if there.id == id { Ok(()) } else { Err(()) };
    let removed = context.catalog.remove(&name, context.clock.now_ms(), is_it);
    match removed.await {
        Ok(_) | Err(CatalogError::Missing { .. }) => Ok(()),
        Err(error) => Err(table::catalog(error)),
    }
}

/// Makes the table whose items are to be restored.
pub(super) async fn begin(
    context: &Context,
    definition: TableDefinition,
) -> Result<TableDescription, ApiError> {
    account_limits::check(context, &definition)?;
    context
        .catalog
        .create(&definition)
        .await
        .map_err(|error| match error {
            CatalogError::Exists { name } => backup::table_exists(&name),
            error => table::catalog(error),
        })?;
    let (tallies, status) = (Tallies::default(), TableStatus::Creating);
    Ok(TableDescription::new(context, definition, &tallies, status))
}

/// Notes what the service model has against the name of a table that is to be made or read, at `member`.
pub(super) fn check_name(constraints: &mut Constraints, member: &str, name: Option<&String>) {
    let Some(name) = name else { return };
    constraints.length(member, name, name.chars().count(), 3, 255);
    if !name.is_empty() && !name.bytes().all(arn::is_table_name_byte) {
        let rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        constraints.violated(member, name, rule);
    }
}

impl RestoreTableFromBackup {
    /// The name of the table, the ARN of the backup, and the billing mode if there is to be another one.
    fn validate(&self) -> Result<(String, String, Option<BillingMode>), ApiError> {
        let mut constraints = Constraints::default();
        let target = self.target_table_name.as_ref();
        constraints.required("targetTableName", target);
        // An empty one is told by itself.
        let is_empty = target.is_some_and(String::is_empty);
        check_name(&mut constraints, "targetTableName", target.filter(|_| !is_empty));
        constraints.required("backupArn", self.backup_arn.as_ref());
        check_arn(&mut constraints, "backupArn", self.backup_arn.as_ref());
        let billing_mode = self.overrides.check(&mut constraints);
        constraints.finish()?;
        if is_empty {
            return Err(ApiError::validation(backup::EMPTY_TARGET));
        }
        self.overrides.check_supported()?;
        let name = table_name::resolve(self.target_table_name.as_deref().unwrap_or_default())?;
        let arn = self.backup_arn.clone().unwrap_or_default();
        Ok((name.to_owned(), arn, billing_mode))
    }
}

impl RestoreOverrides {
    /// Refuses what this version does not have.
    pub(super) fn check_supported(&self) -> Result<(), ApiError> {
        if self.vector_indexes {
            return Err(Unsupported::VectorIndexes("VectorIndexOverride").refusal());
        }
        Ok(())
    }

    /// Checks the constraints of the service model; gives the billing mode.
    pub(super) fn check(&self, constraints: &mut Constraints) -> Option<BillingMode> {
        let billing_mode = constraints.one_of("billingModeOverride", self.billing_mode.as_deref());
        for (member, kind, indexes) in [
            (
                "globalSecondaryIndexOverride",
                IndexKind::Global,
                &self.global_indexes,
            ),
            (
                "localSecondaryIndexOverride",
                IndexKind::Local,
                &self.local_indexes,
            ),
        ] {
            for (place, index) in indexes.iter().flatten().enumerate() {
                index.check(constraints, kind, &format!("{member}.{}.member", place + 1));
            }
        }
        if let Some(throughput) = &self.provisioned_throughput {
            throughput.check_at(constraints, "provisionedThroughputOverride");
        }
        if let Some(encryption) = &self.sse_specification {
            encryption.check(constraints);
        }
        billing_mode
    }

    /// The definition of the table to be made.
    pub(super) fn definition(
        &self,
        name: String,
        (source, restore): Source<'_>,
        billing_mode: Option<BillingMode>,
        (new_id, now_ms): (NewId<'_>, i64),
    ) -> Result<TableDefinition, ApiError> {
        let mode = billing_mode.unwrap_or(source.billing_mode);
        let (read_units, write_units) = self.units(source, billing_mode)?;
        let on_demand_limits = self.limits(source, mode)?;
        let encryption = self.sse_specification.as_ref();
        let key = "SSESpecificationOverride.KMSMasterKeyId";
        let encryption = encryption.map(|request| request.is_enabled_by(key)).transpose()?;
        let indexes = self.indexes(source, billing_mode, new_id)?;
        Ok(TableDefinition {
            name,
            id: new_id()?,
            created_at_ms: now_ms,
            key_schema: source.key_schema.clone(),
            billing_mode: mode,
            pay_per_request_since_ms: (mode == BillingMode::PayPerRequest).then_some(now_ms),
            throughput: Throughput {
                read_units,
                write_units,
                ..Throughput::default()
            },
            table_class: source.table_class,
            table_class_changed_at_ms: None,
            on_demand_limits,
            warm_units_requested: None,
            deletion_protection: false,
            tags: std::collections::BTreeMap::new(),
            indexes,
            streams: Vec::new(),
            time_to_live: None,
            resource_policies: Vec::new(),
            account_key: encryption.unwrap_or(source.account_key),
            restore: Some(restore),
            history: None,
            import: None,
            deletion: None,
            reads_begun: 0,
        })
    }

    /// The units of the table: those that it had, unless the request says otherwise.
    fn units(
        &self,
        source: &TableDefinition,
        billing_mode: Option<BillingMode>,
    ) -> Result<(i64, i64), ApiError> {
        let mode = billing_mode.unwrap_or(source.billing_mode);
        match (mode, &self.provisioned_throughput) {
            (BillingMode::PayPerRequest, None) => Ok((0, 0)),
            (BillingMode::PayPerRequest, Some(_)) if billing_mode.is_some() => {
                Err(backup::units_of_on_demand(None))
            }
            (BillingMode::PayPerRequest, Some(_)) => Err(backup::units_of_other_mode()),
            (BillingMode::Provisioned, Some(throughput)) => throughput.units(),
            (BillingMode::Provisioned, None) if source.billing_mode == BillingMode::Provisioned => {
                Ok((source.throughput.read_units, source.throughput.write_units))
            }
            (BillingMode::Provisioned, None) => Err(backup::no_units()),
        }
    }

    /// The limits of the table: those that it had, unless the request says otherwise.
    fn limits(&self, source: &TableDefinition, mode: BillingMode) -> Result<OnDemandLimits, ApiError> {
        let limits = match mode {
            BillingMode::PayPerRequest => source.on_demand_limits,
            BillingMode::Provisioned => OnDemandLimits::default(),
        };
        let Some(request) = &self.on_demand_throughput else {
            return Ok(limits);
        };
        for (member, units) in [
            ("MaxReadRequestUnits", request.max_read_request_units),
            ("MaxWriteRequestUnits", request.max_write_request_units),
        ] {
            match units {
                Some(_) if mode == BillingMode::Provisioned => {
                    return Err(backup::limit_of_provisioned(member));
                }
                Some(units) if units < 1 && units != -1 => return Err(backup::wrong_limit(member)),
                Some(_) | None => {}
            }
        }
        request.applied(mode, limits, Whose::TABLE)
    }

    /// The indexes of the table: those that it had, or those of them that the request names, which may have other names.
    fn indexes(
        &self,
        source: &TableDefinition,
        billing_mode: Option<BillingMode>,
        new_id: NewId<'_>,
    ) -> Result<Vec<IndexDefinition>, ApiError> {
        let mode = billing_mode.unwrap_or(source.billing_mode);
        let keys: Vec<KeyAttribute> = source.key_attributes().into_iter().cloned().collect();
        let setting = Setting {
            table: &source.key_schema,
            billing_mode: mode,
            definitions: &keys,
            named: &keys,
        };
        let mut indexes = Vec::new();
        for (kind, requests) in [
            (IndexKind::Local, &self.local_indexes),
            (IndexKind::Global, &self.global_indexes),
        ] {
            let had = || source.indexes.iter().filter(|index| index.kind == kind);
            let Some(requests) = requests else {
                // An index that was being made or given up then has no place in the new table, or all of it.
                for index in had().filter(|index| index.status != IndexStatus::Deleting) {
                    indexes.push(kept(index, source, mode, new_id()?)?);
                }
                continue;
            };
            for request in requests {
                check_units(request, kind, billing_mode, mode)?;
                let index = request.definition(kind, new_id()?, IndexStatus::Active, setting)?;
                let mut had = had();
                let is_same = |had: &IndexDefinition| {
                    had.hash == index.hash && had.range == index.range && had.projection == index.projection
                };
                if !had.any(is_same) {
                    return Err(backup::other_index(&index.name));
                }
                indexes.push(index);
            }
        }
        super::index_settings::check_all(&indexes)?;
        Ok(indexes)
    }
}

/// Refuses units of an index that do not go with how its table is to be billed.
fn check_units(
    request: &IndexRequest,
    kind: IndexKind,
    billing_mode: Option<BillingMode>,
    mode: BillingMode,
) -> Result<(), ApiError> {
    if kind == IndexKind::Local {
        return Ok(());
    }
    let name = request.index_name.as_deref().unwrap_or_default();
    match (mode, &request.provisioned_throughput) {
        (BillingMode::Provisioned, None) => Err(backup::missing_units(name)),
        (BillingMode::PayPerRequest, Some(_)) if billing_mode.is_some() => {
            Err(backup::units_of_on_demand(Some(name)))
        }
        _ => Ok(()),
    }
}

/// An index as it was, for a table that is billed like this.
fn kept(
    index: &IndexDefinition,
    source: &TableDefinition,
    mode: BillingMode,
    id: Uuid,
) -> Result<IndexDefinition, ApiError> {
    let is_global = index.kind == IndexKind::Global;
    if is_global && mode == BillingMode::Provisioned && source.billing_mode == BillingMode::PayPerRequest {
        return Err(backup::missing_units(&index.name));
    }
    let throughput = match mode {
        BillingMode::Provisioned => Throughput {
            read_units: index.throughput.read_units,
            write_units: index.throughput.write_units,
            ..Throughput::default()
        },
        BillingMode::PayPerRequest => Throughput::default(),
    };
    Ok(IndexDefinition {
        id,
        status: IndexStatus::Active,
        throughput,
        on_demand_limits: match mode {
            BillingMode::PayPerRequest => index.on_demand_limits,
            BillingMode::Provisioned => OnDemandLimits::default(),
        },
        warm_units_requested: None,
        ..index.clone()
    })
}

#[cfg(test)]
mod tests {
    use stator_model::attribute::Kind;
    use stator_model::index::Projection;

    use super::*;
    use crate::catalog::{StreamDefinition, StreamStatus, StreamView};
    use crate::operation::create_table::KeySchemaElement;
    use crate::operation::create_table::tests::definition;
    use crate::operation::index_settings::ProjectionRequest;

    /// Of a provisioned table with a global index `by-a`, a stream and a tag.
    fn record() -> BackupRecord {
        let mut table = definition();
        table.billing_mode = BillingMode::Provisioned;
        (table.throughput.read_units, table.throughput.write_units) = (7, 8);
        table.deletion_protection = true;
        table.tags.insert("a".into(), "b".into());
        let stream =
            StreamDefinition::new(Uuid::from_u128(3), StreamView::KeysOnly, StreamStatus::Enabled, 0);
        table.streams.push(stream);
        table.indexes = vec![IndexDefinition {
            name: "by-a".into(),
            id: Uuid::from_u128(2),
            kind: IndexKind::Global,
            hash: vec![KeyAttribute {
                name: "a".into(),
                kind: Kind::String,
            }],
            range: Vec::new(),
            projection: Projection::KeysOnly,
            status: IndexStatus::Backfilling,
            throughput: Throughput {
                read_units: 2,
                write_units: 3,
                ..Throughput::default()
            },
            on_demand_limits: OnDemandLimits::default(),
            warm_units_requested: None,
        }];
        let mut record = BackupRecord::new("id".into(), "name".into(), 50, table);
        record.status = BackupStatus::Available;
        record
    }

    fn restored(
        overrides: &RestoreOverrides,
        mode: Option<BillingMode>,
    ) -> Result<TableDefinition, ApiError> {
        let mut last = 100;
        let new_id = &mut || {
            last += 1;
            Ok(Uuid::from_u128(last))
        };
        overrides.definition("New".into(), of_backup(&record()), mode, (new_id, 70))
    }

    #[test]
    fn a_table_without_a_name_is_told_by_itself() {
        let request = |name: &str| RestoreTableFromBackup {
            target_table_name: Some(name.to_owned()),
            backup_arn: Some("a".repeat(37)),
            overrides: RestoreOverrides::default(),
        };
        assert_eq!(
            request("").validate(),
            Err(ApiError::validation(
                "TableName must be at least 3 characters long and at most 255 characters long"
            ))
        );
        let short = request("ab").validate().unwrap_err().to_string();
        assert!(short.contains("'targetTableName'"), "{short}");
    }

    #[test]
    fn a_restored_table_has_keys_indexes_and_throughput_and_nothing_else_of_the_old_one() {
        let (old, new) = (record(), restored(&RestoreOverrides::default(), None).unwrap());
        assert_eq!(new.name, "New");
        assert_ne!(new.id, old.table().id);
        assert_eq!(new.key_schema, old.table().key_schema);
        assert_eq!((new.throughput.read_units, new.throughput.write_units), (7, 8));
        assert_eq!(new.indexes.len(), 1);
        assert_ne!(new.indexes[0].id, old.table().indexes[0].id);
        assert_eq!(new.indexes[0].status, IndexStatus::Active);
        assert_eq!(new.indexes[0].throughput.write_units, 3);
        assert!(new.streams.is_empty() && new.tags.is_empty() && !new.deletion_protection);
        assert!(new.is_being_restored());
        assert_eq!(new.restore.map(|restore| restore.at_ms), Some(50));
    }

    #[test]
    fn another_billing_mode_has_another_throughput() {
        let new = restored(&RestoreOverrides::default(), Some(BillingMode::PayPerRequest)).unwrap();
        assert_eq!((new.throughput, new.indexes[0].throughput), Default::default());
        let units = RestoreOverrides {
            provisioned_throughput: Some(ProvisionedThroughput {
                read_capacity_units: Some(1),
                write_capacity_units: Some(2),
            }),
            ..RestoreOverrides::default()
        };
        let new = restored(&units, None).unwrap();
        assert_eq!((new.throughput.read_units, new.throughput.write_units), (1, 2));
        assert_eq!(
            restored(&units, Some(BillingMode::PayPerRequest)),
            Err(ApiError::validation(
                "Invalid Request: Cannot override ProvisionedThroughput if BillingMode is overridden to PAY_PER_REQUEST"
            ))
        );
    }

    #[test]
    fn what_a_table_that_is_paid_for_each_request_was_goes_with_how_it_is_to_be_paid() {
        let mut of_on_demand = record().table().clone();
        of_on_demand.billing_mode = BillingMode::PayPerRequest;
        of_on_demand.indexes.clear();
        let units = |overrides: &RestoreOverrides, mode| overrides.units(&of_on_demand, mode);
        let none = RestoreOverrides::default();
        let some = RestoreOverrides {
            provisioned_throughput: Some(ProvisionedThroughput {
                read_capacity_units: Some(1),
                write_capacity_units: Some(2),
            }),
            ..RestoreOverrides::default()
        };
        let provisioned = Some(BillingMode::Provisioned);
        assert_eq!(units(&none, None), Ok((0, 0)));
        assert_eq!(units(&none, provisioned), Err(backup::no_units()));
        assert_eq!(units(&some, provisioned), Ok((1, 2)));
        assert_eq!(units(&some, None), Err(backup::units_of_other_mode()));
        let limited = |reads, mode| {
            let overrides = RestoreOverrides {
                on_demand_throughput: Some(OnDemandThroughput {
                    max_read_request_units: Some(reads),
                    max_write_request_units: None,
                }),
                ..RestoreOverrides::default()
            };
            let limits = overrides.limits(&of_on_demand, mode)?;
            Ok::<_, ApiError>(limits.read_units)
        };
        let on_demand = BillingMode::PayPerRequest;
        assert_eq!(limited(5, on_demand), Ok(Some(5)));
        assert_eq!(
            limited(0, on_demand),
            Err(backup::wrong_limit("MaxReadRequestUnits"))
        );
        assert_eq!(
            limited(5, BillingMode::Provisioned),
            Err(backup::limit_of_provisioned("MaxReadRequestUnits"))
        );
    }

    #[test]
    fn indexes_may_be_left_out_and_not_be_others() {
        let none = RestoreOverrides {
            global_indexes: Some(Vec::new()),
            ..RestoreOverrides::default()
        };
        assert_eq!(restored(&none, None).unwrap().indexes, []);
        let with = |name: &str, projection: &str| RestoreOverrides {
            global_indexes: Some(vec![IndexRequest {
                index_name: Some(name.into()),
                key_schema: Some(vec![KeySchemaElement {
                    attribute_name: Some("a".into()),
                    key_type: Some("HASH".into()),
                }]),
                projection: Some(ProjectionRequest {
                    projection_type: Some(projection.into()),
                    non_key_attributes: None,
                }),
                provisioned_throughput: Some(ProvisionedThroughput {
                    read_capacity_units: Some(9),
                    write_capacity_units: Some(9),
                }),
                ..IndexRequest::default()
            }]),
            ..RestoreOverrides::default()
        };
        let same = restored(&with("by-a", "KEYS_ONLY"), None).unwrap();
        assert_eq!(same.indexes[0].throughput.read_units, 9);
        let renamed = restored(&with("named-anew", "KEYS_ONLY"), None).unwrap();
        assert_eq!(renamed.indexes[0].name, "named-anew");
        assert_eq!(
            restored(&with("by-a", "ALL"), None),
            Err(backup::other_index("by-a"))
        );
        assert_eq!(
            restored(&with("by-a", "KEYS_ONLY"), Some(BillingMode::PayPerRequest)),
            Err(backup::units_of_on_demand(Some("by-a")))
        );
        let mut without = with("by-a", "KEYS_ONLY");
        for index in without.global_indexes.iter_mut().flatten() {
            index.provisioned_throughput = None;
        }
        assert_eq!(restored(&without, None), Err(backup::missing_units("by-a")));
    }
}
