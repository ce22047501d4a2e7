//! What is written: items of 1,024 bytes, and for etcd a key and a value of as many.
//!
//! Invariant: sent over and over in their order, each write changes what it replaces. The text is random letters, so that
//! no compression flatters anybody.

/// Different items.
pub(crate) const COUNT: usize = 4096;
/// In how many versions each is written.
const VERSIONS: usize = 2;
/// An item's size by DynamoDB's count, and a key's with its value.
const BYTES: usize = 1024;
/// The partition key, which is etcd's key as well.
const ID_BYTES: usize = 16;
pub(crate) const TABLE: &str = "bench";

fn id(index: usize) -> String {
    format!("user#{index:011}")
}

/// Each item in each version: first all in one, then all in another.
fn writes() -> impl Iterator<Item = (String, usize)> {
    (0..VERSIONS).flat_map(|version| (0..COUNT).map(move |index| (id(index), version * COUNT + index)))
}

/// What an item holds beside its id, attribute `text`: names and strings count by their bytes (DynamoDB Developer Guide,
/// "DynamoDB item sizes and formats").
fn item_text(seed: usize) -> String {
    letters(seed, BYTES - "id".len() - ID_BYTES - "text".len())
}

/// Keys and values for etcd.
pub(crate) fn puts() -> impl Iterator<Item = (String, String)> {
    writes().map(|(id, seed)| (id, letters(seed, BYTES - ID_BYTES)))
}

/// PutItem requests.
pub(crate) fn put_bodies() -> Vec<String> {
    let body = |(id, seed)| {
        let text = item_text(seed);
        format!(r#"{{"TableName":"{TABLE}","Item":{{"id":{{"S":"{id}"}},"text":{{"S":"{text}"}}}}}}"#)
    };
    writes().map(body).collect()
}

/// UpdateItem requests whose condition holds.
pub(crate) fn update_bodies() -> Vec<String> {
    let body = |(id, seed): (String, usize)| {
        // Other letters than those that were put, or the first round would change nothing.
        let text = item_text(seed + VERSIONS * COUNT);
        format!(
            r##"{{"TableName":"{TABLE}","Key":{{"id":{{"S":"{id}"}}}},"UpdateExpression":"SET #t = :t","ConditionExpression":"attribute_exists(id)","ExpressionAttributeNames":{{"#t":"text"}},"ExpressionAttributeValues":{{":t":{{"S":"{text}"}}}}}}"##
        )
    };
    writes().map(body).collect()
}

/// A fixed sequence of letters and digits (splitmix64: Steele, Lea, Flood, OOPSLA 2014).
fn letters(seed: usize, count: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 -";
    let mut state = u64::try_from(seed)
        .unwrap_or_default()
        .wrapping_mul(0xd134_2543_de82_ef95);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [.., last] = (mixed ^ (mixed >> 31)).to_be_bytes();
        char::from(LETTERS[usize::from(last % 64)])
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn items_and_pairs_have_one_kilobyte() {
        let body: Value = serde_json::from_str(&put_bodies()[5]).unwrap();
        let length = |name: &str| body["Item"][name]["S"].as_str().unwrap().len() + name.len();
        assert_eq!(length("id") + length("text"), BYTES);
        let (key, value) = puts().nth(5).unwrap();
        assert_eq!(key.len() + value.len(), BYTES);
        let body: Value = serde_json::from_str(&update_bodies()[5]).unwrap();
        let text = body["ExpressionAttributeValues"][":t"]["S"].as_str().unwrap();
        assert_eq!("id".len() + ID_BYTES + "text".len() + text.len(), BYTES);
    }

    #[test]
    fn each_write_changes_what_it_replaces() {
        let mut present = HashMap::new();
        for (key, value) in puts().chain(puts()) {
            assert_ne!(present.insert(key, value.clone()), Some(value));
        }
        assert_eq!(present.len(), COUNT);
        let [put, update] = [put_bodies, update_bodies].map(|bodies| bodies().pop().unwrap());
        let text = |body: &str| body.rsplit('"').nth(1).unwrap().to_owned();
        assert_ne!(text(&put), text(&update));
    }
}
