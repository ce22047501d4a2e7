//! CreateTable. The table exists, durably, when this is answered.

use stator_model::attribute::Kind;
use stator_model::index::IndexKind;
use stator_model::key::{KeyAttribute, KeySchema};
use uuid::Uuid;

use super::{
    Context, Operation, account_limits,
    index_settings::{self, IndexRequest, Setting},
    resource_policy,
    table_description::{TableDescription, TableStatus, Tallies},
    table_name, table_settings,
    table_settings::{
        OnDemandThroughput, ProvisionedThroughput, SseSpecification, StreamSpecification, WarmThroughput,
        Whose,
    },
    tags,
    tags::Tag,
};
use crate::catalog::{
    BillingMode, IndexDefinition, IndexStatus, OnDemandLimits, StreamDefinition, StreamStatus, TableClass,
    TableDefinition, Throughput,
};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::index;
use crate::message::table::{self, Unsupported};
use crate::wire::error::ApiError;

/// Most attributes of the key of a table or a local index.
pub(super) const KEY_ATTRIBUTES_MAX: usize = 2;
/// Longest name of a key attribute in characters. Source: service model of DynamoDB, shape KeySchemaAttributeName.
const KEY_NAME_LENGTH_MAX: usize = 255;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct CreateTable {
    pub(crate) table_name: Option<String>,
    pub(crate) attribute_definitions: Option<Vec<AttributeDefinition>>,
    pub(crate) key_schema: Option<Vec<KeySchemaElement>>,
    pub(crate) billing_mode: Option<String>,
    pub(crate) provisioned_throughput: Option<ProvisionedThroughput>,
    pub(crate) on_demand_throughput: Option<OnDemandThroughput>,
    pub(crate) warm_throughput: Option<WarmThroughput>,
    pub(crate) table_class: Option<String>,
    pub(crate) deletion_protection_enabled: Option<bool>,
    pub(crate) stream_specification: Option<StreamSpecification>,
    pub(crate) sse_specification: Option<SseSpecification>,
    pub(crate) tags: Option<Vec<Tag>>,
    pub(crate) local_indexes: Option<Vec<IndexRequest>>,
    pub(crate) global_indexes: Option<Vec<IndexRequest>>,
    pub(crate) resource_policy: Option<String>,
    /// What else the request asks for, in its order.
    pub(crate) unsupported: Vec<Unsupported>,
}

/// Name and type of an attribute.
#[derive(Debug, Clone, Default)]
pub(crate) struct AttributeDefinition {
    pub(crate) attribute_name: Option<String>,
    pub(crate) attribute_type: Option<String>,
}

/// An attribute of a key and its role in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySchemaElement {
    pub(crate) attribute_name: Option<String>,
    pub(crate) key_type: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct CreateTableOutput {
    pub(crate) table_description: TableDescription,
}

/// Role of a key attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyType {
    Hash,
    Range,
}

impl ModelEnum for KeyType {
    const NAMES: &'static [&'static str] = &["HASH", "RANGE"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "HASH" => Some(Self::Hash),
            "RANGE" => Some(Self::Range),
            _ => None,
        }
    }
}

/// Type of a key attribute.
#[derive(Debug, Clone, Copy)]
struct ScalarType(Kind);

impl ModelEnum for ScalarType {
    const NAMES: &'static [&'static str] = &["B", "N", "S"];

    fn from_name(name: &str) -> Option<Self> {
        match Kind::from_descriptor(name) {
            Some(kind @ (Kind::Binary | Kind::Number | Kind::String)) => Some(Self(kind)),
            _ => None,
        }
    }
}

/// What the service model leaves of a request: names that are there, enumerations that are known.
struct Checked {
    definitions: Vec<KeyAttribute>,
    keys: Vec<(String, KeyType)>,
    billing_mode: BillingMode,
    table_class: Option<TableClass>,
}

impl Operation for CreateTable {
    type Output = CreateTableOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let definition = self.into_definition(&mut || context.new_id(), context.clock.now_ms())?;
        let tables_max = context.limits.tables_max;
        if context.catalog.known().len() >= tables_max && context.catalog.table(&definition.name).is_none() {
            return Err(table::too_many(tables_max));
        }
        account_limits::check(context, &definition)?;
        context
            .catalog
            .create(&definition)
            .await
            .map_err(table::catalog)?;
        let (tallies, status) = (Tallies::default(), TableStatus::Creating);
        Ok(CreateTableOutput {
            table_description: TableDescription::new(context, definition, &tallies, status),
        })
    }
}

