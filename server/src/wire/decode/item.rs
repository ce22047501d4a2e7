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
                "AttributesToGet" => request.attributes_to_get = reader.attributes_to_get()?,
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
                "AttributeUpdates" => {
                    request.parameters.legacy.updates =
                        reader.attribute_updates(&mut request.expressions.placeholders)?;
                }
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use stator_cluster::{ConsistencyLevel, Invocation, InvocationId};

    use super::*;
    use crate::operation::batch_write_item::BatchWriteItem;
    use crate::wire::decode::decode;

    #[test]
    fn a_request_is_its_body_and_its_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("amz-sdk-invocation-id", HeaderValue::from_static("call 7"));
        headers.insert("amz-sdk-request", HeaderValue::from_static("attempt=2; max=3"));
        headers.insert("x-stator-consistency", HeaderValue::from_static("ALL"));
        let head = Head::new(&headers);
        let body = br#"{"ConsistencyLevel":"ONE"}"#;
        let id = Some(Invocation::repeated(InvocationId::hashed(b"call 7")));
        let (one, all) = (Some(Ok(ConsistencyLevel::One)), Some(Ok(ConsistencyLevel::All)));
        let parameters = [
            decode::<PutItem>(body, head).unwrap().parameters,
            decode::<DeleteItem>(body, head).unwrap().parameters,
            decode::<UpdateItem>(body, head).unwrap().parameters,
        ];
        for parameters in parameters {
            assert_eq!(parameters.invocation, id);
            assert_eq!(
                (parameters.levels.member, parameters.levels.header),
                (one.clone(), all.clone())
            );
        }
        let batch = decode::<BatchWriteItem>(body, head).unwrap();
        assert_eq!((batch.invocation, batch.levels.member), (id, one));
        let bare = HeaderMap::new();
        let plain = decode::<PutItem>(b"{}", Head::new(&bare)).unwrap().parameters;
        assert!(plain.invocation.is_none() && plain.levels.member.is_none() && plain.levels.header.is_none());
    }
}
