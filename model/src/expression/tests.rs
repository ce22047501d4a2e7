//! Limits, images and upserts: what the stories in `tests/expression` do not tell.

use super::condition::{Comparator, Operand};
use super::key_condition::{KeyAttribute, SortCondition};
use super::{Condition, ExpressionError, KeyCondition, Path, Placeholders, Projection, Update, UpdateError};
use crate::attribute::{Kind, RawValue, ValueRef};
use crate::codec::{DEPTH_MAX, Writer};
use crate::item::{Item, ItemRef, ItemWriter};
use crate::number::Number;

type Write = fn(&mut Writer);

/// Writes the values `:n` (5), `:one`, `:s` ("abc"), `:deep` (one list less than may be nested) and `:map` ({}).
fn placeholders() -> Placeholders {
    let mut placeholders = Placeholders::default();
    let writers: [(&str, Write); 5] = [
        (":n", |writer| number(writer, "5")),
        (":one", |writer| number(writer, "1")),
        (":s", |writer| writer.string("abc")),
        (":deep", |writer| nested(writer, DEPTH_MAX - 1)),
        (":map", |writer| nested_map(writer, 1)),
    ];
    for (placeholder, write) in writers {
        let start = placeholders.values_writer().len();
        write(placeholders.values_writer());
        placeholders.add_value(placeholder.into(), start).unwrap();
    }
    placeholders
}

fn number(writer: &mut Writer, text: &str) {
    writer.number(&Number::parse(text).unwrap());
}

fn nested(writer: &mut Writer, levels: usize) {
    let scope = writer.begin_list();
    if levels > 1 {
        writer.element();
        nested(writer, levels - 1);
    }
    writer.end_list(&scope);
}

fn nested_map(writer: &mut Writer, levels: usize) {
    let scope = writer.begin_map();
    if levels > 1 {
        writer.name(b"m");
        nested_map(writer, levels - 1);
    }
    writer.end_map(&scope);
}

/// `{a: 1, l: [0, 1, 2], m: {x: 1, y: 2}}`
fn item() -> Item {
    let mut item = ItemWriter::with_capacity(64);
    let writer = item.writer();
    writer.name(b"a");
    number(writer, "1");
    writer.name(b"l");
    let list = writer.begin_list();
    for text in ["0", "1", "2"] {
        writer.element();
        number(writer, text);
    }
    writer.end_list(&list);
    writer.name(b"m");
    let map = writer.begin_map();
    for (name, text) in [("x", "1"), ("y", "2")] {
        writer.name(name.as_bytes());
        number(writer, text);
    }
    writer.end_map(&map);
    item.finish()
}

fn show(item: &Item) -> String {
    fn value(raw: RawValue<'_>) -> String {
        match raw.open() {
            ValueRef::Number(number) => number.format().as_str().to_owned(),
            ValueRef::String(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::List(list) => format!("[{}]", list.iter().map(value).collect::<Vec<_>>().join(" ")),
            ValueRef::Map(map) => format!("{{{}}}", entries(map.iter())),
            other => format!("{other:?}"),
        }
    }
    fn entries<'a>(all: impl Iterator<Item = (&'a [u8], RawValue<'a>)>) -> String {
        let all = all.map(|(name, raw)| format!("{}:{}", String::from_utf8_lossy(name), value(raw)));
        all.collect::<Vec<_>>().join(" ")
    }
    let checked = ItemRef::from_stored(item.stored()).unwrap();
    entries(checked.iter())
}

fn refused(text: &str) -> String {
    Condition::parse(text, &mut placeholders())
        .unwrap_err()
        .to_string()
}

#[test]
fn what_is_parsed_travels_between_threads() {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<Condition>();
    travels::<Update>();
    travels::<Projection>();
    travels::<KeyCondition>();
    travels::<Placeholders>();
    travels::<ExpressionError>();
}

#[test]
fn empty_and_blank_texts_are_refused() {
    assert_eq!(refused(""), "The expression can not be empty;");
    assert_eq!(refused(" "), "Syntax error; token: \"<EOF>\", near: \" \"");
    assert_eq!(
        Update::parse(" ", &mut placeholders()).unwrap_err().to_string(),
        "Syntax error; token: \"<EOF>\", near: \" \""
    );
}

#[test]
fn a_text_may_have_4096_bytes() {
    let text = |size: usize| format!("a = :n{}", " ".repeat(size - 6));
    assert!(Condition::parse(&text(4096), &mut placeholders()).is_ok());
    assert_eq!(
        refused(&text(4097)),
        "Expression size has exceeded the maximum allowed size; expression size: 4097"
    );
}