impl CreateTable {
    /// The definition of the table to be made.
    pub(super) fn into_definition(
        mut self,
        new_id: NewId<'_>,
        now_ms: i64,
    ) -> Result<TableDefinition, ApiError> {
        let checked = self.check_model()?;
        let name = table_name::resolve(self.table_name.as_deref().unwrap_or_default())?.to_owned();
        if let Some(unsupported) = self.unsupported.first() {
            return Err(unsupported.refusal());
        }
        let capacity = table_settings::capacity(checked.billing_mode, self.provisioned_throughput.as_ref())?;
        let key_schema = key_schema(&checked.keys, &checked.definitions)?;
        let indexes = self.indexes(&checked, &key_schema, new_id)?;
        let stream = match &self.stream_specification {
            Some(stream) => stream.view(true)?,
            None => None,
        };
        let encryption = self.sse_specification.as_ref();
        let encryption = encryption.map(SseSpecification::is_enabled).transpose()?;
        // Nothing was written yet that a stream or an index could lack.
        let mut streams = Vec::new();
        if let Some(view) = stream {
            let enabled = StreamStatus::Enabled;
            streams.push(StreamDefinition::new(new_id()?, view, enabled, now_ms));
        }
        let mut on_demand_limits = OnDemandLimits::default();
        let whose = Whose::new_table(checked.billing_mode);
        if let Some(request) = &self.on_demand_throughput {
            on_demand_limits = request.applied(checked.billing_mode, on_demand_limits, whose)?;
        }
        let mut resource_policies = Vec::new();
        if let Some(document) = self.resource_policy.take() {
            resource_policies.push(resource_policy::first(document, now_ms)?);
        }
        let (read_units, write_units) = capacity.unwrap_or_default();
        let mut definition = TableDefinition {
            name,
            id: new_id()?,
            created_at_ms: now_ms,
            key_schema,
            billing_mode: checked.billing_mode,
            pay_per_request_since_ms: (checked.billing_mode == BillingMode::PayPerRequest).then_some(now_ms),
            throughput: Throughput {
                read_units,
                write_units,
                ..Throughput::default()
            },
            table_class: checked.table_class,
            table_class_changed_at_ms: None,
            on_demand_limits,
            warm_units_requested: None,
            deletion_protection: self.deletion_protection_enabled.unwrap_or_default(),
            tags: tags::by_key(self.tags.take().unwrap_or_default())?,
            indexes,
            streams,
            time_to_live: None,
            resource_policies,
            account_key: encryption.unwrap_or_default(),
            restore: None,
            import: None,
            deletion: None,
            reads_begun: 0,
            history: None,
        };
        if let Some(request) = &self.warm_throughput {
            definition.warm_units_requested = Some(request.applied(definition.warm_units(), whose)?);
        }
        Ok(definition)
    }

    /// Checks the request against the service model.
    fn check_model(&self) -> Result<Checked, ApiError> {
        let mut constraints = Constraints::default();
        // What is refused whatever it has need not have it.
        let is_supported = self.unsupported.is_empty();
        if is_supported {
            constraints.required("attributeDefinitions", self.attribute_definitions.as_ref());
        }
        let definitions = self.attribute_definitions.as_deref().unwrap_or_default();
        let definitions = check_definitions(&mut constraints, definitions);
        table_name::check_of_table(&mut constraints, self.table_name.as_ref());
        if is_supported {
            constraints.required("keySchema", self.key_schema.as_ref());
        }
        let keys = self.check_keys(&mut constraints);
        for (member, kind, indexes) in [
            ("localSecondaryIndexes", IndexKind::Local, &self.local_indexes),
            ("globalSecondaryIndexes", IndexKind::Global, &self.global_indexes),
        ] {
            for (place, index) in indexes.iter().flatten().enumerate() {
                index.check(&mut constraints, kind, &format!("{member}.{}.member", place + 1));
            }
        }
        let billing_mode = constraints.one_of("billingMode", self.billing_mode.as_deref());
        if let Some(throughput) = &self.provisioned_throughput {
            throughput.check(&mut constraints);
        }
        if let Some(stream) = &self.stream_specification {
            stream.check(&mut constraints);
        }
        if let Some(encryption) = &self.sse_specification {
            encryption.check(&mut constraints);
        }
        let table_class = constraints.one_of("tableClass", self.table_class.as_deref());
        constraints.finish()?;
        Ok(Checked {
            definitions,
            keys,
            billing_mode: billing_mode.unwrap_or(BillingMode::Provisioned),
            table_class,
        })
    }

    fn check_keys(&self, constraints: &mut Constraints) -> Vec<(String, KeyType)> {
        let Some(elements) = &self.key_schema else {
            return Vec::new();
        };
        let shown = Shown(elements);
        constraints.length("keySchema", shown, elements.len(), 1, KEY_ATTRIBUTES_MAX);
        check_elements(constraints, "keySchema", elements)
    }

