//! The settings of secondary indexes that CreateTable and UpdateTable share: keys, projection, throughput.
//!
//! Invariant: a definition that comes out of here fits its table: its keys are defined, its projection says what it must.
//!
//! Rules: Amazon DynamoDB API Reference, CreateTable; Developer Guide, "Multi-attribute keys pattern" and "Quotas".

use std::collections::BTreeSet;

use stator_model::index::{IndexKind, Projection};
use stator_model::key::{KeyAttribute, KeySchema};
use uuid::Uuid;

use super::create_table::{KEY_ATTRIBUTES_MAX, KeySchemaElement, KeyType, Shown, check_elements};
use super::table_settings::{OnDemandThroughput, ProvisionedThroughput, WarmThroughput, Whose};
use crate::arn;
use crate::catalog::{BillingMode, IndexDefinition, IndexStatus, OnDemandLimits, Throughput};
use crate::constraint::{Constraints, ModelEnum};
use crate::message::index;
use crate::wire::error::ApiError;

/// Most indexes of a table.
pub(super) const LOCAL_INDEXES_MAX: usize = 5;
pub(super) const GLOBAL_INDEXES_MAX: usize = 20;
/// Most attributes that all indexes of a table project by name.
const INCLUDED_MAX: usize = 100;
/// Most attributes of each role in the key of a global index.
const ATTRIBUTES_PER_ROLE_MAX: usize = 4;

/// A secondary index as a request describes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexRequest {
    pub(crate) index_name: Option<String>,
    pub(crate) key_schema: Option<Vec<KeySchemaElement>>,
    pub(crate) projection: Option<ProjectionRequest>,
    pub(crate) provisioned_throughput: Option<ProvisionedThroughput>,
    pub(crate) on_demand_throughput: Option<OnDemandThroughput>,
    pub(crate) warm_throughput: Option<WarmThroughput>,
}

/// Which attributes the rows of an index have.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProjectionRequest {
    pub(crate) projection_type: Option<String>,
    pub(crate) non_key_attributes: Option<Vec<String>>,
}

/// `ProjectionType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProjectionType {
    All,
    Include,
    KeysOnly,
}

impl ModelEnum for ProjectionType {
    const NAMES: &'static [&'static str] = &["ALL", "INCLUDE", "KEYS_ONLY"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ALL" => Self::All,
            "INCLUDE" => Self::Include,
            "KEYS_ONLY" => Self::KeysOnly,
            _ => return None,
        })
    }
}

/// What an index is made in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) table: &'a KeySchema,
    pub(super) billing_mode: BillingMode,
    /// The attributes that keys may be made of.
    pub(super) definitions: &'a [KeyAttribute],
    /// Those that the request defines, for sentences.
    pub(super) named: &'a [KeyAttribute],
}

