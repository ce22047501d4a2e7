//! TagResource, UntagResource, ListTagsOfResource, and tags wherever they are.

use super::Decode;
use super::reader::{Decoded, Reader};
use crate::operation::list_tags_of_resource::ListTagsOfResource;
use crate::operation::tag_resource::TagResource;
use crate::operation::tags::Tag;
use crate::operation::untag_resource::UntagResource;

impl Reader<'_> {
    pub(super) fn tag(&mut self) -> Decoded<Option<Tag>> {
        self.structure(|reader, name, tag: &mut Tag| {
            match name {
                "Key" => tag.key = reader.text()?,
                "Value" => tag.value = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })
    }
}

impl Decode for TagResource {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ResourceArn" => request.resource_arn = reader.text()?,
                "Tags" => request.tags = reader.list_of(Reader::tag)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for UntagResource {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ResourceArn" => request.resource_arn = reader.text()?,
                "TagKeys" => request.tag_keys = reader.list_of(Reader::text)?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

impl Decode for ListTagsOfResource {
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let request = reader.structure(|reader, name, request: &mut Self| {
            match name {
                "ResourceArn" => request.resource_arn = reader.text()?,
                "NextToken" => request.next_token = reader.text()?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(request.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_keys_are_read() {
        let body = br#"{"ResourceArn":"arn","Tags":[{"Key":"a","Value":""},{"Key":"b"}]}"#;
        let request = TagResource::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.resource_arn.as_deref(), Some("arn"));
        let tags = request.tags.unwrap();
        assert_eq!(tags[0].value.as_deref(), Some(""));
        assert_eq!(tags[1].value, None);
        let body = br#"{"TagKeys":["a","b"]}"#;
        let request = UntagResource::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.tag_keys, Some(vec!["a".to_owned(), "b".to_owned()]));
        let body = br#"{"ResourceArn":"arn","NextToken":"t"}"#;
        let request = ListTagsOfResource::decode(&mut Reader::new(body)).unwrap();
        assert_eq!(request.next_token.as_deref(), Some("t"));
    }
}
