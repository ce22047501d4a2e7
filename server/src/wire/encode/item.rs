//! Items and attribute values: from stored form straight to JSON bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stator_model::attribute::{Kind, MapRef, RawValue, SetElement, ValueRef};
use stator_model::item::ItemRef;

use super::json::Json;

impl Json {
    /// The attributes of an item as an object of names and attribute values.
    pub(crate) fn item(&mut self, item: ItemRef<'_>) {
        self.attributes(item.attributes());
    }

    fn attributes(&mut self, attributes: MapRef<'_>) {
        self.object(|json| {
            for (name, value) in attributes.iter() {
                json.member_bytes(name).value(value);
            }
        });
    }

    /// One attribute value, such as `{"S":"text"}`.
    pub(crate) fn value(&mut self, value: RawValue<'_>) {
        self.raw().extend_from_slice(opening(value.kind()).as_bytes());
        match value.open() {
            ValueRef::Null => self.boolean(true),
            ValueRef::Bool(value) => self.boolean(value),
            ValueRef::String(text) => self.text_bytes(text),
            ValueRef::Number(number) => self.plain(number.format().as_str()),
            ValueRef::Binary(bytes) => self.base64(bytes),
            ValueRef::Set(set) => self.list(set.iter(), Self::scalar),
            ValueRef::List(list) => self.list(list.iter(), Self::value),
            ValueRef::Map(map) => self.attributes(map),
        }
        self.raw().push(b'}');
    }

    fn scalar(&mut self, element: SetElement<'_>) {
        match element.number() {
            Some(number) => self.plain(number.format().as_str()),
            None if element.kind == Kind::Binary => self.base64(element.bytes),
            None => self.text_bytes(element.bytes),
        }
    }

    fn base64(&mut self, bytes: &[u8]) {
        let out = self.raw();
        out.push(b'"');
        let start = out.len();
        out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
        out.truncate(start + written);
        out.push(b'"');
    }
}

/// What stands before a value of a type: its descriptor, as the name of an object's only member.
const fn opening(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => r#"{"NULL":"#,
        Kind::Bool => r#"{"BOOL":"#,
        Kind::String => r#"{"S":"#,
        Kind::Number => r#"{"N":"#,
        Kind::Binary => r#"{"B":"#,
        Kind::StringSet => r#"{"SS":"#,
        Kind::NumberSet => r#"{"NS":"#,
        Kind::BinarySet => r#"{"BS":"#,
        Kind::List => r#"{"L":"#,
        Kind::Map => r#"{"M":"#,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::decode::reader::Reader;

    #[test]
    fn an_item_comes_back_as_it_was_sent() {
        let body = concat!(
            r#"{"b":{"B":"YWI="},"l":{"L":[{"NULL":true},{"BOOL":false}]},"m":{"M":{"k":{"S":"\"v\""}}},"#,
            r#""n":{"N":"-1.5"},"ns":{"NS":["1","2"]},"s":{"S":"ä"},"ss":{"SS":["","x"]},"z":{"BS":["","YQ=="]}}"#
        );
        let attributes = Reader::new(body.as_bytes()).attributes().unwrap().unwrap();
        let mut json = Json::default();
        json.item(attributes.item.as_ref());
        assert_eq!(String::from_utf8(json.into_bytes()).unwrap(), body);
    }
}