/// Notes what the service model has against the name of an index at `member`.
pub(super) fn check_name(constraints: &mut Constraints, member: &str, name: &str) {
    constraints.length(member, name, name.chars().count(), 3, 255);
    if !name.is_empty() && !name.bytes().all(arn::is_table_name_byte) {
        constraints.violated(
            member,
            name,
            "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        );
    }
}

impl IndexRequest {
    /// Checks the constraints of the service model. Only keys of global indexes have more than two attributes.
    pub(super) fn check(&self, constraints: &mut Constraints, kind: IndexKind, member: &str) {
        let name = format!("{member}.indexName");
        constraints.required(&name, self.index_name.as_ref());
        if let Some(index_name) = &self.index_name {
            check_name(constraints, &name, index_name);
        }
        let keys = format!("{member}.keySchema");
        constraints.required(&keys, self.key_schema.as_ref());
        if let Some(elements) = &self.key_schema {
            let most = match kind {
                IndexKind::Local => KEY_ATTRIBUTES_MAX,
                IndexKind::Global => usize::MAX,
            };
            constraints.length(&keys, Shown(elements), elements.len(), 1, most);
            check_elements(constraints, &keys, elements);
        }
        let projection = format!("{member}.projection");
        constraints.required(&projection, self.projection.as_ref());
        if let Some(request) = &self.projection {
            let kind = format!("{projection}.projectionType");
            constraints.one_of::<ProjectionType>(&kind, request.projection_type.as_deref());
            if let Some(names) = &request.non_key_attributes {
                let included = format!("{projection}.nonKeyAttributes");
                constraints.length(&included, format!("[{}]", names.join(", ")), names.len(), 1, 20);
                for (place, name) in names.iter().enumerate() {
                    let member = format!("{included}.{}.member", place + 1);
                    constraints.length(&member, name, name.chars().count(), 1, 255);
                }
            }
        }
        if let Some(throughput) = &self.provisioned_throughput {
            throughput.check_at(constraints, &format!("{member}.provisionedThroughput"));
        }
    }

    fn name(&self) -> &str {
        self.index_name.as_deref().unwrap_or_default()
    }

    /// The definition of a checked request.
    ///
    /// # Errors
    /// ValidationException.
    pub(super) fn definition(
        &self,
        kind: IndexKind,
        id: Uuid,
        status: IndexStatus,
        setting: Setting<'_>,
    ) -> Result<IndexDefinition, ApiError> {
        let (hash, range) = self.keys(kind, setting)?;
        let (read_units, write_units) = match kind {
            IndexKind::Local => (0, 0),
            IndexKind::Global => self.capacity(setting.billing_mode)?,
        };
        let none = OnDemandLimits::default();
        let whose = Whose::new_index(self.name(), setting.billing_mode);
        let on_demand_limits = match &self.on_demand_throughput {
            Some(request) => request.applied(setting.billing_mode, none, whose)?,
            None => none,
        };
        let mut made = IndexDefinition {
            name: self.name().to_owned(),
            id,
            kind,
            hash,
            range,
            projection: self.projection()?,
            status,
            throughput: Throughput {
                read_units,
                write_units,
                ..Throughput::default()
            },
            on_demand_limits,
            warm_units_requested: None,
        };
        if let Some(request) = &self.warm_throughput {
            let least = made.warm_units(setting.billing_mode);
            made.warm_units_requested = Some(request.applied(least, whose)?);
        }
        Ok(made)
    }

    fn capacity(&self, billing_mode: BillingMode) -> Result<(i64, i64), ApiError> {
        match (billing_mode, &self.provisioned_throughput) {
            (BillingMode::PayPerRequest, None) => Ok((0, 0)),
            (BillingMode::PayPerRequest, Some(_)) => Err(index::surplus_throughput(self.name())),
            (BillingMode::Provisioned, Some(throughput)) => throughput.units(),
            (BillingMode::Provisioned, None) => Err(index::missing_throughput(self.name())),
        }
    }

    fn projection(&self) -> Result<Projection, ApiError> {
        let request = self.projection.as_ref();
        let kind = request.and_then(|request| request.projection_type.as_deref());
        let included = request.and_then(|request| request.non_key_attributes.as_ref());
        match (kind.and_then(ProjectionType::from_name), included) {
            (None, _) => Err(ApiError::validation(index::NO_PROJECTION)),
            (Some(ProjectionType::Include), Some(names)) => {
                let mut seen = BTreeSet::new();
                match names.iter().find(|name| !seen.insert(*name)) {
                    None => Ok(Projection::Include(names.clone())),
                    Some(twice) => Err(index::included_twice(twice)),
                }
            }
            (Some(ProjectionType::Include), None) => Err(ApiError::validation(index::NOTHING_INCLUDED)),
            (Some(_), Some(_)) => Err(index::included_beside(kind.unwrap_or_default())),
            (Some(ProjectionType::All), None) => Ok(Projection::All),
            (Some(ProjectionType::KeysOnly), None) => Ok(Projection::KeysOnly),
        }
    }

    fn keys(
        &self,
        kind: IndexKind,
        setting: Setting<'_>,
    ) -> Result<(Vec<KeyAttribute>, Vec<KeyAttribute>), ApiError> {
        let elements = self.key_schema.as_deref().unwrap_or_default();
        let (mut hash, mut range) = (Vec::new(), Vec::new());
        for element in elements {
            let name = element.attribute_name.as_deref().unwrap_or_default();
            let role = element.key_type.as_deref().and_then(KeyType::from_name);
            let found = setting
                .definitions
                .iter()
                .find(|definition| definition.name == name);
            let attribute = found.cloned().ok_or_else(|| self.undefined(setting))?;
            let all = hash.iter().chain(&range);
            if all.clone().any(|known: &KeyAttribute| known.name == name) {
                let is_long = elements.len() > KEY_ATTRIBUTES_MAX;
                return Err(ApiError::validation(if is_long {
                    index::SAME_KEYS
                } else {
                    crate::message::table::SAME_KEY_TWICE
                }));
            }
            match role {
                Some(KeyType::Hash) if range.is_empty() => hash.push(attribute),
                Some(KeyType::Range) if !hash.is_empty() => range.push(attribute),
                _ if hash.is_empty() => {
                    return Err(ApiError::validation(crate::message::table::FIRST_KEY_NOT_HASH));
                }
                _ if kind == IndexKind::Global => return Err(ApiError::validation(index::HASH_BEHIND_RANGE)),
                _ => return Err(ApiError::validation(crate::message::table::SECOND_KEY_NOT_RANGE)),
            }
        }
        for (role, attributes) in [("HASH", &hash), ("RANGE", &range)] {
            if attributes.len() > ATTRIBUTES_PER_ROLE_MAX {
                return Err(index::too_many_key_attributes(role));
            }
        }
        if kind == IndexKind::Local {
            let table_hash = &setting.table.partition.name;
            match (&hash[..], &range[..]) {
                ([_], []) => return Err(index::no_range_key(self.name())),
                ([hash], _) if hash.name != *table_hash => {
                    return Err(index::other_hash_key(self.name(), &hash.name, table_hash));
                }
                ([_], [_]) => {}
                _ => return Err(ApiError::validation(crate::message::table::SECOND_KEY_NOT_RANGE)),
            }
        }
        Ok((hash, range))
    }

    fn undefined(&self, setting: Setting<'_>) -> ApiError {
        let elements = self.key_schema.iter().flatten();
        crate::message::table::undefined_keys(
            elements.filter_map(|element| element.attribute_name.as_deref()),
            setting.named.iter().map(|definition| definition.name.as_str()),
        )
    }
}

/// Checks what concerns all indexes of a table together.
///
/// # Errors
/// ValidationException.
pub(super) fn check_all(indexes: &[IndexDefinition]) -> Result<(), ApiError> {
    for (place, index) in indexes.iter().enumerate() {
        if indexes[..place].iter().any(|other| other.name == index.name) {
            return Err(index::duplicate(&index.name));
        }
    }
    let of = |kind| indexes.iter().filter(|index| index.kind == kind).count();
    if of(IndexKind::Local) > LOCAL_INDEXES_MAX {
        return Err(index::too_many_local(LOCAL_INDEXES_MAX));
    }
    if of(IndexKind::Global) > GLOBAL_INDEXES_MAX {
        return Err(index::too_many_global(GLOBAL_INDEXES_MAX));
    }
    let included = indexes.iter().map(|index| match &index.projection {
        Projection::Include(names) => names.len(),
        Projection::KeysOnly | Projection::All => 0,
    });
    if included.sum::<usize>() > INCLUDED_MAX {
        return Err(ApiError::validation(index::TOO_MANY_INCLUDED));
    }
    Ok(())
}
