//! What a request has for the keys of conditions: told when a policy asks, not before.

use std::borrow::Cow;
use std::sync::Arc;

use stator_iam::policy::{Value, Values};
use stator_model::attribute::{RawValue, ValueRef};
use stator_model::expression::mentioned;

use crate::catalog::Table;
use crate::operation::expressions::ExpressionInputs;
use crate::operation::legacy::{AttributeUpdate, Expectation};
use crate::operation::tags::Tag;
use crate::wire::decode::attribute::Attributes;

/// A function that tells the values for a key.
pub(super) type Tell<'a> = &'a (dyn Fn(&Arc<Table>) -> Values<'a> + Sync);

/// The same for one attribute of a partition key, by its place: the first is 0.
pub(super) type TellOf<'a> = &'a (dyn Fn(&Arc<Table>, usize) -> Values<'a> + Sync);

/// What a request has for the keys of DynamoDB; what it does not have is `None`.
#[derive(Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    /// `dynamodb:LeadingKeys`, which is also called `dynamodb:FirstPartitionKeyValues`.
    pub(super) leading: Option<Tell<'a>>,
    /// `dynamodb:SecondPartitionKeyValues` and those behind it, of an index with several hash attributes.
    pub(super) further: Option<TellOf<'a>>,
    /// `dynamodb:Attributes`
    pub(super) attributes: Option<Tell<'a>>,
    /// `dynamodb:FullTableScan`
    pub(super) full_scan: Option<Tell<'a>>,
    /// `dynamodb:Select`
    pub(super) select: Option<&'a str>,
    /// `dynamodb:ReturnValues`
    pub(super) return_values: Option<&'a str>,
    /// `dynamodb:ReturnConsumedCapacity`
    pub(super) consumed_capacity: Option<&'a str>,
    /// `dynamodb:EnclosingOperation`
    pub(super) enclosing: Option<&'static str>,
    /// `aws:RequestTag` and `aws:TagKeys`
    pub(super) tags: Option<&'a [Tag]>,
    /// `aws:TagKeys` of a request that has keys only.
    pub(super) tag_keys: Option<&'a [String]>,
}

impl<'a> Facts<'a> {
    /// The values for a key in lower case; `table` is the one that the request is about, if there is one.
    pub(super) fn values(&self, key: &str, table: Option<&Arc<Table>>) -> Values<'a> {
        let told = |tell: Option<Tell<'a>>| match (tell, table) {
            (Some(tell), Some(table)) => tell(table),
            _ => Values::Absent,
        };
        let further = |place: usize| match (self.further, table) {
            (Some(tell), Some(table)) => tell(table, place),
            _ => Values::Absent,
        };
        match key {
            "dynamodb:leadingkeys" | "dynamodb:firstpartitionkeyvalues" => told(self.leading),
            "dynamodb:secondpartitionkeyvalues" => further(1),
            "dynamodb:thirdpartitionkeyvalues" => further(2),
            "dynamodb:fourthpartitionkeyvalues" => further(3),
            "dynamodb:attributes" => told(self.attributes),
            "dynamodb:fulltablescan" => told(self.full_scan),
            "dynamodb:select" => Values::optional(self.select),
            "dynamodb:returnvalues" => Values::optional(self.return_values),
            "dynamodb:returnconsumedcapacity" => Values::optional(self.consumed_capacity),
            "dynamodb:enclosingoperation" => Values::optional(self.enclosing),
            "aws:tagkeys" => self.keys_of_tags(),
            _ => key
                .strip_prefix("aws:requesttag/")
                .map_or(Values::Absent, |wanted| self.tag(wanted)),
        }
    }

    fn keys_of_tags(&self) -> Values<'a> {
        if let Some(tags) = self.tags {
            return Values::texts(tags.iter().filter_map(|tag| tag.key.as_deref()));
        }
        self.tag_keys.map_or(Values::Absent, |keys| {
            Values::texts(keys.iter().map(String::as_str))
        })
    }

    fn tag(&self, wanted: &str) -> Values<'a> {
        let is_wanted = |tag: &&Tag| {
            tag.key
                .as_deref()
                .is_some_and(|key| key.eq_ignore_ascii_case(wanted))
        };
        let found = self.tags.unwrap_or_default().iter().find(is_wanted);
        Values::optional(found.map(|tag| tag.value.as_deref().unwrap_or_default()))
    }
}

