//! Attribute values: from their JSON straight into stored form, in the pass that parses the JSON.
//!
//! An invalid value (an empty set, a bad number, two types at once) is noted in the reader as a [`Problem`] and reading
//! goes on: the value written in its place is never used. `{"S": ...}` and its kin are known only here and in
//! `wire/encode/item.rs`.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiter::Peek;
use stator_model::attribute::{Kind, SetElement};
use stator_model::codec::{DEPTH_MAX, Writer};
use stator_model::item::{Item, ItemWriter};
use stator_model::number::{Number, NumberError};

use super::reader::{DecodeError, Decoded, Reader};

/// Standard base64 with padding; bits beyond the last byte are ignored, as DynamoDB does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Longest attribute name in bytes. Source: Amazon DynamoDB Developer Guide, "Quotas: attribute names".
pub(crate) const NAME_BYTES_MAX: usize = 65_535;

/// Why an attribute value is none. The sentences are DynamoDB's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")]
    NoType,
    #[error(
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
    )]
    ManyTypes,
    #[error(
        "One or more parameter values were invalid: Null attribute value types must have the value of true"
    )]
    NullNotTrue,
    #[error("One or more parameter values were invalid: {}", empty_set(*.0))]
    EmptySet(Kind),
    #[error("{0}")]
    Duplicates(String),
    #[error(transparent)]
    Number(#[from] NumberError),
    #[error(
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
    )]
    TooDeep,
    #[error("One or more parameter values were invalid: An {} set may not have a null string as a member", set_name(*.0))]
    NullElement(Kind),
    #[error("Empty attribute name")]
    EmptyName,
    #[error("Attribute name is too large, must be less than 65536 bytes")]
    LongName,
}

fn set_name(kind: Kind) -> &'static str {
    match kind {
        Kind::NumberSet => "number",
        Kind::BinarySet => "binary",
        _ => "string",
    }
}

fn empty_set(kind: Kind) -> &'static str {
    match kind {
        Kind::NumberSet => "An number set  may not be empty",
        Kind::BinarySet => "Binary sets should not be empty",
        _ => "An string set  may not be empty",
    }
}

/// An item or key as it came, with the first thing that is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) item: Item,
    pub(crate) problem: Option<Problem>,
}

