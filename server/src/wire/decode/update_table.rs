//! UpdateTable.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::message::table::Unsupported;
use crate::operation::update_table::UpdateTable;

impl Decode for UpdateTable {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableName" => request.table_name = reader.text()?,
                "BillingMode" => request.billing_mode = reader.text()?,
                "ProvisionedThroughput" => {
                    request.provisioned_throughput = reader.provisioned_throughput()?;
                }
                "OnDemandThroughput" => request.on_demand_throughput = reader.on_demand_throughput()?,
                "WarmThroughput" => request.warm_throughput = reader.warm_throughput()?,
                "TableClass" => request.table_class = reader.text()?,
                "DeletionProtectionEnabled" => request.deletion_protection_enabled = reader.boolean()?,
                "StreamSpecification" => request.stream_specification = reader.stream_specification()?,
                "SSESpecification" => request.sse_specification = reader.sse_specification()?,
                _ => request.unsupported.extend(unsupported(reader, name)?),
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

/// Reads a member that this version cannot honour, or skips one that does not exist. `AttributeDefinitions` matter only
/// to new indexes.
fn unsupported(reader: &mut Reader<'_>, name: &str) -> Decoded<Option<Unsupported>> {
    let (asked_for, unsupported) = match name {
        "GlobalSecondaryIndexUpdates" => (reader.skip_list()?, Unsupported::GlobalSecondaryIndexes),
        "VectorIndexUpdates" => (reader.skip_list()?, Unsupported::VectorIndexes),
        "ReplicaUpdates" | "GlobalTableWitnessUpdates" => (reader.skip_list()?, Unsupported::GlobalTables),
        "MultiRegionConsistency" | "GlobalTableSettingsReplicationMode" => {
            (reader.text()?.is_some(), Unsupported::GlobalTables)
        }
        "DisassociationProtectionEnabled" => (reader.boolean()? == Some(true), Unsupported::GlobalTables),
        _ => {
            reader.skip()?;
            return Ok(None);
        }
    };
    Ok(asked_for.then_some(unsupported))
}
