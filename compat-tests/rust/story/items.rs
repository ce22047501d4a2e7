//! One item: every type of value, conditions, updates.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue::{B, Bool, Bs, L, M, Ns, Null, Ss};
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};

use crate::shelf::{Book, Item, Shelf, books, key, map, n, s};

fn bytes(bytes: &[u8]) -> Blob {
    Blob::new(bytes)
}

/// The item with the members of its sets in order, since a set has none.
fn sorted(mut item: Item) -> Item {
    for value in item.values_mut() {
        match value {
            Ss(members) | Ns(members) => members.sort(),
            Bs(members) => members.sort_by(|one, other| one.as_ref().cmp(other.as_ref())),
            _ => {}
        }
    }
    item
}

#[tokio::test]
async fn every_type_comes_back_as_it_was_put() {
    let shelf = Shelf::empty().await;
    let inner = M(map([("deep", Bool(false))]));
    let mut item = map([
        ("text", s("żółw 🐢")),
        ("empty", s("")),
        ("long", n("12345678901234567890123456789012345678")),
        ("tiny", n("-0.000001")),
        ("bytes", B(bytes(&[0, 1, 254, 255]))),
        ("yes", Bool(true)),
        ("nothing", Null(true)),
        ("list", L(vec![s("a"), n(1), L(Vec::new())])),
        ("map", M(map([("inner", inner)]))),
        ("strings", Ss(vec!["a".into(), "b".into()])),
        ("numbers", Ns(vec!["1".into(), "2.5".into()])),
        ("binaries", Bs(vec![bytes(&[1]), bytes(&[2])])),
    ]);
    item.extend(key("types", 0));
    shelf
        .client
        .put_item()
        .table_name(&shelf.name)
        .set_item(Some(item.clone()))
        .send()
        .await
        .unwrap();
    assert_eq!(shelf.item("types", 0).await.map(sorted), Some(item));
}

#[tokio::test]
async fn a_book_that_is_there_is_not_put_again() {
    let shelf = Shelf::full().await;
    let first = books().swap_remove(0);
    let again = Book {
        copies: 99,
        ..first.clone()
    };
    let put = shelf
        .client
        .put_item()
        .table_name(&shelf.name)
        .set_item(Some(to_item(again).unwrap()))
        .condition_expression("attribute_not_exists(author)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let error = put.send().await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(failed) = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(failed.message(), Some("The conditional request failed"));
    assert_eq!(from_item::<Book>(failed.item.unwrap()).unwrap(), first);
    assert_eq!(shelf.book("Lem", 1961).await, Some(first));
}

#[tokio::test]
async fn a_book_is_lent_while_there_are_copies() {
    let shelf = Shelf::full().await;
    let lend = || {
        shelf
            .client
            .update_item()
            .table_name(&shelf.name)
            .set_key(Some(key("Le Guin", 1969)))
            .update_expression(
                "SET copies = copies - :one, readers = list_append(if_not_exists(readers, :none), :who)",
            )
            .condition_expression("copies > :zero")
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":none", L(Vec::new()))
            .expression_attribute_values(":who", L(vec![s("ann")]))
            .return_values(ReturnValue::UpdatedNew)
            .send()
    };
    for (left, readers) in [(1, vec![s("ann")]), (0, vec![s("ann"), s("ann")])] {
        let expected = map([("copies", n(left)), ("readers", L(readers))]);
        assert_eq!(lend().await.unwrap().attributes, Some(expected));
    }
    assert!(
        lend()
            .await
            .unwrap_err()
            .into_service_error()
            .is_conditional_check_failed_exception()
    );
}

#[tokio::test]
async fn an_update_adds_deletes_and_removes() {
    let shelf = Shelf::empty().await;
    let update = |expression: &'static str, values: Vec<(&'static str, AttributeValue)>| {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value));
        let update = shelf
            .client
            .update_item()
            .table_name(&shelf.name)
            .set_key(Some(key("update", 7)));
        update
            .update_expression(expression)
            .set_expression_attribute_values(Some(values.collect()))
            .return_values(ReturnValue::AllNew)
    };
    let place = M(map([("lane", n(4)), ("box", M(map([("n", n(1))])))]));
    let tags = Ss(vec!["old".into(), "blue".into()]);
    update(
        "ADD loans :two, tags :tags SET spot = :map",
        vec![(":two", n(2)), (":tags", tags), (":map", place)],
    )
    .send()
    .await
    .unwrap();
    let old = Ss(vec!["old".into()]);
    let found = update(
        "ADD loans :one DELETE tags :old SET spot.#box.n = :nine REMOVE spot.lane",
        vec![(":one", n(1)), (":old", old), (":nine", n(9))],
    )
    .expression_attribute_names("#box", "box")
    .send()
    .await
    .unwrap();
    let mut expected = map([
        ("loans", n(3)),
        ("tags", Ss(vec!["blue".into()])),
        ("spot", M(map([("box", M(map([("n", n(9))])))]))),
    ]);
    expected.extend(key("update", 7));
    assert_eq!(found.attributes, Some(expected));
}

#[tokio::test]
async fn a_deleted_book_is_given_back_once_more() {
    let shelf = Shelf::full().await;
    let delete = shelf
        .client
        .delete_item()
        .table_name(&shelf.name)
        .set_key(Some(key("Lem", 1961)))
        .return_values(ReturnValue::AllOld)
        .return_consumed_capacity(ReturnConsumedCapacity::Total);
    let deleted = delete.send().await.unwrap();
    assert_eq!(
        from_item::<Book>(deleted.attributes.unwrap()).unwrap(),
        books()[0]
    );
    assert_eq!(
        deleted.consumed_capacity.unwrap().table_name(),
        Some(shelf.name.as_str())
    );
    assert_eq!(shelf.item("Lem", 1961).await, None);
}