    /// The definitions of the indexes; whether every attribute that is defined belongs to a key is checked, too.
    fn indexes(
        &self,
        checked: &Checked,
        key_schema: &KeySchema,
        new_id: NewId<'_>,
    ) -> Result<Vec<IndexDefinition>, ApiError> {
        let setting = Setting {
            table: key_schema,
            billing_mode: checked.billing_mode,
            definitions: &checked.definitions,
            named: &checked.definitions,
        };
        let mut indexes = Vec::new();
        for (kind, member, requests) in [
            (IndexKind::Local, "LocalSecondaryIndexes", &self.local_indexes),
            (IndexKind::Global, "GlobalSecondaryIndexes", &self.global_indexes),
        ] {
            let Some(requests) = requests else { continue };
            if requests.is_empty() {
                return Err(index::none(member));
            }
            if kind == IndexKind::Local && key_schema.sort.is_none() {
                return Err(ApiError::validation(index::LOCAL_WITHOUT_SORT_KEY));
            }
            for request in requests {
                indexes.push(request.definition(kind, new_id()?, IndexStatus::Active, setting)?);
            }
        }
        index_settings::check_all(&indexes)?;
        let keys = || {
            let table = key_schema.attributes().map(|(_, attribute)| attribute);
            table.chain(indexes.iter().flat_map(IndexDefinition::attributes))
        };
        let is_used = |definition: &KeyAttribute| keys().any(|key| key.name == definition.name);
        if !checked.definitions.iter().all(is_used) {
            if indexes.is_empty() {
                return Err(ApiError::validation(table::SURPLUS_DEFINITIONS));
            }
            let names = checked
                .definitions
                .iter()
                .map(|definition| definition.name.as_str());
            return Err(index::unused_definitions(
                names,
                keys().map(|key| key.name.as_str()),
            ));
        }
        Ok(indexes)
    }
}

/// Makes ids that nobody else has.
pub(super) type NewId<'a> = &'a mut dyn FnMut() -> Result<Uuid, ApiError>;

/// Checks definitions of attributes, and gives those that are understood.
pub(super) fn check_definitions(
    constraints: &mut Constraints,
    definitions: &[AttributeDefinition],
) -> Vec<KeyAttribute> {
    let mut checked = Vec::new();
    for (index, definition) in definitions.iter().enumerate() {
        let member = format!("attributeDefinitions.{}.member", index + 1);
        let name = check_name(constraints, &member, definition.attribute_name.as_deref());
        let member = format!("{member}.attributeType");
        constraints.required(&member, definition.attribute_type.as_ref());
        if let Some(ScalarType(kind)) = constraints.one_of(&member, definition.attribute_type.as_deref()) {
            checked.push(KeyAttribute { name, kind });
        }
    }
    checked
}

/// Checks the elements of a key schema at `member`, and gives those that are understood.
pub(super) fn check_elements(
    constraints: &mut Constraints,
    member: &str,
    elements: &[KeySchemaElement],
) -> Vec<(String, KeyType)> {
    let mut checked = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let member = format!("{member}.{}.member", index + 1);
        let name = check_name(constraints, &member, element.attribute_name.as_deref());
        let member = format!("{member}.keyType");
        constraints.required(&member, element.key_type.as_ref());
        if let Some(role) = constraints.one_of(&member, element.key_type.as_deref()) {
            checked.push((name, role));
        }
    }
    checked
}

/// A key schema as messages repeat it.
pub(super) struct Shown<'a>(pub(super) &'a [KeySchemaElement]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[")?;
        for (index, element) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let name = element.attribute_name.as_deref().unwrap_or("null");
            let role = element.key_type.as_deref().unwrap_or("null");
            write!(
                f,
                "{separator}KeySchemaElement(attributeName={name}, keyType={role})"
            )?;
        }
        f.write_str("]")
    }
}

/// Notes what is wrong with the `AttributeName` of `member`.
fn check_name(constraints: &mut Constraints, member: &str, name: Option<&str>) -> String {
    let member = format!("{member}.attributeName");
    constraints.required(&member, name.as_ref());
    let Some(name) = name else {
        return String::new();
    };
    constraints.length(&member, name, name.chars().count(), 1, KEY_NAME_LENGTH_MAX);
    name.to_owned()
}

/// The key schema of keys and the definitions of their attributes.
fn key_schema(keys: &[(String, KeyType)], definitions: &[KeyAttribute]) -> Result<KeySchema, ApiError> {
    let refused = |sentence| Err(ApiError::validation(sentence));
    for (place, definition) in definitions.iter().enumerate() {
        let mut earlier = definitions[..place].iter();
        if earlier.any(|earlier| earlier.name == definition.name) {
            return Err(table::defined_twice(&definition.name));
        }
    }
    let Some(((hash, KeyType::Hash), rest)) = keys.split_first() else {
        return refused(table::FIRST_KEY_NOT_HASH);
    };
    let range = match rest.first() {
        None => None,
        Some((range, _)) if range == hash => return refused(table::SAME_KEY_TWICE),
        Some((_, KeyType::Hash)) => return refused(table::SECOND_KEY_NOT_RANGE),
        Some((range, KeyType::Range)) => Some(range),
    };
    if definitions.is_empty() {
        return refused(table::NO_DEFINITIONS);
    }
    let defined = |name: &String| {
        let found = definitions.iter().find(|definition| definition.name == *name);
        found.cloned().ok_or_else(|| {
            table::undefined_keys(
                keys.iter().map(|(name, _)| name.as_str()),
                definitions.iter().map(|definition| definition.name.as_str()),
            )
        })
    };
    let schema = KeySchema {
        partition: defined(hash)?,
        sort: range.map(defined).transpose()?,
    };
    Ok(schema)
}

#[cfg(test)]
pub(crate) mod tests;