/// The names of attributes that a request is about.
#[derive(Default)]
pub(super) struct Names<'a>(Vec<Cow<'a, str>>);

impl<'a> Names<'a> {
    /// All attributes of an item or key.
    pub(super) fn item(&mut self, attributes: Option<&'a Attributes>) {
        let items = attributes.into_iter().map(|attributes| attributes.item.as_ref());
        let names = items.flat_map(|item| item.attributes().iter());
        self.0
            .extend(names.map(|(name, _)| String::from_utf8_lossy(name)));
    }

    /// What an expression is about.
    pub(super) fn expression(&mut self, text: Option<&'a str>, inputs: &'a ExpressionInputs) {
        for name in text.map(mentioned).into_iter().flatten() {
            let mut given = inputs.names.iter().flatten();
            let meaning = given.find(|(placeholder, _)| placeholder == name);
            self.0
                .push(Cow::Borrowed(meaning.map_or(name, |(_, meaning)| meaning)));
        }
    }

    /// Names.
    pub(super) fn list(&mut self, names: impl IntoIterator<Item = &'a String>) {
        self.0
            .extend(names.into_iter().map(|name| Cow::Borrowed(name.as_str())));
    }

    /// What is expected without expressions.
    pub(super) fn expected(&mut self, entries: impl IntoIterator<Item = &'a Expectation>) {
        self.list(entries.into_iter().map(|entry| &entry.attribute));
    }

    /// What is changed without expressions.
    pub(super) fn updated(&mut self, entries: &'a [AttributeUpdate]) {
        self.list(entries.iter().map(|entry| &entry.attribute));
    }

    /// Names that were made for the occasion.
    pub(super) fn owned(&mut self, names: impl IntoIterator<Item = String>) {
        self.0.extend(names.into_iter().map(Cow::Owned));
    }

    /// The key attributes of a table and of an index of it: they identify what is shown, whether or not the request names
    /// them. The developer guide has policies list them ("Using IAM policy conditions for fine-grained access control").
    pub(super) fn keys(&mut self, table: &Table, index: Option<&str>) {
        self.owned(
            table
                .schema()
                .attributes()
                .map(|(_, attribute)| attribute.name.clone()),
        );
        if let Some(index) = index.and_then(|index| table.index(index)) {
            let keys = index.keys.hash().iter().chain(index.keys.range());
            self.owned(keys.map(|attribute| attribute.name.clone()));
        }
    }

    /// Each name once.
    pub(super) fn values(mut self) -> Values<'a> {
        self.0.sort_unstable();
        self.0.dedup();
        Values::texts(self.0)
    }
}

/// The values of the partition key in keys or items.
pub(super) fn partitions<'a>(table: &Table, items: impl IntoIterator<Item = &'a Attributes>) -> Values<'a> {
    let name = table.schema().partition.name.as_bytes();
    let values = items
        .into_iter()
        .filter_map(|attributes| attributes.item.as_ref().get(name));
    Values::Many(values.map(scalar).collect())
}

/// A key value as policies compare it: text as it is, numbers as the API writes them, binary values in base64.
pub(super) fn scalar(value: RawValue<'_>) -> Value<'static> {
    match value.open() {
        ValueRef::String(text) => Value::Text(Cow::Owned(String::from_utf8_lossy(text).into_owned())),
        ValueRef::Number(number) => Value::Text(Cow::Owned(number.format().as_str().to_owned())),
        ValueRef::Binary(bytes) => Value::Binary(Cow::Owned(bytes.to_vec())),
        // No key, which is refused.
        _ => Value::Text(Cow::Borrowed("")),
    }
}

/// A parameter that has a default.
pub(super) fn or_none(parameter: Option<&String>) -> &str {
    parameter.map_or("NONE", String::as_str)
}
