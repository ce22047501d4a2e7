//! The document as a whole.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::model::Model;
use super::paths;
use super::schema::Schemas;
use super::surface::Said;
use crate::Result;

/// What a reader has to know first.
const DESCRIPTION: &str = "The DynamoDB and DynamoDB Streams operations that Stator serves.\n\n\
     All operations are sent as `POST /`; the header `X-Amz-Target` says which one is meant. Because a document like this has \
     one operation for a path, each has a path of its own whose fragment names it (`/#X-Amz-Target=…`): fragments are not \
     sent, so that a client that follows the document sends what is wanted.\n\n\
     Requests are signed with AWS Signature Version 4 for the service `dynamodb`; the AWS SDKs do that. A member that is null \
     counts as absent, and members that are not listed are skipped. Numbers within items are strings, binaries are Base64.\n\n\
     Made from the service model of the AWS SDKs (botocore, Apache-2.0), from which the descriptions are, and from \
     docs/compatibility.md, which says what differs from DynamoDB.";

/// The document, in the order in which people read it.
#[derive(Serialize)]
struct Document {
    openapi: &'static str,
    info: Value,
    servers: Value,
    tags: Value,
    security: Value,
    paths: Value,
    components: Value,
}

/// The text of the document for the operations that are said to work.
///
/// # Errors
/// When the models contradict each other, or lack something.
pub(super) fn text(models: &[Model], said: &BTreeMap<String, Said>) -> Result<String> {
    agree(models)?;
    let mut schemas = Schemas::default();
    let mut paths = paths::operations(models, said, &mut schemas)?;
    paths.extend(paths::health());
    let document = Document {
        openapi: "3.1.0",
        info: json!({
            "title": "Stator: DynamoDB API",
            "version": "2012-08-10",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        }),
        servers: json!([
            {"url": "http://127.0.0.1:8000", "description": "`stator dev`"},
            {
                "url": "https://{host}:{port}",
                "description": "A node of a cluster",
                "variables": {"host": {"default": "localhost"}, "port": {"default": "8000"}},
            },
        ]),
        tags: tags(),
        security: json!([{"sigv4": []}]),
        paths: paths.into(),
        components: json!({
            "securitySchemes": {"sigv4": {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "description": "AWS Signature Version 4 for the service `dynamodb`.",
                "x-amazon-apigateway-authtype": "awsSigv4",
            }},
            "parameters": paths::shared_parameters(),
            "responses": paths::shared_responses(),
            "schemas": schemas.into_value(),
        }),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn tags() -> Value {
    let tag = |name: &str, description: &str| json!({"name": name, "description": description});
    json!([
        tag("Tables", "Tables, their indexes and their settings."),
        tag("Items", "Items, one by one, in batches and in pages."),
        tag("Transactions", "Several items together, all or nothing."),
        tag("PartiQL", "The same with statements."),
        tag("Streams", "What has changed in a table."),
        tag("Backups", "Backups, exports and imports of tables."),
        tag("Resources", "Tags and policies of tables and streams."),
        tag("Account", "What holds for all tables."),
        tag("Health", "Whether the node serves, without a signature."),
    ])
}

/// Refuses models that give one name to two shapes: the components of a document have one.
fn agree(models: &[Model]) -> Result<()> {
    for (place, model) in models.iter().enumerate() {
        for other in models.iter().skip(place + 1) {
            for (name, shape) in &model.shapes {
                if other.shapes.get(name).is_some_and(|own| !own.equals(shape)) {
                    return Err(format!(
                        "{name} is one shape in {} and another in {}",
                        model.service, other.service
                    )
                    .into());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(service: &'static str, shape: &Value) -> Model {
        let model = json!({"metadata": {"targetPrefix": "T"}, "shapes": {"Name": shape},
            "operations": {"Do": {"input": {"shape": "Name"}}}});
        Model::parse(service, model.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_name_that_means_two_things_is_refused() {
        let said = BTreeMap::from([("Do".to_owned(), Said::default())]);
        let (text, number) = (json!({"type": "string"}), json!({"type": "integer"}));
        assert!(super::text(&[model("a", &text), model("b", &text)], &said).is_ok());
        let refused = super::text(&[model("a", &text), model("b", &number)], &said).unwrap_err();
        assert_eq!(refused.to_string(), "Name is one shape in a and another in b");
    }

    #[test]
    fn the_document_says_first_what_it_is() {
        let said = BTreeMap::from([("Do".to_owned(), Said::default())]);
        let text = super::text(&[model("a", &json!({"type": "string"}))], &said).unwrap();
        assert!(
            text.starts_with("{\n  \"openapi\": \"3.1.0\",\n  \"info\": {"),
            "{text}"
        );
        assert!(text.contains("\"/#X-Amz-Target=T.Do\": {"), "{text}");
    }
}
