//! What `bench api` queries: partitions of 100 small items each, in a table of their own.

use super::api::Ours;
use crate::Result;

const TABLE: &str = "queries";
const PARTITIONS: u32 = 16;
const ITEMS: u32 = 100;
/// Most writes in one request.
const BATCH: usize = 25;

/// The requests: one for each partition.
pub(super) fn bodies() -> Vec<String> {
    (0..PARTITIONS)
        .map(|partition| {
            format!(
                r#"{{"TableName":"{TABLE}","KeyConditionExpression":"pk = :pk","ExpressionAttributeValues":{{":pk":{{"S":"{}"}}}}}}"#,
                key(partition)
            )
        })
        .collect()
}

/// Makes the table and its items, and returns the answer to the first request.
pub(super) fn fill(ours: &Ours) -> Result<String> {
    let create = format!(
        r#"{{"TableName":"{TABLE}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}},{{"AttributeName":"sk","AttributeType":"N"}}],"KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}},{{"AttributeName":"sk","KeyType":"RANGE"}}]}}"#
    );
    ours.call("CreateTable", &create)?;
    let puts: Vec<String> = (0..PARTITIONS)
        .flat_map(|partition| (0..ITEMS).map(move |number| put(partition, number)))
        .collect();
    for batch in puts.chunks(BATCH) {
        let body = format!(r#"{{"RequestItems":{{"{TABLE}":[{}]}}}}"#, batch.join(","));
        let answer = ours.call("BatchWriteItem", &body)?;
        if !answer.contains(r#""UnprocessedItems":{}"#) {
            return Err(format!("items were not written: {answer}").into());
        }
    }
    let first = bodies().into_iter().next().unwrap_or_default();
    let answer = ours.call("Query", &first)?;
    if answer.contains(&format!(r#""Count":{ITEMS},"#)) {
        Ok(answer)
    } else {
        Err(format!("Query answered {answer}").into())
    }
}

fn key(partition: u32) -> String {
    format!("user#{partition:05}")
}

/// A put of an item of about 60 bytes.
fn put(partition: u32, number: u32) -> String {
    format!(
        r#"{{"PutRequest":{{"Item":{{"pk":{{"S":"{}"}},"sk":{{"N":"{number}"}},"kind":{{"S":"visited"}},"page":{{"S":"/p/{}"}}}}}}}}"#,
        key(partition),
        number * 7919
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn items_differ_and_each_request_has_its_partition() {
        let puts: HashSet<String> = (0..PARTITIONS)
            .flat_map(|partition| (0..ITEMS).map(move |number| put(partition, number)))
            .collect();
        assert_eq!(puts.len(), usize::try_from(PARTITIONS * ITEMS).unwrap());
        for put in &puts {
            serde_json::from_str::<serde_json::Value>(put).unwrap();
        }
        let requests = bodies();
        let distinct: HashSet<&String> = requests.iter().collect();
        assert_eq!(distinct.len(), requests.len());
    }
}
