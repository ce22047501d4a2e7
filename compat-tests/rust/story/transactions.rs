//! All or nothing: transactions of requests, and statements of PartiQL.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::execute_statement::builders::ExecuteStatementFluentBuilder;
use aws_sdk_dynamodb::operation::execute_transaction::ExecuteTransactionError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_dynamodb::types::{
    AttributeValue, BatchStatementErrorCodeEnum, BatchStatementRequest, Get, ParameterizedStatement,
    TransactGetItem, TransactWriteItem, Update,
};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, from_items};

use crate::shelf::{Book, Shelf, books, key, map, n, s};

/// Carries a copy from one book to another.
async fn move_copy(
    shelf: &Shelf,
    from: &Book,
    to: &Book,
    token: Option<&str>,
) -> Result<(), SdkError<TransactWriteItemsError>> {
    let change = |book: &Book, by: i32| {
        let update = Update::builder()
            .table_name(&shelf.name)
            .set_key(Some(key(&book.author, book.year)))
            .update_expression("SET copies = copies + :by")
            .condition_expression("copies >= :least")
            .expression_attribute_values(":by", n(by))
            .expression_attribute_values(":least", n((-by).max(0)));
        TransactWriteItem::builder()
            .update(update.build().unwrap())
            .build()
    };
    shelf
        .client
        .transact_write_items()
        .transact_items(change(from, -1))
        .transact_items(change(to, 1))
        .set_client_request_token(token.map(ToOwned::to_owned))
        .send()
        .await
        .map(|_| ())
}

/// The codes for which a transaction was cancelled.
fn reasons(canceled: &TransactionCanceledException) -> Vec<&str> {
    canceled
        .cancellation_reasons()
        .iter()
        .filter_map(|reason| reason.code())
        .collect()
}

#[tokio::test]
async fn a_transaction_happens_once_for_its_token() {
    let shelf = Shelf::full().await;
    let books = books();
    let (from, to) = (&books[8], &books[9]);
    let token = uuid::Uuid::new_v4().to_string();
    for _ in 0..2 {
        move_copy(&shelf, from, to, Some(&token)).await.unwrap();
    }
    assert_eq!(shelf.book("Christie", 1934).await.unwrap().copies, 5);
    assert_eq!(shelf.book("Christie", 1939).await.unwrap().copies, 3);
    let other = move_copy(&shelf, to, from, Some(&token)).await.unwrap_err();
    assert!(
        other
            .into_service_error()
            .is_idempotent_parameter_mismatch_exception()
    );
}

#[tokio::test]
async fn a_transaction_that_cannot_be_is_not_at_all_and_says_why() {
    let shelf = Shelf::full().await;
    let books = books();
    let (empty, other) = (&books[7], &books[5]);
    let error = move_copy(&shelf, empty, other, None)
        .await
        .unwrap_err()
        .into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
        panic!("{error:?}");
    };
    assert_eq!(reasons(&canceled), ["ConditionalCheckFailed", "None"]);
    assert_eq!(shelf.book("Le Guin", 1974).await.as_ref(), Some(empty));
    assert_eq!(shelf.book("Le Guin", 1968).await.as_ref(), Some(other));
}

#[tokio::test]
async fn a_transaction_reads_all_at_one_moment() {
    let shelf = Shelf::full().await;
    let gets = [("Lem", 1961), ("nobody", 1), ("Lem", 1964)].map(|(author, year)| {
        let get = Get::builder()
            .table_name(&shelf.name)
            .set_key(Some(key(author, year)));
        TransactGetItem::builder().get(get.build().unwrap()).build()
    });
    let got = shelf
        .client
        .transact_get_items()
        .set_transact_items(Some(gets.into()))
        .send()
        .await
        .unwrap();
    let found = got.responses.unwrap().into_iter().map(|response| response.item);
    let found: Vec<Option<Book>> = found
        .map(|item| item.map(|item| from_item(item).unwrap()))
        .collect();
    let books = books();
    assert_eq!(found, [Some(books[0].clone()), None, Some(books[1].clone())]);
}

fn run<const N: usize>(
    shelf: &Shelf,
    statement: &str,
    parameters: [AttributeValue; N],
) -> ExecuteStatementFluentBuilder {
    let statement = statement.replace("shelf", &format!("\"{}\"", shelf.name));
    shelf
        .client
        .execute_statement()
        .statement(statement)
        .set_parameters(Some(parameters.into()))
}

