//! Answers of TransactWriteItems and TransactGetItems. Cancelled ones are in `wire/error.rs`.

use super::Encode;
use super::json::Json;
use crate::operation::transact_get_items::TransactGetItemsOutput;
use crate::operation::transact_write_items::TransactWriteItemsOutput;

impl Encode for TransactWriteItemsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.consumed_capacities_member(self.consumed_capacity.as_deref());
            json.item_collections_member(&self.collections);
        });
    }
}

impl Encode for TransactGetItemsOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Responses").list(&self.responses, |json, item| {
                json.object(|json| {
                    if let Some(item) = item {
                        json.member("Item").item(item.as_ref());
                    }
                });
            });
            json.consumed_capacities_member(self.consumed_capacity.as_deref());
        });
    }
}
