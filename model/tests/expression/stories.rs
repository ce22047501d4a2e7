//! What DynamoDB answers to an expression for one item: the `.txt` files beside this one.

use std::collections::BTreeMap;

use stator_model::attribute::Kind;
use stator_model::expression::key_condition::KeyAttribute;
use stator_model::expression::{Condition, ExpressionError, KeyCondition, Placeholders, Projection, Update};

use super::tree::{Tree, item};

const ITEM: &str = "{a: 1, bi: b'616263', bs: <b'61'>, l: [0, 1, 2, {y: 9}], m: {d: {w: \"w\", z: 3}, \
                    l: [\"q\"], x: 1}, ns: <1, 2>, nul: null, pk: \"p\", s: \"hello\", sk: \"s\", ss: <\"a\", \"b\">, t: true}";

const NAMES: [(&str, &str); 4] = [("#a", "a"), ("#b", "b.c"), ("#m", "m"), ("#x", "x")];

const VALUES: [(&str, &str); 16] = [
    (":s", "\"abc\""),
    (":t", "\"abd\""),
    (":n", "5"),
    (":m", "7"),
    (":b", "b'6162'"),
    (":c", "b'6163'"),
    (":bool", "true"),
    (":null", "null"),
    (":ss", "<\"a\", \"b\">"),
    (":ns", "<1, 2>"),
    (":bs", "<b'61'>"),
    (":l", "[1, \"x\"]"),
    (":map", "{k: \"v\"}"),
    (":zero", "0"),
    (":type", "\"SS\""),
    (":e", "\"\""),
];

fn placeholders() -> Placeholders {
    let mut placeholders = Placeholders::default();
    for (placeholder, name) in NAMES {
        placeholders.add_name(placeholder.into(), name.into()).unwrap();
    }
    for (placeholder, value) in VALUES {
        let start = placeholders.values_writer().len();
        Tree::parse(value).write(placeholders.values_writer());
        placeholders.add_value(placeholder.into(), start).unwrap();
    }
    placeholders
}

fn attributes() -> BTreeMap<String, Tree> {
    match Tree::parse(ITEM) {
        Tree::Map(attributes) => attributes,
        other => panic!("{other}"),
    }
}

/// Checks every story of a file and reports all that are not as told.
fn check(stories: &str, answer: impl Fn(&str) -> String) {
    let mut lines = stories
        .lines()
        .filter(|line| !line.starts_with("// ") && !line.is_empty());
    let mut wrong = Vec::new();
    let mut count = 0;
    while let (Some(text), Some(expected)) = (lines.next(), lines.next()) {
        let unescaped = |text: &str| text.replace("\\n", "\n").replace("\\t", "\t");
        let expected = unescaped(expected.strip_prefix("  -> ").unwrap());
        let answer = answer(&unescaped(text));
        if answer != expected {
            wrong.push(format!("{text}\n  expected {expected}\n  answered {answer}"));
        }
        count += 1;
    }
    assert!(count > 50, "only {count} stories");
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn refusal(error: &ExpressionError) -> String {
    let prefix = if error.is_syntactic() { "refused: " } else { "" };
    format!("{prefix}{error}")
}

#[test]
fn conditions_hold_or_are_refused_as_told() {
    let item = item(&attributes());
    check(include_str!("condition.txt"), |text| {
        let mut placeholders = placeholders();
        match Condition::parse(text, &mut placeholders) {
            Ok(condition) => condition.evaluate(Some(item.as_ref()), &placeholders).to_string(),
            Err(error) => error.to_string(),
        }
    });
}

#[test]
fn updates_change_the_item_or_are_refused_as_told() {
    let before = attributes();
    let item = item(&before);
    check(include_str!("update.txt"), |text| {
        let mut placeholders = placeholders();
        let update = match Update::parse(text, &mut placeholders) {
            Ok(update) => update,
            Err(error) => return refusal(&error),
        };
        let after = match update.apply(Some(item.as_ref()), &[], &placeholders) {
            Ok(after) => Tree::read_item(after.as_ref()),
            Err(error) => return error.to_string(),
        };
        let changed: BTreeMap<_, _> = after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(*value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut parts = Vec::new();
        if !changed.is_empty() {
            parts.push(Tree::Map(changed).to_string());
        }
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        parts.extend(gone.map(|name| format!("-{name}")));
        if parts.is_empty() {
            "unchanged".to_owned()
        } else {
            parts.join(", ")
        }
    });
}

#[test]
fn projections_show_parts_or_are_refused_as_told() {
    let item = item(&attributes());
    check(include_str!("projection.txt"), |text| {
        match Projection::parse(text, &mut placeholders()) {
            Ok(projection) => {
                Tree::Map(Tree::read_item(projection.apply(item.as_ref()).as_ref())).to_string()
            }
            Err(error) => refusal(&error),
        }
    });
}

#[test]
fn key_conditions_fit_the_keys_or_are_refused_as_told() {
    let key = |name| KeyAttribute {
        name,
        kind: Kind::String,
    };
    check(
        include_str!("key_condition.txt"),
        |text| match KeyCondition::parse(text, &mut placeholders(), key("pk"), Some(key("sk"))) {
            Ok(_) => "ok".to_owned(),
            Err(error) => refusal(&error),
        },
    );
}
