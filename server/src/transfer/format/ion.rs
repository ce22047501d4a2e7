//! Items as Ion text: `$ion_1_0 {Item:{pk:"a",n:1d2}}`.
//!
//! Sets are lists with an annotation (`$dynamodb_SS`, `$dynamodb_NS`, `$dynamodb_BS`), numbers are decimals, binary is a blob.
//! Whatever else Ion has (symbols, times, floats, clobs) is no attribute value and is refused.

mod look;

use std::panic::catch_unwind;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ion_rs::{Element, Sequence, Struct, Value};
use stator_model::attribute::{Kind, MapRef, RawValue, SetElement, ValueRef};
use stator_model::codec::{DEPTH_MAX, Writer};
use stator_model::expression::Placeholders;
use stator_model::item::{Item, ItemRef, ItemWriter};
use stator_model::number::{Number, NumberRef};

use super::{ChangedItem, LineGuard};
use crate::operation::expressions::ValueInput;

/// Longest attribute name in bytes. Source: Amazon DynamoDB Developer Guide, "Quotas: attribute names".
const NAME_BYTES_MAX: usize = 65_535;
/// Brackets that may be open at a time: those of an item as deep as items can be, with what is around it.
const BRACKETS_MAX: usize = DEPTH_MAX + 8;

/// The item of a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn item_of_line(line: &[u8]) -> Result<Item, String> {
    item_in(&element_of(line)?, line.len())
}

/// The item of a line, and what has to be true of the one that is there, in the members that a PutItem has for it:
/// `{Item:{pk:"a"},ConditionExpression:"attribute_not_exists(pk)"}`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn put_of_line(line: &[u8]) -> Result<(Item, Option<Box<LineGuard>>), String> {
    let element = element_of(line)?;
    let item = item_in(&element, line.len())?;
    let member = |name: &str| element.as_struct().and_then(|line| line.get(name));
    let mut guard = LineGuard::default();
    if let Some(condition) = member("ConditionExpression") {
        let text = condition.as_string().ok_or("ConditionExpression is no string")?;
        guard.condition = Some(text.to_owned());
    }
    let (names, values) = (
        member("ExpressionAttributeNames"),
        member("ExpressionAttributeValues"),
    );
    if let Some(names) = names {
        guard.expressions.names = Some(read_names(names)?);
    }
    if let Some(values) = values {
        guard.expressions.values = Some(read_values(values, &mut guard.expressions.placeholders)?);
    }
    let is_guarded = guard.condition.is_some() || names.is_some() || values.is_some();
    Ok((item, is_guarded.then(|| Box::new(guard))))
}

fn read_names(names: &Element) -> Result<Vec<(String, String)>, String> {
    let names = names.as_struct().ok_or("ExpressionAttributeNames is no struct")?;
    let read = names.fields().map(|(placeholder, name)| {
        let name = name
            .as_string()
            .ok_or("A name of ExpressionAttributeNames is no string")?;
        Ok((placeholder.text().unwrap_or_default().to_owned(), name.to_owned()))
    });
    read.collect()
}

fn read_values(values: &Element, placeholders: &mut Placeholders) -> Result<Vec<ValueInput>, String> {
    let values = values
        .as_struct()
        .ok_or("ExpressionAttributeValues is no struct")?;
    let read = values.fields().map(|(placeholder, value)| {
        let start = placeholders.values_writer().len();
        read_value(value, placeholders.values_writer(), 0)?;
        Ok(ValueInput {
            placeholder: placeholder.text().unwrap_or_default().to_owned(),
            start,
            problem: None,
        })
    });
    read.collect()
}

fn element_of(line: &[u8]) -> Result<Element, String> {
    look::look(line)?;
    // Source: Amazon Ion specification, "Ion Text Encoding". The reader panics at a quoted symbol that is something else.
    let line = std::str::from_utf8(line).map_err(|error| format!("The line is no UTF-8: {error}"))?;
    // It has panicked at other things as well, which is one record's error and nobody else's.
    let read = catch_unwind(|| Element::read_one(line));
    let read = read.map_err(|_| "The line is no Ion value".to_owned())?;
    read.map_err(|error| format!("The line is no Ion value: {error}"))
}

