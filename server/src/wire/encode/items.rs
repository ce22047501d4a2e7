//! Answers of the item operations: single items, pages and batches.

use std::collections::BTreeMap;

use stator_model::item::Item;

use super::Encode;
use super::json::Json;
use crate::operation::batch_get_item::{BatchGetItemOutput, UnprocessedKeys};
use crate::operation::batch_write_item::{BatchWriteItemOutput, Write};
use crate::operation::capacity::{ConsumedCapacity, UnitKind};
use crate::operation::get_item::GetItemOutput;
use crate::operation::item_collection::ItemCollection;
use crate::operation::item_command::WriteOutput;
use crate::operation::page::PageOutput;

impl Json {
    fn consumed_capacity(&mut self, consumed: &ConsumedCapacity) {
        self.object(|json| {
            json.member("TableName").text(&consumed.table);
            let cost = &consumed.cost;
            let kind = consumed.kind;
            json.units(cost.total(), kind);
            if consumed.detailed {
                json.member("Table").object(|json| json.units(cost.table, kind));
                json.index_units("LocalSecondaryIndexes", &cost.local, kind);
                json.index_units("GlobalSecondaryIndexes", &cost.global, kind);
            }
        });
    }

    fn units(&mut self, units: f64, kind: Option<UnitKind>) {
        self.member("CapacityUnits").decimal(units);
        match kind {
            Some(UnitKind::Read) => self.member("ReadCapacityUnits").decimal(units),
            Some(UnitKind::Write) => self.member("WriteCapacityUnits").decimal(units),
            None => {}
        }
    }

    fn index_units(&mut self, member: &str, units: &BTreeMap<String, f64>, kind: Option<UnitKind>) {
        if units.is_empty() {
            return;
        }
        self.member(member).object(|json| {
            for (name, units) in units {
                json.member(name).object(|json| json.units(*units, kind));
            }
        });
    }

    pub(super) fn consumed_capacity_member(&mut self, consumed: Option<&ConsumedCapacity>) {
        if let Some(consumed) = consumed {
            self.member("ConsumedCapacity").consumed_capacity(consumed);
        }
    }

    pub(super) fn consumed_capacities_member(&mut self, consumed: Option<&[ConsumedCapacity]>) {
        if let Some(consumed) = consumed {
            self.member("ConsumedCapacity")
                .list(consumed, Self::consumed_capacity);
        }
    }
}

impl Json {
    /// Item collections by table.
    pub(super) fn item_collections_member(&mut self, tables: &[(String, Vec<ItemCollection>)]) {
        if tables.is_empty() {
            return;
        }
        self.member("ItemCollectionMetrics").object(|json| {
            for (name, collections) in tables {
                json.member(name)
                    .list(collections, |json, collection| collection.encode(json));
            }
        });
    }
}

impl Encode for ItemCollection {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("ItemCollectionKey").item(self.key.as_ref());
            json.member("SizeEstimateRangeGB")
                .list(self.range_gb(), Json::decimal);
        });
    }
}

impl Encode for GetItemOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            if let Some(item) = &self.item {
                json.member("Item").item(item.as_ref());
            }
            json.consumed_capacity_member(self.consumed_capacity.as_ref());
        });
    }

    fn size_hint(&self) -> usize {
        AROUND_ITEMS + self.item.as_ref().map_or(0, size_of_item)
    }
}

impl Encode for WriteOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            if let Some(attributes) = &self.attributes {
                json.member("Attributes").item(attributes.as_ref());
            }
            json.consumed_capacity_member(self.consumed_capacity.as_ref());
            if let Some(collection) = &self.collection {
                collection.encode(json.member("ItemCollectionMetrics"));
            }
        });
    }
}

/// Bytes for what stands around items.
const AROUND_ITEMS: usize = 256;

/// About what an item takes in JSON: a name and a value take some quotes, braces and a type more than they take stored.
fn size_of_item(item: &Item) -> usize {
    item.stored().len() + 12 * item.as_ref().attributes().len()
}

impl Encode for PageOutput {
    fn size_hint(&self) -> usize {
        AROUND_ITEMS + self.items.iter().flatten().map(size_of_item).sum::<usize>()
    }

    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            if let Some(items) = &self.items {
                json.member("Items")
                    .list(items, |json, item| json.item(item.as_ref()));
            }
            json.member("Count").size(self.count);
            json.member("ScannedCount").size(self.scanned_count);
            if let Some(key) = &self.last_evaluated_key {
                json.member("LastEvaluatedKey").item(key.as_ref());
            }
            json.consumed_capacity_member(self.consumed_capacity.as_ref());
        });
    }
}

impl Encode for BatchGetItemOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Responses").object(|json| {
                for (name, items) in &self.responses {
                    json.member(name)
                        .list(items, |json, item| json.item(item.as_ref()));
                }
            });
            json.member("UnprocessedKeys").object(|json| {
                for (name, keys) in &self.unprocessed {
                    keys.encode(json.member(name));
                }
            });
            json.consumed_capacities_member(self.consumed_capacity.as_deref());
        });
    }
}

impl Encode for UnprocessedKeys {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Keys")
                .list(&self.keys, |json, key| json.item(key.as_ref()));
            if let Some(consistent) = self.consistent_read {
                json.member("ConsistentRead").boolean(consistent);
            }
            if let Some(attributes) = &self.attributes_to_get {
                json.member("AttributesToGet")
                    .list(attributes, |json, name| json.text(name));
            }
            if let Some(projection) = &self.projection {
                json.member("ProjectionExpression").text(projection);
            }
            if let Some(names) = &self.names {
                json.member("ExpressionAttributeNames").object(|json| {
                    for (placeholder, name) in names {
                        json.member(placeholder).text(name);
                    }
                });
            }
        });
    }
}

impl Encode for BatchWriteItemOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("UnprocessedItems").object(|json| {
                for (name, writes) in &self.unprocessed {
                    json.member(name).list(writes, |json, write| write.encode(json));
                }
            });
            json.consumed_capacities_member(self.consumed_capacity.as_deref());
            json.item_collections_member(&self.collections);
        });
    }
}

impl Encode for Write {
    fn encode(&self, out: &mut Json) {
        out.object(|json| match self {
            Self::Put(item) => json
                .member("PutRequest")
                .object(|json| json.member("Item").item(item.as_ref())),
            Self::Delete(key) => json
                .member("DeleteRequest")
                .object(|json| json.member("Key").item(key.as_ref())),
        });
    }
}
