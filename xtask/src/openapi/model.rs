//! AWS's service model as botocore carries it, as far as the document is made of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Result;

/// The services whose operations Stator has, DynamoDB first: of names that both have, its own stay as they are.
pub(super) const SERVICES: &[&str] = &["dynamodb", "dynamodbstreams"];

/// A service.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    /// Its name in `SERVICES`.
    #[serde(skip)]
    pub(super) service: &'static str,
    pub(super) metadata: Metadata,
    pub(super) operations: BTreeMap<String, Operation>,
    pub(super) shapes: BTreeMap<String, Shape>,
}

/// What is said of a service as a whole.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    /// What the values of `X-Amz-Target` begin with.
    pub(super) target_prefix: String,
}

/// An operation.
#[derive(Debug, Deserialize)]
pub(super) struct Operation {
    pub(super) input: Option<Reference>,
    pub(super) output: Option<Reference>,
    #[serde(default)]
    pub(super) errors: Vec<Reference>,
    #[serde(default)]
    pub(super) documentation: String,
}

/// A shape by its name, and what is said of it at this place.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) shape: String,
    #[serde(default)]
    pub(super) documentation: String,
}

/// A shape of values.
#[derive(Debug, Deserialize)]
pub(super) struct Shape {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) documentation: String,
    /// Of a structure.
    #[serde(default)]
    pub(super) members: BTreeMap<String, Reference>,
    #[serde(default)]
    pub(super) required: Vec<String>,
    /// Of a list.
    pub(super) member: Option<Reference>,
    /// Of a map.
    pub(super) key: Option<Reference>,
    pub(super) value: Option<Reference>,
    /// Of a string.
    #[serde(rename = "enum", default)]
    pub(super) values: Vec<String>,
    pub(super) pattern: Option<String>,
    /// Bounds of the value of a number, of the length of anything else.
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
}

/// Which kind of shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Blob,
    Boolean,
    Double,
    Integer,
    List,
    Long,
    Map,
    String,
    Structure,
    Timestamp,
}

impl Model {
    /// Reads a model.
    ///
    /// # Errors
    /// When it is not one, or has a kind of shape that is not known here.
    pub(super) fn parse(service: &'static str, json: &[u8]) -> Result<Self> {
        let mut model: Self = serde_json::from_slice(json)
            .map_err(|error| format!("the service model of {service}: {error}"))?;
        model.service = service;
        Ok(model)
    }

    /// A shape by its name.
    ///
    /// # Errors
    /// When the model has none of this name.
    pub(super) fn shape(&self, name: &str) -> Result<&Shape> {
        let shape = self.shapes.get(name);
        shape.ok_or_else(|| format!("{} has no shape {name}", self.service).into())
    }
}

impl Shape {
    /// All shapes that it is made of.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.members
            .values()
            .chain(&self.member)
            .chain(&self.key)
            .chain(&self.value)
    }

    /// Whether it is described where it is used: a value without parts and without a list of what it may be.
    pub(super) fn is_plain(&self) -> bool {
        !matches!(self.kind, Kind::Structure | Kind::List | Kind::Map) && self.values.is_empty()
    }

    /// Whether it says the same as another one, prose aside: which kind of value, of which parts, within which bounds.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let parts = |shape: &Self| -> Vec<String> {
            let references = shape.references();
            references.map(|reference| reference.shape.clone()).collect()
        };
        self.kind == other.kind
            && parts(self) == parts(other)
            && self.members.keys().eq(other.members.keys())
            && self.required == other.required
            && self.values == other.values
            && (self.min, self.max, &self.pattern) == (other.min, other.max, &other.pattern)
    }
}
