//! What CreateTable refuses, in which words, and what it makes of what it accepts.

use super::*;
use crate::catalog::WarmUnits;
use crate::wire::decode::Decode as _;
use crate::wire::decode::reader::Reader;

const NOW_MS: i64 = 1_795_493_551_651;

/// The request of a body.
fn request(body: &str) -> CreateTable {
    CreateTable::decode(&mut Reader::new(body.as_bytes())).unwrap()
}

fn create(body: &str) -> Result<TableDefinition, ApiError> {
    let mut next = 6;
    let mut new_id = || {
        next += 1;
        Ok(Uuid::from_u128(next))
    };
    request(body).into_definition(&mut new_id, NOW_MS)
}

/// What a body is refused with.
fn refusal(body: &str) -> String {
    match create(body) {
        Err(ApiError::Validation(text)) => text,
        other => unreachable!("{body} gave {other:?}"),
    }
}

/// A body with members after those of a table with the partition key `pk`.
fn body(members: &str) -> String {
    format!(
        r#"{{"TableName":"Tab","AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}}],
            "KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}]{members}}}"#
    )
}

/// A body with keys and definitions such as `pk HASH` and `pk S`.
fn keyed(keys: &[&str], definitions: &[&str]) -> String {
    let list = |entries: &[&str], kind: &str| {
        let elements: Vec<String> = entries
            .iter()
            .map(|entry| {
                let (name, value) = entry.split_once(' ').unwrap();
                format!(r#"{{"AttributeName":"{name}","{kind}":"{value}"}}"#)
            })
            .collect();
        elements.join(",")
    };
    format!(
        r#"{{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{}],"AttributeDefinitions":[{}]}}"#,
        list(keys, "KeyType"),
        list(definitions, "AttributeType")
    )
}

/// The definition of a provisioned table.
pub(crate) fn definition() -> TableDefinition {
    create(&body(
        r#","ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":6}"#,
    ))
    .unwrap()
}

#[test]
fn a_provisioned_table_has_its_throughput() {
    let definition = definition();
    assert_eq!(definition.name, "Tab");
    assert_eq!(definition.created_at_ms, NOW_MS);
    assert_eq!(definition.billing_mode, BillingMode::Provisioned);
    assert_eq!(definition.pay_per_request_since_ms, None);
    assert_eq!(
        (
            definition.throughput.read_units,
            definition.throughput.write_units
        ),
        (5, 6)
    );
    assert_eq!(
        definition.warm_units(),
        WarmUnits {
            read_units: 5,
            write_units: 6
        }
    );
    assert_eq!(definition.table_class, None);
    assert!(!definition.deletion_protection);
}

#[test]
fn everything_that_is_asked_for_is_in_the_definition() {
    let definition = create(&body(
        r#","BillingMode":"PAY_PER_REQUEST","TableClass":"STANDARD_INFREQUENT_ACCESS",
            "DeletionProtectionEnabled":true,"OnDemandThroughput":{"MaxReadRequestUnits":10},
            "WarmThroughput":{"ReadUnitsPerSecond":13000},"Tags":[{"Key":"a","Value":"b"}],
            "StreamSpecification":{"StreamEnabled":false},"SSESpecification":{"Enabled":false},
            "GlobalSecondaryIndexes":null,"LocalSecondaryIndexes":null"#,
    ))
    .unwrap();
    assert_eq!(definition.billing_mode, BillingMode::PayPerRequest);
    assert_eq!(definition.pay_per_request_since_ms, Some(NOW_MS));
    assert_eq!(definition.table_class, Some(TableClass::StandardInfrequentAccess));
    assert!(definition.deletion_protection);
    assert_eq!(
        definition.on_demand_limits,
        OnDemandLimits {
            read_units: Some(10),
            write_units: None
        }
    );
    assert_eq!(
        definition.warm_units(),
        WarmUnits {
            read_units: 13_000,
            write_units: 4_000
        }
    );
    assert_eq!(definition.tags["a"], "b");
}

#[test]
fn keys_have_an_order_and_definitions() {
    let schema = create(&keyed(&["pk HASH", "sk RANGE"], &["sk N", "pk B"]))
        .unwrap()
        .key_schema;
    assert_eq!(schema.partition.kind, Kind::Binary);
    assert_eq!(schema.sort.map(|sort| sort.kind), Some(Kind::Number));
    for (keys, definitions, expected) in [
        (&["pk RANGE"][..], &["pk S"][..], table::FIRST_KEY_NOT_HASH),
        (
            &["sk RANGE", "pk HASH"],
            &["pk S", "sk S"],
            table::FIRST_KEY_NOT_HASH,
        ),
        (
            &["pk HASH", "sk HASH"],
            &["pk S", "sk S"],
            table::SECOND_KEY_NOT_RANGE,
        ),
        (&["pk HASH", "pk RANGE"], &["pk S"], table::SAME_KEY_TWICE),
        (&["pk HASH"], &["pk S", "x S"], table::SURPLUS_DEFINITIONS),
        (
            &["pk HASH"],
            &["pk S", "pk N"],
            "Attribute Name is duplicated: pk",
        ),
    ] {
        assert_eq!(refusal(&keyed(keys, definitions)), expected, "{keys:?}");
    }
    assert_eq!(
        refusal(&keyed(&["pk HASH", "sk RANGE"], &["pk S"])),
        "One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions. \
         Keys: [pk, sk], AttributeDefinitions: [pk]"
    );
}

#[test]
fn what_breaks_the_service_model_is_reported_together() {
    assert_eq!(
        refusal(r#"{"TableName":"Tab"}"#),
        "2 validation errors detected: Value null at 'attributeDefinitions' failed to satisfy constraint: Member must not be \
         null; Value null at 'keySchema' failed to satisfy constraint: Member must not be null"
    );
    assert_eq!(refusal(&keyed(&["pk HASH"], &[])), table::NO_DEFINITIONS);
    assert_eq!(
        refusal(&keyed(&["pk x"], &["pk BOOL"])),
        "2 validation errors detected: Value 'BOOL' at 'attributeDefinitions.1.member.attributeType' failed to satisfy \
         constraint: Member must satisfy enum value set: [B, N, S]; Value 'x' at 'keySchema.1.member.keyType' failed to \
         satisfy constraint: Member must satisfy enum value set: [HASH, RANGE]"
    );
    assert_eq!(
        refusal(&keyed(&["a HASH", "b RANGE", "c RANGE"], &["a S"])),
        "1 validation error detected: Value '[KeySchemaElement(attributeName=a, keyType=HASH), \
         KeySchemaElement(attributeName=b, keyType=RANGE), KeySchemaElement(attributeName=c, keyType=RANGE)]' at 'keySchema' \
         failed to satisfy constraint: Member must have length less than or equal to 2"
    );
    assert_eq!(
        refusal(&body(
            r#","BillingMode":"x","ProvisionedThroughput":{"ReadCapacityUnits":0},"TableClass":"y""#
        )),
        "4 validation errors detected: Value 'x' at 'billingMode' failed to satisfy constraint: Member must satisfy \
         enum value set: [PROVISIONED, PAY_PER_REQUEST]; Value '0' at 'provisionedThroughput.readCapacityUnits' failed \
         to satisfy constraint: Member must have value greater than or equal to 1; Value null at \
         'provisionedThroughput.writeCapacityUnits' failed to satisfy constraint: Member must not be null; Value 'y' at \
         'tableClass' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, \
         STANDARD_INFREQUENT_ACCESS]"
    );
}

#[test]
fn what_this_version_does_not_have_is_refused() {
    let with = |members: &str| refusal(&body(&format!(r#","BillingMode":"PAY_PER_REQUEST",{members}"#)));
    for (members, unsupported) in [
        (
            r#""VectorIndexes":[{}]"#,
            Unsupported::VectorIndexes("VectorIndexes"),
        ),
        (
            r#""GlobalTableSourceArn":"arn""#,
            Unsupported::GlobalTables("GlobalTableSourceArn"),
        ),
        (
            r#""SSESpecification":{"Enabled":true,"KMSMasterKeyId":"k"}"#,
            Unsupported::EncryptionKey("SSESpecification.KMSMasterKeyId"),
        ),
    ] {
        assert_eq!(
            ApiError::Validation(with(members)),
            unsupported.refusal(),
            "{members}"
        );
    }
}

/// A body of a table with the keys `pk` and `sk`, with definitions of `a` and `b`, and these members.
fn indexed(members: &str) -> String {
    keyed(&["pk HASH", "sk RANGE"], &["pk S", "sk S", "a S", "b N"]).replacen(
        '{',
        &format!("{{{members},"),
        1,
    )
}

fn an_index(name: &str, keys: &[&str], projection: &str) -> String {
    let keys: Vec<String> = keys
        .iter()
        .map(|key| {
            let (name, role) = key.split_once(' ').unwrap();
            format!(r#"{{"AttributeName":"{name}","KeyType":"{role}"}}"#)
        })
        .collect();
    format!(
        r#"{{"IndexName":"{name}","KeySchema":[{}],"Projection":{{{projection}}}}}"#,
        keys.join(",")
    )
}

const ALL: &str = r#""ProjectionType":"ALL""#;

fn indexes(local: &[String], global: &[String]) -> String {
    let list = |member: &str, indexes: &[String]| {
        (!indexes.is_empty()).then(|| format!(r#""{member}":[{}]"#, indexes.join(",")))
    };
    let members = [
        list("LocalSecondaryIndexes", local),
        list("GlobalSecondaryIndexes", global),
    ];
    indexed(&members.into_iter().flatten().collect::<Vec<_>>().join(","))
}

#[test]
fn indexes_are_in_the_definition() {
    let local = an_index("local", &["pk HASH", "a RANGE"], ALL);
    let included = r#""ProjectionType":"INCLUDE","NonKeyAttributes":["x","y"]"#;
    let global = an_index("global", &["a HASH", "b HASH", "sk RANGE", "pk RANGE"], included);
    let definition = create(&indexes(&[local], &[global])).unwrap();
    let names = |attributes: &[KeyAttribute]| -> Vec<String> {
        attributes
            .iter()
            .map(|attribute| attribute.name.clone())
            .collect()
    };
    let [local, global] = &definition.indexes[..] else {
        unreachable!("two indexes")
    };
    assert_eq!(
        (local.kind, names(&local.range)),
        (IndexKind::Local, vec!["a".to_owned()])
    );
    assert_eq!((names(&global.hash).len(), names(&global.range).len()), (2, 2));
    assert_eq!(
        global.projection,
        stator_model::index::Projection::Include(vec!["x".into(), "y".into()])
    );
    assert_ne!(local.id, global.id);
    assert_eq!(
        local.status,
        IndexStatus::Active,
        "an empty table needs no filling"
    );
}

#[test]
fn indexes_that_do_not_fit_are_refused_with_their_names() {
    let local = |keys: &[&str]| indexes(&[an_index("idx", keys, ALL)], &[]);
    let used = |projection: &str| {
        let global = an_index("idx", &["a HASH", "b RANGE"], projection);
        indexes(&[], &[global])
    };
    for (body, sentence) in [
        (
            local(&["pk HASH"]),
            "Index KeySchema does not have a range key for index: idx",
        ),
        (
            local(&["a HASH", "b RANGE"]),
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: idx. index hash \
             key: a, table hash key: pk",
        ),
        (
            used(r#""ProjectionType":"INCLUDE""#),
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        ),
        (
            used(r#""ProjectionType":"ALL","NonKeyAttributes":["x"]"#),
            "ProjectionType is ALL, but NonKeyAttributes is specified",
        ),
        (
            indexes(&[], &[an_index("idx", &["a HASH"], ALL)]),
            "Some AttributeDefinitions are not used. AttributeDefinitions: [pk, sk, a, b], keys used: [a, pk, sk]",
        ),
        (
            indexes(
                &[],
                &[
                    an_index("idx", &["a HASH"], ALL),
                    an_index("idx", &["b HASH"], ALL),
                ],
            ),
            "Duplicate index name: idx",
        ),
        (
            indexed(r#""GlobalSecondaryIndexes":[]"#),
            "List of GlobalSecondaryIndexes is empty",
        ),
        (
            used(r#""ProjectionType":"INCLUDE","NonKeyAttributes":["x","y","x"]"#),
            "Duplicate element in NonKeyAttributes: x",
        ),
        (
            indexes(&[], &[an_index("idx", &["a HASH", "b RANGE", "sk HASH"], ALL)]),
            "All HASH key attributes must precede RANGE key attributes in the KeySchema",
        ),
    ] {
        let expected = format!("One or more parameter values were invalid: {sentence}");
        assert_eq!(refusal(&body), expected, "{body}");
    }
    assert_eq!(
        refusal(&indexes(
            &[],
            &[an_index("idx", &["a HASH", "b RANGE", "a RANGE"], ALL)]
        )),
        index::SAME_KEYS
    );
    assert!(
        refusal(&local(&["pk HASH", "a RANGE", "b RANGE"])).contains(
            "at 'localSecondaryIndexes.1.member.keySchema' failed to satisfy constraint: Member must have length less than \
             or equal to 2"
        )
    );
    let undefined = refusal(&indexes(&[], &[an_index("idx", &["a HASH", "c RANGE"], ALL)]));
    assert!(
        undefined.contains("Some index key attributes are not defined"),
        "{undefined}"
    );
}

#[test]
fn names_and_tags_have_rules() {
    let named = |name: &str| keyed(&["pk HASH"], &["pk S"]).replace("\"Tab\"", &format!("\"{name}\""));
    assert_eq!(
        refusal(&named("a b")),
        "1 validation error detected: Value 'a b' at 'tableName' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-zA-Z0-9_.-]+"
    );
    assert_eq!(
        create(&named("arn:aws:dynamodb:eu-west-1:000000000000:table/Other"))
            .unwrap()
            .name,
        "Other"
    );
    let tagged =
        body(r#","BillingMode":"PAY_PER_REQUEST","Tags":[{"Key":"a","Value":"b"},{"Key":"a","Value":"c"}]"#);
    assert_eq!(ApiError::Validation(refusal(&tagged)), table::duplicate_tag("a"));
}
