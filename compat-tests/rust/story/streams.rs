//! The stream of a table: what happened to its items, in order.

use std::time::Instant;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::types::{OperationType, Record, ShardIteratorType, StreamViewType};
use serde_dynamo::{aws_sdk_dynamodb_1::to_item, aws_sdk_dynamodbstreams_1::from_item};

use crate::shelf::{Book, PATIENCE, Shelf, key, n, settings};

/// The records of all shards from the oldest on, until there are as many as expected.
async fn read(streams: &Client, arn: &str, expected: usize) -> Vec<Record> {
    let described = streams.describe_stream().stream_arn(arn).send().await.unwrap();
    let stream = described.stream_description.unwrap();
    assert_eq!(stream.stream_view_type, Some(StreamViewType::NewAndOldImages));
    let mut iterators = Vec::new();
    for shard in stream.shards() {
        let from = streams
            .get_shard_iterator()
            .stream_arn(arn)
            .shard_id(shard.shard_id().unwrap());
        let from = from.shard_iterator_type(ShardIteratorType::TrimHorizon);
        iterators.push(from.send().await.unwrap().shard_iterator);
    }
    let start = Instant::now();
    let mut records = Vec::new();
    while records.len() < expected && start.elapsed() < PATIENCE {
        for iterator in &mut iterators {
            if let Some(from) = iterator.take() {
                let page = streams.get_records().shard_iterator(from).send().await.unwrap();
                records.extend(page.records.unwrap());
                *iterator = page.next_shard_iterator;
            }
        }
    }
    records
}

/// What a record says: the event, and the book before and after.
type Told = (OperationType, Option<Book>, Option<Book>);

/// Puts a book, changes it and deletes it.
async fn live(shelf: &Shelf, put: &Book, copies: u32) {
    let Shelf { client, name } = shelf;
    client
        .put_item()
        .table_name(name)
        .set_item(Some(to_item(put).unwrap()))
        .send()
        .await
        .unwrap();
    let update = client
        .update_item()
        .table_name(name)
        .set_key(Some(key(&put.author, put.year)));
    let update = update.update_expression("SET copies = :copies");
    update
        .expression_attribute_values(":copies", n(copies))
        .send()
        .await
        .unwrap();
    let delete = client
        .delete_item()
        .table_name(name)
        .set_key(Some(key(&put.author, put.year)));
    delete.send().await.unwrap();
}

/// What a record of a book says, which must come after the sequence number `last`.
fn told(record: Record, last: &mut u128) -> Told {
    assert_eq!(record.event_source(), Some("aws:dynamodb"));
    let what = record.dynamodb.unwrap();
    let keys: Book = from_item(what.keys.unwrap()).unwrap();
    assert_eq!((keys.author.as_str(), keys.year), ("Woolf", 1928));
    let number: u128 = what.sequence_number.unwrap().parse().unwrap();
    assert!(number > *last, "{number} after {last}");
    *last = number;
    let image = |image: Option<_>| image.map(|image| from_item::<Book>(image).unwrap());
    (
        record.event_name.unwrap(),
        image(what.old_image),
        image(what.new_image),
    )
}

#[tokio::test]
async fn what_happens_to_a_book_is_in_the_stream_with_its_images() {
    let shelf = Shelf::empty().await;
    let streams = Client::new(&settings("STATOR_ENDPOINT").await);
    let described = shelf
        .client
        .describe_table()
        .table_name(&shelf.name)
        .send()
        .await
        .unwrap();
    let arn = described.table.unwrap().latest_stream_arn.unwrap();
    let listed = streams
        .list_streams()
        .table_name(&shelf.name)
        .send()
        .await
        .unwrap()
        .streams
        .unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|stream| stream.stream_arn().unwrap())
            .collect::<Vec<_>>(),
        [&arn]
    );

    let put = Book {
        author: "Woolf".into(),
        year: 1928,
        title: "Orlando".into(),
        ..Book::default()
    };
    let changed = Book {
        copies: 2,
        ..put.clone()
    };
    live(&shelf, &put, changed.copies).await;
    let mut last = 0;
    let records = read(&streams, &arn, 3).await;
    let story: Vec<Told> = records
        .into_iter()
        .map(|record| told(record, &mut last))
        .collect();
    let expected = [
        (OperationType::Insert, None, Some(put.clone())),
        (OperationType::Modify, Some(put), Some(changed.clone())),
        (OperationType::Remove, Some(changed), None),
    ];
    assert_eq!(story, expected);
}
