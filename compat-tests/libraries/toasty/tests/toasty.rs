//! Toasty's integration tests of drivers, run with its DynamoDB driver against the server that the environment names.
//!
//! Invariant: the tests are Toasty's, as published. Here is only what they ask of whoever runs them: a driver, a way to delete
//! a table, and what the driver says it can do.

use aws_sdk_dynamodb::Client;
use toasty_core::driver::Driver;
use toasty_driver_dynamodb::DynamoDb;
use toasty_driver_integration_suite::Setup;

struct Server;

/// A client of the server. Each test has a runtime of its own, so no client is shared between them.
fn connect() -> Client {
    let endpoint = std::env::var("STATOR_ENDPOINT")
        .expect("STATOR_ENDPOINT is not set: compat-tests/README.md says how to run this");
    // The settings come from the environment alone, so that nothing is waited for.
    let settings = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(
            aws_config::defaults(aws_config::BehaviorVersion::latest())
                .endpoint_url(endpoint)
                .load(),
        )
    });
    Client::new(&settings.join().unwrap())
}

#[async_trait::async_trait]
impl Setup for Server {
    fn driver(&self) -> Box<dyn Driver> {
        Box::new(DynamoDb::new("dynamodb://stator".to_owned(), connect()))
    }

    async fn delete_table(&self, name: &str) {
        connect().delete_table().table_name(name).send().await.unwrap();
    }
}

toasty_driver_integration_suite::generate_driver_tests!(
    Server,
    auto_increment: false,
    backward_pagination: false,
    bigdecimal_implemented: false,
    bool_key_type: false,
    decimal_arbitrary_precision: false,
    native_date: false,
    native_datetime: false,
    native_decimal: false,
    native_ilike: false,
    native_json: false,
    native_jsonb: false,
    native_like: false,
    native_time: false,
    native_timestamp: false,
    native_varchar: false,
    returning_from_insert: false,
    scan_supports_sort: false,
    sql: false,
    test_connection_pool: false,
    transaction_lock_mode: false,
    unique_list_index: false,
    upsert_branch_assignments: false,
    upsert_unique: false,
    vec_pop: false,
    vec_remove: false,
    vec_remove_at: false,
);