#[test]
fn how_long_an_update_or_a_projection_is_is_not_told() {
    let told = "Expression size has exceeded the maximum allowed size;";
    let update = |size: usize| {
        let text = format!("SET a = :n{}", " ".repeat(size - 10));
        Update::parse(&text, &mut placeholders())
    };
    assert!(update(4096).is_ok());
    assert_eq!(update(4097).unwrap_err().to_string(), told);
    let projection = |size| Projection::parse(&"a".repeat(size), &mut placeholders());
    assert!(projection(4096).is_ok());
    assert_eq!(projection(4097).unwrap_err().to_string(), told);
}

#[test]
fn a_text_may_have_a_megabyte_with_what_stands_in_it() {
    const MOST: usize = 1 << 20;
    let expanded = |text: &str, each: usize| {
        let mut placeholders = Placeholders::default();
        let start = placeholders.values_writer().len();
        placeholders.values_writer().string(&"x".repeat(each));
        placeholders.add_value(":v".into(), start).unwrap();
        placeholders.add_name("#n".into(), "y".repeat(each)).unwrap();
        Condition::parse(text, &mut placeholders).map_err(|error| error.to_string())
    };
    assert!(expanded("a = :v", MOST - 6).is_ok());
    assert!(expanded("#n = a", MOST - 6).is_ok());
    let refused = |size: usize| {
        format!("Expression size has exceeded the maximum allowed size; expression size: {size}")
    };
    assert_eq!(expanded("a = :v", MOST - 5).unwrap_err(), refused(MOST + 1));
    assert_eq!(expanded("#n = a", MOST - 5).unwrap_err(), refused(MOST + 1));
    let half = MOST / 2;
    assert_eq!(
        expanded("a = :v OR b = :v", half).unwrap_err(),
        refused(MOST + 16)
    );
    assert!(
        expanded("a = :v b", MOST)
            .unwrap_err()
            .starts_with("Syntax error")
    );
}

#[test]
fn an_expression_may_have_300_operators() {
    let too_many = "The expression contains too many operators; operator count: 301";
    let negated = |count| format!("{}a = :n", "NOT ".repeat(count));
    assert!(Condition::parse(&negated(299), &mut placeholders()).is_ok());
    assert_eq!(refused(&negated(300)), too_many);
    let grouped = |count| format!("{}a = :n{}", "NOT (".repeat(count), ")".repeat(count));
    assert!(Condition::parse(&grouped(299), &mut placeholders()).is_ok());
    assert_eq!(refused(&grouped(300)), too_many);
    let joined = |count| vec!["a = :n"; count].join(" OR ");
    assert!(Condition::parse(&joined(150), &mut placeholders()).is_ok());
    assert_eq!(refused(&joined(151)), too_many);
    let summed = |count| {
        format!(
            "SET {}",
            (0..count)
                .map(|i| format!("a{i}=:n+:n"))
                .collect::<Vec<_>>()
                .join(",")
        )
    };
    assert!(Update::parse(&summed(300), &mut placeholders()).is_ok());
    let error = Update::parse(&summed(301), &mut placeholders()).unwrap_err();
    assert_eq!(error.to_string(), too_many);
}

#[test]
fn nesting_that_no_item_needs_is_refused_before_the_stack_is_used_up() {
    for open in ["(", "NOT (", "size(", "a IN (", "begins_with((", "a = ("] {
        let text: String = open.repeat(4096 / open.len());
        assert!(Condition::parse(&text, &mut placeholders()).is_err(), "{open}");
    }
    for open in ["(", "if_not_exists(a,", "(if_not_exists(a,("] {
        let text = format!("SET a = {}", open.repeat(4000 / open.len()));
        assert!(Update::parse(&text, &mut placeholders()).is_err(), "{open}");
    }
    let negated = format!("{}a = :n{}", "NOT (".repeat(298), ")".repeat(298));
    let mut placeholders = placeholders();
    let condition = Condition::parse(&negated, &mut placeholders).unwrap();
    assert!(!condition.evaluate(Some(item().as_ref()), &placeholders));
}

#[test]
fn a_list_for_in_may_have_100_values() {
    let text = |count| format!("a IN ({})", vec![":one"; count].join(","));
    let mut placeholders = placeholders();
    let condition = Condition::parse(&text(100), &mut placeholders).unwrap();
    assert!(condition.evaluate(Some(item().as_ref()), &placeholders));
    assert_eq!(
        refused(&text(101)),
        "The IN operator is provided with too many operands; number of operands: 101"
    );
}

