//! Commands and answers in bytes mean what they meant in types, and nothing else can be read as one.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree as _;
use stator_cluster::{Answer as _, Cell, Commands as _, Verdict};
use stator_model::attribute::Kind;
use stator_model::codec::Writer;
use stator_model::expression::{Condition, Placeholders, Update};
use stator_model::item::{Item, ItemWriter};
use stator_model::number::Number;

use super::answer::Done;
use super::*;

/// A plain value.
#[derive(Debug, Clone)]
enum Tree {
    Null,
    Bool(bool),
    Text(String),
    Binary(Vec<u8>),
    Number(i32),
    Texts(Vec<String>),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Null => writer.null(),
            Self::Bool(value) => writer.bool(*value),
            Self::Text(text) => writer.string(text),
            Self::Binary(bytes) => writer.binary(bytes),
            Self::Number(value) => writer.number(&Number::parse(&value.to_string()).unwrap()),
            Self::Texts(texts) => {
                let scope = writer.begin_set(Kind::String);
                for text in texts {
                    writer.set_element(text.as_bytes());
                }
                writer.end_set(&scope).unwrap();
            }
            Self::List(trees) => {
                let scope = writer.begin_list();
                for tree in trees {
                    writer.element();
                    tree.write(writer);
                }
                writer.end_list(&scope);
            }
            Self::Map(entries) => {
                let scope = writer.begin_map();
                for (name, tree) in entries {
                    writer.name(name.as_bytes());
                    tree.write(writer);
                }
                writer.end_map(&scope);
            }
        }
    }
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        any::<bool>().prop_map(Tree::Bool),
        "[a-cä]{0,3}".prop_map(Tree::Text),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Tree::Binary),
        (-3_i32..9).prop_map(Tree::Number),
        any_texts(),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::List),
            prop::collection::btree_map("[f-h]", inner, 0..3)
                .prop_map(|map| Tree::Map(map.into_iter().collect())),
        ]
    })
}

fn any_texts() -> impl Strategy<Value = Tree> {
    prop::collection::btree_set("[a-c]{0,2}", 1..4).prop_map(|texts| Tree::Texts(texts.into_iter().collect()))
}

/// The key with some of the attributes that the expressions below speak of.
fn any_item() -> impl Strategy<Value = Item> {
    let number = (0_i32..9).prop_map(Tree::Number);
    let list = prop::collection::vec(any_tree(), 0..4).prop_map(Tree::List);
    let map = any_tree().prop_map(|tree| Tree::Map(vec![("f".to_owned(), tree)]));
    let attribute = prop_oneof![
        (select(vec!["a", "c", "näme"]), any_tree()),
        (select(vec!["b", "d", "size"]), number),
        (Just("c"), list),
        (Just("e"), map),
        (Just("g"), any_texts()),
    ];
    prop::collection::vec(attribute, 0..7).prop_map(|attributes| item(&attributes))
}

fn item(attributes: &[(&str, Tree)]) -> Item {
    let mut item = ItemWriter::with_capacity(64);
    for (name, tree) in attributes {
        item.writer().name(name.as_bytes());
        tree.write(item.writer());
    }
    item.writer().name(b"pk");
    item.writer().string("k");
    item.finish()
}

fn key() -> Item {
    item(&[])
}

fn any_condition() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "attribute_exists(a)",
        "attribute_not_exists(#s)",
        "#a = :x",
        "e.f <> :x",
        "b > :n",
        "b BETWEEN :n AND :m",
        "c[0] IN (:x, :n)",
        "size(#z) < :n",
        "contains(g, :s)",
        "begins_with(a, :s)",
        "attribute_type(c, :k)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} AND {right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left} OR {right})")),
            inner.prop_map(|inner| format!("NOT {inner}")),
        ]
    })
}