fn item_in(line: &Element, bytes: usize) -> Result<Item, String> {
    let item = line
        .as_struct()
        .and_then(|line| line.get("Item"))
        .and_then(Element::as_struct)
        .ok_or("The line is no struct with the struct Item in it")?;
    let mut writer = ItemWriter::with_capacity(bytes);
    fields(item, writer.writer(), 0)?;
    Ok(writer.finish())
}

/// The fields of a struct, as entries of the container that is open.
fn fields(fields: &Struct, out: &mut Writer, depth: usize) -> Result<(), String> {
    for (name, value) in fields.fields() {
        let name = name.text().ok_or("An attribute has no name")?;
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err("The name of an attribute is empty or too long".to_owned());
        }
        out.name(name.as_bytes());
        read_value(value, out, depth)?;
    }
    Ok(())
}

fn read_value(element: &Element, out: &mut Writer, depth: usize) -> Result<(), String> {
    match element.value() {
        Value::Null(_) => out.null(),
        Value::Bool(value) => out.bool(*value),
        Value::String(text) => out.string(text.text()),
        Value::Blob(bytes) => out.binary(bytes.as_ref()),
        Value::Int(_) | Value::Decimal(_) => out.number(&read_number(element)?),
        Value::List(elements) => match element.annotations().first() {
            Some("$dynamodb_SS") => read_set(Kind::String, elements, out)?,
            Some("$dynamodb_NS") => read_set(Kind::Number, elements, out)?,
            Some("$dynamodb_BS") => read_set(Kind::Binary, elements, out)?,
            _ => {
                let inner = deeper(depth)?;
                let scope = out.begin_list();
                for element in elements {
                    out.element();
                    read_value(element, out, inner)?;
                }
                out.end_list(&scope);
            }
        },
        Value::Struct(entries) => {
            let inner = deeper(depth)?;
            let scope = out.begin_map();
            fields(entries, out, inner)?;
            out.end_map(&scope);
        }
        Value::Float(_) | Value::Timestamp(_) | Value::Symbol(_) | Value::Clob(_) | Value::SExp(_) => {
            return Err(format!(
                "A value of the Ion type {} is no attribute value",
                element.ion_type()
            ));
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, String> {
    if depth == DEPTH_MAX {
        return Err("The value is nested too deeply".to_owned());
    }
    Ok(depth + 1)
}

fn read_number(element: &Element) -> Result<Number, String> {
    let text = match element.value() {
        Value::Int(number) => number.to_string(),
        Value::Decimal(number) => {
            let coefficient = number.coefficient();
            let sign = if coefficient.is_negative() { "-" } else { "" };
            format!("{sign}{}e{}", coefficient.magnitude(), number.exponent())
        }
        _ => return Err("A set of numbers has something else in it".to_owned()),
    };
    Number::parse(&text).map_err(|error| error.to_string())
}

fn read_set(kind: Kind, elements: &Sequence, out: &mut Writer) -> Result<(), String> {
    if elements.is_empty() {
        return Err("A set is empty".to_owned());
    }
    let scope = out.begin_set(kind);
    for element in elements {
        match (kind, element.value()) {
            (Kind::String, Value::String(text)) => out.set_element(text.text().as_bytes()),
            (Kind::Binary, Value::Blob(bytes)) => out.set_element(bytes.as_ref()),
            (Kind::Number, _) => out.set_element(read_number(element)?.encode().as_bytes()),
            _ => return Err("A set has an element of another type in it".to_owned()),
        }
    }
    out.end_set(&scope)
        .map_err(|_| "A set has an element twice".to_owned())
}

/// Adds the line of an item.
pub(super) fn line_of_item(item: ItemRef<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"$ion_1_0 {Item:");
    write_map(item.attributes(), out);
    out.extend_from_slice(b"}\n");
}

/// Adds the line of a change.
pub(super) fn line_of_change(change: &ChangedItem<'_>, out: &mut Vec<u8>) {
    let metadata = format!(
        "$ion_1_0 {{Record:{{Metadata:{{WriteTimestampMicros:{}.}}",
        change.at_us
    );
    out.extend_from_slice(metadata.as_bytes());
    for (name, item) in change.parts() {
        out.push(b',');
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        write_map(item.attributes(), out);
    }
    out.extend_from_slice(b"}}\n");
}

fn write_map(map: MapRef<'_>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (name, value)) in map.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(name, b'\'', out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

fn write_value(value: RawValue<'_>, out: &mut Vec<u8>) {
    match value.open() {
        ValueRef::Null => out.extend_from_slice(b"null"),
        ValueRef::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        ValueRef::String(text) => write_text(text, b'"', out),
        ValueRef::Number(number) => write_number(number, out),
        ValueRef::Binary(bytes) => write_blob(bytes, out),
        ValueRef::Set(set) => {
            out.extend_from_slice(match set.element() {
                Kind::Number => b"$dynamodb_NS::",
                Kind::Binary => b"$dynamodb_BS::",
                _ => b"$dynamodb_SS::",
            });
            write_list(set.iter(), out, write_element);
        }
        ValueRef::List(list) => write_list(list.iter(), out, write_value),
        ValueRef::Map(map) => write_map(map, out),
    }
}

fn write_list<T>(elements: impl Iterator<Item = T>, out: &mut Vec<u8>, write: impl Fn(T, &mut Vec<u8>)) {
    out.push(b'[');
    for (place, element) in elements.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(element, out);
    }
    out.push(b']');
}

fn write_element(element: SetElement<'_>, out: &mut Vec<u8>) {
    match element.number() {
        Some(number) => write_number(number, out),
        None if element.kind == Kind::Binary => write_blob(element.bytes, out),
        None => write_text(element.bytes, b'"', out),
    }
}

/// A decimal: the text of a number with `d` where it has an exponent, and with a point where it would be an integer.
fn write_number(number: NumberRef<'_>, out: &mut Vec<u8>) {
    let text = number.format();
    let text = text.as_str();
    let start = out.len();
    out.extend(text.bytes().map(|byte| {
        if byte.eq_ignore_ascii_case(&b'e') {
            b'd'
        } else {
            byte
        }
    }));
    if out[start..].iter().all(|byte| !matches!(byte, b'.' | b'd')) {
        out.push(b'.');
    }
}

fn write_blob(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{{");
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.extend_from_slice(b"}}");
}

/// UTF-8 text in quotes.
fn write_text(text: &[u8], quote: u8, out: &mut Vec<u8>) {
    out.push(quote);
    for &byte in text {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0..0x20 | 0x7F => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            _ if byte == quote => out.extend_from_slice(&[b'\\', quote]),
            _ => out.push(byte),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deep_nesting_is_seen_wherever_it_is_and_nowhere_else() {
        let deep = "[".repeat(BRACKETS_MAX + 1);
        for text in [
            deep.clone(),
            format!("/* \" */ {deep}"),
            format!("'a\\'b' : {deep}"),
            format!("\"\\\\\" {deep}"),
            format!("// x\n{deep}"),
        ] {
            assert!(look::look(text.as_bytes()).is_err(), "{text}");
        }
        for text in [
            format!("\"{deep}\""),
            format!("'{deep}'"),
            format!("'''it's {deep}'''"),
            format!("/* {deep} */"),
            "[] ".repeat(1000),
            "[".repeat(BRACKETS_MAX),
            "\"\\".to_owned(),
        ] {
            assert_eq!(look::look(text.as_bytes()), Ok(()), "{text}");
        }
        let very_deep = format!("{{Item:{{a:{}", "[".repeat(100_000));
        assert!(item_of_line(very_deep.as_bytes()).is_err());
        let behind_a_blob = format!("{{Item:{{pk:\"a\",b:{{{{////}}}},c:{}", "[".repeat(100_000));
        assert!(item_of_line(behind_a_blob.as_bytes()).is_err());
    }
}
