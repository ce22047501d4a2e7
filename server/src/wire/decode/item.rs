//! GetItem, PutItem, UpdateItem and DeleteItem.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::delete_item::DeleteItem;
use crate::operation::get_item::GetItem;
use crate::operation::put_item::PutItem;
use crate::operation::update_item::UpdateItem;
use crate::wire::head::Head;

impl Decode for GetItem {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            let inputs = &mut request.expressions;
            match name {
                "TableName" => request.table_name = reader.text()?,
                "Key" => request.key = reader.attributes()?,
                "ConsistentRead" => request.consistent_read = reader.boolean()?,
                "ConsistencyLevel" => request.levels.member = reader.level()?,
                "ProjectionExpression" => request.projection = reader.text()?,
                "ExpressionAttributeNames" => inputs.names = reader.names()?,
                "ReturnConsumedCapacity" => request.consumed_capacity = reader.text()?,
                "AttributesToGet" => reader.legacy(inputs, "AttributesToGet")?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.levels.header = head.level();
    }
}

impl Decode for PutItem {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| match name {
            "Item" => {
                request.item = reader.attributes()?;
                Ok(())
            }
            _ if reader.write_member(name, &mut request.parameters, &mut request.expressions)? => Ok(()),
            _ => reader.skip(),
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.parameters.take_head(head);
    }
}

impl Decode for DeleteItem {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| match name {
            "Key" => {
                request.key = reader.attributes()?;
                Ok(())
            }
            _ if reader.write_member(name, &mut request.parameters, &mut request.expressions)? => Ok(()),
            _ => reader.skip(),
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.parameters.take_head(head);
    }
}

impl Decode for UpdateItem {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "Key" => request.key = reader.attributes()?,
                "UpdateExpression" => request.update = reader.text()?,
                "AttributeUpdates" => reader.legacy(&mut request.expressions, "AttributeUpdates")?,
                _ if reader.write_member(name, &mut request.parameters, &mut request.expressions)? => {}
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.parameters.take_head(head);
    }
}
