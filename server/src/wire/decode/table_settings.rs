//! The settings of a table that CreateTable and UpdateTable share.

use super::reader::{Decoded, Reader};
use crate::operation::table_settings::{
    OnDemandThroughput, ProvisionedThroughput, SseSpecification, StreamSpecification, WarmThroughput,
};

impl Reader<'_> {
    /// A structure; `member` is given each member's name with the structure and has to read or skip its value.
    pub(super) fn structure<T: Default>(
        &mut self,
        mut member: impl FnMut(&mut Self, &str, &mut T) -> Decoded<()>,
    ) -> Decoded<Option<T>> {
        let mut value = T::default();
        let found = self.object(|reader, name| member(reader, name, &mut value))?;
        Ok(found.then_some(value))
    }

    /// The text of the one member that a request has.
    pub(super) fn only_text(&mut self, member: &str) -> Decoded<Option<String>> {
        let text = self.structure(|reader, name, text: &mut Option<String>| {
            if name == member {
                *text = reader.text()?;
            } else {
                reader.skip()?;
            }
            Ok(())
        })?;
        Ok(text.flatten())
    }

    /// Skips a list; true when it has elements.
    pub(super) fn skip_list(&mut self) -> Decoded<bool> {
        let mut elements = false;
        self.list(|reader| {
            elements = true;
            reader.skip()
        })?;
        Ok(elements)
    }

    pub(super) fn provisioned_throughput(&mut self) -> Decoded<Option<ProvisionedThroughput>> {
        self.structure(|reader, name, throughput: &mut ProvisionedThroughput| {
            match name {
                "ReadCapacityUnits" => throughput.read_capacity_units = reader.long()?,
                "WriteCapacityUnits" => throughput.write_capacity_units = reader.long()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    pub(super) fn on_demand_throughput(&mut self) -> Decoded<Option<OnDemandThroughput>> {
        self.structure(|reader, name, throughput: &mut OnDemandThroughput| {
            match name {
                "MaxReadRequestUnits" => throughput.max_read_request_units = reader.long()?,
                "MaxWriteRequestUnits" => throughput.max_write_request_units = reader.long()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    pub(super) fn warm_throughput(&mut self) -> Decoded<Option<WarmThroughput>> {
        self.structure(|reader, name, throughput: &mut WarmThroughput| {
            match name {
                "ReadUnitsPerSecond" => throughput.read_units_per_second = reader.long()?,
                "WriteUnitsPerSecond" => throughput.write_units_per_second = reader.long()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    pub(super) fn stream_specification(&mut self) -> Decoded<Option<StreamSpecification>> {
        self.structure(|reader, name, stream: &mut StreamSpecification| {
            match name {
                "StreamEnabled" => stream.stream_enabled = reader.boolean()?,
                "StreamViewType" => stream.stream_view_type = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    pub(super) fn sse_specification(&mut self) -> Decoded<Option<SseSpecification>> {
        self.structure(|reader, name, encryption: &mut SseSpecification| {
            match name {
                "Enabled" => encryption.enabled = reader.boolean()?,
                "SSEType" => encryption.sse_type = reader.text()?,
                "KMSMasterKeyId" => encryption.kms_master_key_id = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}
