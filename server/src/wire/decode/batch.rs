//! BatchGetItem and BatchWriteItem.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::batch_get_item::{BatchGetItem, KeysOfTable};
use crate::operation::batch_write_item::{BatchWriteItem, DeleteRequest, PutRequest, WriteRequest};
use crate::wire::head::Head;

impl Reader<'_> {
    /// An object whose values are read by `read`, in the order in which they come; of equal names the last one stays.
    fn by_name<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Decoded<Option<T>>,
    ) -> Decoded<Option<Vec<(String, T)>>> {
        let mut entries: Vec<(String, T)> = Vec::new();
        let present = self.object(|reader, name| {
            if let Some(value) = read(reader)? {
                entries.retain(|(other, _)| other != name);
                entries.push((name.to_owned(), value));
            }
            Ok(())
        })?;
        Ok(present.then_some(entries))
    }

    fn keys_of_table(&mut self) -> Decoded<Option<KeysOfTable>> {
        let mut wanted = KeysOfTable::default();
        let present = self.object(|reader, name| {
            match name {
                "Keys" => wanted.keys = reader.list_of(Self::attributes)?,
                "ConsistentRead" => wanted.consistent_read = reader.boolean()?,
                "ProjectionExpression" => wanted.projection = reader.text()?,
                "ExpressionAttributeNames" => {
                    wanted.names = reader.names()?;
                    wanted.expressions.names.clone_from(&wanted.names);
                }
                "AttributesToGet" => wanted.attributes_to_get = reader.attributes_to_get()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(present.then_some(wanted))
    }

    fn write_request(&mut self) -> Decoded<Option<WriteRequest>> {
        let mut write = WriteRequest::default();
        let present = self.object(|reader, name| {
            match name {
                "PutRequest" => {
                    let mut put = PutRequest::default();
                    let present = reader.object(|reader, name| match name {
                        "Item" => reader.attributes().map(|item| put.item = item),
                        _ => reader.skip(),
                    })?;
                    write.put = present.then_some(put);
                }
                "DeleteRequest" => {
                    let mut delete = DeleteRequest::default();
                    let present = reader.object(|reader, name| match name {
                        "Key" => reader.attributes().map(|key| delete.key = key),
                        _ => reader.skip(),
                    })?;
                    write.delete = present.then_some(delete);
                }
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(present.then_some(write))
    }
}

impl Decode for BatchGetItem {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "RequestItems" => request.tables = reader.by_name(Reader::keys_of_table)?,
                "ConsistencyLevel" => request.levels.member = reader.level()?,
                "ReturnConsumedCapacity" => request.consumed_capacity = reader.text()?,
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

impl Decode for BatchWriteItem {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "RequestItems" => {
                    request.tables = reader.by_name(|reader| reader.list_of(Reader::write_request))?;
                }
                "ReturnConsumedCapacity" => request.consumed_capacity = reader.text()?,
                "ConsistencyLevel" => request.levels.member = reader.level()?,
                "ReturnItemCollectionMetrics" => request.collection_metrics = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request)
    }

    fn take_head(&mut self, head: Head<'_>) {
        self.levels.header = head.level();
        self.invocation = head.invocation();
    }
}