#[test]
fn a_path_may_have_32_elements() {
    let text = |levels: usize| format!("attribute_exists(a{})", ".b".repeat(levels - 1));
    assert!(Condition::parse(&text(32), &mut placeholders()).is_ok());
    assert_eq!(
        refused(&text(33)),
        "The document path has too many nesting levels; nesting levels: 33"
    );
}

#[test]
fn a_list_index_may_have_32_bits_but_for_the_last_number() {
    let mut placeholders = placeholders();
    let update = Update::parse("SET l[4294967294] = :n", &mut placeholders).unwrap();
    let after = update.apply(Some(item().as_ref()), &[], &placeholders).unwrap();
    assert_eq!(show(&after), "a:1 l:[0 1 2 5] m:{x:1 y:2}");
    let error = Update::parse("SET l[4294967295] = :n", &mut placeholders).unwrap_err();
    assert_eq!(
        error.to_string(),
        "List index is not within the allowable range; index: [4294967295]"
    );
}

#[test]
fn size_is_a_reserved_word_and_a_function() {
    assert_eq!(
        refused("size = :n"),
        "Attribute name is a reserved keyword; reserved keyword: size"
    );
    assert!(Condition::parse("size(a) = :n", &mut placeholders()).is_ok());
}

#[test]
fn text_is_measured_in_utf16_units() {
    let mut item = ItemWriter::with_capacity(16);
    item.writer().name(b"t");
    item.writer().string("aé€😀");
    let item = item.finish();
    let mut placeholders = placeholders();
    let condition = Condition::parse("size(t) = :n", &mut placeholders).unwrap();
    assert!(condition.evaluate(Some(item.as_ref()), &placeholders));
}

#[test]
fn conditions_can_be_put_together_by_hand() {
    let mut placeholders = Placeholders::default();
    number(placeholders.values_writer(), "1");
    let one = placeholders.add_operand(0);
    let condition = Condition::All(vec![Condition::Compare {
        comparator: Comparator::Equal,
        left: Operand::Path(Path::attribute("a")),
        right: Operand::Value(one),
    }]);
    assert!(condition.evaluate(Some(item().as_ref()), &placeholders));
    assert!(!condition.evaluate(None, &placeholders));
    let mut names = Vec::new();
    condition.for_each_path(&mut |path| names.push(path.top_level()));
    assert_eq!(names, ["a"]);
}

#[test]
fn images_show_the_places_that_an_update_touches() {
    for (text, old, new) in [
        ("SET a = :n", "a:1", "a:5"),
        ("SET m.x = :n", "m:{x:1}", "m:{x:5}"),
        ("SET m.z = :n", "", "m:{z:5}"),
        ("SET l[0] = :n, l[2] = :n", "l:[0 2]", "l:[5 5]"),
        ("SET l[7] = :n", "", ""),
        ("SET b = :n", "", "b:5"),
        ("ADD a :n", "a:1", "a:6"),
        ("REMOVE a", "a:1", ""),
        ("REMOVE l[0]", "l:[0]", ""),
        ("REMOVE m.x SET a = :n", "a:1 m:{x:1}", "a:5"),
    ] {
        let mut placeholders = placeholders();
        let update = Update::parse(text, &mut placeholders).unwrap();
        let before = item();
        let after = update.apply(Some(before.as_ref()), &[], &placeholders).unwrap();
        assert_eq!(show(&update.updated_old(before.as_ref())), old, "{text}");
        assert_eq!(show(&update.updated_new(after.as_ref())), new, "{text}");
    }
}

#[test]
fn an_update_without_an_item_starts_from_the_key() {
    let mut placeholders = placeholders();
    let mut key = Writer::default();
    key.string("k");
    let key = [(&b"pk"[..], key.value_at(0))];
    let mut apply = |text: &str| {
        let update = match text {
            "" => Update::default(),
            text => Update::parse(text, &mut placeholders).unwrap(),
        };
        update.apply(None, &key, &placeholders).map(|item| show(&item))
    };
    assert_eq!(apply(""), Ok("pk:k".into()));
    assert_eq!(apply("SET a = :n REMOVE b"), Ok("a:5 pk:k".into()));
    assert_eq!(apply("SET a = pk"), Ok("a:k pk:k".into()));
    assert_eq!(apply("ADD a :n"), Ok("a:5 pk:k".into()));
    assert_eq!(apply("SET a.b = :n"), Err(UpdateError::InvalidPath));
    assert_eq!(apply("SET a = b"), Err(UpdateError::MissingAttribute));
}

