//! TransactWriteItems and TransactGetItems.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::transact_get_items::{Get, TransactGetItem, TransactGetItems};
use crate::operation::transact_write_items::{
    ActionInput, ActionKind, TransactWriteItem, TransactWriteItems,
};
use crate::wire::head::Head;

impl Reader<'_> {
    fn transact_write_item(&mut self) -> Decoded<Option<TransactWriteItem>> {
        let mut item = TransactWriteItem::default();
        let present = self.object(|reader, name| {
            let kind = match name {
                "ConditionCheck" => ActionKind::ConditionCheck,
                "Put" => ActionKind::Put,
                "Update" => ActionKind::Update,
                "Delete" => ActionKind::Delete,
                _ => return reader.skip(),
            };
            // Of equal names the last one stays.
            item.actions.retain(|(other, _)| *other != kind);
            item.actions
                .extend(reader.action(kind)?.map(|action| (kind, action)));
            Ok(())
        })?;
        Ok(present.then_some(item))
    }

    fn action(&mut self, kind: ActionKind) -> Decoded<Option<ActionInput>> {
        let subject = if kind == ActionKind::Put { "Item" } else { "Key" };
        let mut action = ActionInput::default();
        let present = self.object(|reader, name| {
            match name {
                "TableName" => action.table_name = reader.text()?,
                "ConditionExpression" => action.condition = reader.text()?,
                "ExpressionAttributeNames" => action.expressions.names = reader.names()?,
                "ExpressionAttributeValues" => reader.values(&mut action.expressions)?,
                "ReturnValuesOnConditionCheckFailure" => action.on_failure = reader.text()?,
                "UpdateExpression" if kind == ActionKind::Update => action.update = reader.text()?,
                name if name == subject => action.subject = reader.attributes()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(present.then_some(action))
    }

    fn transact_get_item(&mut self) -> Decoded<Option<TransactGetItem>> {
        let mut item = TransactGetItem::default();
        let present = self.object(|reader, name| {
            match name {
                "Get" => item.get = reader.get()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(present.then_some(item))
    }

    fn get(&mut self) -> Decoded<Option<Get>> {
        let mut get = Get::default();
        let present = self.object(|reader, name| {
            match name {
                "TableName" => get.table_name = reader.text()?,
                "Key" => get.key = reader.attributes()?,
                "ProjectionExpression" => get.projection = reader.text()?,
                "ExpressionAttributeNames" => get.expressions.names = reader.names()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(present.then_some(get))
    }
}

impl Decode for TransactWriteItems {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "TransactItems" => request.items = reader.list_of(Reader::transact_write_item)?,
                "ClientRequestToken" => request.token = reader.text()?,
                "ConsistencyLevel" => request.levels.member = reader.level()?,
                "ReturnConsumedCapacity" => request.consumed_capacity = reader.text()?,
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

impl Decode for TransactGetItems {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let mut request = Self::default();
        reader.object(|reader, name| {
            match name {
                "TransactItems" => request.items = reader.list_of(Reader::transact_get_item)?,
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
