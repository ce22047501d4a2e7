//! Requests over a connection whose certificate stands for root, which does not count for pages.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Map, Value};
use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey};
use stator_iam::{SecretKey, Transport};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::*;
use crate::clock::SystemClock;
use crate::config::Rotation;
use crate::http::limits::HttpLimits;
use crate::limits::Limits;
use crate::node;
use crate::upkeep::UpkeepSettings;

/// A node in this directory that verifies signatures.
async fn app(directory: &TempDir) -> Arc<App> {
    let limits = Limits::default();
    let key = MasterKey::new([3; MASTER_KEY_BYTES]);
    let opened = node::open_alone(Durability::Interval, directory.path(), key, limits).unwrap();
    opened.cluster.ready().await.unwrap();
    let secret = SecretKey::new("secret".to_owned());
    let region = "us-east-1".to_owned();
    let api = node::Api {
        region: region.clone(),
        endpoint: "localhost".to_owned(),
        authenticator: Authenticator::of_root("AKIA1", secret, region, Transport::Tls),
        upkeep: UpkeepSettings::default(),
        http_limits: HttpLimits::for_development(),
        backup: None,
        object_store: None,
        audit: None,
        fetch: None,
        rotation: Rotation::default(),
        limits,
        health: Health::new(Arc::new(SystemClock)),
        slow_request: None,
    };
    node::app(&opened, api).await.unwrap()
}

/// A ListTables, without its signature.
fn list_tables() -> http::request::Builder {
    http::Request::post("/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", "DynamoDB_20120810.ListTables")
}

/// Status and body of the answer.
async fn answer_to(
    app: &Arc<App>,
    request: http::request::Builder,
    body: &'static str,
) -> (StatusCode, String) {
    let root = "arn:aws:iam::000000000000:root".into();
    let peer = Peer::new((Ipv4Addr::LOCALHOST, 1).into(), None, Some(root));
    let request = request.extension(peer).body(Body::from(body)).unwrap();
    let response = router(Arc::clone(app)).oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Checks that an answer has the members that a schema of the document requires and describes, and no others.
fn check_described(document: &Value, schema: &Value, answer: &Value, path: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    match answer {
        Value::Object(members) => {
            // Others have whatever names there are, such as numbers of nodes.
            let Some(described) = schema["properties"].as_object() else {
                return;
            };
            let names = |members: &Map<String, Value>| members.keys().cloned().collect::<BTreeSet<_>>();
            let required = schema["required"].as_array().unwrap().iter();
            let required = required.map(|name| name.as_str().unwrap().to_owned());
            assert_eq!(names(members), names(described), "{path}");
            assert_eq!(names(members), required.collect(), "{path}");
            for (name, member) in members {
                check_described(document, &described[name], member, &format!("{path}.{name}"));
            }
        }
        Value::Array(elements) => {
            for element in elements {
                check_described(document, &schema["items"], element, path);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_document_describes_all_that_is_told_of_a_cluster_and_its_keys() {
    let document: Value = serde_json::from_str(include_str!("../../../openapi/admin.json")).unwrap();
    let directory = TempDir::new().unwrap();
    let app = app(&directory).await;
    for (path, schema) in [(admin::STATUS_PATH, "Status"), (admin::KEYS_PATH, "Keys")] {
        let (status, said) = answer_to(&app, http::Request::get(path), "").await;
        assert_eq!(status, StatusCode::OK, "{said}");
        let answer: Value = serde_json::from_str(&said).unwrap();
        let schema = &document["components"]["schemas"][schema];
        check_described(&document, schema, &answer, path);
    }
}

#[tokio::test]
async fn what_is_compressed_is_looked_into_when_it_is_known_who_has_sent_it() {
    let directory = TempDir::new().unwrap();
    let app = app(&directory).await;
    let rotate = || http::Request::post(admin::KEYS_PATH);
    let requests: [&dyn Fn() -> http::request::Builder; 2] = [&list_tables, &rotate];
    for request in requests {
        let compressed = || request().header("content-encoding", "gzip");
        let (_, said) = answer_to(&app, compressed(), "no gzip").await;
        assert!(said.contains("SerializationException"), "{said}");
        // A certificate counts for no page.
        let (_, said) = answer_to(&app, compressed().header("origin", "null"), "no gzip").await;
        assert!(said.contains("MissingAuthenticationToken"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_stands_for_its_principal_but_not_for_what_a_page_in_a_browser_sends() {
    let directory = TempDir::new().unwrap();
    let app = app(&directory).await;
    let form = || http::Request::post("/").header("content-type", "application/x-www-form-urlencoded");
    let form_body = "Action=GetCallerIdentity&Version=2011-06-15";
    let image = || http::Request::get("/?Action=GetCallerIdentity&Version=2011-06-15");
    let status = || http::Request::get(admin::STATUS_PATH);
    let requests: [(&dyn Fn() -> http::request::Builder, &'static str); 4] = [
        (&list_tables, "{}"),
        (&form, form_body),
        (&image, ""),
        (&status, ""),
    ];
    for (request, body) in requests {
        let (status, said) = answer_to(&app, request(), body).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        for (name, value) in [
            ("origin", "https://page.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "none"),
        ] {
            let (status, said) = answer_to(&app, request().header(name, value), body).await;
            assert!(status.is_client_error(), "{name}: {value}: {status}");
            assert!(said.contains("MissingAuthenticationToken"), "{said}");
        }
    }
}