#[tokio::test]
async fn statements_write_read_and_go_through_pages() {
    let shelf = Shelf::empty().await;
    for year in 1..=5 {
        let insert = || {
            let values = [s("statement"), n(year), n(1)];
            run(
                &shelf,
                "INSERT INTO shelf VALUE {'author': ?, 'year': ?, 'copies': ?}",
                values,
            )
            .send()
        };
        insert().await.unwrap();
        assert!(
            insert()
                .await
                .unwrap_err()
                .into_service_error()
                .is_duplicate_item_exception()
        );
    }
    let update = "UPDATE shelf SET copies = copies + ? WHERE author = ? AND \"year\" = ? RETURNING ALL NEW *";
    let updated = run(&shelf, update, [n(4), s("statement"), n(3)])
        .send()
        .await
        .unwrap();
    let expected = Book {
        author: "statement".into(),
        year: 3,
        copies: 5,
        ..Book::default()
    };
    assert_eq!(from_items::<Book>(updated.items.unwrap()).unwrap(), [expected]);
    let delete = "DELETE FROM shelf WHERE author = ? AND \"year\" = ?";
    run(&shelf, delete, [s("statement"), n(5)]).send().await.unwrap();
    let never = "UPDATE shelf SET copies = 1 WHERE author = ? AND \"year\" = ? AND copies > 100";
    let failed = run(&shelf, never, [s("statement"), n(1)])
        .send()
        .await
        .unwrap_err();
    assert!(
        failed
            .into_service_error()
            .is_conditional_check_failed_exception()
    );

    let mut found = Vec::new();
    let mut token = None;
    loop {
        let select = "SELECT \"year\", copies FROM shelf WHERE author = ? ORDER BY \"year\" DESC";
        let page = run(&shelf, select, [s("statement")])
            .limit(3)
            .set_next_token(token);
        let page = page.send().await.unwrap();
        found.extend(page.items.unwrap());
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let expected = [(4, 1), (3, 5), (2, 1), (1, 1)]
        .map(|(year, copies)| map([("year", n(year)), ("copies", n(copies))]));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn statements_go_in_batches_and_in_transactions() {
    let shelf = Shelf::full().await;
    let title = format!(
        "SELECT title FROM \"{}\" WHERE author = 'Lem' AND \"year\" = 1961",
        shelf.name
    );
    let missing = "SELECT * FROM \"no.such.shelf\" WHERE author = 'x' AND \"year\" = 1".to_owned();
    let statements =
        [title, missing].map(|text| BatchStatementRequest::builder().statement(text).build().unwrap());
    let batch = shelf
        .client
        .batch_execute_statement()
        .set_statements(Some(statements.into()));
    let answers = batch.send().await.unwrap().responses.unwrap();
    assert_eq!(answers[0].item, Some(map([("title", s("Solaris"))])));
    let error = answers[1].error().unwrap();
    assert_eq!(error.code(), Some(&BatchStatementErrorCodeEnum::ResourceNotFound));

    together(&shelf, [1, 2]).await.unwrap();
    let error = together(&shelf, [3, 2]).await.unwrap_err().into_service_error();
    assert_eq!(error.code(), Some("TransactionCanceledException"));
    let ExecuteTransactionError::TransactionCanceledException(canceled) = error else {
        panic!("{error:?}");
    };
    assert_eq!(reasons(&canceled), ["None", "DuplicateItem"]);
    assert_eq!(shelf.item("together", 3).await, None);
    assert_eq!(shelf.item("together", 2).await, Some(key("together", 2)));
}

/// Inserts books of these years, all or none.
async fn together(shelf: &Shelf, years: [u32; 2]) -> Result<(), SdkError<ExecuteTransactionError>> {
    let statements = years.map(|year| {
        let insert = format!("INSERT INTO \"{}\" VALUE {{'author': ?, 'year': ?}}", shelf.name);
        let insert = ParameterizedStatement::builder().statement(insert);
        insert
            .parameters(s("together"))
            .parameters(n(year))
            .build()
            .unwrap()
    });
    let transaction = shelf
        .client
        .execute_transaction()
        .set_transact_statements(Some(statements.into()));
    transaction.send().await.map(|_| ())
}
