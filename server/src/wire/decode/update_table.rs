//! UpdateTable.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::message::table::Unsupported;
use crate::operation::index_changes::{IndexName, IndexThroughput, IndexUpdate};
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
                "AttributeDefinitions" => {
                    request.attribute_definitions = reader.list_of(Reader::attribute_definition)?;
                }
                "GlobalSecondaryIndexUpdates" => {
                    request.index_updates = reader.list_of(Reader::index_update)?;
                }
                "SSESpecification" => request.sse_specification = reader.sse_specification()?,
                _ => request.unsupported.extend(unsupported(reader, name)?),
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Reader<'_> {
    fn index_update(&mut self) -> Decoded<Option<IndexUpdate>> {
        self.structure(|reader, name, update: &mut IndexUpdate| {
            match name {
                "Create" => update.create = reader.index_request()?,
                "Update" => update.update = reader.index_throughput()?,
                "Delete" => update.delete = reader.index_name()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn index_throughput(&mut self) -> Decoded<Option<IndexThroughput>> {
        self.structure(|reader, name, index: &mut IndexThroughput| {
            match name {
                "IndexName" => index.index_name = reader.text()?,
                "ProvisionedThroughput" => {
                    index.provisioned_throughput = reader.provisioned_throughput()?;
                }
                "OnDemandThroughput" => index.on_demand_throughput = reader.on_demand_throughput()?,
                "WarmThroughput" => index.warm_throughput = reader.warm_throughput()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn index_name(&mut self) -> Decoded<Option<IndexName>> {
        self.structure(|reader, name, index: &mut IndexName| {
            match name {
                "IndexName" => index.index_name = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}

/// Reads a member that this version cannot honour, or skips one that does not exist.
fn unsupported(reader: &mut Reader<'_>, name: &str) -> Decoded<Option<Unsupported>> {
    let (asked_for, unsupported) = match name {
        "VectorIndexUpdates" => (
            reader.skip_list()?,
            Unsupported::VectorIndexes("VectorIndexUpdates"),
        ),
        "ReplicaUpdates" => (reader.skip_list()?, Unsupported::GlobalTables("ReplicaUpdates")),
        "GlobalTableWitnessUpdates" => (
            reader.skip_list()?,
            Unsupported::GlobalTables("GlobalTableWitnessUpdates"),
        ),
        "MultiRegionConsistency" => (
            reader.text()?.is_some(),
            Unsupported::GlobalTables("MultiRegionConsistency"),
        ),
        "GlobalTableSettingsReplicationMode" => (
            reader.text()?.is_some(),
            Unsupported::GlobalTables("GlobalTableSettingsReplicationMode"),
        ),
        "DisassociationProtectionEnabled" => (
            reader.boolean()? == Some(true),
            Unsupported::GlobalTables("DisassociationProtectionEnabled"),
        ),
        _ => {
            reader.skip()?;
            return Ok(None);
        }
    };
    Ok(asked_for.then_some(unsupported))
}
