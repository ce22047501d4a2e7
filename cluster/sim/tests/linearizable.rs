//! The checker of linearizability by generated histories: what comes of a run one after the other is accepted, what cannot
//! is not, and on small histories it says the same as trying every order.

use std::time::Duration;

use proptest::prelude::*;
use stator_sim::check::linearizable::{CONFIGURATIONS_MAX, Verdict, check, check_keys};
use stator_sim::check::model::Model;
use stator_sim::check::register::{Input, Output, Register, Seen, Value, apply};
use stator_sim::history::{Client, Operation};

type Done = Operation<Input, Output>;

/// What the generator makes an operation of.
#[derive(Clone, Debug)]
struct Plan {
    client: u64,
    kind: u8,
    /// How long before and after its effect it begins and ends.
    before: u64,
    after: u64,
    /// How much the answer tells.
    telling: u8,
    /// Whether the answer is seen, and if not, whether there is an effect.
    answered: bool,
    effective: bool,
}

/// Operations of a client do not overlap each other by more than the checker has to stand: it knows intervals only.
fn plans(
    count: impl Into<prop::collection::SizeRange>,
    clients: u64,
    overlap: u64,
) -> impl Strategy<Value = Vec<Plan>> {
    let plan = (
        0..clients,
        any::<u8>(),
        1..overlap,
        1..overlap,
        0..3_u8,
        0..20_u8,
        any::<bool>(),
    );
    let plan = plan.prop_map(
        |(client, kind, before, after, telling, answered, effective)| Plan {
            client,
            kind,
            before,
            after,
            telling,
            answered: answered > 0,
            effective,
        },
    );
    prop::collection::vec(plan, count)
}

fn input(plan: &Plan, value: Value, number: i64) -> Input {
    match plan.kind % 10 {
        0..4 => Input::Read,
        4..6 => Input::Write(number * 1_000),
        6 => Input::CompareAndSet {
            expected: value,
            new: Some(number * 1_000),
        },
        7 => Input::CompareAndSet {
            expected: Some(-number),
            new: None,
        },
        8 => Input::Delete,
        _ => Input::Add(1),
    }
}

fn output(plan: &Plan, old: Value, input: &Input) -> (Value, Output) {
    let (new, is_done) = apply(old, input);
    let output = match (input, plan.telling) {
        (Input::Read, _) => Output::read(old),
        (_, 0) => Output {
            old: Seen::Untold,
            new: Seen::Untold,
            is_done,
        },
        (_, 1) => Output {
            old: Seen::Was(old),
            new: Seen::Untold,
            is_done,
        },
        _ => Output {
            old: Seen::Was(old),
            new: Seen::Was(new),
            is_done,
        },
    };
    (new, output)
}

/// Runs the plans one after the other; each has its effect a hundred ticks after the one before, and is seen to last
/// longer.
fn history(plans: &[Plan]) -> Vec<Done> {
    let mut value = None;
    let mut spans = Vec::new();
    for ((plan, number), effect) in plans.iter().zip(1..).zip((100_000..).step_by(100)) {
        let input = input(plan, value, number);
        let (new, output) = output(plan, value, &input);
        if plan.answered || plan.effective {
            value = new;
        }
        spans.push((effect - plan.before, effect + plan.after, plan, input, output));
    }
    // Moments are never equal: of two at one tick, ends come last, which makes more operations overlap.
    let begins = spans.iter().enumerate().map(|(place, span)| (span.0, 0, place));
    let ends = spans.iter().enumerate().map(|(place, span)| (span.1, 1, place));
    let mut moments: Vec<_> = begins.chain(ends).collect();
    moments.sort_unstable();
    let moment = |wanted: (u64, i32, usize)| {
        let place = moments.partition_point(|moment| *moment < wanted);
        u64::try_from(place).unwrap_or(u64::MAX)
    };
    let operations = spans
        .iter()
        .enumerate()
        .map(|(place, (began, ended, plan, input, output))| Operation {
            client: Client(plan.client),
            input: *input,
            began: moment((*began, 0, place)),
            ended: plan.answered.then(|| (moment((*ended, 1, place)), *output)),
            began_at: Duration::from_nanos(*began),
        });
    operations.collect()
}

