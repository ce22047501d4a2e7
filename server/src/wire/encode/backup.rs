//! Answers about backups.

use stator_model::index::IndexKind;

use super::Encode;
use super::json::Json;
use crate::backup::{BackupKind, BackupStatus};
use crate::catalog::{IndexDefinition, TableDefinition};
use crate::operation::backup_description::BackupDescription;
use crate::operation::create_backup::CreateBackupOutput;
use crate::operation::delete_backup::DeleteBackupOutput;
use crate::operation::describe_backup::DescribeBackupOutput;
use crate::operation::describe_continuous_backups::{DescribeContinuousBackupsOutput, PointInTimeRecovery};
use crate::operation::list_backups::ListBackupsOutput;
use crate::operation::restore_table_from_backup::RestoreTableFromBackupOutput;
use crate::operation::restore_table_to_point_in_time::RestoreTableToPointInTimeOutput;
use crate::operation::update_continuous_backups::UpdateContinuousBackupsOutput;

impl Encode for CreateBackupOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.backup_details(&self.backup));
    }
}

impl Encode for DescribeBackupOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.backup_description(&self.backup));
    }
}

impl Encode for DeleteBackupOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.backup_description(&self.backup));
    }
}

impl Encode for ListBackupsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("BackupSummaries")
                .list(&self.backups, |json, backup| {
                    json.object(|json| {
                        let table = backup.record.table();
                        json.member("TableName").text(&table.name);
                        json.member("TableId").text(&table.id.to_string());
                        json.member("TableArn").text(&backup.table_arn);
                        json.backup_members(backup);
                    });
                });
            if let Some(arn) = &self.last_evaluated_backup_arn {
                json.member("LastEvaluatedBackupArn").text(arn);
            }
        });
    }
}

impl Encode for RestoreTableFromBackupOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("TableDescription")
                .table_description(&self.table_description);
        });
    }
}

impl Encode for RestoreTableToPointInTimeOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("TableDescription")
                .table_description(&self.table_description);
        });
    }
}

impl Encode for DescribeContinuousBackupsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.continuous_backups(self.recovery.as_ref()));
    }
}

impl Encode for UpdateContinuousBackupsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| json.continuous_backups(self.recovery.as_ref()));
    }
}

impl Json {
    fn continuous_backups(&mut self, recovery: Option<&PointInTimeRecovery>) {
        self.member("ContinuousBackupsDescription").object(|json| {
            json.member("ContinuousBackupsStatus").text("ENABLED");
            json.member("PointInTimeRecoveryDescription").object(|json| {
                let status = if recovery.is_some() { "ENABLED" } else { "DISABLED" };
                json.member("PointInTimeRecoveryStatus").text(status);
                let Some(recovery) = recovery else { return };
                json.member("RecoveryPeriodInDays").integer(recovery.period_days);
                if let Some((earliest_ms, latest_ms)) = recovery.restorable_ms {
                    json.member("EarliestRestorableDateTime").time(earliest_ms);
                    json.member("LatestRestorableDateTime").time(latest_ms);
                }
            });
        });
    }

    /// What details and summaries of a backup have in common.
    fn backup_members(&mut self, backup: &BackupDescription) {
        let record = &backup.record;
        self.member("BackupArn").text(&backup.arn);
        self.member("BackupName").text(&record.name);
        self.member("BackupSizeBytes").integer(record.size);
        self.member("BackupStatus").text(match record.status {
            BackupStatus::Creating => "CREATING",
            BackupStatus::Available => "AVAILABLE",
            BackupStatus::Deleted => "DELETED",
        });
        self.member("BackupType").text(match record.kind {
            BackupKind::User => "USER",
            BackupKind::System => "SYSTEM",
        });
        self.member("BackupCreationDateTime").time(record.created_at_ms);
        if let Some(expires_at_ms) = record.expires_at_ms() {
            self.member("BackupExpiryDateTime").time(expires_at_ms);
        }
    }

    fn backup_details(&mut self, backup: &BackupDescription) {
        self.member("BackupDetails")
            .object(|json| json.backup_members(backup));
    }

    fn backup_description(&mut self, backup: &BackupDescription) {
        self.member("BackupDescription").object(|json| {
            json.backup_details(backup);
            json.member("SourceTableDetails")
                .object(|json| json.source_table(backup));
            json.member("SourceTableFeatureDetails")
                .object(|json| json.source_features(backup));
        });
    }

