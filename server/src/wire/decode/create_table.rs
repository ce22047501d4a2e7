//! CreateTable.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::message::table::Unsupported;
use crate::operation::create_table::{AttributeDefinition, CreateTable, KeySchemaElement};
use crate::operation::index_settings::{IndexRequest, ProjectionRequest};

impl Decode for CreateTable {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableName" => request.table_name = reader.text()?,
                "AttributeDefinitions" => {
                    request.attribute_definitions = reader.list_of(Reader::attribute_definition)?;
                }
                "KeySchema" => request.key_schema = reader.list_of(Reader::key_schema_element)?,
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
                "GlobalSecondaryIndexes" => {
                    request.global_indexes = reader.list_of(Reader::index_request)?;
                }
                "LocalSecondaryIndexes" => {
                    request.local_indexes = reader.list_of(Reader::index_request)?;
                }
                "Tags" => request.tags = reader.list_of(Reader::tag)?,
                "ResourcePolicy" => request.resource_policy = reader.text()?,
                _ => request.unsupported.extend(unsupported(reader, name)?),
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

/// Reads a member that this version cannot honour, or skips one that does not exist.
fn unsupported(reader: &mut Reader<'_>, name: &str) -> Decoded<Option<Unsupported>> {
    let (asked_for, unsupported) = match name {
        "VectorIndexes" => (reader.skip_list()?, Unsupported::VectorIndexes("VectorIndexes")),
        "GlobalTableSourceArn" => (
            reader.text()?.is_some(),
            Unsupported::GlobalTables("GlobalTableSourceArn"),
        ),
        "GlobalTableSettingsReplicationMode" => (
            reader.text()?.is_some(),
            Unsupported::GlobalTables("GlobalTableSettingsReplicationMode"),
        ),
        _ => {
            reader.skip()?;
            return Ok(None);
        }
    };
    Ok(asked_for.then_some(unsupported))
}

impl Reader<'_> {
    pub(super) fn index_request(&mut self) -> Decoded<Option<IndexRequest>> {
        self.structure(|reader, name, index: &mut IndexRequest| {
            match name {
                "IndexName" => index.index_name = reader.text()?,
                "KeySchema" => index.key_schema = reader.list_of(Reader::key_schema_element)?,
                "Projection" => index.projection = reader.projection()?,
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

    fn projection(&mut self) -> Decoded<Option<ProjectionRequest>> {
        self.structure(|reader, name, projection: &mut ProjectionRequest| {
            match name {
                "ProjectionType" => projection.projection_type = reader.text()?,
                "NonKeyAttributes" => projection.non_key_attributes = reader.list_of(Reader::text)?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    pub(super) fn attribute_definition(&mut self) -> Decoded<Option<AttributeDefinition>> {
        self.structure(|reader, name, definition: &mut AttributeDefinition| {
            match name {
                "AttributeName" => definition.attribute_name = reader.text()?,
                "AttributeType" => definition.attribute_type = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn key_schema_element(&mut self) -> Decoded<Option<KeySchemaElement>> {
        self.structure(|reader, name, element: &mut KeySchemaElement| {
            match name {
                "AttributeName" => element.attribute_name = reader.text()?,
                "KeyType" => element.key_type = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}