impl Reader<'_> {
    /// The attributes of an item or of a key.
    pub(crate) fn attributes(&mut self) -> Decoded<Option<Attributes>> {
        let mut item = ItemWriter::with_capacity(1024);
        let present = self.named_values(item.writer())?;
        Ok(present.then(|| Attributes {
            item: item.finish(),
            problem: self.take_problem(),
        }))
    }

    /// An object of names and attribute values, written as entries of the container that is open.
    fn named_values(&mut self, out: &mut Writer) -> Decoded<bool> {
        match self.json.peek()? {
            Peek::Object => {}
            Peek::Null => {
                self.json.known_null()?;
                return Ok(false);
            }
            Peek::Array => {
                return Err(DecodeError::List {
                    wanted: "java.util.Map",
                });
            }
            _ => return Err(DecodeError::NotACollection),
        }
        let mut next = self.json.known_object()?;
        while let Some(name) = next {
            let length = name.len();
            out.name(name.as_bytes());
            if length == 0 {
                self.note(Problem::EmptyName);
            } else if length > NAME_BYTES_MAX {
                self.note(Problem::LongName);
            }
            self.value(out)?;
            next = self.json.next_key()?;
        }
        Ok(true)
    }

    /// One attribute value: an object with exactly one known member. Whatever comes, exactly one value is written.
    pub(super) fn value(&mut self, out: &mut Writer) -> Decoded<()> {
        match self.json.peek()? {
            Peek::Object => {}
            Peek::Null => {
                self.json.known_null()?;
                self.note(Problem::NoType);
                out.null();
                return Ok(());
            }
            Peek::Array => {
                return Err(DecodeError::List {
                    wanted: "com.amazonaws.dynamodb.v20120810.AttributeValue",
                });
            }
            _ => return Err(DecodeError::NotACollection),
        }
        let mut found = None;
        let mut next = self.json.known_object()?;
        while let Some(name) = next {
            match Kind::from_descriptor(name) {
                None => self.json.next_skip()?,
                Some(_) if self.json.peek()? == Peek::Null => self.json.known_null()?,
                Some(kind) if found.is_none() => {
                    found = Some(kind);
                    self.content(kind, out)?;
                }
                Some(kind) => {
                    // Still looked at: wrong JSON and an invalid value of its own come before the second type.
                    self.content(kind, &mut Writer::default())?;
                    self.note(Problem::ManyTypes);
                }
            }
            next = self.json.next_key()?;
        }
        if found.is_none() {
            self.note(Problem::NoType);
            out.null();
        }
        Ok(())
    }

    /// What stands behind a type descriptor.
    fn content(&mut self, kind: Kind, out: &mut Writer) -> Decoded<()> {
        match kind {
            Kind::Null => {
                if self.boolean()? != Some(true) {
                    self.note(Problem::NullNotTrue);
                }
                out.null();
            }
            Kind::Bool => out.bool(self.boolean()?.unwrap_or_default()),
            Kind::String => {
                self.text_with(|text| out.string(text))?;
            }
            Kind::Number => match self.text_with(Number::parse)? {
                Some(Ok(number)) => out.number(&number),
                Some(Err(error)) => {
                    self.note(error.into());
                    out.null();
                }
                None => out.null(),
            },
            Kind::Binary => out.binary(&self.base64()?.unwrap_or_default()),
            Kind::StringSet | Kind::NumberSet | Kind::BinarySet => self.set(kind, out)?,
            Kind::List | Kind::Map => self.nested(kind, out)?,
        }
        Ok(())
    }

    fn base64(&mut self) -> Decoded<Option<Vec<u8>>> {
        let peek = self.json.peek()?;
        if !matches!(peek, Peek::String | Peek::Null) {
            return Err(self.unexpected(peek, "ByteBuffer"));
        }
        match self.text_with(|text| BASE64.decode(text).map_err(|error| (error, text.len())))? {
            None => Ok(None),
            Some(Ok(bytes)) => Ok(Some(bytes)),
            Some(Err((_, length))) if !length.is_multiple_of(4) => Err(DecodeError::Base64 {
                detail: format!(
                    "Base64 encoded length is expected a multiple of 4 bytes but found: {length}"
                ),
            }),
            Some(Err((error, _))) => Err(DecodeError::Base64 {
                detail: format!("Invalid Base64: {error}"),
            }),
        }
    }

    fn set(&mut self, kind: Kind, out: &mut Writer) -> Decoded<()> {
        let element = kind.element().unwrap_or(Kind::String);
        let scope = out.begin_set(element);
        let mut count = 0_usize;
        self.list(|reader| {
            count += 1;
            let given = match element {
                Kind::Number => reader.text_with(Number::parse)?.map(|number| match number {
                    Ok(number) => out.set_element(number.encode().as_bytes()),
                    Err(error) => reader.note(error.into()),
                }),
                Kind::Binary => reader.base64()?.map(|bytes| out.set_element(&bytes)),
                _ => reader.text_with(|text| out.set_element(text.as_bytes()))?,
            };
            if given.is_none() {
                reader.note(Problem::NullElement(kind));
            }
            Ok(())
        })?;
        if count == 0 {
            self.note(Problem::EmptySet(kind));
        }
        let listing = || duplicates(kind, out.open_set_elements(&scope, element));
        // The listing is in the order of the request, which ending the set destroys; it is only made when needed.
        let described = has_duplicates(out.open_set_elements(&scope, element)).then(listing);
        if let (Err(_), Some(described)) = (out.end_set(&scope), described) {
            self.note(Problem::Duplicates(described));
        }
        Ok(())
    }

    fn nested(&mut self, kind: Kind, out: &mut Writer) -> Decoded<()> {
        if self.depth == DEPTH_MAX {
            self.note(Problem::TooDeep);
            out.null();
            return self.skip();
        }
        self.depth += 1;
        if kind == Kind::Map {
            let scope = out.begin_map();
            self.named_values(out)?;
            out.end_map(&scope);
        } else {
            let scope = out.begin_list();
            self.list(|reader| {
                out.element();
                reader.value(out)
            })?;
            out.end_list(&scope);
        }
        self.depth -= 1;
        Ok(())
    }
}

fn has_duplicates<'a>(elements: impl Iterator<Item = SetElement<'a>>) -> bool {
    let mut seen: Vec<&[u8]> = elements.map(|element| element.bytes).collect();
    seen.sort_unstable();
    seen.windows(2).any(|pair| pair[0] == pair[1])
}