#[test]
fn a_result_is_never_nested_deeper_than_an_item_may_be() {
    let mut deep = ItemWriter::with_capacity(64);
    deep.writer().name(b"m");
    nested_map(deep.writer(), 2);
    let deep = deep.finish();
    let mut placeholders = placeholders();
    let mut apply = |text: &str| {
        let update = Update::parse(text, &mut placeholders).unwrap();
        let after = update.apply(Some(deep.as_ref()), &[], &placeholders)?;
        // Whatever is made can be read again.
        Item::from_stored(after.stored().clone()).unwrap();
        Ok(())
    };
    assert_eq!(apply("SET m.deep = :deep"), Ok(()));
    assert_eq!(apply("SET m.m.deep = :deep"), Err(UpdateError::TooDeep));
    assert_eq!(
        apply("SET m.m.l = list_append(:deep, :deep)"),
        Err(UpdateError::TooDeep)
    );
}

#[test]
fn sums_are_exact_or_refused() {
    let mut placeholders = placeholders();
    for (placeholder, text) in [(":big", "1e100"), (":most", "9e125")] {
        let start = placeholders.values_writer().len();
        number(placeholders.values_writer(), text);
        placeholders.add_value(placeholder.into(), start).unwrap();
    }
    let mut apply = |text: &str| {
        let update = Update::parse(text, &mut placeholders).unwrap();
        let outcome = update.apply(Some(item().as_ref()), &[], &placeholders);
        outcome.map(|item| show(&item)).map_err(|error| error.to_string())
    };
    let digits = "Attempting to store more than 38 significant digits in a Number";
    assert_eq!(apply("SET a = a + :big"), Err(digits.into()));
    assert_eq!(apply("ADD a :big"), Err(digits.into()));
    assert_eq!(
        apply("SET a = :most + :most"),
        Err(
            "Number overflow. Attempting to store a number with magnitude larger than supported range".into()
        )
    );
}

#[test]
fn statements_add_more_than_two_operands_and_the_api_does_not() {
    let text = "SET b = a + :n - :one - if_not_exists(nope, :one) + a";
    let mut placeholders = placeholders();
    assert!(matches!(
        Update::parse(text, &mut placeholders),
        Err(ExpressionError::Syntax { .. })
    ));
    let mut apply = |text: &str| {
        let update = Update::parse_unbounded(text, &mut placeholders)?;
        let made = update.apply(Some(item().as_ref()), &[], &placeholders);
        Ok::<_, ExpressionError>(made.map(|item| show(&item)))
    };
    let made = apply(text).unwrap().unwrap();
    assert!(made.contains("b:5"), "{made}");
    assert_eq!(apply("SET b = a + a + l"), Ok(Err(UpdateError::OperandType)));
    assert_eq!(apply("SET b = a + a - c"), Ok(Err(UpdateError::MissingAttribute)));
    assert!(matches!(
        apply("SET b = a + a + :s"),
        Err(ExpressionError::OperandType { operator: "+", .. })
    ));
}

#[test]
fn a_key_condition_gives_the_partition_and_the_bound() {
    let pk = KeyAttribute {
        name: "pk",
        kind: Kind::String,
    };
    let sk = KeyAttribute {
        name: "sk",
        kind: Kind::Number,
    };
    for (text, expected) in [
        ("pk = :s", None),
        ("sk < :n AND pk = :s", Some(SortCondition::Less("5"))),
        ("pk = :s AND (:n < sk)", Some(SortCondition::Greater("5"))),
        (
            "pk = :s AND sk BETWEEN :one AND :n",
            Some(SortCondition::Between("1", "5")),
        ),
    ] {
        let mut placeholders = placeholders();
        let condition = KeyCondition::parse(text, &mut placeholders, pk, Some(sk)).unwrap();
        assert_eq!(
            condition.hash(&placeholders).next().unwrap().scalar_bytes(),
            Some(&b"abc"[..])
        );
        let sort = condition.range(&placeholders).next().map(|sort| {
            sort.map(|value| match value.open() {
                ValueRef::Number(number) => number.format().as_str().to_owned(),
                other => format!("{other:?}"),
            })
        });
        assert_eq!(sort, expected.map(|sort| sort.map(str::to_owned)), "{text}");
    }
    let refused = |text: &str, sort| {
        KeyCondition::parse(text, &mut placeholders(), pk, sort)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("pk = :s AND a = :s", None),
        "Query key condition not supported"
    );
    assert_eq!(
        refused("pk = :s AND begins_with(sk, :s)", Some(sk)),
        "One or more parameter values were invalid: Condition parameter type does not match schema type"
    );
    assert_eq!(
        refused(":s = :n", None),
        "Invalid condition in KeyConditionExpression: No key attribute specified"
    );
}
