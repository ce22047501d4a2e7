//! All formats: what is written is read again, and what is wrong is told.

use std::io::BufReader;

use proptest::prelude::*;
use stator_model::attribute::Kind;
use stator_model::codec::Writer;
use stator_model::item::ItemWriter;
use stator_model::number::Number;

use super::*;
use crate::operation::create_table::tests::definition;
use crate::wire::encode::json::Json;

fn lines(format: Format, text: &[u8], change: impl FnOnce(&mut Input)) -> Vec<Line> {
    let mut input = Input {
        format: format.into(),
        ..Input::default()
    };
    change(&mut input);
    let mut records = Records::new(BufReader::with_capacity(7, text), &input, &definition());
    let mut read = Vec::new();
    while let Some(line) = records.next().unwrap() {
        read.push(line);
    }
    read
}

/// Items as the API writes them, and what is wrong in the words of the program.
fn told(format: Format, text: &str, change: impl FnOnce(&mut Input)) -> Vec<Result<String, String>> {
    let lines = lines(format, text.as_bytes(), change);
    let total: u64 = lines.iter().map(|line| line.bytes).sum();
    assert!(total <= text.len() as u64);
    let as_json = |item: Item| {
        let mut json = Json::default();
        json.item(item.as_ref());
        String::from_utf8(json.into_bytes()).unwrap()
    };
    lines.into_iter().map(|line| line.item.map(as_json)).collect()
}