fn verdict(operations: &[Done]) -> Verdict<Value> {
    check(&Register::default(), operations, CONFIGURATIONS_MAX)
}

/// Follows an order and says whether it is one: of all answered operations, none before one that had ended before it
/// began, every answer right.
fn is_an_order(operations: &[Done], order: &[usize], upto: u64) -> bool {
    let mut value = None;
    for (at, place) in order.iter().enumerate() {
        let operation = &operations[*place];
        let late = order[at + 1..].iter().any(|later| {
            operations[*later]
                .ended
                .is_some_and(|(ended, _)| ended < operation.began)
        });
        let output = operation.ended.as_ref().filter(|(ended, _)| *ended <= upto);
        match Register::default().step(&value, &operation.input, output.map(|(_, output)| output)) {
            Some(new) if !late => value = new,
            _ => return false,
        }
    }
    let mut answered = operations.iter().enumerate();
    answered.all(|(place, operation)| {
        operation.ended.is_none_or(|(ended, _)| ended > upto) || order.contains(&place)
    })
}

/// Tries every order.
fn brute_force(operations: &[Done], left: &mut Vec<usize>, value: Value) -> bool {
    if left.iter().all(|place| operations[*place].ended.is_none()) {
        return true;
    }
    for at in 0..left.len() {
        let place = left[at];
        let operation = &operations[place];
        let is_late = left.iter().any(|other| {
            operations[*other]
                .ended
                .is_some_and(|(ended, _)| ended < operation.began)
        });
        let output = operation.ended.as_ref().map(|(_, output)| output);
        let Some(new) = Register::default()
            .step(&value, &operation.input, output)
            .filter(|_| !is_late)
        else {
            continue;
        };
        left.remove(at);
        let is_found = brute_force(operations, left, new);
        left.insert(at, place);
        if is_found {
            return true;
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_of_a_sequential_run_is_accepted(plans in plans(1..300, 10, 600)) {
        let operations = history(&plans);
        let Verdict::Linearizable(order) = verdict(&operations) else {
            panic!("{operations:#?}");
        };
        prop_assert!(is_an_order(&operations, &order, u64::MAX));
        // Fast: it hardly ever turns back.
        let few = 30 * operations.len() + 1_000;
        let found = check(&Register::default(), &operations, few);
        prop_assert!(matches!(found, Verdict::Linearizable(_)), "{:?}", found);
    }

    #[test]
    fn a_read_of_what_nobody_wrote_is_rejected_with_the_longest_beginning_that_is_fine(
        plans in plans(2..200, 10, 600),
        victim in any::<prop::sample::Index>(),
    ) {
        let mut operations = history(&plans);
        let read = victim.index(operations.len());
        let ended = operations[read].ended.map_or(u64::MAX / 2, |(ended, _)| ended);
        operations[read].input = Input::Read;
        operations[read].ended = Some((ended, Output::read(Some(-5))));
        // What it was before may have been needed by others; what is certain is that this answer fits nowhere.
        let Verdict::Violation(violation) = verdict(&operations) else {
            panic!("{operations:#?}");
        };
        let last = operations[violation.last].ended.unwrap().0;
        prop_assert!(last <= ended);
        prop_assert!(is_an_order(&operations, &violation.prefix, last - 1));
        prop_assert!(!violation.prefix.contains(&read));
        prop_assert!(!violation.open.contains(&violation.last));
        let text = violation.describe(&operations);
        prop_assert!(text.contains(&operations[violation.last].to_string()), "{}", text);
    }

    #[test]
    fn a_read_of_what_was_overwritten_before_it_began_is_rejected(plans in plans(2..100, 5, 600), stale in 1..50_i64) {
        // Three operations that overlap no others, behind a run of any kind, all of which has ended.
        let plans: Vec<_> = plans.into_iter().map(|plan| Plan { answered: true, ..plan }).collect();
        let mut operations = history(&plans);
        let end = operations.iter().filter_map(|one| one.ended.map(|(ended, _)| ended)).max().unwrap_or(0);
        let (old, new) = (-1_000 - stale, -2_000 - stale);
        let later = [
            (Input::Write(old), Output::done()),
            (Input::Write(new), Output::done()),
            (Input::Read, Output::read(Some(old))),
        ];
        for ((input, output), at) in later.into_iter().zip(1..) {
            let began = end + at * 10;
            let ended = Some((began + 1, output));
            operations.push(Operation { client: Client(0), input, began, ended, began_at: Duration::ZERO });
        }
        let Verdict::Violation(violation) = verdict(&operations) else {
            panic!("{operations:#?}");
        };
        prop_assert_eq!(violation.last, operations.len() - 1);
        prop_assert_eq!(violation.state, Some(new));
        prop_assert_eq!(violation.prefix.len(), operations.len() - 1);
        prop_assert!(violation.open.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_small_histories_it_says_what_trying_every_order_says(
        mut plans in plans(1..7, 4, 500),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
        unanswered in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        for one in unanswered {
            let place = one.index(plans.len());
            plans[place].answered = false;
        }
        let mut operations = history(&plans);
        // Exchanged answers are wrong more often than not.
        for (one, other) in swaps {
            let (one, other) = (one.index(operations.len()), other.index(operations.len()));
            if let (Some((_, a)), Some((_, b))) = (operations[one].ended, operations[other].ended) {
                if let Some(ended) = &mut operations[one].ended {
                    ended.1 = b;
                }
                if let Some(ended) = &mut operations[other].ended {
                    ended.1 = a;
                }
            }
        }
        let mut all = (0..operations.len()).collect();
        let expected = brute_force(&operations, &mut all, None);
        let found = verdict(&operations);
        prop_assert_eq!(matches!(found, Verdict::Linearizable(_)), expected, "{:?}", found);
        prop_assert!(!matches!(found, Verdict::Undecided(_)));
    }
}

fn at(began: u64, ended: Option<u64>, input: Input, output: Output) -> Done {
    Operation {
        client: Client(1),
        input,
        began,
        ended: ended.map(|moment| (moment, output)),
        began_at: Duration::ZERO,
    }
}

#[test]
fn a_write_without_an_answer_may_come_late_or_never_and_only_once() {
    let lost = at(0, None, Input::Write(1), Output::done());
    let other = at(1, Some(2), Input::Write(2), Output::done());
    let read = |began, value| at(began, Some(began + 1), Input::Read, Output::read(Some(value)));
    let is_fine = |operations: &[Done]| matches!(verdict(operations), Verdict::Linearizable(_));
    assert!(is_fine(&[lost.clone(), other.clone(), read(3, 2), read(5, 2)]));
    assert!(is_fine(&[lost.clone(), other.clone(), read(3, 2), read(5, 1)]));
    assert!(!is_fine(&[lost, other, read(3, 1), read(5, 2)]));
}

#[test]
fn many_writes_without_an_answer_do_not_make_it_slow() {
    // Sixty lost writes, of which some are found much later, and one read that is wrong: every order has to be refuted.
    let mut operations: Vec<Done> = (0..60)
        .map(|number| {
            at(
                number,
                None,
                Input::Write(i64::try_from(number).unwrap()),
                Output::done(),
            )
        })
        .collect();
    for (began, value) in (100..).step_by(2).zip([3, 7, 9, 50]) {
        operations.push(at(began, Some(began + 1), Input::Read, Output::read(Some(value))));
    }
    assert!(matches!(verdict(&operations), Verdict::Linearizable(_)));
    operations.push(at(200, Some(201), Input::Read, Output::read(Some(3))));
    let Verdict::Violation(violation) = verdict(&operations) else {
        panic!("the value 3 has come twice");
    };
    assert_eq!(violation.last, operations.len() - 1);
    assert_eq!(violation.state, Some(50));
}

#[test]
fn a_search_that_takes_too_long_is_undecided() {
    // Lost additions of different powers of two: each subset is another state.
    let mut operations: Vec<Done> = (0..40)
        .map(|power| at(power, None, Input::Add(1 << power), Output::done()))
        .collect();
    operations.push(at(100, Some(101), Input::Read, Output::read(Some(-1))));
    assert_eq!(
        check(&Register::default(), &operations, 10_000),
        Verdict::Undecided(10_000)
    );
    let judged = check_keys(&Register::default(), &[(1, operations)].into(), 10_000).unwrap();
    assert_eq!((judged.linearizable, judged.undecided), (0, 1));
}
