//! Consistency levels of requests: where clients name them, and what holds where they do not.
//!
//! In this order: the member `ConsistencyLevel` of the request, the header `x-stator-consistency`, the tag
//! `stator:consistency-level` of the table, the defaults of the API. What a request names is kept to or refused; what a
//! tag names is raised to QUORUM where ONE would not do, because unaware clients must not be broken by it.

use std::collections::BTreeMap;

use stator_cluster::ConsistencyLevel;

use crate::constraint::{Constraints, ModelEnum};
use crate::message;
use crate::wire::error::ApiError;

/// The tag of a table that names its level.
pub(crate) const TAG: &str = "stator:consistency-level";

impl ModelEnum for ConsistencyLevel {
    const NAMES: &'static [&'static str] = &["ONE", "QUORUM", "ALL"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ONE" => Self::One,
            "QUORUM" => Self::Quorum,
            "ALL" => Self::All,
            _ => return None,
        })
    }
}

/// A level as a client names it: one of the three, or the text that is none.
pub(crate) type NamedLevel = Result<ConsistencyLevel, String>;

/// The level that a text names.
pub(crate) fn named(text: &str) -> NamedLevel {
    ConsistencyLevel::from_name(text).ok_or_else(|| text.to_owned())
}

/// The level that a table's tags name, if any.
pub(crate) fn of_tags(tags: &BTreeMap<String, String>) -> Option<ConsistencyLevel> {
    tags.get(TAG).and_then(|value| ConsistencyLevel::from_name(value))
}

/// The levels that a request names, as they came.
#[derive(Debug, Default)]
pub(crate) struct NamedLevels {
    /// `ConsistencyLevel`.
    pub(crate) member: Option<NamedLevel>,
    /// `x-stator-consistency`.
    pub(crate) header: Option<NamedLevel>,
}

impl NamedLevels {
    /// Notes those that are none, and returns the one that counts.
    pub(crate) fn check(&self, constraints: &mut Constraints) -> Option<ConsistencyLevel> {
        let mut check = |place: &str, named: Option<&NamedLevel>| match named? {
            Ok(level) => Some(*level),
            Err(text) => constraints.one_of(place, Some(text)),
        };
        let member = check("consistencyLevel", self.member.as_ref());
        let header = check("x-stator-consistency", self.header.as_ref());
        member.or(header)
    }
}

/// The level of a read. `consistent` is `ConsistentRead`; `named` is what the request names, `tagged` the table's tag.
pub(crate) fn of_read(
    named: Option<ConsistencyLevel>,
    tagged: Option<ConsistencyLevel>,
    consistent: bool,
) -> ConsistencyLevel {
    let default = if consistent {
        ConsistencyLevel::Quorum
    } else {
        ConsistencyLevel::One
    };
    // A tag raises what the request asks for, and never lowers it.
    let raised = tagged.filter(|level| *level != ConsistencyLevel::One);
    named.or(raised).unwrap_or(default)
}

/// The level of a transaction; `tagged` are the tags of its tables. One replica alone cannot make a transaction.
///
/// # Errors
/// ValidationException when the request names ONE.
pub(crate) fn of_transaction(
    named: Option<ConsistencyLevel>,
    tagged: impl IntoIterator<Item = Option<ConsistencyLevel>>,
) -> Result<ConsistencyLevel, ApiError> {
    match named {
        Some(ConsistencyLevel::One) => Err(ApiError::validation(message::TRANSACTION_AT_ONE)),
        Some(level) => Ok(level),
        None if tagged
            .into_iter()
            .any(|level| level == Some(ConsistencyLevel::All)) =>
        {
            Ok(ConsistencyLevel::All)
        }
        None => Ok(ConsistencyLevel::Quorum),
    }
}

/// What a write does with the item that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// It replaces it, whatever it is.
    Nothing,
    /// It has a condition on it.
    Condition,
    /// It makes the new item of it.
    ReadModifyWrite,
}

/// Refuses a write that cannot be done at the level that the request names.
///
/// # Errors
/// ValidationException for a write at ONE that needs the item as it is.
pub(crate) fn check_write(named: Option<ConsistencyLevel>, needs: Needs) -> Result<(), ApiError> {
    match (named, needs) {
        (Some(ConsistencyLevel::One), Needs::Condition) => {
            Err(ApiError::validation(message::CONDITION_AT_ONE))
        }
        (Some(ConsistencyLevel::One), Needs::ReadModifyWrite) => {
            Err(ApiError::validation(message::UPDATE_AT_ONE))
        }
        _ => Ok(()),
    }
}