/// DynamoDB lists the members of a string set that has duplicates, and says less of the other kinds.
fn duplicates<'a>(kind: Kind, elements: impl Iterator<Item = SetElement<'a>>) -> String {
    match kind {
        Kind::NumberSet => "Input collection contains duplicates".to_owned(),
        // The missing space is DynamoDB's.
        Kind::BinarySet => {
            let texts: Vec<_> = elements.map(|element| BASE64.encode(element.bytes)).collect();
            format!(
                "One or more parameter values were invalid: Input collection [{}]of type BS contains duplicates.",
                texts.join(", ")
            )
        }
        _ => {
            let texts: Vec<_> = elements
                .map(|element| String::from_utf8_lossy(element.bytes))
                .collect();
            format!(
                "One or more parameter values were invalid: Input collection [{}] contains duplicates.",
                texts.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stator_model::attribute::ValueRef;

    fn read(body: &str) -> Decoded<Attributes> {
        let mut reader = Reader::new(body.as_bytes());
        let attributes = reader.attributes()?;
        reader.finish()?;
        attributes.ok_or(DecodeError::NotJson)
    }

    #[test]
    fn every_type_is_read() {
        let read = read(
            r#"{"s":{"S":"ä"},"n":{"N":"01.50"},"b":{"B":"YR=="},"t":{"BOOL":true},"z":{"NULL":true},
               "ss":{"SS":["b","a"]},"ns":{"NS":["2","1"]},"bs":{"BS":["Yg==","YQ=="]},
               "l":{"L":[{"S":"x"},{"L":[]}]},"m":{"M":{"k":{"N":"1"},"j":{"M":{}}}}}"#,
        )
        .unwrap();
        assert_eq!(read.problem, None);
        let item = read.item.as_ref();
        assert_eq!(Item::from_stored(read.item.stored().clone()).unwrap(), read.item);
        assert_eq!(item.attributes().len(), 10);
        let ValueRef::Number(number) = item.get(b"n").unwrap().open() else {
            unreachable!()
        };
        assert_eq!(number.format().as_str(), "1.5");
        assert!(matches!(item.get(b"b").unwrap().open(), ValueRef::Binary(b"a")));
        let ValueRef::Set(set) = item.get(b"ss").unwrap().open() else {
            unreachable!()
        };
        assert_eq!(
            set.iter().map(|element| element.bytes).collect::<Vec<_>>(),
            [b"a", b"b"]
        );
    }

    #[test]
    fn invalid_values_are_noted_with_dynamodbs_sentences() {
        let long_list = format!("{}{{\"S\":\"x\"}}{}", "{\"L\":[".repeat(32), "]}".repeat(32));
        for (value, expected) in [
            (
                r"{}",
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            ),
            (
                r#"{"X":"a"}"#,
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            ),
            (
                r#"{"S":null}"#,
                "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
            ),
            (
                r#"{"S":"a","N":"1"}"#,
                "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
            ),
            (
                r#"{"S":"a","SS":[]}"#,
                "One or more parameter values were invalid: An string set  may not be empty",
            ),
            (
                r#"{"N":"x"}"#,
                "The parameter cannot be converted to a numeric value: x",
            ),
            (
                r#"{"N":""}"#,
                "The parameter cannot be converted to a numeric value",
            ),
            (
                r#"{"SS":["a","b","a"]}"#,
                "One or more parameter values were invalid: Input collection [a, b, a] contains duplicates.",
            ),
            (r#"{"NS":["1","1.0"]}"#, "Input collection contains duplicates"),
            (
                r#"{"L":[{"NULL":false}]}"#,
                "One or more parameter values were invalid: Null attribute value types must have the value of true",
            ),
            (
                &long_list,
                "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit",
            ),
        ] {
            let problem = read(&format!("{{\"v\":{value}}}")).unwrap().problem;
            assert_eq!(
                problem.map(|problem| problem.to_string()).as_deref(),
                Some(expected),
                "{value}"
            );
        }
    }

    #[test]
    fn thirty_two_levels_are_stored() {
        let deep = format!(
            "{{\"v\":{}{{\"S\":\"x\"}}{}}}",
            "{\"L\":[".repeat(31),
            "]}".repeat(31)
        );
        let read = read(&deep).unwrap();
        assert_eq!(read.problem, None);
        assert!(Item::from_stored(read.item.stored().clone()).is_ok());
    }

    #[test]
    fn wrong_json_comes_before_invalid_values() {
        let error = read(r#"{"a":{"SS":[]},"b":{"S":1}}"#).unwrap_err();
        assert_eq!(error.to_string(), "NUMBER_VALUE cannot be converted to String");
        assert!(matches!(
            read(r#"{"a":{"B":"a"}}"#),
            Err(DecodeError::Base64 { .. })
        ));
        assert_eq!(read(r#"{"a":"b"}"#).unwrap_err(), DecodeError::NotACollection);
    }

    #[test]
    fn nesting_by_the_thousand_is_refused_without_recursion() {
        let deep = format!("{{\"v\":{}", "{\"L\":[".repeat(100_000));
        assert_eq!(read(&deep).unwrap_err(), DecodeError::NotJson);
    }
}
