//! What of a `WHERE` clause the keys of a table or index decide: which rows are read, before they are filtered.
//!
//! A partition is read when the clause leaves no other value for its key: `=`, `IN`, and `OR` of these. Conditions that
//! have to hold for range attributes bound the rows inside. Invariant: every row for which the clause holds lies in what is
//! read and passes the filter, and a row that passes is one for which it holds.

use std::ops::Bound;

use stator_cluster::Bounds;
use stator_model::expression::condition::Operand;
use stator_model::expression::key_condition::{KeyAttribute, SortCondition};
use stator_model::expression::{Condition, ExpressionError, Placeholders, ValueId};
use stator_model::key::{self, KeyRole, check_component};

use super::meaning;
use crate::message;
use crate::operation::page::Source;
use crate::operation::query::bounds;
use crate::wire::error::ApiError;

/// Most partitions that one statement reads. Source: Amazon DynamoDB Developer Guide, "PartiQL IN operator".
const PARTITIONS_MAX: usize = 50;

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Ranges {
    /// What is read, in ascending order of the keys of the partitions; `None` is everything.
    pub(super) partitions: Option<Vec<Partition>>,
    /// What the rows have to pass.
    pub(super) filter: Option<Condition>,
}

/// Rows of one partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// What all rows of it begin with.
    pub(super) prefix: Vec<u8>,
    /// Which of them are read.
    pub(super) bounds: Bounds,
}

/// The values that a condition leaves for an attribute.
struct Choice {
    values: Vec<ValueId>,
    /// Whether the condition says nothing else.
    exact: bool,
}

/// The conditions that all have to hold, and which of them the ranges have seen to.
struct Conjuncts<'p> {
    conditions: Vec<(Condition, bool)>,
    placeholders: &'p Placeholders,
}

impl Ranges {
    /// What a condition asks for in a source.
    ///
    /// # Errors
    /// ValidationException when a key is compared with what is none.
    pub(super) fn of(
        condition: Option<Condition>,
        placeholders: &Placeholders,
        source: &Source,
    ) -> Result<Self, ApiError> {
        let mut conditions = Vec::new();
        flatten(condition, &mut conditions);
        let mut conjuncts = Conjuncts {
            conditions,
            placeholders,
        };
        let Some(keys) = conjuncts.keys(&source.hash())? else {
            return Ok(Self {
                partitions: None,
                filter: conjuncts.rest(|_| true),
            });
        };
        let range = conjuncts.range(&source.range())?;
        let partitions = keys.into_iter().filter_map(|key| {
            let key: Vec<&[u8]> = key.iter().map(Vec::as_slice).collect();
            let prefix = source.prefix(&key);
            let bounds = range.bounds(&prefix, source.is_escaped())?;
            Some(Partition { prefix, bounds })
        });
        Ok(Self {
            partitions: Some(partitions.collect()),
            filter: conjuncts.rest(|done| !done),
        })
    }
}

/// What is asked of the range attributes.
struct Range {
    /// Of the first attributes.
    equal: Vec<SortCondition<Vec<u8>>>,
    /// All of the attribute after those.
    last: Vec<SortCondition<Vec<u8>>>,
}

impl Range {
    /// The rows of a partition that are asked for; `None` when there can be none.
    fn bounds(&self, prefix: &[u8], is_escaped: bool) -> Option<Bounds> {
        let with = |last: Option<&SortCondition<Vec<u8>>>| {
            let range = self.equal.iter().chain(last).cloned().collect();
            bounds(prefix.to_vec(), range, is_escaped)
        };
        let Some((first, others)) = self.last.split_first() else {
            return Some(with(None));
        };
        let mut common = with(Some(first));
        for other in others {
            let other = with(Some(other));
            common = Bounds {
                start: later(common.start, other.start),
                end: earlier(common.end, other.end),
            };
        }
        (!is_empty(&common)).then_some(common)
    }
}

fn later(one: Bound<Vec<u8>>, other: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    let place = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Unbounded => None,
        Bound::Included(row) => Some((row.clone(), 0)),
        Bound::Excluded(row) => Some((row.clone(), 1)),
    };
    if place(&one) < place(&other) { other } else { one }
}

fn earlier(one: Bound<Vec<u8>>, other: Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    let place = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Unbounded => (1, Vec::new(), 0),
        Bound::Included(row) => (0, row.clone(), 1),
        Bound::Excluded(row) => (0, row.clone(), 0),
    };
    if place(&other) < place(&one) { other } else { one }
}

