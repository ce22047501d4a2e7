//! UpdateTimeToLive and DescribeTimeToLive.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::describe_time_to_live::DescribeTimeToLive;
use crate::operation::update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLive};

impl Decode for UpdateTimeToLive {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "TableName" => request.table_name = reader.text()?,
                "TimeToLiveSpecification" => request.specification = reader.time_to_live_specification()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for DescribeTimeToLive {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let table_name = reader.only_text("TableName")?;
        Ok(Self { table_name })
    }
}

impl Reader<'_> {
    fn time_to_live_specification(&mut self) -> Decoded<Option<TimeToLiveSpecification>> {
        self.structure(|reader, name, specification: &mut TimeToLiveSpecification| {
            match name {
                "Enabled" => specification.enabled = reader.boolean()?,
                "AttributeName" => specification.attribute_name = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}