/// The level of a write that [`check_write`] has passed.
pub(crate) fn of_write(
    named: Option<ConsistencyLevel>,
    tagged: Option<ConsistencyLevel>,
    needs: Needs,
) -> ConsistencyLevel {
    match (named.or(tagged), needs) {
        (None, _) | (Some(ConsistencyLevel::One), Needs::Condition | Needs::ReadModifyWrite) => {
            ConsistencyLevel::Quorum
        }
        (Some(level), _) => level,
    }
}

#[cfg(test)]
mod tests {
    use stator_cluster::ConsistencyLevel::{All, One, Quorum};

    use super::*;

    fn named_levels(member: Option<&str>, header: Option<&str>) -> NamedLevels {
        NamedLevels {
            member: member.map(named),
            header: header.map(named),
        }
    }

    #[test]
    fn the_member_counts_before_the_header() {
        let level = |member, header| {
            let mut constraints = Constraints::default();
            let level = named_levels(member, header).check(&mut constraints);
            constraints.finish().map(|()| level)
        };
        assert_eq!(level(None, None), Ok(None));
        assert_eq!(level(Some("ALL"), None), Ok(Some(All)));
        assert_eq!(level(None, Some("ONE")), Ok(Some(One)));
        assert_eq!(level(Some("QUORUM"), Some("ONE")), Ok(Some(Quorum)));
    }

    #[test]
    fn what_is_no_level_is_refused_with_its_place() {
        let mut constraints = Constraints::default();
        named_levels(Some("one"), Some("TWO")).check(&mut constraints);
        assert_eq!(
            constraints.finish(),
            Err(ApiError::validation(
                "2 validation errors detected: Value 'one' at 'consistencyLevel' failed to satisfy constraint: Member \
                 must satisfy enum value set: [ONE, QUORUM, ALL]; Value 'TWO' at 'x-stator-consistency' failed to \
                 satisfy constraint: Member must satisfy enum value set: [ONE, QUORUM, ALL]"
            ))
        );
    }

    #[test]
    fn reads_follow_the_request_then_the_tag_then_consistent_read() {
        for (named, tagged, consistent, expected) in [
            (None, None, false, One),
            (None, None, true, Quorum),
            (Some(One), Some(All), true, One),
            (Some(All), None, false, All),
            (None, Some(Quorum), false, Quorum),
            (None, Some(All), true, All),
            (None, Some(One), false, One),
            (None, Some(One), true, Quorum),
        ] {
            assert_eq!(
                of_read(named, tagged, consistent),
                expected,
                "{named:?} {tagged:?} {consistent}"
            );
        }
    }

    #[test]
    fn writes_that_need_the_item_are_not_done_at_one() {
        for (named, tagged, needs, expected) in [
            (None, None, Needs::Nothing, Some(Quorum)),
            (Some(One), None, Needs::Nothing, Some(One)),
            (None, Some(One), Needs::Nothing, Some(One)),
            (Some(All), Some(One), Needs::Condition, Some(All)),
            (Some(One), Some(All), Needs::Condition, None),
            (Some(One), None, Needs::ReadModifyWrite, None),
            (None, Some(One), Needs::Condition, Some(Quorum)),
            (None, Some(One), Needs::ReadModifyWrite, Some(Quorum)),
            (None, Some(All), Needs::ReadModifyWrite, Some(All)),
        ] {
            let level = check_write(named, needs).map(|()| of_write(named, tagged, needs));
            assert_eq!(level.ok(), expected, "{named:?} {tagged:?} {needs:?}");
        }
        let refusal = check_write(Some(One), Needs::ReadModifyWrite).unwrap_err();
        assert!(refusal.to_string().contains("use QUORUM or ALL"), "{refusal}");
    }

    #[test]
    fn a_transaction_is_not_done_at_one() {
        for (named, tagged, expected) in [
            (None, [None, None], Some(Quorum)),
            (None, [Some(One), None], Some(Quorum)),
            (None, [None, Some(All)], Some(All)),
            (Some(Quorum), [None, Some(All)], Some(Quorum)),
            (Some(All), [None, None], Some(All)),
            (Some(One), [None, Some(All)], None),
        ] {
            assert_eq!(
                of_transaction(named, tagged).ok(),
                expected,
                "{named:?} {tagged:?}"
            );
        }
    }

    #[test]
    fn a_tag_that_is_no_level_has_no_effect() {
        let tags = |value: &str| BTreeMap::from([(TAG.to_owned(), value.to_owned())]);
        assert_eq!(of_tags(&tags("ALL")), Some(All));
        assert_eq!(of_tags(&tags("all")), None);
        assert_eq!(of_tags(&BTreeMap::new()), None);
    }
}