/// An update that does at most one thing to each attribute; empty when it does nothing.
fn any_update() -> impl Strategy<Value = String> {
    // More often than not an attribute is left alone, or hardly any update would fit its item.
    let of = |choices: &[(&'static str, &'static str)]| prop_oneof![3 => Just(("", "")), 1 => select(choices.to_vec())];
    (
        of(&[("SET", "a = :x"), ("REMOVE", "#a")]),
        of(&[("SET", "#s = if_not_exists(#s, :n) + :m"), ("ADD", "#s :n")]),
        of(&[
            ("SET", "c = list_append(c, :l)"),
            ("SET", "c[1] = :x"),
            ("REMOVE", "c[0]"),
        ]),
        of(&[("ADD", "d :n"), ("SET", "d = d - :n"), ("SET", "d = b")]),
        of(&[("SET", "e.f = :x"), ("REMOVE", "e")]),
        of(&[("ADD", "g :t"), ("DELETE", "g :t")]),
        of(&[("SET", "#z = :x"), ("REMOVE", "#z")]),
    )
        .prop_map(|(a, s, c, d, e, g, z)| {
            let mut text = String::new();
            for clause in ["SET", "REMOVE", "ADD", "DELETE"] {
                let actions: Vec<&str> = [a, s, c, d, e, g, z]
                    .iter()
                    .filter(|(own, _)| *own == clause)
                    .map(|(_, action)| *action)
                    .collect();
                if !actions.is_empty() {
                    text = format!("{text} {clause} {}", actions.join(", "));
                }
            }
            text
        })
}

/// A request's parts, from which a typed command is made.
#[derive(Debug, Clone)]
struct Parts {
    condition: Option<String>,
    update: String,
    /// What `:x` stands for.
    any: Tree,
    return_values: ReturnValues,
    on_failure: OnFailure,
    new: Option<Item>,
    current: Option<Cell>,
}

fn any_parts() -> impl Strategy<Value = Parts> {
    let returns = select(vec![
        ReturnValues::None,
        ReturnValues::AllOld,
        ReturnValues::AllNew,
        ReturnValues::UpdatedOld,
        ReturnValues::UpdatedNew,
    ]);
    let current = prop_oneof![
        2 => Just(None),
        6 => any_item().prop_map(|item| Some(item.stored().clone())),
        1 => Just(Some(Bytes::from_static(b"no item"))),
    ];
    (
        proptest::option::of(any_condition()),
        any_update(),
        any_tree(),
        returns,
        select(vec![OnFailure::None, OnFailure::AllOld]),
        proptest::option::of(any_item()),
        current,
        proptest::bool::weighted(0.2),
    )
        .prop_map(
            |(condition, update, any, return_values, on_failure, new, current, same)| Parts {
                condition,
                update,
                any,
                return_values,
                on_failure,
                current: if same {
                    new.as_ref().map(|item| item.stored().clone())
                } else {
                    current
                },
                new,
            },
        )
}

impl Parts {
    /// The names and values that the texts use.
    fn placeholders(&self, texts: &[&str]) -> Placeholders {
        let used = |placeholder: &str| texts.iter().any(|text| text.contains(placeholder));
        let mut placeholders = Placeholders::default();
        for (placeholder, name) in [("#a", "a"), ("#s", "size"), ("#z", "näme")] {
            if used(placeholder) {
                placeholders.add_name(placeholder.into(), name.into()).unwrap();
            }
        }
        let list = Tree::List(vec![Tree::Null, self.any.clone()]);
        let values = [
            (":x", self.any.clone()),
            (":n", Tree::Number(2)),
            (":m", Tree::Number(5)),
            (":s", Tree::Text("a".into())),
            (":k", Tree::Text("L".into())),
            (":t", Tree::Texts(vec!["a".into(), "b".into()])),
            (":l", list),
        ];
        for (placeholder, tree) in values {
            if used(placeholder) {
                let start = placeholders.values_writer().len();
                tree.write(placeholders.values_writer());
                placeholders.add_value(placeholder.into(), start).unwrap();
            }
        }
        placeholders
    }

