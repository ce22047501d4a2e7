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
        let descriptor = value.kind().descriptor();
        self.object(|json| {
            json.member(descriptor);
            match value.open() {
                ValueRef::Null => json.boolean(true),
                ValueRef::Bool(value) => json.boolean(value),
                ValueRef::String(text) => json.text_bytes(text),
                ValueRef::Number(number) => json.text(number.format().as_str()),
                ValueRef::Binary(bytes) => json.base64(bytes),
                ValueRef::Set(set) => json.list(set.iter(), Self::scalar),
                ValueRef::List(list) => json.list(list.iter(), Self::value),
                ValueRef::Map(map) => json.attributes(map),
            }
        });
    }

    fn scalar(&mut self, element: SetElement<'_>) {
        match element.number() {
            Some(number) => self.text(number.format().as_str()),
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
