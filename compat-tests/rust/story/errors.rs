//! What goes wrong has a type, and what was lost on the way is sent again and happens once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Credentials, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata};
use aws_sdk_dynamodb::operation::RequestId;
use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use serde_dynamo::aws_sdk_dynamodb_1::to_item;

use crate::shelf::{Book, Shelf, connect, key, map, n, s, settings};

#[tokio::test]
async fn a_table_that_is_not_there() {
    let client = connect().await;
    let get = client
        .get_item()
        .table_name("no.such.shelf")
        .set_key(Some(key("x", 1)));
    let error = get.send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 400);
    let id = error.request_id().unwrap();
    let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    assert!(id.len() == 52 && id.bytes().all(is_upper), "{id}");
    let error = error.into_service_error();
    assert!(error.is_resource_not_found_exception());
    assert_eq!(error.message(), Some("Requested resource not found"));
}

#[tokio::test]
async fn a_key_that_is_not_the_tables() {
    let shelf = Shelf::empty().await;
    let wrong = map([("author", s("x")), ("year", s("not a number"))]);
    let get = shelf
        .client
        .get_item()
        .table_name(&shelf.name)
        .set_key(Some(wrong));
    let error = get.send().await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("ValidationException"));
    assert_eq!(
        error.message(),
        Some("The provided key element does not match the schema")
    );
}

#[tokio::test]
async fn a_wrong_secret_and_a_key_pair_that_nobody_has() {
    let settings = settings("STATOR_ENDPOINT").await;
    let known = std::env::var("AWS_ACCESS_KEY_ID").unwrap();
    for (id, code) in [
        (known.as_str(), "InvalidSignatureException"),
        ("AKIAIOSFODNN7EXAMPLE", "UnrecognizedClientException"),
    ] {
        let stranger = Credentials::new(id, "wrong", None, None, "test");
        let stranger = aws_sdk_dynamodb::config::Builder::from(&settings)
            .credentials_provider(stranger)
            .build();
        let error = Client::from_conf(stranger)
            .list_tables()
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(code));
    }
}

/// Counts what is sent, each try of a request on its own.
#[derive(Debug, Clone, Default)]
struct Tries(Arc<AtomicU32>);

impl Intercept for Tries {
    fn name(&self) -> &'static str {
        "Tries"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_the_transaction_happens_once() {
    let shelf = Shelf::empty().await;
    let put = Book {
        author: "retry".into(),
        year: 1,
        ..Book::default()
    };
    let put = shelf
        .client
        .put_item()
        .table_name(&shelf.name)
        .set_item(Some(to_item(put).unwrap()));
    put.send().await.unwrap();
    let tries = Tries::default();
    let settings = settings("STATOR_LOSSY_ENDPOINT").await;
    let retrying = aws_sdk_dynamodb::config::Builder::from(&settings)
        .interceptor(tries.clone())
        .build();
    let retrying = Client::from_conf(retrying);
    for round in 1..=3 {
        let update = Update::builder()
            .table_name(&shelf.name)
            .set_key(Some(key("retry", 1)))
            .update_expression("ADD copies :one")
            .expression_attribute_values(":one", n(1));
        let write = TransactWriteItem::builder()
            .update(update.build().unwrap())
            .build();
        retrying
            .transact_write_items()
            .transact_items(write)
            .send()
            .await
            .unwrap();
        assert_eq!(tries.0.load(Ordering::SeqCst), 2 * round);
        assert_eq!(shelf.book("retry", 1).await.unwrap().copies, round);
    }
}
