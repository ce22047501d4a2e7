//! Operations of the service model as paths of the document, and the few paths beside them.
//!
//! All operations are a `POST /` that a header tells apart, while a document has one operation for a path and a method. So each
//! has a path of its own whose fragment names it: a client that follows the document sends `POST /`, because fragments are not
//! sent.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::model::{Model, Operation};
use super::prose;
use super::schema::Schemas;
use super::surface::Said;
use crate::Result;

/// What bodies are, on both ways.
const AMZ_JSON: &str = "application/x-amz-json-1.0";
/// The operations that take a consistency level (docs/compatibility.md, "Consistency levels").
const LEVELED: &[&str] = &[
    "BatchExecuteStatement",
    "BatchGetItem",
    "BatchWriteItem",
    "DeleteItem",
    "ExecuteStatement",
    "GetItem",
    "PutItem",
    "Query",
    "Scan",
    "UpdateItem",
];
/// Errors that any operation may answer with status 400, beside those of the model.
const COMMON: &[&str] = &[
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "SerializationException",
    "ThrottlingException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationException",
];
/// Errors with a status of their own: the status, the name, and when it is answered.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "408",
        "RequestTimeoutException",
        "The body does not come in time.",
    ),
    (
        "413",
        "RequestEntityTooLargeException",
        "The body is larger than 16 MB.",
    ),
    (
        "500",
        "InternalServerError",
        "Something failed in the server. It may have taken effect; SDKs try again.",
    ),
    (
        "503",
        "ServiceUnavailable",
        "The node cannot serve this now, for example because a majority of replicas is away. SDKs try again.",
    ),
];

/// The paths of the operations of these services that work.
///
/// # Errors
/// When no service has an operation that is said to work.
pub(super) fn operations(
    models: &[Model],
    said: &BTreeMap<String, Said>,
    schemas: &mut Schemas,
) -> Result<Map<String, Value>> {
    let mut paths = Map::new();
    for (name, said) in said {
        let model = models.iter().find(|model| model.operations.contains_key(name));
        let model = model.ok_or_else(|| format!("no service has {name}"))?;
        let target = format!("{}.{name}", model.metadata.target_prefix);
        let operation = operation(model, name, &target, said, schemas)?;
        paths.insert(format!("/#X-Amz-Target={target}"), json!({"post": operation}));
    }
    Ok(paths)
}

fn operation(model: &Model, name: &str, target: &str, said: &Said, schemas: &mut Schemas) -> Result<Value> {
    let operation = model
        .operations
        .get(name)
        .ok_or_else(|| format!("{} has no {name}", model.service))?;
    let is_stream = model.metadata.target_prefix.contains("Streams");
    let page = if is_stream { "API_streams_" } else { "API_" };
    let paragraph = prose::first_paragraph(&operation.documentation);
    let body = match &operation.input {
        Some(input) => schemas.of(model, input)?,
        None => json!({"type": "object"}),
    };
    Ok(json!({
        "operationId": name,
        "tags": [if is_stream { "Streams" } else { tag(name) }],
        "summary": prose::first_sentence(&paragraph),
        "description": description(&paragraph, said),
        "externalDocs": {"url": format!("https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/{page}{name}.html")},
        "parameters": parameters(name, target),
        "requestBody": {"required": true, "content": {AMZ_JSON: {"schema": body}}},
        "responses": responses(model, operation, schemas)?,
    }))
}

/// The headers that say what is asked for.
fn parameters(name: &str, target: &str) -> Value {
    let target = json!({
        "name": "X-Amz-Target",
        "in": "header",
        "required": true,
        "schema": {"type": "string", "enum": [target]},
    });
    if LEVELED.contains(&name) {
        json!([target, {"$ref": "#/components/parameters/ConsistencyLevel"}])
    } else {
        json!([target])
    }
}

/// Headers that operations share.
pub(super) fn shared_parameters() -> Value {
    json!({"ConsistencyLevel": {
        "name": "x-stator-consistency",
        "in": "header",
        "required": false,
        "description": "How many replicas the operation waits for, which DynamoDB does not let clients choose. Also a member \
            `ConsistencyLevel` of the request; docs/compatibility.md says what holds without it.",
        "schema": {"type": "string", "enum": ["ONE", "QUORUM", "ALL"]},
    }})
}

/// What the operation does, and what of its request is not as in DynamoDB.
fn description(paragraph: &str, said: &Said) -> String {
    let mut text = paragraph.to_owned();
    for (what, paths) in [
        ("Accepted and stored, without an effect", &said.stored),
        ("Refused with a ValidationException", &said.refused),
    ] {
        if !paths.is_empty() {
            text.extend(["\n\n", what, ": `", &paths.join("`, `"), "`."]);
        }
    }
    text
}

/// Of which part of the API an operation is.
fn tag(name: &str) -> &'static str {
    let has = |word: &str| name.contains(word);
    if has("Statement") || name == "ExecuteTransaction" {
        "PartiQL"
    } else if has("Transact") {
        "Transactions"
    } else if has("Backup") || has("Export") || has("Import") || has("Restore") {
        "Backups"
    } else if has("Item") || name == "Query" || name == "Scan" {
        "Items"
    } else if has("Policy") || has("Tag") {
        "Resources"
    } else if has("Limits") || has("Endpoints") {
        "Account"
    } else {
        "Tables"
    }
}

