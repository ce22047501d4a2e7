//! Which changes one UpdateTable may have together.
//!
//! Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/details/DDB-TABLE-433.md and
//! docs/api-quirks/table-indexes.md, DDB-TABLE-174; of a stream beside throughput also hashicorp/terraform-provider-aws, issue
//! 35673. What they do not tell is let through.

use crate::message::table::{self, alone};
use crate::wire::error::ApiError;

/// One thing that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Encryption,
    TableClass,
    DeletionProtection,
    OnDemandThroughput,
    WarmThroughput,
    Stream,
    PayPerRequest,
    Provisioned,
    Throughput,
    CreateIndex,
    UpdateIndex,
    DeleteIndex,
}

/// Refuses what does not go together.
///
/// # Errors
/// ValidationException.
pub(super) fn check(asked: &[Asked]) -> Result<(), ApiError> {
    let has = |one: Asked| asked.contains(&one);
    let has_any = |some: &[Asked]| some.iter().any(|one| asked.contains(one));
    for (one, name) in [
        (Asked::Encryption, "Server-Side Encryption modification"),
        (Asked::TableClass, "TableClass modification"),
        (Asked::DeletionProtection, "DeletionProtection modification"),
    ] {
        if has(one) && asked.len() > 1 {
            return Err(alone(name));
        }
    }
    let refused = |sentence| Err(ApiError::validation(sentence));
    let changes_capacity = has_any(&[Asked::Throughput, Asked::Provisioned]);
    let changes_indexes = has_any(&[Asked::CreateIndex, Asked::DeleteIndex]);
    if has(Asked::OnDemandThroughput) && has_any(&[Asked::Stream, Asked::WarmThroughput]) {
        return refused(table::ON_DEMAND_WITH_OTHERS);
    }
    if has(Asked::WarmThroughput) && has(Asked::CreateIndex) {
        return refused(table::WARM_WITH_NEW_INDEX);
    }
    if has(Asked::WarmThroughput) && (changes_capacity || has_any(&[Asked::Stream, Asked::PayPerRequest])) {
        return Err(alone("WarmThroughput"));
    }
    if has(Asked::Stream) && changes_capacity {
        return refused(table::STREAM_WITH_THROUGHPUT);
    }
    if changes_indexes && has(Asked::Throughput) {
        return refused(table::INDEX_WITH_THROUGHPUT);
    }
    if changes_indexes && has(Asked::Stream) {
        return refused(table::INDEX_WITH_STREAM);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_changes_come_alone() {
        for (asked, name) in [
            (
                &[Asked::DeletionProtection, Asked::Encryption][..],
                "Server-Side Encryption modification",
            ),
            (
                &[Asked::DeletionProtection, Asked::TableClass],
                "TableClass modification",
            ),
            (
                &[Asked::DeletionProtection, Asked::CreateIndex],
                "DeletionProtection modification",
            ),
            (&[Asked::WarmThroughput, Asked::PayPerRequest], "WarmThroughput"),
        ] {
            assert_eq!(check(asked), Err(alone(name)), "{asked:?}");
            assert_eq!(check(&asked[..1]), Ok(()), "{asked:?}");
        }
    }

    #[test]
    fn some_changes_do_not_go_together() {
        for (asked, sentence) in [
            (
                [Asked::Stream, Asked::OnDemandThroughput],
                table::ON_DEMAND_WITH_OTHERS,
            ),
            (
                [Asked::WarmThroughput, Asked::CreateIndex],
                table::WARM_WITH_NEW_INDEX,
            ),
            ([Asked::Stream, Asked::Provisioned], table::STREAM_WITH_THROUGHPUT),
            (
                [Asked::Throughput, Asked::DeleteIndex],
                table::INDEX_WITH_THROUGHPUT,
            ),
            ([Asked::Stream, Asked::CreateIndex], table::INDEX_WITH_STREAM),
        ] {
            assert_eq!(check(&asked), Err(ApiError::validation(sentence)), "{asked:?}");
        }
        for asked in [
            [Asked::PayPerRequest, Asked::OnDemandThroughput],
            [Asked::PayPerRequest, Asked::Stream],
            [Asked::PayPerRequest, Asked::CreateIndex],
            [Asked::CreateIndex, Asked::UpdateIndex],
            [Asked::Throughput, Asked::UpdateIndex],
            [Asked::Throughput, Asked::Provisioned],
        ] {
            assert_eq!(check(&asked), Ok(()), "{asked:?}");
        }
    }
}
