//! The server under test, its clients, and the table of the story with the books that stand on it at first.
//!
//! Invariant: no shelf has the name of another. What happens on it is the tests' business.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::client::Waiters;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    Projection, ProjectionType, PutRequest, ScalarAttributeType, StreamSpecification, StreamViewType,
    WriteRequest,
};
use serde::{Deserialize, Serialize};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};

/// How long anything that happens by itself may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Item = HashMap<String, AttributeValue>;

/// An item of the story.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    pub author: String,
    pub year: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub genre: String,
    #[serde(default)]
    pub copies: u32,
}

/// What stands on a shelf at first, an author's books in the order of their years.
pub fn books() -> Vec<Book> {
    [
        ("Lem", 1961, "Solaris", "sf", 3),
        ("Lem", 1964, "The Invincible", "sf", 1),
        ("Lem", 1965, "The Cyberiad", "satire", 2),
        ("Lem", 1968, "His Master's Voice", "sf", 1),
        ("Lem", 1971, "The Futurological Congress", "satire", 4),
        ("Le Guin", 1968, "A Wizard of Earthsea", "fantasy", 5),
        ("Le Guin", 1969, "The Left Hand of Darkness", "sf", 2),
        ("Le Guin", 1974, "The Dispossessed", "sf", 0),
        ("Christie", 1934, "Murder on the Orient Express", "crime", 6),
        ("Christie", 1939, "And Then There Were None", "crime", 2),
    ]
    .map(|(author, year, title, genre, copies)| Book {
        author: author.into(),
        year,
        title: title.into(),
        genre: genre.into(),
        copies,
    })
    .into()
}

/// How to reach the server at the endpoint that a variable of the environment names. The region and the key pair come from
/// the usual variables.
pub async fn settings(variable: &str) -> SdkConfig {
    let endpoint = std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: compat-tests/README.md says how to run this"));
    let http = aws_smithy_http_client::Builder::new().build_http();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .endpoint_url(endpoint)
        .load()
        .await
}

/// A client of the server under test.
pub async fn connect() -> Client {
    Client::new(&settings("STATOR_ENDPOINT").await)
}

/// The name of a table that no other test uses.
pub fn unused_name() -> String {
    format!("shelf.{}", uuid::Uuid::new_v4())
}

/// A request that makes a shelf.
pub fn definition(client: &Client, name: &str) -> CreateTableFluentBuilder {
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(kind)
            .build()
            .unwrap()
    };
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("author", ScalarAttributeType::S))
        .attribute_definitions(attribute("year", ScalarAttributeType::N))
        .attribute_definitions(attribute("genre", ScalarAttributeType::S))
        .set_key_schema(Some(key_schema("author", "year")))
        .global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name("by-genre")
                .set_key_schema(Some(key_schema("genre", "year")))
                .projection(Projection::builder().projection_type(ProjectionType::All).build())
                .build()
                .unwrap(),
        )
        .stream_specification(
            StreamSpecification::builder()
                .stream_enabled(true)
                .stream_view_type(StreamViewType::NewAndOldImages)
                .build()
                .unwrap(),
        )
}

/// The schema of a key of two attributes.
pub fn key_schema(partition: &str, sort: &str) -> Vec<KeySchemaElement> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .map(|(name, role)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(role)
                .build()
                .unwrap()
        })
        .into()
}

/// A table of the story. It goes with its server: a test that fails leaves it to be looked at.
pub struct Shelf {
    pub client: Client,
    pub name: String,
}

impl Shelf {
    /// Makes a shelf with these books on it.
    pub async fn with(standing: Vec<Book>) -> Self {
        let client = connect().await;
        let name = unused_name();
        definition(&client, &name).send().await.unwrap();
        client
            .wait_until_table_exists()
            .table_name(&name)
            .wait(PATIENCE)
            .await
            .unwrap();
        let shelf = Self { client, name };
        if !standing.is_empty() {
            shelf.batch_write(standing.into_iter().map(put).collect()).await;
        }
        shelf
    }

    /// Makes a shelf with all books on it.
    pub async fn full() -> Self {
        Self::with(books()).await
    }

    /// Makes a shelf with nothing on it.
    pub async fn empty() -> Self {
        Self::with(Vec::new()).await
    }

    /// Writes at most 25 items, all of them.
    pub async fn batch_write(&self, requests: Vec<WriteRequest>) {
        let written = self
            .client
            .batch_write_item()
            .request_items(&self.name, requests)
            .send()
            .await
            .unwrap();
        assert_eq!(written.unprocessed_items, Some(HashMap::new()));
    }

    /// An item as it is now.
    pub async fn item(&self, author: &str, year: u32) -> Option<Item> {
        let get = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key(author, year)));
        get.consistent_read(true).send().await.unwrap().item
    }

    /// A book as it is now.
    pub async fn book(&self, author: &str, year: u32) -> Option<Book> {
        self.item(author, year).await.map(|item| from_item(item).unwrap())
    }
}

/// One request of a batch.
pub fn put(book: Book) -> WriteRequest {
    let put = PutRequest::builder()
        .set_item(Some(to_item(book).unwrap()))
        .build()
        .unwrap();
    WriteRequest::builder().put_request(put).build()
}

/// The primary key of a book.
pub fn key(author: &str, year: u32) -> Item {
    HashMap::from([("author".into(), s(author)), ("year".into(), n(year))])
}

/// A string as an attribute value.
pub fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number as an attribute value.
pub fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// An item or a nested map.
pub fn map<const N: usize>(members: [(&str, AttributeValue); N]) -> Item {
    members.map(|(name, value)| (name.to_owned(), value)).into()
}