fn responses(model: &Model, operation: &Operation, schemas: &mut Schemas) -> Result<Value> {
    let mut responses = Map::new();
    let done = match &operation.output {
        Some(output) => {
            let schema = schemas.of(model, output)?;
            json!({"description": "It is done.", "content": {AMZ_JSON: {"schema": schema}}})
        }
        None => json!({"description": "It is done; the body is empty."}),
    };
    responses.insert("200".to_owned(), done);
    let own = operation.errors.iter().map(|error| error.shape.as_str());
    let mut names: Vec<&str> = own
        .filter(|name| OTHERS.iter().all(|(_, other, _)| other != name))
        .chain(COMMON.iter().copied())
        .collect();
    names.sort_unstable();
    names.dedup();
    let refused = names
        .iter()
        .map(|name| schemas.error(model, name))
        .collect::<Result<Vec<_>>>()?;
    responses.insert(
        "400".to_owned(),
        json!({"description": "It is refused; `__type` says why.", "content": {AMZ_JSON: {"schema": {"oneOf": refused}}}}),
    );
    responses.insert(
        "404".to_owned(),
        json!({"$ref": "#/components/responses/NotAnOperation"}),
    );
    for (status, name, _) in OTHERS {
        schemas.error(model, name)?;
        responses.insert(
            (*status).to_owned(),
            json!({"$ref": format!("#/components/responses/{name}")}),
        );
    }
    Ok(responses.into())
}

/// Responses that operations share.
pub(super) fn shared_responses() -> Value {
    let mut responses = Map::new();
    for (_, name, when) in OTHERS {
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        responses.insert(
            (*name).to_owned(),
            json!({"description": when, "content": {AMZ_JSON: {"schema": schema}}}),
        );
    }
    responses.insert(
        "NotAnOperation".to_owned(),
        json!({
            "description": "Another method or another type of content than those of an operation.",
            "content": {"application/xml": {"schema": {"type": "string"}}},
        }),
    );
    responses.into()
}

/// The paths that are asked without a signature, and tell nothing but whether the node serves.
pub(super) fn health() -> Map<String, Value> {
    let mut paths = Map::new();
    let text = |description: &str| json!({"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}});
    let mut add = |path: &str, name: &str, summary: &str, responses: Value| {
        let operation = json!({
            "operationId": name,
            "tags": ["Health"],
            "summary": summary,
            "security": [],
            "responses": responses,
        });
        paths.insert(path.to_owned(), json!({"get": operation}));
    };
    add(
        "/",
        "Healthy",
        "Says that a DynamoDB API is here, in the words of DynamoDB",
        json!({"200": text("`healthy: dynamodb.REGION.amazonaws.com`")}),
    );
    add(
        "/livez",
        "Live",
        "Whether the process goes on; if not, restart it",
        json!({"200": text("`ok`"), "503": text("`not ready`")}),
    );
    add(
        "/readyz",
        "Ready",
        "Whether the node serves; if not, send requests to another one",
        json!({
            "200": text("`ok`"),
            "503": text("`not ready`; where metrics are told, the reason is, too"),
        }),
    );
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_has_a_path_that_names_it_and_the_errors_of_the_model() {
        let model = json!({"metadata": {"targetPrefix": "DynamoDB_20120810"}, "shapes": {
            "In": {"type": "structure", "members": {}}, "Gone": {"type": "structure", "members": {}}},
            "operations": {"PutItem": {"input": {"shape": "In"}, "errors": [{"shape": "Gone"}, {"shape": "InternalServerError"}],
                "documentation": "<p>Puts. More.</p>"}}});
        let model = Model::parse("dynamodb", model.to_string().as_bytes()).unwrap();
        let said = Said {
            stored: Vec::new(),
            refused: vec!["A.B".to_owned()],
        };
        let said = BTreeMap::from([("PutItem".to_owned(), said)]);
        let paths = operations(&[model], &said, &mut Schemas::default()).unwrap();
        let put = &paths["/#X-Amz-Target=DynamoDB_20120810.PutItem"]["post"];
        assert_eq!(put["tags"], json!(["Items"]));
        assert_eq!(put["summary"], "Puts");
        assert_eq!(
            put["parameters"][0]["schema"]["enum"],
            json!(["DynamoDB_20120810.PutItem"])
        );
        assert_eq!(
            put["parameters"][1]["$ref"],
            "#/components/parameters/ConsistencyLevel"
        );
        let description = put["description"].as_str().unwrap();
        assert!(
            description.ends_with("ValidationException: `A.B`."),
            "{description}"
        );
        let refused = put["responses"]["400"].to_string();
        assert!(
            refused.contains("schemas/Gone") && refused.contains("ValidationException"),
            "{refused}"
        );
        assert!(!refused.contains("InternalServerError"), "{refused}");
        assert!(operations(&[], &said, &mut Schemas::default()).is_err());
    }
}
