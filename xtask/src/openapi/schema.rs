//! Shapes of the service model as JSON schemas.
//!
//! Values without parts are described where they are used; structures, lists, maps and enumerations once, among the
//! components.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::model::{Kind, Model, Reference, Shape};
use super::prose;
use crate::Result;

/// Of a value of this shape exactly one member is given; the model has no way to say so.
const UNION: &str = "AttributeValue";
/// Members of answers for which the model says at least 1, while DynamoDB answers 0.
const MAY_BE_ZERO: &[(&str, &str)] = &[
    ("ProvisionedThroughputDescription", "NumberOfDecreasesToday"),
    // In what backups say of a table on demand; in requests 0 is refused with a sentence of its own.
    ("ProvisionedThroughput", "ReadCapacityUnits"),
    ("ProvisionedThroughput", "WriteCapacityUnits"),
];
/// Members of answers that are empty although the model says at least 1: when nothing is left over, and when all statements of a
/// transaction have written.
const MAY_BE_EMPTY: &[(&str, &str)] = &[
    ("BatchGetItemOutput", "UnprocessedKeys"),
    ("BatchWriteItemOutput", "UnprocessedItems"),
    ("ExecuteTransactionOutput", "Responses"),
];
/// Where an error is from, in its `__type`; all others are of the service itself.
const ORIGINS: &[(&str, &str)] = &[
    ("AccessDeniedException", "com.amazon.coral.service"),
    ("ExpiredTokenException", "com.amazon.coral.service"),
    ("IncompleteSignatureException", "com.amazon.coral.service"),
    ("InvalidSignatureException", "com.amazon.coral.service"),
    ("MissingAuthenticationTokenException", "com.amazon.coral.service"),
    ("RequestEntityTooLargeException", "com.amazon.coral.service"),
    ("RequestTimeoutException", "com.amazon.coral.service"),
    ("SerializationException", "com.amazon.coral.service"),
    ("ThrottlingException", "com.amazon.coral.availability"),
    ("UnknownOperationException", "com.amazon.coral.service"),
    ("UnrecognizedClientException", "com.amazon.coral.service"),
    ("ValidationException", "com.amazon.coral.validate"),
];
const SERVICE: &str = "com.amazonaws.dynamodb.v20120810";

/// The schemas that are referred to, as they come up.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// All of them.
    pub(super) fn into_value(self) -> Value {
        self.0.into_iter().collect::<Map<_, _>>().into()
    }

    /// A schema, or a reference to one, for a shape that is used somewhere.
    ///
    /// # Errors
    /// When the model does not have all of the shape.
    pub(super) fn of(&mut self, model: &Model, used: &Reference) -> Result<Value> {
        let shape = model.shape(&used.shape)?;
        let mut schema = if shape.is_plain() {
            plain(shape)
        } else {
            self.define(model, &used.shape, shape)?;
            reference(&used.shape)
        };
        describe(&mut schema, &used.documentation);
        Ok(schema.into())
    }

    /// An error as it is answered, for a name that the model may have a shape of.
    ///
    /// # Errors
    /// When the model does not have all of the shape.
    pub(super) fn error(&mut self, model: &Model, name: &str) -> Result<Value> {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        let mut properties = Map::new();
        if let Some(shape) = model.shapes.get(name) {
            describe(&mut schema, &shape.documentation);
            for (member, used) in &shape.members {
                properties.insert(member.clone(), self.of(model, used)?);
            }
        }
        let origin = ORIGINS.iter().find(|(error, _)| *error == name);
        let origin = origin.map_or(SERVICE, |(_, origin)| origin);
        properties.insert("__type".to_owned(), json!({"const": format!("{origin}#{name}")}));
        schema.insert("properties".to_owned(), properties.into());
        schema.insert("required".to_owned(), json!(["__type"]));
        self.0.insert(name.to_owned(), schema.into());
        Ok(reference(name).into())
    }

    /// Puts a shape and those that it is made of among the components.
    fn define(&mut self, model: &Model, name: &str, shape: &Shape) -> Result<()> {
        if self.0.contains_key(name) {
            return Ok(());
        }
        // Before its parts: shapes may be made of themselves.
        self.0.insert(name.to_owned(), Value::Null);
        let mut schema = match shape.kind {
            Kind::Structure => self.structure(model, (name, shape))?,
            Kind::List => self.list(model, shape)?,
            Kind::Map => self.map(model, shape)?,
            _ => plain(shape),
        };
        describe(&mut schema, &shape.documentation);
        if name == UNION {
            schema.insert("minProperties".to_owned(), 1.into());
            schema.insert("maxProperties".to_owned(), 1.into());
        }
        self.0.insert(name.to_owned(), schema.into());
        Ok(())
    }

    fn structure(&mut self, model: &Model, (own, shape): (&str, &Shape)) -> Result<Map<String, Value>> {
        let mut properties = Map::new();
        for (name, used) in &shape.members {
            let mut schema = self.of(model, used)?;
            let member = (own, name.as_str());
            if MAY_BE_ZERO.contains(&member) {
                schema["minimum"] = 0.into();
            }
            if MAY_BE_EMPTY.contains(&member) {
                let empty = match model.shape(&used.shape)?.kind {
                    Kind::List => json!({"type": "array", "maxItems": 0}),
                    _ => json!({"type": "object", "maxProperties": 0}),
                };
                schema = json!({"anyOf": [schema, empty]});
            }
            properties.insert(name.clone(), schema);
        }
        let mut schema = object();
        schema.insert("properties".to_owned(), properties.into());
        if !shape.required.is_empty() {
            schema.insert("required".to_owned(), shape.required.clone().into());
        }
        Ok(schema)
    }

    fn list(&mut self, model: &Model, shape: &Shape) -> Result<Map<String, Value>> {
        let member = shape.member.as_ref().ok_or("a list has no elements")?;
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "array".into());
        schema.insert("items".to_owned(), self.of(model, member)?);
        bound(&mut schema, shape, ("minItems", "maxItems"));
        Ok(schema)
    }

    fn map(&mut self, model: &Model, shape: &Shape) -> Result<Map<String, Value>> {
        let (Some(key), Some(value)) = (&shape.key, &shape.value) else {
            return Err("a map has no keys or no values".into());
        };
        let mut schema = object();
        schema.insert("additionalProperties".to_owned(), self.of(model, value)?);
        let names = plain(model.shape(&key.shape)?);
        if names.len() > 1 {
            schema.insert("propertyNames".to_owned(), names.into());
        }
        bound(&mut schema, shape, ("minProperties", "maxProperties"));
        Ok(schema)
    }
}