    fn with_replace<T>(&self, use_it: impl FnOnce(&Replace<'_>) -> T) -> T {
        let text = self.condition.as_deref();
        let mut placeholders = self.placeholders(&[text.unwrap_or_default()]);
        let condition = text.map(|text| Condition::parse(text, &mut placeholders).unwrap());
        use_it(&Replace {
            new: self.new.as_ref(),
            guard: Guard {
                condition: text.zip(condition.as_ref()),
                placeholders: &placeholders,
                on_failure: self.on_failure,
            },
            returns_old: self.return_values == ReturnValues::AllOld,
        })
    }

    fn with_change<T>(&self, use_it: impl FnOnce(&Change<'_>) -> T) -> T {
        let text = self.condition.as_deref();
        let update_text = Some(self.update.as_str()).filter(|text| !text.is_empty());
        let mut placeholders = self.placeholders(&[text.unwrap_or_default(), &self.update]);
        let update = update_text.map(|text| Update::parse(text, &mut placeholders).unwrap());
        let condition = text.map(|text| Condition::parse(text, &mut placeholders).unwrap());
        use_it(&Change {
            key: &key(),
            update: update_text.zip(update.as_ref()),
            guard: Guard {
                condition: text.zip(condition.as_ref()),
                placeholders: &placeholders,
                on_failure: self.on_failure,
            },
            return_values: self.return_values,
        })
    }
}

impl Parts {
    /// A check has a condition.
    fn with_check<T>(&self, use_it: impl FnOnce(&Check<'_>) -> T) -> T {
        let text = self.condition.as_deref().unwrap_or("attribute_exists(a)");
        let mut placeholders = self.placeholders(&[text]);
        let condition = Condition::parse(text, &mut placeholders).unwrap();
        use_it(&Check {
            guard: Guard {
                condition: Some((text, &condition)),
                placeholders: &placeholders,
                on_failure: self.on_failure,
            },
        })
    }

    fn check_bytes(&self) -> Bytes {
        self.with_check(|command| encoded(command))
    }

    fn replace_bytes(&self) -> Bytes {
        self.with_replace(|command| encoded(command))
    }

    fn change_bytes(&self) -> Bytes {
        self.with_change(|command| encoded(command))
    }
}

fn encoded(command: &impl Applier) -> Bytes {
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    bytes.into()
}

fn answer_bytes(answer: &impl Answer) -> Bytes {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    bytes.into()
}

/// What is read, written again.
fn encoded_again(bytes: &Bytes) -> Option<Bytes> {
    Some(match ReadCommand::read(bytes).ok()? {
        ReadCommand::Replace(read) => encoded(&read.command()),
        ReadCommand::Change(read) => encoded(&read.command()),
        ReadCommand::Install(install) => encoded(&install),
        ReadCommand::Expire(expire) => encoded(&expire),
        ReadCommand::Check(read) => encoded(&read.command()),
        ReadCommand::Deposit(deposit) => encoded(&deposit),
    })
}

/// Decides a command in both forms.
fn check_both_forms(
    command: &impl Applier<Answer = WriteAnswer>,
    current: Option<&Cell>,
) -> Result<(), TestCaseError> {
    let bytes = encoded(command);
    let typed = command.decide(current);
    let (Verdict::Put { answer, .. } | Verdict::Delete { answer } | Verdict::Keep { answer }) = &typed;
    prop_assert_eq!(WriteAnswer::decode(&answer_bytes(answer)), Ok(answer.clone()));
    let from_bytes = commands().decide(&bytes, current);
    prop_assert_eq!(from_bytes, Ok(typed.map(|answer| answer_bytes(&answer).to_vec())));
    prop_assert_eq!(encoded_again(&bytes), Some(bytes));
    Ok(())
}

fn any_command() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        any_parts().prop_map(|parts| parts.replace_bytes()),
        any_parts().prop_map(|parts| parts.change_bytes()),
        any_parts().prop_map(|parts| parts.check_bytes()),
        any_install().prop_map(|install| encoded(&install)),
    ]
}

fn any_install() -> impl Strategy<Value = Install> {
    let cell = || proptest::option::of(prop::collection::vec(0_u8..3, 0..3).prop_map(Bytes::from));
    (cell(), cell()).prop_map(|(expected, cell)| Install { expected, cell })
}

fn commands() -> WriteCommands {
    WriteCommands::new(Arc::default())
}

fn any_answer() -> impl Strategy<Value = WriteAnswer> {
    let size = || proptest::option::of(0_usize..500_000);
    let note = prop::collection::vec(any::<u8>(), 0..5).prop_map(Bytes::from);
    let done = (size(), size(), proptest::option::of(any_item()), note).prop_map(
        |(before, after, attributes, note)| {
            Ok(Done {
                attributes,
                sizes: Sizes { before, after },
                note,
            })
        },
    );
    prop_oneof![
        done,
        proptest::option::of(any_item()).prop_map(|item| Err(Refusal::ConditionFailed(item))),
        ".{0,9}".prop_map(|text| Err(Refusal::Validation(text))),
        ".{0,9}".prop_map(|text| Err(Refusal::Internal(text))),
    ]
    .prop_map(WriteAnswer)
}

/// One byte changed, or some bytes put in the place of all behind it.
fn spoiled(bytes: &Bytes, at: Index, byte: u8, tail: Option<Vec<u8>>) -> Bytes {
    let at = at.index(bytes.len());
    let mut spoiled = bytes.to_vec();
    spoiled[at] = byte;
    if let Some(tail) = tail {
        spoiled.truncate(at);
        spoiled.extend(tail);
    }
    spoiled.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_put_or_delete_in_bytes_decides_as_the_typed_one(parts in any_parts()) {
        parts.with_replace(|command| check_both_forms(command, parts.current.as_ref()))?;
    }

    #[test]
    fn an_update_in_bytes_decides_as_the_typed_one(parts in any_parts()) {
        parts.with_change(|command| check_both_forms(command, parts.current.as_ref()))?;
    }

    #[test]
    fn a_check_in_bytes_decides_as_the_typed_one_and_changes_nothing(parts in any_parts()) {
        let current = parts.current.as_ref();
        parts.with_check(|command| {
            check_both_forms(command, current)?;
            let Verdict::Keep { answer: WriteAnswer(answer) } = command.decide(current) else {
                return Err(TestCaseError::fail("a check that changes the item"));
            };
            if let Ok(done) = answer {
                let size = current.map(|cell| open(cell).unwrap().as_ref().size());
                prop_assert_eq!(done.sizes, Sizes { before: size, after: size });
            }
            Ok(())
        })?;
    }

    #[test]
    fn an_answer_is_read_as_it_was_written(answer in any_answer()) {
        let bytes = answer_bytes(&answer);
        prop_assert_eq!(commands().is_refusal(&bytes), answer.0.is_err());
        prop_assert_eq!(WriteAnswer::decode(&bytes), Ok(answer));
    }

    #[test]
    fn a_brief_answer_says_the_same_without_the_item_of_a_refusal(answer in any_answer()) {
        let brief: Bytes = commands().brief(answer_bytes(&answer).to_vec()).into();
        let expected = match answer.0 {
            Err(Refusal::ConditionFailed(_)) => Err(Refusal::ConditionFailed(None)),
            other => other,
        };
        prop_assert_eq!(WriteAnswer::decode(&brief), Ok(WriteAnswer(expected)));
    }

    #[test]
    fn a_command_that_is_cut_or_continued_is_none(command in any_command(), more in any::<u8>()) {
        for length in 0..command.len() {
            prop_assert!(commands().decide(&command.slice(..length), None).is_err(), "{} bytes", length);
        }
        let continued: Bytes = [&command[..], &[more]].concat().into();
        prop_assert!(commands().decide(&continued, None).is_err());
    }

    #[test]
    fn an_answer_that_is_cut_or_continued_is_none(answer in any_answer(), more in any::<u8>()) {
        let bytes = answer_bytes(&answer);
        for length in 0..bytes.len() {
            prop_assert!(WriteAnswer::decode(&bytes.slice(..length)).is_err(), "{} bytes", length);
        }
        let continued: Bytes = [&bytes[..], &[more]].concat().into();
        prop_assert!(WriteAnswer::decode(&continued).is_err());
    }

    #[test]
    fn spoiled_bytes_are_refused_or_say_something_else(
        command in any_command(),
        answer in any_answer(),
        at in any::<Index>(),
        byte in any::<u8>(),
        tail in proptest::option::of(prop::collection::vec(any::<u8>(), 0..20)),
        current in proptest::option::of(any_item()),
    ) {
        let command = spoiled(&command, at, byte, tail.clone());
        let decided = commands().decide(&command, current.as_ref().map(Item::stored));
        // Whatever can be read has this one spelling.
        prop_assert_eq!(decided.is_ok(), encoded_again(&command).is_some());
        prop_assert!(encoded_again(&command).is_none_or(|again| again == command));
        let answer = spoiled(&answer_bytes(&answer), at, byte, tail);
        let read = WriteAnswer::decode(&answer);
        prop_assert!(read.is_err() || answer_bytes(&read.unwrap()) == answer);
    }

    #[test]
    fn any_bytes_are_refused_or_say_one_thing(
        head in select(vec![vec![], vec![1, 1], vec![1, 2], vec![1, 3], vec![1, 4], vec![1, 6], vec![1, 0]]),
        tail in prop::collection::vec(prop_oneof![0_u8..6, any::<u8>()], 0..60),
    ) {
        let bytes: Bytes = [head, tail].concat().into();
        prop_assert!(encoded_again(&bytes).is_none_or(|again| again == bytes));
        prop_assert!(WriteAnswer::decode(&bytes).is_ok_and(|read| answer_bytes(&read) == bytes)
            || WriteAnswer::decode(&bytes).is_err());
    }
}

#[test]
fn the_commands_of_these_tests_reach_every_outcome() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reached = std::collections::BTreeMap::<_, u32>::new();
    for _ in 0..2000 {
        let parts = any_parts().new_tree(&mut runner).unwrap().current();
        let verdict = parts.with_change(|command| command.decide(parts.current.as_ref()));
        let changes = !matches!(verdict, Verdict::Keep { .. });
        let (Verdict::Put { answer, .. } | Verdict::Delete { answer } | Verdict::Keep { answer }) = verdict;
        let outcome = match answer.0 {
            Ok(Done { attributes, .. }) => ("done", attributes.is_some()),
            Err(Refusal::ConditionFailed(item)) => ("condition", item.is_some()),
            Err(Refusal::Validation(_)) => ("validation", false),
            Err(Refusal::Internal(_)) => ("internal", false),
        };
        *reached.entry((outcome, changes)).or_default() += 1;
    }
    let outcomes: Vec<_> = reached.iter().filter(|(_, count)| **count >= 20).collect();
    assert_eq!(outcomes.len(), 8, "{reached:?}");
}

