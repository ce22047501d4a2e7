//! Scan: reads a table, or one of several segments of it, in the order of the ring.

use std::ops::Bound;

use stator_cluster::{Bounds, Direction};
use stator_model::key::token_of;

use super::page::{PageOutput, PageParameters, Source, read};
use super::{Context, Operation, table_name};
use crate::constraint::Constraints;
use crate::wire::error::ApiError;

/// Most segments of a parallel scan. Source: Amazon DynamoDB API Reference, "Scan: TotalSegments".
const SEGMENTS_MAX: i32 = 1_000_000;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) page: PageParameters,
    pub(crate) segment: Option<i32>,
    pub(crate) total_segments: Option<i32>,
}

/// One part of a parallel scan: part `index` of `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    index: u32,
    total: u32,
}

impl Operation for Scan {
    type Output = PageOutput;

    fn table(&self) -> Option<&str> {
        table_name::given(self.page.table_name.as_ref())
    }

    async fn run(self, context: &Context) -> Result<PageOutput, ApiError> {
        let mut constraints = Constraints::default();
        let choices = self.page.constrain("scanFilter", &mut constraints);
        constraints.at_least("segment", self.segment, 0);
        constraints.at_most("segment", self.segment, SEGMENTS_MAX - 1);
        constraints.at_least("totalSegments", self.total_segments, 1);
        constraints.at_most("totalSegments", self.total_segments, SEGMENTS_MAX);
        constraints.finish()?;
        let name = table_name::resolve(self.page.table_name.as_deref().unwrap_or_default())?.to_owned();
        let index = self.page.index_name.clone();
        let (plan, ()) = self.page.plan(choices, "ScanFilter", &[], |_| Ok(()))?;
        let start_key = plan.start_key()?;
        let segment = segment(self.segment, self.total_segments)?;

        let source = Source::find(context, &name, index.as_deref()).await?;
        let mut bounds = segment.map_or(
            Bounds {
                start: Bound::Unbounded,
                end: Bound::Unbounded,
            },
            Segment::bounds,
        );
        if let Some(start_key) = start_key {
            bounds.start = Bound::Excluded(start(&source, start_key, segment)?);
        }
        read(context, &source, &plan, &bounds, Direction::Forward).await
    }
}

/// Segment and TotalSegments come together.
fn segment(index: Option<i32>, total: Option<i32>) -> Result<Option<Segment>, ApiError> {
    match (index, total) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(ApiError::validation(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        )),
        (None, Some(_)) => Err(ApiError::validation(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        )),
        (Some(index), Some(total)) if index >= total => Err(ApiError::Validation(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {index} is not \
             less than TotalSegments: {total}"
        ))),
        (Some(index), Some(total)) => Ok(Some(Segment {
            index: u32::try_from(index).unwrap_or(0),
            total: u32::try_from(total).unwrap_or(1),
        })),
    }
}

impl Segment {
    /// The first token of segment `index`; the segments cut the ring into equal parts.
    fn first_token(self, index: u32) -> Option<u64> {
        let token = (u128::from(index) << 64) / u128::from(self.total);
        u64::try_from(token).ok()
    }

    fn bounds(self) -> Bounds {
        let key = |index| self.first_token(index).map(|token| token.to_be_bytes().to_vec());
        Bounds {
            start: key(self.index).map_or(Bound::Unbounded, Bound::Included),
            // The last segment ends with the ring.
            end: key(self.index + 1).map_or(Bound::Unbounded, Bound::Excluded),
        }
    }

    fn contains(self, token: u64) -> bool {
        self.first_token(self.index).is_some_and(|first| first <= token)
            && self.first_token(self.index + 1).is_none_or(|end| token < end)
    }
}

/// Key bytes after which the page begins.
pub(super) fn start(
    source: &Source,
    key: &stator_model::item::Item,
    segment: Option<Segment>,
) -> Result<Vec<u8>, ApiError> {
    let bytes = source.row_of_key(key.as_ref()).map_err(|error| {
        if source.index().is_some() {
            return ApiError::validation("The provided starting key is invalid");
        }
        let ApiError::Validation(why) = crate::message::key(&error) else {
            return ApiError::Internal(error.to_string());
        };
        ApiError::Validation(format!("The provided starting key is invalid: {why}"))
    })?;
    match segment.filter(|segment| !segment.contains(token_of(&bytes))) {
        Some(Segment { index, total }) => Err(ApiError::Validation(format!(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct \
             Segment. TotalSegments: {total} Segment: {index}"
        ))),
        None => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_the_ring_without_overlap() {
        for total in [1, 2, 3, 7, 1_000_000] {
            for token in [0, 1, u64::MAX / 3, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
                let guess = u32::try_from((u128::from(token) * u128::from(total)) >> 64).unwrap();
                let holders = (guess.saturating_sub(2)..=guess.saturating_add(2).min(total - 1))
                    .filter(|index| Segment { index: *index, total }.contains(token))
                    .count();
                assert_eq!(holders, 1, "token {token} of {total}");
            }
        }
    }

    #[test]
    fn segment_and_total_come_together() {
        assert_eq!(segment(None, None), Ok(None));
        assert_eq!(
            segment(Some(1), Some(2)),
            Ok(Some(Segment { index: 1, total: 2 }))
        );
        assert!(segment(Some(0), None).is_err() && segment(None, Some(1)).is_err());
        assert!(segment(Some(2), Some(2)).is_err());
    }
}