/// A shape without parts.
fn plain(shape: &Shape) -> Map<String, Value> {
    let mut schema = Map::new();
    let mut set = |name: &str, value: Value| {
        schema.insert(name.to_owned(), value);
    };
    match shape.kind {
        Kind::Blob => {
            set("type", "string".into());
            set("contentEncoding", "base64".into());
        }
        Kind::Boolean => set("type", "boolean".into()),
        Kind::Double => {
            set("type", "number".into());
            set("format", "double".into());
        }
        Kind::Timestamp => {
            set("type", "number".into());
            set("description", "Seconds since 1970-01-01T00:00:00Z.".into());
        }
        Kind::Integer | Kind::Long => {
            set("type", "integer".into());
            let format = if shape.kind == Kind::Long {
                "int64"
            } else {
                "int32"
            };
            set("format", format.into());
            bound(&mut schema, shape, ("minimum", "maximum"));
        }
        _ => {
            set("type", "string".into());
            if !shape.values.is_empty() {
                set("enum", shape.values.clone().into());
            }
            // Java's classes of characters are not those of JSON schemas.
            if let Some(pattern) = shape.pattern.as_ref().filter(|pattern| !pattern.contains("\\p{")) {
                set("pattern", format!("^(?:{pattern})$").into());
            }
            bound(&mut schema, shape, ("minLength", "maxLength"));
        }
    }
    schema
}

/// The bounds of a shape, under the names that they have for its kind.
fn bound(schema: &mut Map<String, Value>, shape: &Shape, (min, max): (&str, &str)) {
    for (name, value) in [(min, shape.min), (max, shape.max)] {
        if let Some(value) = value {
            schema.insert(name.to_owned(), value.into());
        }
    }
}

/// Adds what the model says, if it says something.
fn describe(schema: &mut Map<String, Value>, documentation: &str) {
    let description = prose::first_paragraph(documentation);
    if !description.is_empty() {
        schema.insert("description".to_owned(), description.into());
    }
}

fn object() -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema
}

/// A reference to a component.
fn reference(name: &str) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("$ref".to_owned(), format!("#/components/schemas/{name}").into());
    schema
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model() -> Model {
        let model = json!({"metadata": {"targetPrefix": "T"}, "operations": {}, "shapes": {
            "In": {"type": "structure", "required": ["Name"], "members": {
                "Name": {"shape": "Name", "documentation": "<p>Its name.</p>"}, "Values": {"shape": "Values"}}},
            "Name": {"type": "string", "min": 1, "max": 9, "pattern": "[a-z]+"},
            "Key": {"type": "string", "max": 4},
            "Values": {"type": "map", "key": {"shape": "Key"}, "value": {"shape": "AttributeValue"}, "min": 1},
            "AttributeValue": {"type": "structure", "members": {"L": {"shape": "List"}, "B": {"shape": "Blob"}}},
            "List": {"type": "list", "member": {"shape": "AttributeValue"}, "max": 2},
            "Blob": {"type": "blob"},
            "Gone": {"type": "structure", "members": {"message": {"shape": "Key"}}, "documentation": "<p>It went.</p>"},
        }});
        Model::parse("dynamodb", model.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_structure_and_its_parts_become_schemas() {
        let mut schemas = Schemas::default();
        let used = Reference {
            shape: "In".to_owned(),
            documentation: String::new(),
        };
        let schema = schemas.of(&model(), &used).unwrap();
        assert_eq!(schema, json!({"$ref": "#/components/schemas/In"}));
        let all = schemas.into_value();
        assert_eq!(
            all["In"],
            json!({"type": "object", "required": ["Name"], "properties": {
                "Name": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^(?:[a-z]+)$",
                    "description": "Its name."},
                "Values": {"$ref": "#/components/schemas/Values"}}})
        );
        assert_eq!(
            all["Values"],
            json!({"type": "object", "minProperties": 1, "propertyNames": {"type": "string", "maxLength": 4},
                "additionalProperties": {"$ref": "#/components/schemas/AttributeValue"}})
        );
        // Made of itself, and of one member only.
        assert_eq!(all["AttributeValue"]["maxProperties"], 1);
        assert_eq!(
            all["List"]["items"]["$ref"],
            "#/components/schemas/AttributeValue"
        );
    }

    #[test]
    fn an_error_is_known_by_its_type() {
        let mut schemas = Schemas::default();
        schemas.error(&model(), "Gone").unwrap();
        schemas.error(&model(), "ValidationException").unwrap();
        let all = schemas.into_value();
        assert_eq!(
            all["Gone"]["properties"]["__type"]["const"],
            "com.amazonaws.dynamodb.v20120810#Gone"
        );
        assert_eq!(all["Gone"]["description"], "It went.");
        assert_eq!(
            all["ValidationException"]["properties"]["__type"]["const"],
            "com.amazon.coral.validate#ValidationException"
        );
    }
}