#[test]
fn an_update_that_only_takes_away_makes_no_item() {
    let decided = |update: &str| {
        let parts = Parts {
            condition: None,
            update: update.to_owned(),
            any: Tree::Null,
            return_values: ReturnValues::AllNew,
            on_failure: OnFailure::None,
            new: None,
            current: None,
        };
        parts.with_change(|command| command.decide(None))
    };
    let nothing = WriteAnswer(Ok(Done {
        attributes: None,
        sizes: Sizes::new(None, None),
        note: Bytes::new(),
    }));
    for update in ["REMOVE b", "DELETE g :t", "REMOVE b, e DELETE g :t"] {
        let answer = nothing.clone();
        assert_eq!(decided(update), Verdict::Keep { answer }, "{update}");
    }
    for update in ["", "SET b = :n", "REMOVE b ADD g :t"] {
        assert!(matches!(decided(update), Verdict::Put { .. }), "{update}");
    }
    // A path that leads nowhere is told all the same.
    let Verdict::Keep { answer } = decided("REMOVE e.f") else {
        panic!("an item is made");
    };
    assert!(
        matches!(answer, WriteAnswer(Err(Refusal::Validation(_)))),
        "{answer:?}"
    );
}

#[test]
fn a_length_that_the_input_does_not_have_is_refused() {
    // A put that announces a condition of 4 GiB.
    let bytes = Bytes::from_static(&[1, 1, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    let error = commands().decide(&bytes, None).unwrap_err();
    assert_eq!(error.detail, "a field at byte 9 is cut off or no field");
}

#[test]
fn another_version_is_refused_by_name() {
    let bytes = Bytes::from_static(&[2, 5]);
    let expected = "format version 2, this program reads version 1";
    assert_eq!(commands().decide(&bytes, None).unwrap_err().detail, expected);
    assert_eq!(WriteAnswer::decode(&bytes).unwrap_err().detail, expected);
}

#[test]
fn an_expression_that_this_program_does_not_understand_is_refused() {
    let command = |condition: &str, placeholders: &[u8]| {
        let mut bytes = vec![1, 2, 0, 0];
        codec::put_bytes(&mut bytes, condition.as_bytes());
        codec::put_bytes(&mut bytes, placeholders);
        commands()
            .decide(&bytes.into(), None)
            .map_err(|error| error.detail)
    };
    assert!(command("attribute_exists(a)", &[]).is_ok());
    let check = commands().decide(&Bytes::from_static(&[1, 6, 0, 0, 0]), None);
    assert_eq!(check.unwrap_err().detail, "a check without a condition");
    let unknown = command("attribute_shines(a)", &[]).unwrap_err();
    assert!(unknown.contains("attribute_shines"), "{unknown}");
    let unused = item(&[(":v", Tree::Null)]);
    let mut writer = ItemWriter::with_capacity(16);
    writer.writer().name(b":v");
    writer.writer().null();
    let unused = (command("attribute_exists(a)", writer.finish().stored()), unused);
    assert!(unused.0.unwrap_err().contains("unused"));
    let not_a_placeholder = command("a = :v", unused.1.stored()).unwrap_err();
    assert!(not_a_placeholder.contains("pk"), "{not_a_placeholder}");
}

proptest! {
    #[test]
    fn a_cell_of_metadata_changes_only_if_it_is_as_expected(
        install in any_install(),
        current in any_install().prop_map(|install| install.cell),
    ) {
        let verdict = install.decide(current.as_ref());
        let from_bytes = commands().decide(&encoded(&install), current.as_ref());
        prop_assert_eq!(from_bytes, Ok(verdict.clone().map(|answer| answer_bytes(&answer).to_vec())));
        let (after, Fits(fits)) = match verdict {
            Verdict::Put { cell, answer } => (Some(cell), answer),
            Verdict::Delete { answer } => (None, answer),
            Verdict::Keep { answer } => (current.clone(), answer),
        };
        prop_assert_eq!(fits, current == install.expected);
        prop_assert_eq!(after, if fits { install.cell.clone() } else { current });
        prop_assert_eq!(Fits::decode(&answer_bytes(&Fits(fits))), Ok(Fits(fits)));
        prop_assert_eq!(install.answer_unseen(), None);
    }

    #[test]
    fn a_replacement_is_answered_unseen_only_if_nothing_of_the_item_is_asked(parts in any_parts()) {
        prop_assert_eq!(parts.with_change(|command| command.answer_unseen()), None);
        parts.with_replace(|command| {
            let unseen = command.answer_unseen();
            prop_assert_eq!(unseen.is_some(), parts.condition.is_none() && !command.returns_old);
            let Some(unseen) = unseen else { return Ok(()) };
            // It says what a write says that finds nothing.
            let (Verdict::Put { answer, .. } | Verdict::Delete { answer } | Verdict::Keep { answer }) = command.decide(None);
            prop_assert_eq!(unseen, answer);
            Ok(())
        })?;
    }
}

#[test]
fn a_cell_weighs_what_its_item_is_counted_as() {
    let item = item(&[("pk", Tree::Text("k".into())), ("n", Tree::Null)]);
    assert_eq!(
        commands().weigh(item.stored()),
        u64::try_from(item.as_ref().size()).unwrap()
    );
    assert_eq!(commands().weigh(b"no item"), 0);
}

#[test]
fn an_answer_of_install_that_is_none_is_refused() {
    for bytes in [&[][..], &[1], &[1, 2], &[1, 1, 0], &[2, 1]] {
        assert!(Fits::decode(&Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
    }
}

/// The examples of `docs/format/command.md`: bytes in hexadecimal between the last two bars of a row.
fn documented(name: &str) -> Bytes {
    let document = include_str!("../../../docs/format/command.md");
    let (_, examples) = document.split_once("## Examples").unwrap();
    let row = examples
        .lines()
        .find(|line| line.starts_with(&format!("| {name} |")))
        .unwrap_or_else(|| panic!("{name} is not in the document"));
    let bytes = row.trim_end_matches([' ', '|', '`']).rsplit('`').next().unwrap();
    let digits: Vec<u8> = bytes.bytes().filter(|byte| *byte != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect::<Vec<u8>>()
        .into()
}

#[test]
fn the_examples_of_the_document_are_what_is_written() {
    let parts = |condition: Option<&str>, update: &str, new: Option<Item>| Parts {
        condition: condition.map(str::to_owned),
        update: update.to_owned(),
        any: Tree::Text("v".into()),
        return_values: ReturnValues::AllOld,
        on_failure: OnFailure::AllOld,
        new,
        current: None,
    };
    let plain = |new| Parts {
        return_values: ReturnValues::None,
        on_failure: OnFailure::None,
        ..parts(None, "", new)
    };
    assert_eq!(plain(Some(key())).replace_bytes(), documented("put"));
    assert_eq!(plain(None).replace_bytes(), documented("delete"));
    let conditional = parts(Some("#a = :x"), "SET b = :n", None);
    assert_eq!(conditional.replace_bytes(), documented("delete with a condition"));
    assert_eq!(conditional.change_bytes(), documented("update with a condition"));
    assert_eq!(conditional.check_bytes(), documented("check"));
    let cell = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let install = |expected, cell| encoded(&Install { expected, cell });
    assert_eq!(install(None, cell("ab")), documented("install, a new cell"));
    assert_eq!(
        install(cell("ab"), cell("c")),
        documented("install, another cell")
    );
    assert_eq!(install(cell("ab"), None), documented("install, no cell"));
    assert_eq!(answer_bytes(&Fits(true)), documented("the cell was as expected"));
    let done = |before, after, attributes| {
        let sizes = Sizes { before, after };
        let note = Bytes::new();
        answer_bytes(&WriteAnswer(Ok(Done {
            attributes,
            sizes,
            note,
        })))
    };
    assert_eq!(done(None, Some(300), None), documented("done, a new item"));
    assert_eq!(
        done(Some(3), None, Some(key())),
        documented("done, a removed item")
    );
    let refused = |refusal| answer_bytes(&WriteAnswer(Err(refusal)));
    assert_eq!(
        refused(Refusal::ConditionFailed(None)),
        documented("condition failed")
    );
    assert_eq!(
        refused(Refusal::Validation("no".to_owned())),
        documented("validation")
    );
}