fn is_empty(bounds: &Bounds) -> bool {
    match (&bounds.start, &bounds.end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
            start >= end
        }
    }
}

fn flatten(condition: Option<Condition>, conjuncts: &mut Vec<(Condition, bool)>) {
    match condition {
        None => {}
        Some(Condition::All(members)) => {
            for member in members {
                flatten(Some(member), conjuncts);
            }
        }
        Some(other) => conjuncts.push((other, false)),
    }
}

impl Conjuncts<'_> {
    /// The keys of the partitions, each with the bytes of every hash attribute; `None` when some attribute may have any
    /// value.
    fn keys(&mut self, hash: &[KeyAttribute<'_>]) -> Result<Option<Vec<Vec<Vec<u8>>>>, ApiError> {
        let mut keys = vec![Vec::new()];
        let mut used = Vec::with_capacity(hash.len());
        for attribute in hash {
            let mut choices = self.conditions.iter().enumerate();
            let found =
                choices.find_map(|(place, (condition, _))| Some((place, choice(condition, attribute.name)?)));
            let Some((place, Choice { values, exact })) = found else {
                return Ok(None);
            };
            used.extend(exact.then_some(place));
            let mut bytes = Vec::with_capacity(values.len());
            for value in values {
                bytes.push(self.bytes(attribute, KeyRole::Partition, value)?);
            }
            bytes.sort_unstable();
            bytes.dedup();
            let count = keys.len() * bytes.len();
            if count > PARTITIONS_MAX {
                return Err(meaning(&ExpressionError::TooManyInOperands { count }));
            }
            let longer = |key: &Vec<Vec<u8>>| {
                let longer = bytes
                    .iter()
                    .map(|value| key.iter().chain([value]).cloned().collect());
                longer.collect::<Vec<_>>()
            };
            keys = keys.iter().flat_map(longer).collect();
        }
        for place in used {
            self.conditions[place].1 = true;
        }
        Ok(Some(keys))
    }

    /// What is asked of the range attributes, from the first on without a gap.
    fn range(&mut self, attributes: &[KeyAttribute<'_>]) -> Result<Range, ApiError> {
        let mut range = Range {
            equal: Vec::new(),
            last: Vec::new(),
        };
        for attribute in attributes {
            let mut asked = Vec::new();
            for place in 0..self.conditions.len() {
                let Some((name, asks)) = SortCondition::stated_by(&self.conditions[place].0) else {
                    continue;
                };
                if name == attribute.name {
                    let mut failure = None;
                    let asks = asks.map(|value| match self.bytes(attribute, KeyRole::Sort, value) {
                        Ok(bytes) => bytes,
                        Err(error) => {
                            failure.get_or_insert(error);
                            Vec::new()
                        }
                    });
                    if let Some(failure) = failure {
                        return Err(failure);
                    }
                    asked.push(asks);
                    self.conditions[place].1 = true;
                }
            }
            if !matches!(asked[..], [SortCondition::Equal(_)]) {
                range.last = asked;
                break;
            }
            range.equal.append(&mut asked);
        }
        Ok(range)
    }

    /// The bytes that order a value of a key attribute.
    fn bytes(
        &self,
        attribute: &KeyAttribute<'_>,
        role: KeyRole,
        value: ValueId,
    ) -> Result<Vec<u8>, ApiError> {
        let attribute = key::KeyAttribute {
            name: attribute.name.to_owned(),
            kind: attribute.kind,
        };
        check_component(&attribute, role, self.placeholders.value(value))
            .map(<[u8]>::to_vec)
            .map_err(|error| message::statement::key(&error))
    }

    /// The conditions that are kept, as one.
    fn rest(self, keeps: impl Fn(bool) -> bool) -> Option<Condition> {
        let kept = self.conditions.into_iter().filter(|(_, done)| keeps(*done));
        let mut kept: Vec<Condition> = kept.map(|(condition, _)| condition).collect();
        match kept.len() {
            0 => None,
            1 => kept.pop(),
            _ => Some(Condition::All(kept)),
        }
    }
}

/// The values to which a condition binds an attribute; `None` when it may have others. As partitions are found.
pub(super) fn bound_to(condition: Option<Condition>, attribute: &str) -> Option<Vec<ValueId>> {
    let mut conditions = Vec::new();
    flatten(condition, &mut conditions);
    let mut choices = conditions.iter();
    choices.find_map(|(condition, _)| choice(condition, attribute).map(|choice| choice.values))
}

/// The values that a condition leaves for an attribute, if those are some that it names.
fn choice(condition: &Condition, attribute: &str) -> Option<Choice> {
    match condition {
        Condition::Any(members) => {
            let mut all = Choice {
                values: Vec::new(),
                exact: true,
            };
            for member in members {
                let member = choice(member, attribute)?;
                all.values.extend(member.values);
                all.exact &= member.exact;
            }
            Some(all)
        }
        Condition::All(members) => {
            let found = members.iter().find_map(|member| choice(member, attribute))?;
            Some(Choice {
                exact: false,
                ..found
            })
        }
        Condition::In {
            operand: Operand::Path(path),
            candidates,
        } if path.is_attribute() && path.top_level() == attribute => {
            let values = candidates.iter().map(|candidate| match candidate {
                Operand::Value(value) => Some(*value),
                _ => None,
            });
            Some(Choice {
                values: values.collect::<Option<_>>()?,
                exact: true,
            })
        }
        other => match SortCondition::stated_by(other)? {
            (name, SortCondition::Equal(value)) if name == attribute => Some(Choice {
                values: vec![value],
                exact: true,
            }),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds_of(start: Bound<&[u8]>, end: Bound<&[u8]>) -> Bounds {
        Bounds {
            start: start.map(<[u8]>::to_vec),
            end: end.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn bounds_meet_where_both_hold() {
        let (a, b): (&[u8], &[u8]) = (b"a", b"b");
        let all = [
            Bound::Unbounded,
            Bound::Included(a),
            Bound::Excluded(a),
            Bound::Included(b),
            Bound::Excluded(b),
        ];
        let rows: [&[u8]; 5] = [b"", a, b"aa", b, b"c"];
        let starts = |bound: &Bound<Vec<u8>>, row: &[u8]| match bound {
            Bound::Unbounded => true,
            Bound::Included(start) => row >= start.as_slice(),
            Bound::Excluded(start) => row > start.as_slice(),
        };
        let ends = |bound: &Bound<Vec<u8>>, row: &[u8]| match bound {
            Bound::Unbounded => true,
            Bound::Included(end) => row <= end.as_slice(),
            Bound::Excluded(end) => row < end.as_slice(),
        };
        for one in all {
            for other in all {
                let (one, other) = (one.map(<[u8]>::to_vec), other.map(<[u8]>::to_vec));
                for row in rows {
                    let both = starts(&one, row) && starts(&other, row);
                    assert_eq!(starts(&later(one.clone(), other.clone()), row), both);
                    let both = ends(&one, row) && ends(&other, row);
                    assert_eq!(ends(&earlier(one.clone(), other.clone()), row), both);
                }
            }
        }
        assert!(!is_empty(&bounds_of(Bound::Included(a), Bound::Included(a))));
        assert!(is_empty(&bounds_of(Bound::Included(a), Bound::Excluded(a))));
        assert!(is_empty(&bounds_of(Bound::Included(b), Bound::Included(a))));
        assert!(!is_empty(&bounds_of(Bound::Unbounded, Bound::Excluded(a))));
    }

    #[test]
    fn a_condition_leaves_values_for_an_attribute_or_any() {
        let values = |text: &str| {
            let mut placeholders = Placeholders::default();
            for placeholder in [":a", ":b"] {
                let start = placeholders.values_writer().len();
                placeholders.values_writer().string(placeholder);
                placeholders.add_value(placeholder.to_owned(), start).unwrap();
            }
            let condition = Condition::parse(text, &mut placeholders).unwrap();
            choice(&condition, "k").map(|choice| (choice.values.len(), choice.exact))
        };
        for (text, expected) in [
            ("k = :a", Some((1, true))),
            (":a = k", Some((1, true))),
            ("k IN (:a, :b)", Some((2, true))),
            ("k = :a OR k = :b", Some((2, true))),
            ("k = :a AND x = :b OR k = :b AND x > :a", Some((2, false))),
            ("x = :a AND k = :b", Some((1, false))),
            ("k = :a OR x = :b", None),
            ("k IN (:a, x)", None),
            ("k <> :a", None),
            ("k >= :a", None),
            ("NOT k = :a", None),
            ("k.k = :a", None),
            ("k = x", None),
        ] {
            assert_eq!(values(text), expected, "{text}");
        }
    }
}