#[derive(Debug, Clone)]
enum Tree {
    Null,
    Bool(bool),
    Text(String),
    Number(String),
    Binary(Vec<u8>),
    Texts(Vec<String>),
    Numbers(Vec<String>),
    Binaries(Vec<Vec<u8>>),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

fn set<T: Ord>(mut elements: Vec<T>) -> Vec<T> {
    elements.sort();
    elements.dedup();
    elements
}

fn put(tree: &Tree, out: &mut Writer) {
    match tree {
        Tree::Null => out.null(),
        Tree::Bool(value) => out.bool(*value),
        Tree::Text(text) => out.string(text),
        Tree::Number(text) => out.number(&Number::parse(text).unwrap()),
        Tree::Binary(bytes) => out.binary(bytes),
        Tree::Texts(texts) => put_set(
            Kind::String,
            texts.iter().map(|text| text.clone().into_bytes()),
            out,
        ),
        Tree::Binaries(all) => put_set(Kind::Binary, all.iter().cloned(), out),
        Tree::Numbers(texts) => {
            let encoded = |text: &String| Number::parse(text).unwrap().encode().as_bytes().to_vec();
            put_set(Kind::Number, texts.iter().map(encoded), out);
        }
        Tree::List(elements) => {
            let scope = out.begin_list();
            for element in elements {
                out.element();
                put(element, out);
            }
            out.end_list(&scope);
        }
        Tree::Map(entries) => {
            let scope = out.begin_map();
            for (name, value) in entries {
                out.name(name.as_bytes());
                put(value, out);
            }
            out.end_map(&scope);
        }
    }
}

fn put_set(kind: Kind, elements: impl Iterator<Item = Vec<u8>>, out: &mut Writer) {
    let scope = out.begin_set(kind);
    for element in set(elements.collect()) {
        out.set_element(&element);
    }
    out.end_set(&scope).unwrap();
}

fn item(attributes: &[(String, Tree)]) -> Item {
    let mut writer = ItemWriter::with_capacity(64);
    for (name, value) in attributes {
        writer.writer().name(name.as_bytes());
        put(value, writer.writer());
    }
    writer.finish()
}

fn number() -> impl Strategy<Value = String> {
    ("-?[1-9][0-9]{0,37}", -125..=80_i32).prop_map(|(digits, exponent)| {
        let written = digits.trim_start_matches('-').len();
        // Within what a number can be, whatever its digits.
        let exponent = exponent.max(-130 + i32::try_from(written).unwrap());
        format!("{digits}e{exponent}")
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        any::<String>().prop_map(Tree::Text),
        number().prop_map(Tree::Number),
        Just(Tree::Number("0".to_owned())),
        bytes().prop_map(Tree::Binary),
        prop::collection::vec(any::<String>(), 1..5).prop_map(Tree::Texts),
        prop::collection::vec(number(), 1..5).prop_map(Tree::Numbers),
        prop::collection::vec(bytes(), 1..5).prop_map(Tree::Binaries),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
            prop::collection::vec((name(), inner), 0..6).prop_map(Tree::Map),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    any::<String>().prop_filter("names are not empty", |name| !name.is_empty())
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_again(
        items in prop::collection::vec(prop::collection::vec((name(), tree()), 0..5), 0..5),
    ) {
        let items: Vec<Item> = items.iter().map(|attributes| item(attributes)).collect();
        for format in [Format::DynamodbJson, Format::Ion] {
            let mut text = Vec::new();
            for item in &items {
                write(format, item, &mut text);
            }
            let read: Vec<_> = lines(format, &text, |_| {}).into_iter().map(|line| line.item).collect();
            prop_assert_eq!(read, items.iter().cloned().map(Ok).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_line_stops_a_reader(text in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::DynamodbJson, Format::Ion] {
            lines(format, &text, |_| {});
        }
    }
}

#[test]
fn a_line_that_is_no_utf_8_is_refused_wherever_it_is_not() {
    for line in [
        &b"'\x80'"[..],
        b"\"\x80\"",
        b"\x80",
        b"// \x80",
        b"{Item:{'\xff':1}}",
    ] {
        for format in [Format::DynamodbJson, Format::Ion] {
            let read = lines(format, line, |_| {});
            assert!(
                read.iter().all(|line| line.item.is_err()) && !read.is_empty(),
                "{line:?}"
            );
        }
    }
}

#[test]
fn lines_of_dynamodb_json_are_items() {
    let text = concat!(
        "{\"Item\":{\"pk\":{\"S\":\"a\"},\"n\":{\"N\":\"01.50\"}}}\n\n",
        "{\"Item\":{\"pk\":{\"SS\":[]}}}\n{\"pk\":{\"S\":\"a\"}}\nx\n",
        "{\"Item\":{\"pk\":{\"S\":\"b\"}},\"More\":[1]}",
    );
    let told = told(Format::DynamodbJson, text, |_| {});
    assert_eq!(told[0], Ok(r#"{"n":{"N":"1.5"},"pk":{"S":"a"}}"#.to_owned()));
    for (place, part) in [(1, "may not be empty"), (2, "Item"), (3, "JSON")] {
        let wrong = told[place].as_ref().unwrap_err();
        assert!(wrong.contains(part), "{wrong}");
    }
    assert_eq!(told[4], Ok(r#"{"pk":{"S":"b"}}"#.to_owned()));
    assert_eq!(told.len(), 5);
}

#[test]
fn the_example_of_the_developer_guide_is_read_as_ion() {
    let text = concat!(
        r#"$ion_1_0 {Item:{Authors:$dynamodb_SS::["Author1","Author2"],Dimensions:"8.5 x 11.0 x 1.5","#,
        r#"Id:103.,InPublication:false,PageCount:6d2,'a b':null,B:{{YQ==}},L:[1,{}],M:{k:-1.5}}}"#,
        "\n{Item:{a:1e0}}\n{Item:{a:$dynamodb_SS::[\"x\",\"x\"]}}\n{Item:[]}\n{Item:\n",
    );
    let told = told(Format::Ion, text, |_| {});
    let expected = concat!(
        r#"{"Authors":{"SS":["Author1","Author2"]},"B":{"B":"YQ=="},"Dimensions":{"S":"8.5 x 11.0 x 1.5"},"#,
        r#""Id":{"N":"103"},"InPublication":{"BOOL":false},"L":{"L":[{"N":"1"},{"M":{}}]},"#,
        r#""M":{"M":{"k":{"N":"-1.5"}}},"PageCount":{"N":"600"},"a b":{"NULL":true}}"#,
    );
    assert_eq!(told[0], Ok(expected.to_owned()));
    for (place, part) in [(1, "float"), (2, "twice"), (3, "Item"), (4, "no Ion value")] {
        let wrong = told[place].as_ref().unwrap_err();
        assert!(wrong.contains(part), "{wrong}");
    }
}

#[test]
fn csv_has_text_but_for_keys() {
    let text = "\u{feff}pk,a\r\nx,1\r\n\"y \"\"z\"\", w\",\n\nshort\n";
    let read = told(Format::Csv, text, |_| {});
    assert_eq!(read[0], Ok(r#"{"a":{"S":"1"},"pk":{"S":"x"}}"#.to_owned()));
    assert_eq!(
        read[1],
        Ok(r#"{"a":{"S":""},"pk":{"S":"y \"z\", w"}}"#.to_owned())
    );
    assert_eq!(read[2], Err("A record has 1 fields, the header has 2".to_owned()));
    assert_eq!(read.len(), 3);
    let with_headers = told(Format::Csv, "x;1", |input| {
        input.delimiter = Some(";".into());
        input.headers = vec!["pk".into(), "b".into()];
    });
    assert_eq!(with_headers, [Ok(r#"{"b":{"S":"1"},"pk":{"S":"x"}}"#.to_owned())]);
}

#[test]
fn keys_in_csv_have_the_types_of_their_definitions() {
    let mut table = definition();
    table.key_schema.partition.kind = Kind::Number;
    let options = CsvOptions::of(&Input::default(), &table);
    let name = table.key_schema.partition.name.clone();
    let mut read = CsvRecords::new(BufReader::new("pk\n007\nx\n".as_bytes()), options);
    assert_eq!(name, "pk");
    let expected = item(&[(name, Tree::Number("7".into()))]);
    assert_eq!(read.next().unwrap().unwrap().item, Ok(expected));
    assert!(read.next().unwrap().unwrap().item.is_err());
}

#[test]
fn a_quote_that_is_not_closed_ends_an_object_and_takes_no_memory() {
    let text = format!("pk\n\"{}", "x\n".repeat(4 << 20));
    let options = CsvOptions::of(&Input::default(), &definition());
    let mut records = CsvRecords::new(BufReader::new(text.as_bytes()), options);
    let error = records.next().unwrap_err();
    assert!(error.to_string().contains("quote"), "{error}");
}

#[test]
fn a_quote_that_is_not_closed_in_a_short_object_takes_no_records_along() {
    let read = |text: &str| {
        let options = CsvOptions::of(&Input::default(), &definition());
        let mut records = CsvRecords::new(BufReader::new(text.as_bytes()), options);
        let mut read = Vec::new();
        loop {
            match records.next() {
                Ok(Some(line)) => read.push(line.item.is_ok()),
                Ok(None) => return Ok(read),
                Err(error) => return Err((read, error.to_string())),
            }
        }
    };
    for text in ["pk,a\nx,\"1\ny,2\nz,3\n", "pk,a\nx,\"1\ny,2\nz,3", "pk,a\nx,\""] {
        assert_eq!(
            read(text),
            Err((vec![], "A quote is not closed".to_owned())),
            "{text}"
        );
    }
    for text in ["pk,a\nx,\"1\"", "pk,a\nx,\"1\"\n", "pk,a\nx,1\r", "pk,a\nx,1\n\n"] {
        assert_eq!(read(text), Ok(vec![true]), "{text}");
    }
}