    fn source_table(&mut self, backup: &BackupDescription) {
        let table = backup.record.table();
        self.member("TableName").text(&table.name);
        self.member("TableId").text(&table.id.to_string());
        self.member("TableArn").text(&backup.table_arn);
        self.member("TableSizeBytes").integer(backup.record.size);
        self.key_schema(&table.key_schema);
        self.member("TableCreationDateTime").time(table.created_at_ms);
        self.member("ProvisionedThroughput")
            .object(|json| json.capacity_units(&table.throughput));
        self.on_demand_limits(table.on_demand_limits);
        self.member("ItemCount").integer(backup.record.items);
        self.billing_mode(table.billing_mode);
    }

    fn source_features(&mut self, backup: &BackupDescription) {
        let table = backup.record.table();
        self.source_indexes(table, IndexKind::Local, "LocalSecondaryIndexes");
        self.source_indexes(table, IndexKind::Global, "GlobalSecondaryIndexes");
        if let Some(stream) = table.stream() {
            self.member("StreamDescription").enabled_stream(stream);
        }
        if let Some(due) = &table.time_to_live {
            self.time_to_live_description(Some(due));
        }
        self.encryption_key(backup.key_arn.as_deref());
    }

    fn source_indexes(&mut self, table: &TableDefinition, kind: IndexKind, member: &str) {
        let of_kind = |index: &&IndexDefinition| index.kind == kind;
        let indexes: Vec<_> = table.indexes.iter().filter(of_kind).collect();
        if indexes.is_empty() {
            return;
        }
        self.member(member).list(indexes, |json, index| {
            json.object(|json| {
                json.member("IndexName").text(&index.name);
                json.index_keys(index);
                if kind == IndexKind::Global {
                    json.member("ProvisionedThroughput")
                        .object(|json| json.capacity_units(&index.throughput));
                    json.on_demand_limits(index.on_demand_limits);
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::BackupRecord;
    use crate::operation::create_table::tests::definition;

    fn text(answer: &impl Encode) -> String {
        let mut json = Json::default();
        answer.encode(&mut json);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn a_history_is_described_with_its_moments() {
        let recovery = |restorable_ms| {
            Some(PointInTimeRecovery {
                period_days: 7,
                restorable_ms,
            })
        };
        let told = |recovery| text(&DescribeContinuousBackupsOutput { recovery });
        let around = |inner: &str| {
            format!(
                r#"{{"ContinuousBackupsDescription":{{"ContinuousBackupsStatus":"ENABLED","PointInTimeRecoveryDescription":{{{inner}}}}}}}"#
            )
        };
        assert_eq!(told(None), around(r#""PointInTimeRecoveryStatus":"DISABLED""#));
        let enabled = r#""PointInTimeRecoveryStatus":"ENABLED","RecoveryPeriodInDays":7"#;
        assert_eq!(told(recovery(None)), around(enabled));
        let moments = r#","EarliestRestorableDateTime":1.500,"LatestRestorableDateTime":2.250"#;
        assert_eq!(
            told(recovery(Some((1_500, 2_250)))),
            around(&format!("{enabled}{moments}"))
        );
    }

    #[test]
    fn a_backup_is_described_with_its_table() {
        let mut record = BackupRecord::new("id".into(), "nightly".into(), 1_500, definition());
        (record.size, record.items) = (90, 3);
        let backup = BackupDescription {
            record,
            arn: "arn:backup".into(),
            table_arn: "arn:table".into(),
            key_arn: None,
        };
        let told = text(&DescribeBackupOutput {
            backup: backup.clone(),
        });
        for part in [
            concat!(
                r#"{"BackupDescription":{"BackupDetails":{"BackupArn":"arn:backup","BackupName":"nightly","#,
                r#""BackupSizeBytes":90,"BackupStatus":"CREATING","BackupType":"USER","BackupCreationDateTime":1.500},"#,
                r#""SourceTableDetails":{"TableName":"Tab","#
            ),
            r#""TableArn":"arn:table","TableSizeBytes":90,"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}"#,
            r#""ItemCount":3,"BillingMode":"#,
            r#","SourceTableFeatureDetails":{}}}"#,
        ] {
            assert!(told.contains(part), "{part} is not in {told}");
        }
        let listed = text(&ListBackupsOutput {
            backups: vec![backup],
            last_evaluated_backup_arn: Some("arn:backup".into()),
        });
        assert!(
            listed.starts_with(r#"{"BackupSummaries":[{"TableName":"Tab","TableId":"#),
            "{listed}"
        );
        assert!(
            listed.ends_with(r#"}],"LastEvaluatedBackupArn":"arn:backup"}"#),
            "{listed}"
        );
    }
}
