//! CreateBackup, DescribeBackup, DeleteBackup, ListBackups, RestoreTableFromBackup; DescribeContinuousBackups,
//! UpdateContinuousBackups and RestoreTableToPointInTime.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::create_backup::CreateBackup;
use crate::operation::delete_backup::DeleteBackup;
use crate::operation::describe_backup::DescribeBackup;
use crate::operation::describe_continuous_backups::DescribeContinuousBackups;
use crate::operation::list_backups::ListBackups;
use crate::operation::restore_table_from_backup::{RestoreOverrides, RestoreTableFromBackup};
use crate::operation::restore_table_to_point_in_time::RestoreTableToPointInTime;
use crate::operation::update_continuous_backups::{
    PointInTimeRecoverySpecification, UpdateContinuousBackups,
};

impl Decode for CreateBackup {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableName" => request.table_name = reader.text()?,
                "BackupName" => request.backup_name = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for DescribeBackup {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let backup_arn = reader.only_text("BackupArn")?;
        Ok(Self { backup_arn })
    }
}

impl Decode for DeleteBackup {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let backup_arn = reader.only_text("BackupArn")?;
        Ok(Self { backup_arn })
    }
}

impl Decode for ListBackups {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableName" => request.table_name = reader.text()?,
                "Limit" => request.limit = reader.integer()?,
                "TimeRangeLowerBound" => request.time_range_lower_bound_ms = reader.timestamp()?,
                "TimeRangeUpperBound" => request.time_range_upper_bound_ms = reader.timestamp()?,
                "ExclusiveStartBackupArn" => request.exclusive_start_backup_arn = reader.text()?,
                "BackupType" => request.backup_type = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for RestoreTableFromBackup {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TargetTableName" => request.target_table_name = reader.text()?,
                "BackupArn" => request.backup_arn = reader.text()?,
                _ => reader.restore_override(name, &mut request.overrides)?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for DescribeContinuousBackups {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let table_name = reader.only_text("TableName")?;
        Ok(Self { table_name })
    }
}

impl Decode for UpdateContinuousBackups {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableName" => request.table_name = reader.text()?,
                "PointInTimeRecoverySpecification" => {
                    request.specification = reader.point_in_time_recovery_specification()?;
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for RestoreTableToPointInTime {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "SourceTableName" => request.source_table_name = reader.text()?,
                "SourceTableArn" => request.source_table_arn = reader.text()?,
                "TargetTableName" => request.target_table_name = reader.text()?,
                "UseLatestRestorableTime" => request.use_latest = reader.boolean()?,
                "RestoreDateTime" => request.at_ms = reader.timestamp()?,
                _ => reader.restore_override(name, &mut request.overrides)?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Reader<'_> {
    fn point_in_time_recovery_specification(&mut self) -> Decoded<Option<PointInTimeRecoverySpecification>> {
        self.structure(|reader, name, wanted: &mut PointInTimeRecoverySpecification| {
            match name {
                "PointInTimeRecoveryEnabled" => wanted.enabled = reader.boolean()?,
                "RecoveryPeriodInDays" => wanted.period_days = reader.integer()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    /// A member that says what of a restored table is to be otherwise; any other one is skipped.
    fn restore_override(&mut self, name: &str, overrides: &mut RestoreOverrides) -> Decoded<()> {
        match name {
            "BillingModeOverride" => overrides.billing_mode = self.text()?,
            "GlobalSecondaryIndexOverride" => {
                overrides.global_indexes = self.list_of(Reader::index_request)?;
            }
            "LocalSecondaryIndexOverride" => overrides.local_indexes = self.list_of(Reader::index_request)?,
            "ProvisionedThroughputOverride" => {
                overrides.provisioned_throughput = self.provisioned_throughput()?;
            }
            "OnDemandThroughputOverride" => overrides.on_demand_throughput = self.on_demand_throughput()?,
            "VectorIndexOverride" => overrides.vector_indexes = self.skip_list()?,
            "SSESpecificationOverride" => overrides.sse_specification = self.sse_specification()?,
            _ => self.skip()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_list_are_seconds_with_a_fraction() {
        let body = br#"{"TimeRangeLowerBound":1.5,"TimeRangeUpperBound":2,"Limit":7,"BackupType":"ALL"}"#;
        let request = ListBackups::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.time_range_lower_bound_ms, Some(1500));
        assert_eq!(request.time_range_upper_bound_ms, Some(2000));
        assert_eq!(
            (request.limit, request.backup_type.as_deref()),
            (Some(7), Some("ALL"))
        );
    }

    #[test]
    fn what_is_to_be_kept_and_a_moment_are_read() {
        let body =
            br#"{"TableName":"Tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true,
            "RecoveryPeriodInDays":7}}"#;
        let request = UpdateContinuousBackups::decode(&mut Reader::new(body)).unwrap();
        let wanted = PointInTimeRecoverySpecification {
            enabled: Some(true),
            period_days: Some(7),
        };
        assert_eq!(request.specification, Some(wanted));
        let body = br#"{"SourceTableArn":"arn","TargetTableName":"New","RestoreDateTime":1732420800.25,
            "UseLatestRestorableTime":false,"LocalSecondaryIndexOverride":[]}"#;
        let request = RestoreTableToPointInTime::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.at_ms, Some(1_732_420_800_250));
        assert_eq!(request.use_latest, Some(false));
        assert_eq!(request.source_table_arn.as_deref(), Some("arn"));
        assert_eq!(
            request.overrides.local_indexes.map(|indexes| indexes.len()),
            Some(0)
        );
    }

    #[test]
    fn overrides_of_a_restore_are_read() {
        let body = br#"{"TargetTableName":"New","BackupArn":"arn","BillingModeOverride":"PROVISIONED",
            "ProvisionedThroughputOverride":{"ReadCapacityUnits":1,"WriteCapacityUnits":2},
            "GlobalSecondaryIndexOverride":[],"SSESpecificationOverride":{"Enabled":true}}"#;
        let request = RestoreTableFromBackup::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.target_table_name.as_deref(), Some("New"));
        let overrides = request.overrides;
        assert_eq!(overrides.billing_mode.as_deref(), Some("PROVISIONED"));
        assert_eq!(overrides.global_indexes.map(|indexes| indexes.len()), Some(0));
        assert!(overrides.local_indexes.is_none() && overrides.sse_specification.is_some());
        let units = overrides.provisioned_throughput.unwrap();
        assert_eq!(
            (units.read_capacity_units, units.write_capacity_units),
            (Some(1), Some(2))
        );
    }
}
