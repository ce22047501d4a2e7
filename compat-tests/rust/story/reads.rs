//! Many items: queries, filters, pages, segments, the index, batches.

use std::time::Instant;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{DeleteRequest, KeysAndAttributes, Select, WriteRequest};
use serde_dynamo::aws_sdk_dynamodb_1::from_items;

use crate::shelf::{Book, Item, PATIENCE, Shelf, books, key, map, n, put, s};

fn lem() -> Vec<Book> {
    let mut books = books();
    books.retain(|book| book.author == "Lem");
    books
}

fn by_author(shelf: &Shelf, author: &str) -> QueryFluentBuilder {
    shelf
        .client
        .query()
        .table_name(&shelf.name)
        .key_condition_expression("author = :author")
        .expression_attribute_values(":author", s(author))
}

fn read(items: Option<Vec<Item>>) -> Vec<Book> {
    from_items(items.unwrap()).unwrap()
}

#[tokio::test]
async fn an_authors_books_come_in_the_order_of_their_years() {
    let shelf = Shelf::full().await;
    let forward = by_author(&shelf, "Lem").send().await.unwrap();
    assert_eq!(forward.count, 5);
    assert_eq!(read(forward.items), lem());
    let back = by_author(&shelf, "Lem")
        .scan_index_forward(false)
        .send()
        .await
        .unwrap();
    let mut back = read(back.items);
    back.reverse();
    assert_eq!(back, lem());
}

#[tokio::test]
async fn years_are_a_range_and_a_filter_leaves_out() {
    let shelf = Shelf::full().await;
    let found = by_author(&shelf, "Lem")
        .key_condition_expression("author = :author AND #year BETWEEN :from AND :to")
        .filter_expression("genre <> :genre AND (copies > :one OR contains(title, :part))")
        .projection_expression("title, #year")
        .expression_attribute_names("#year", "year")
        .expression_attribute_values(":from", n(1961))
        .expression_attribute_values(":to", n(1968))
        .expression_attribute_values(":genre", s("satire"))
        .expression_attribute_values(":one", n(1))
        .expression_attribute_values(":part", s("Invinc"))
        .send()
        .await
        .unwrap();
    let expected = [("Solaris", 1961), ("The Invincible", 1964)]
        .map(|(title, year)| map([("title", s(title)), ("year", n(year))]));
    assert_eq!(found.items(), expected);
    assert_eq!((found.count, found.scanned_count), (2, 4));
}

#[tokio::test]
async fn a_paginator_goes_through_all_pages() {
    let shelf = Shelf::full().await;
    let mut pages = by_author(&shelf, "Lem").limit(2).into_paginator().send();
    let mut lengths = Vec::new();
    while let Some(page) = pages.next().await {
        lengths.push(page.unwrap().items().len());
    }
    assert_eq!(lengths, [2, 2, 1]);
    let items = by_author(&shelf, "Lem")
        .into_paginator()
        .page_size(2)
        .items()
        .send();
    assert_eq!(read(Some(items.try_collect().await.unwrap())), lem());
}

#[tokio::test]
async fn segments_share_a_table_among_them() {
    let shelf = Shelf::full().await;
    let segments = [0, 1, 2].map(|segment| {
        let scan = shelf
            .client
            .scan()
            .table_name(&shelf.name)
            .segment(segment)
            .total_segments(3);
        tokio::spawn(scan.into_paginator().page_size(1).items().send().try_collect())
    });
    let mut found = Vec::new();
    for segment in segments {
        found.extend(read(Some(segment.await.unwrap().unwrap())));
    }
    found.sort_by(|one, other| one.title.cmp(&other.title));
    let mut expected = books();
    expected.sort_by(|one, other| one.title.cmp(&other.title));
    assert_eq!(found, expected);
    let counted = shelf
        .client
        .scan()
        .table_name(&shelf.name)
        .select(Select::Count)
        .send()
        .await
        .unwrap();
    assert_eq!((counted.count, counted.items), (10, None));
}

#[tokio::test]
async fn the_index_has_the_books_of_a_genre() {
    let shelf = Shelf::full().await;
    let mut expected = books();
    expected.retain(|book| book.genre == "sf");
    expected.sort_by_key(|book| book.year);
    let start = Instant::now();
    loop {
        let query = shelf
            .client
            .query()
            .table_name(&shelf.name)
            .index_name("by-genre")
            .key_condition_expression("genre = :genre")
            .expression_attribute_values(":genre", s("sf"));
        let found = read(query.send().await.unwrap().items);
        if found.len() == expected.len() || start.elapsed() > PATIENCE {
            assert_eq!(found, expected);
            return;
        }
    }
}

#[tokio::test]
async fn batches_write_read_and_delete() {
    let shelf = Shelf::empty().await;
    let many: Vec<Book> = (0..25)
        .map(|year| Book {
            author: "batch".into(),
            year,
            title: format!("No. {year}"),
            ..Book::default()
        })
        .collect();
    shelf.batch_write(many.iter().cloned().map(put).collect()).await;
    assert_eq!(batch(&shelf).await, many);
    let delete = |year| {
        let delete = DeleteRequest::builder().set_key(Some(key("batch", year)));
        WriteRequest::builder()
            .delete_request(delete.build().unwrap())
            .build()
    };
    shelf.batch_write((0..20).map(delete).collect()).await;
    assert_eq!(batch(&shelf).await, many[20..]);
}

/// The books of a batch of 30 keys, of which not all are there.
async fn batch(shelf: &Shelf) -> Vec<Book> {
    let keys = (0..30).map(|year| key("batch", year)).collect();
    let keys = KeysAndAttributes::builder()
        .set_keys(Some(keys))
        .consistent_read(true)
        .build()
        .unwrap();
    let got = shelf
        .client
        .batch_get_item()
        .request_items(&shelf.name, keys)
        .send()
        .await
        .unwrap();
    assert!(got.unprocessed_keys.unwrap().is_empty());
    let mut found = read(got.responses.unwrap().remove(&shelf.name));
    found.sort_by_key(|book| book.year);
    found
}
