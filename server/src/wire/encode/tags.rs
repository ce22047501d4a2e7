//! TagResource, UntagResource and ListTagsOfResource.

use super::Encode;
use super::json::Json;
use crate::operation::list_tags_of_resource::ListTagsOfResourceOutput;
use crate::operation::tag_resource::TagResourceOutput;
use crate::operation::untag_resource::UntagResourceOutput;

impl Encode for TagResourceOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|_| ());
    }
}

impl Encode for UntagResourceOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|_| ());
    }
}

impl Encode for ListTagsOfResourceOutput {
    fn encode(&self, out: &mut Json) {
        out.object(|json| {
            json.member("Tags").list(|json| {
                for (key, value) in &self.tags {
                    json.element().object(|json| {
                        json.member("Key").text(key);
                        json.member("Value").text(value);
                    });
                }
            });
            if let Some(token) = &self.next_token {
                json.member("NextToken").text(token);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_keys_and_values() {
        let mut json = Json::default();
        let answer = ListTagsOfResourceOutput {
            tags: vec![("a".to_owned(), "b".to_owned()), ("c".to_owned(), String::new())],
            next_token: Some("t".to_owned()),
        };
        answer.encode(&mut json);
        assert_eq!(
            String::from_utf8(json.into_bytes()).unwrap(),
            r#"{"Tags":[{"Key":"a","Value":"b"},{"Key":"c","Value":""}],"NextToken":"t"}"#
        );
    }
}
