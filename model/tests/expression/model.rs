//! Random expressions on random items, against a plain model that works on trees.
//!
//! The model shares nothing with the crate but [`Number`]'s arithmetic: expressions are generated as data, written out
//! as text for the crate, and carried out here the slow and obvious way.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;
use stator_model::attribute::Kind;
use stator_model::expression::{Condition, Placeholders, Projection, Update};
use stator_model::number::Number;

use super::tree::{Tree, item};

fn number(value: i64) -> Tree {
    Tree::Number(Number::parse(&value.to_string()).unwrap())
}

/// A path over few names and small indexes, so that paths meet.
type Steps = Vec<Step>;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Name(&'static str),
    Index(usize),
}

const TOP: [&str; 4] = ["a1", "b1", "c1", "d1"];
const INNER: [&str; 3] = ["x1", "y1", "z1"];

fn path_text(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Name(name) if text.is_empty() => text.push_str(name),
            Step::Name(name) => text.extend([".", name]),
            Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
        }
    }
    text
}

fn any_path() -> impl Strategy<Value = Steps> {
    let step = prop_oneof![
        prop::sample::select(&INNER[..]).prop_map(Step::Name),
        (0_usize..5).prop_map(Step::Index),
    ];
    (prop::sample::select(&TOP[..]), prop::collection::vec(step, 0..3)).prop_map(|(top, mut below)| {
        below.insert(0, Step::Name(top));
        below
    })
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        1 => Just(Tree::Null),
        1 => any::<bool>().prop_map(Tree::Bool),
        4 => "[ab]{0,3}".prop_map(Tree::Text),
        6 => (-3_i64..4).prop_map(number),
        2 => prop::collection::vec(0_u8..3, 0..3).prop_map(Tree::Binary),
        2 => prop::collection::btree_set("[ab]{0,2}", 1..4)
            .prop_map(|texts| Tree::Set(texts.into_iter().map(Tree::Text).collect())),
        2 => prop::collection::btree_set(-2_i64..3, 1..4)
            .prop_map(|numbers| Tree::Set(numbers.into_iter().map(number).collect())),
    ];
    leaf.prop_recursive(2, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::btree_map(prop::sample::select(&INNER[..]), inner, 0..4).prop_map(|map| {
                Tree::Map(
                    map.into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

type Attributes = BTreeMap<String, Tree>;

fn any_item() -> impl Strategy<Value = Attributes> {
    prop::collection::btree_map(
        prop::sample::select(&TOP[..]).prop_map(str::to_owned),
        any_tree(),
        0..5,
    )
}

fn resolve<'a>(item: &'a Attributes, steps: &[Step]) -> Option<&'a Tree> {
    let (Step::Name(top), below) = steps.split_first()? else {
        return None;
    };
    below
        .iter()
        .try_fold(item.get(*top)?, |tree, step| match (step, tree) {
            (Step::Name(name), Tree::Map(map)) => map.get(*name),
            (Step::Index(index), Tree::List(list)) => list.get(*index),
            _ => None,
        })
}

/// Puts values under `:v0`, `:v1` and so on.
fn placeholders(values: &[Tree]) -> Placeholders {
    let mut placeholders = Placeholders::default();
    for (index, value) in values.iter().enumerate() {
        let start = placeholders.values_writer().len();
        value.write(placeholders.values_writer());
        placeholders.add_value(format!(":v{index}"), start).unwrap();
    }
    placeholders
}

/// An operand in either kind of expression.
#[derive(Debug, Clone)]
enum Operand {
    Path(Steps),
    Value(Tree),
    Size(Steps),
    IfNotExists(Steps, Box<Operand>),
}

fn operand_text(operand: &Operand, values: &mut Vec<Tree>) -> String {
    match operand {
        Operand::Path(path) => path_text(path),
        Operand::Value(value) => {
            values.push(value.clone());
            format!(":v{}", values.len() - 1)
        }
        Operand::Size(path) => format!("size({})", path_text(path)),
        Operand::IfNotExists(path, other) => {
            format!(
                "if_not_exists({}, {})",
                path_text(path),
                operand_text(other, values)
            )
        }
    }
}

fn read(operand: &Operand, item: &Attributes) -> Option<Tree> {
    match operand {
        Operand::Path(path) => resolve(item, path).cloned(),
        Operand::Value(value) => Some(value.clone()),
        Operand::Size(path) => {
            let size = match resolve(item, path)? {
                Tree::Text(text) => text.len(),
                Tree::Binary(bytes) => bytes.len(),
                Tree::Set(all) | Tree::List(all) => all.len(),
                Tree::Map(map) => map.len(),
                _ => return None,
            };
            Some(number(size.try_into().unwrap()))
        }
        Operand::IfNotExists(path, other) => resolve(item, path).cloned().or_else(|| read(other, item)),
    }
}

#[derive(Debug, Clone)]
enum Test {
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Compare(&'static str, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Steps),
    NotExists(Steps),
    Type(Steps, &'static str),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

fn any_test() -> impl Strategy<Value = Test> {
    let operand = || {
        prop_oneof![
            3 => any_path().prop_map(Operand::Path),
            3 => any_tree().prop_map(Operand::Value),
            1 => any_path().prop_map(Operand::Size),
        ]
    };
    // Bounds that a parser takes are of one type and in order.
    let bounds = prop_oneof![
        2 => (-3_i64..3, 0_i64..3).prop_map(|(low, more)| [number(low), number(low + more)].map(Operand::Value)),
        1 => ("[ab]", "[ab]{0,2}").prop_map(|(low, more)| {
            let high = format!("{low}{more}");
            [low, high].map(|text| Operand::Value(Tree::Text(text)))
        }),
        1 => (operand(), operand()).prop_map(|(low, high)| [low, high]),
    ];
    let comparators = prop::sample::select(&["=", "<>", "<", "<=", ">", ">="][..]);
    let types = prop::sample::select(&["S", "N", "B", "SS", "NS", "L", "M", "NULL", "BOOL"][..]);
    let leaf = prop_oneof![
        4 => (comparators, operand(), operand()).prop_map(|(by, left, right)| Test::Compare(by, left, right)),
        2 => (operand(), bounds).prop_map(|(a, [b, c])| Test::Between(a, b, c)),
        1 => (operand(), prop::collection::vec(operand(), 1..4)).prop_map(|(a, list)| Test::In(a, list)),
        1 => any_path().prop_map(Test::Exists),
        1 => any_path().prop_map(Test::NotExists),
        1 => (any_path(), types).prop_map(|(path, kind)| Test::Type(path, kind)),
        1 => (operand(), operand()).prop_map(|(a, b)| Test::BeginsWith(a, b)),
        2 => (operand(), operand()).prop_map(|(a, b)| Test::Contains(a, b)),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Test::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Test::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|test| Test::Not(Box::new(test))),
        ]
    })
}

/// Writes a test with no more parentheses than it needs, so that precedence is part of what is checked.
fn test_text(test: &Test, values: &mut Vec<Tree>) -> String {
    let mut grouped = |test: &Test, group: bool| {
        let text = test_text(test, values);
        if group { format!("({text})") } else { text }
    };
    match test {
        Test::And(a, b) => {
            let group = |test: &Test| matches!(test, Test::Or(..));
            format!("{} AND {}", grouped(a, group(a)), grouped(b, group(b)))
        }
        Test::Or(a, b) => format!("{} or {}", grouped(a, false), grouped(b, false)),
        Test::Not(test) => {
            let group = matches!(**test, Test::And(..) | Test::Or(..));
            format!("NOT {}", grouped(test, group))
        }
        Test::Compare(by, a, b) => format!("{} {by} {}", operand_text(a, values), operand_text(b, values)),
        Test::Between(a, b, c) => {
            let a = operand_text(a, values);
            format!(
                "{a} BETWEEN {} AND {}",
                operand_text(b, values),
                operand_text(c, values)
            )
        }
        Test::In(a, list) => {
            let a = operand_text(a, values);
            let list: Vec<_> = list.iter().map(|one| operand_text(one, values)).collect();
            format!("{a} IN ({})", list.join(","))
        }
        Test::Exists(path) => format!("attribute_exists({})", path_text(path)),
        Test::NotExists(path) => format!("attribute_not_exists({})", path_text(path)),
        Test::Type(path, kind) => {
            values.push(Tree::Text((*kind).to_owned()));
            format!("attribute_type({}, :v{})", path_text(path), values.len() - 1)
        }
        Test::BeginsWith(a, b) => format!(
            "begins_with({}, {})",
            operand_text(a, values),
            operand_text(b, values)
        ),
        Test::Contains(a, b) => format!(
            "contains({}, {})",
            operand_text(a, values),
            operand_text(b, values)
        ),
    }
}

fn order(a: Option<&Tree>, b: Option<&Tree>) -> Option<Ordering> {
    match (a?, b?) {
        (Tree::Text(a), Tree::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Tree::Binary(a), Tree::Binary(b)) => Some(a.cmp(b)),
        (Tree::Number(a), Tree::Number(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn holds(test: &Test, item: &Attributes) -> bool {
    let get = |operand: &Operand| read(operand, item);
    let equal = |a: &Operand, b: &Operand| get(a).is_some() && get(a) == get(b);
    match test {
        Test::And(a, b) => holds(a, item) && holds(b, item),
        Test::Or(a, b) => holds(a, item) || holds(b, item),
        Test::Not(test) => !holds(test, item),
        Test::Compare("=", a, b) => equal(a, b),
        Test::Compare("<>", a, b) => !equal(a, b),
        Test::Compare(by, a, b) => order(get(a).as_ref(), get(b).as_ref()).is_some_and(|order| match *by {
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            _ => order.is_ge(),
        }),
        Test::Between(a, b, c) => {
            order(get(a).as_ref(), get(b).as_ref()).is_some_and(Ordering::is_ge)
                && order(get(a).as_ref(), get(c).as_ref()).is_some_and(Ordering::is_le)
        }
        Test::In(a, list) => list.iter().any(|one| equal(a, one)),
        Test::Exists(path) => resolve(item, path).is_some(),
        Test::NotExists(path) => resolve(item, path).is_none(),
        Test::Type(path, kind) => resolve(item, path).is_some_and(|tree| tree.kind().descriptor() == *kind),
        Test::BeginsWith(a, b) => match (get(a), get(b)) {
            (Some(Tree::Text(a)), Some(Tree::Text(b))) => a.starts_with(&b),
            (Some(Tree::Binary(a)), Some(Tree::Binary(b))) => a.starts_with(&b),
            _ => false,
        },
        Test::Contains(a, b) => match (get(a), get(b)) {
            (Some(Tree::Text(a)), Some(Tree::Text(b))) => a.contains(&b),
            (Some(Tree::Binary(a)), Some(Tree::Binary(b))) => {
                b.is_empty() || a.windows(b.len()).any(|part| part == b)
            }
            (Some(Tree::Set(all) | Tree::List(all)), Some(b)) => all.contains(&b),
            _ => false,
        },
    }
}

#[derive(Debug, Clone)]
enum Change {
    Set(Operand),
    Sum(Operand, Operand),
    Difference(Operand, Operand),
    Append(Operand, Operand),
    Remove,
    Add(Tree),
    Delete(Tree),
}

fn any_change() -> impl Strategy<Value = Change> {
    let operand = |tree: BoxedStrategy<Tree>| {
        let simple = prop_oneof![any_path().prop_map(Operand::Path), tree.prop_map(Operand::Value)];
        let simple = simple.boxed();
        prop_oneof![
            2 => simple.clone(),
            1 => (any_path(), simple).prop_map(|(path, other)| Operand::IfNotExists(path, Box::new(other))),
        ]
    };
    let any = || operand(any_tree().boxed());
    let numbers = || operand((-3_i64..4).prop_map(number).boxed());
    let lists = || {
        operand(
            prop::collection::vec(any_tree(), 0..3)
                .prop_map(Tree::List)
                .boxed(),
        )
    };
    prop_oneof![
        4 => any().prop_map(Change::Set),
        1 => (numbers(), numbers()).prop_map(|(a, b)| Change::Sum(a, b)),
        1 => (numbers(), numbers()).prop_map(|(a, b)| Change::Difference(a, b)),
        1 => (lists(), lists()).prop_map(|(a, b)| Change::Append(a, b)),
        4 => Just(Change::Remove),
        2 => any_tree().prop_map(Change::Add),
        2 => any_tree().prop_map(Change::Delete),
    ]
}

fn update_text(changes: &[(Steps, Change)], values: &mut Vec<Tree>) -> String {
    let mut sections: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, change) in changes {
        let path = path_text(path);
        let mut pair = |a: &Operand, b: &Operand| (operand_text(a, values), operand_text(b, values));
        let (section, text) = match change {
            Change::Set(operand) => ("SET", format!("{path} = {}", operand_text(operand, values))),
            Change::Sum(a, b) => {
                let (a, b) = pair(a, b);
                ("SET", format!("{path} = {a} + {b}"))
            }
            Change::Difference(a, b) => {
                let (a, b) = pair(a, b);
                ("SET", format!("{path} = {a} - {b}"))
            }
            Change::Append(a, b) => {
                let (a, b) = pair(a, b);
                ("SET", format!("{path} = list_append({a}, {b})"))
            }
            Change::Remove => ("REMOVE", path),
            Change::Add(value) => (
                "ADD",
                format!("{path} {}", operand_text(&Operand::Value(value.clone()), values)),
            ),
            Change::Delete(value) => (
                "DELETE",
                format!("{path} {}", operand_text(&Operand::Value(value.clone()), values)),
            ),
        };
        sections.entry(section).or_default().push(text);
    }
    let sections: Vec<_> = sections
        .iter()
        .map(|(name, all)| format!("{name} {}", all.join(", ")))
        .collect();
    sections.join(" ")
}

/// The value that a change puts at its place; `Ok(None)` when the place is to be empty.
fn outcome(path: &[Step], change: &Change, old: &Attributes) -> Result<Option<Tree>, ()> {
    let get = |operand: &Operand| read(operand, old).ok_or(());
    let sum = |a: &Operand, b: &Operand, add: fn(Number, Number) -> Number| match (get(a)?, get(b)?) {
        (Tree::Number(a), Tree::Number(b)) => Ok(Some(Tree::Number(add(a, b)))),
        _ => Err(()),
    };
    match change {
        Change::Set(operand) => get(operand).map(Some),
        Change::Sum(a, b) => sum(a, b, |a, b| a.checked_add(b).unwrap()),
        Change::Difference(a, b) => sum(a, b, |a, b| a.checked_sub(b).unwrap()),
        Change::Append(a, b) => match (get(a)?, get(b)?) {
            (Tree::List(a), Tree::List(b)) => Ok(Some(Tree::List([a, b].concat()))),
            _ => Err(()),
        },
        Change::Remove => Ok(None),
        Change::Add(value) => match (resolve(old, path), value) {
            (None, value) => Ok(Some(value.clone())),
            (Some(Tree::Number(a)), Tree::Number(b)) => Ok(Some(Tree::Number(a.checked_add(*b).unwrap()))),
            (Some(Tree::Set(a)), Tree::Set(b)) if a[0].kind() == b[0].kind() => {
                let mut all = a.clone();
                all.extend(b.iter().filter(|one| !a.contains(one)).cloned());
                all.sort_by(|a, b| order(Some(a), Some(b)).unwrap());
                Ok(Some(Tree::Set(all)))
            }
            _ => Err(()),
        },
        Change::Delete(value) => match (resolve(old, path), value) {
            (None, _) => Ok(None),
            (Some(Tree::Set(a)), Tree::Set(b)) if a[0].kind() == b[0].kind() => {
                let all: Vec<_> = a.iter().filter(|one| !b.contains(one)).cloned().collect();
                Ok((!all.is_empty()).then_some(Tree::Set(all)))
            }
            _ => Err(()),
        },
    }
}

/// A tree in which list elements can be missing until the end.
fn put(tree: &mut Tree, steps: &[Step], value: Option<Tree>, late: &mut Late, at: &[Step]) -> Result<(), ()> {
    let (step, rest) = steps.split_first().ok_or(())?;
    let here = [at, std::slice::from_ref(step)].concat();
    match (step, tree) {
        (Step::Name(name), Tree::Map(map)) if rest.is_empty() => {
            match value {
                Some(value) => map.insert((*name).to_owned(), value),
                None => map.remove(*name),
            };
            Ok(())
        }
        (Step::Index(index), Tree::List(list)) if rest.is_empty() => {
            match value {
                Some(value) if *index < list.len() => list[*index] = value,
                value if *index >= list.len() => {
                    late.push((at.to_vec(), *index, value));
                }
                _ => late.push((at.to_vec(), *index, None)),
            }
            Ok(())
        }
        (Step::Name(name), Tree::Map(map)) => put(map.get_mut(*name).ok_or(())?, rest, value, late, &here),
        (Step::Index(index), Tree::List(list)) => {
            put(list.get_mut(*index).ok_or(())?, rest, value, late, &here)
        }
        _ => Err(()),
    }
}

/// What happens to lists once all other places are done: removals and appends, as (list, index, value).
type Late = Vec<(Steps, usize, Option<Tree>)>;

fn apply(changes: &[(Steps, Change)], old: &Attributes) -> Result<Attributes, ()> {
    let mut root = Tree::Map(old.clone());
    let mut late = Late::new();
    for (path, change) in changes {
        let value = outcome(path, change, old)?;
        put(&mut root, path, value, &mut late, &[])?;
    }
    // Appends in the order of the indexes, then removals from the back; the deepest lists first, while the indexes that
    // lead to them still hold.
    late.sort_by_key(|(list, index, value)| (std::cmp::Reverse(list.len()), value.is_none(), *index));
    let (appends, removals): (Late, Late) = late.into_iter().partition(|(_, _, value)| value.is_some());
    let mut removals = removals;
    removals.sort_by_key(|(list, index, _)| (std::cmp::Reverse(list.len()), std::cmp::Reverse(*index)));
    let list_at = |root: &mut Tree, path: &[Step], act: &mut dyn FnMut(&mut Vec<Tree>)| {
        let place = path.iter().fold(root, |tree, step| match (step, tree) {
            (Step::Name(name), Tree::Map(map)) => map.get_mut(*name).unwrap(),
            (Step::Index(index), Tree::List(list)) => &mut list[*index],
            _ => panic!("{path:?}"),
        });
        if let Tree::List(list) = place {
            act(list);
        }
    };
    let lengths: Vec<_> = removals
        .iter()
        .map(|(path, _, _)| match resolve(old, path) {
            Some(Tree::List(list)) => list.len(),
            _ => 0,
        })
        .collect();
    for (path, _, value) in appends {
        list_at(&mut root, &path, &mut |list| list.extend(value.clone()));
    }
    for ((path, index, _), length) in removals.into_iter().zip(lengths) {
        if index < length {
            list_at(&mut root, &path, &mut |list| {
                list.remove(index);
            });
        }
    }
    match root {
        Tree::Map(attributes) => Ok(attributes),
        other => panic!("{other}"),
    }
}

/// What a projection shows: the item cut down to the paths.
fn show(tree: &Tree, paths: &[&[Step]]) -> Option<Tree> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(tree.clone());
    }
    let below = |step: Step| -> Vec<&[Step]> {
        paths
            .iter()
            .filter(|path| path[0] == step)
            .map(|path| &path[1..])
            .collect()
    };
    match tree {
        Tree::Map(map) => {
            let shown: BTreeMap<_, _> = map
                .iter()
                .filter_map(|(name, value)| {
                    let name = TOP.iter().chain(&INNER).find(|other| *other == name)?;
                    let paths = below(Step::Name(name));
                    (!paths.is_empty())
                        .then(|| show(value, &paths))?
                        .map(|value| ((*name).to_owned(), value))
                })
                .collect();
            (!shown.is_empty()).then_some(Tree::Map(shown))
        }
        Tree::List(list) => {
            let shown: Vec<_> = list
                .iter()
                .enumerate()
                .filter_map(|(index, value)| {
                    let paths = below(Step::Index(index));
                    (!paths.is_empty()).then(|| show(value, &paths))?
                })
                .collect();
            (!shown.is_empty()).then_some(Tree::List(shown))
        }
        _ => None,
    }
}

/// Whether two paths can stand in one update or projection.
fn apart(a: &[Step], b: &[Step]) -> bool {
    a.iter().zip(b).find(|(a, b)| a != b).is_some_and(|(a, b)| {
        matches!(
            (a, b),
            (Step::Name(_), Step::Name(_)) | (Step::Index(_), Step::Index(_))
        )
    })
}

fn all_apart(paths: &[&Steps]) -> bool {
    paths
        .iter()
        .enumerate()
        .all(|(count, path)| paths[..count].iter().all(|other| apart(other, path)))
}

/// Known to be refused by `ADD` or `DELETE` for the type of the value alone.
fn refused_alone(change: &Change) -> bool {
    match change {
        Change::Add(value) => !matches!(value.kind(), Kind::Number | Kind::StringSet | Kind::NumberSet),
        Change::Delete(value) => !matches!(value.kind(), Kind::StringSet | Kind::NumberSet),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn conditions_mean_what_the_model_says(test in any_test(), attributes in any_item()) {
        let mut values = Vec::new();
        let text = test_text(&test, &mut values);
        let mut placeholders = placeholders(&values);
        let stored = item(&attributes);
        // What is refused at once is the part of the stories.
        if let Ok(condition) = Condition::parse(&text, &mut placeholders) {
            prop_assert_eq!(placeholders.check_all_used(), Ok(()));
            let answer = condition.evaluate(Some(stored.as_ref()), &placeholders);
            prop_assert_eq!(answer, holds(&test, &attributes), "{}", text);
            let answer = condition.evaluate(None, &placeholders);
            prop_assert_eq!(answer, holds(&test, &Attributes::new()), "{}", text);
        }
    }

    #[test]
    fn updates_do_what_the_model_does(
        changes in prop::collection::vec((any_path(), any_change()), 1..6),
        attributes in any_item(),
    ) {
        let paths: Vec<_> = changes.iter().map(|(path, _)| path).collect();
        let mut values = Vec::new();
        let text = update_text(&changes, &mut values);
        let mut placeholders = placeholders(&values);
        let stored = item(&attributes);
        match Update::parse(&text, &mut placeholders) {
            Err(error) if all_apart(&paths) => {
                let text_of = error.to_string();
                let alone = changes.iter().any(|(_, change)| refused_alone(change));
                prop_assert!(alone || text_of.contains("must be distinct"), "{}: {}", text, error);
            }
            Err(error) => prop_assert!(error.to_string().starts_with("Two document paths"), "{}: {}", text, error),
            Ok(update) => {
                prop_assert!(all_apart(&paths), "{}", text);
                let expected = apply(&changes, &attributes);
                let after = update.apply(Some(stored.as_ref()), &[], &placeholders);
                match (after, expected) {
                    (Ok(after), Ok(expected)) => {
                        prop_assert_eq!(Tree::read_item(after.as_ref()), expected, "{}", text);
                    }
                    (after, expected) => prop_assert!(after.is_err() && expected.is_err(), "{} {:?}", text, after),
                }
            }
        }
    }

    #[test]
    fn projections_show_what_the_model_shows(
        paths in prop::collection::vec(any_path(), 1..5),
        attributes in any_item(),
    ) {
        let text = paths.iter().map(|path| path_text(path)).collect::<Vec<_>>().join(", ");
        let parsed = Projection::parse(&text, &mut Placeholders::default());
        prop_assert_eq!(parsed.is_ok(), all_apart(&paths.iter().collect::<Vec<_>>()), "{}", text);
        if let Ok(projection) = parsed {
            let shown = projection.apply(item(&attributes).as_ref());
            let slices: Vec<&[Step]> = paths.iter().map(Vec::as_slice).collect();
            let expected = match show(&Tree::Map(attributes), &slices) {
                Some(Tree::Map(expected)) => expected,
                _ => Attributes::new(),
            };
            prop_assert_eq!(Tree::read_item(shown.as_ref()), expected, "{}", text);
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(
        text in "\\PC{0,40}|([a-d(). ,=<>+:#\\[\\]0-9-]|AND|NOT |SET |REMOVE |IN|size\\(|if_not_exists\\(| BETWEEN |:v0|#n){0,30}",
    ) {
        let mut placeholders = placeholders(&[Tree::Null]);
        placeholders.add_name("#n".into(), "n".into()).unwrap();
        let stored = item(&Attributes::new());
        if let Ok(condition) = Condition::parse(&text, &mut placeholders) {
            condition.evaluate(Some(stored.as_ref()), &placeholders);
        }
        if let Ok(update) = Update::parse(&text, &mut placeholders) {
            prop_assert!(update.touched_top_level().count() > 0);
        }
        if let Ok(projection) = Projection::parse(&text, &mut placeholders) {
            prop_assert!(!projection.paths().is_empty());
        }
    }
}
