//! `X-Amz-Target`: which operation a request asks for.

/// Prefix of the targets of DynamoDB itself.
const PREFIX: &str = "DynamoDB_20120810.";
/// Prefix of the targets of DynamoDB Streams.
const STREAMS_PREFIX: &str = "DynamoDBStreams_20120810.";

/// The operations that this version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    BatchExecuteStatement,
    BatchGetItem,
    BatchWriteItem,
    CreateTable,
    DeleteItem,
    DeleteResourcePolicy,
    DeleteTable,
    DescribeEndpoints,
    DescribeLimits,
    DescribeStream,
    DescribeTable,
    DescribeTimeToLive,
    ExecuteStatement,
    ExecuteTransaction,
    GetItem,
    GetRecords,
    GetResourcePolicy,
    GetShardIterator,
    ListStreams,
    ListTables,
    ListTagsOfResource,
    PutItem,
    PutResourcePolicy,
    Query,
    Scan,
    TagResource,
    TransactGetItems,
    TransactWriteItems,
    UntagResource,
    UpdateItem,
    UpdateTable,
    UpdateTimeToLive,
}

impl Target {
    /// The operation of a header value; `None` when there is none or this version does not have it.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        if let Some(name) = header.strip_prefix(STREAMS_PREFIX) {
            return Some(match name {
                "DescribeStream" => Self::DescribeStream,
                "GetRecords" => Self::GetRecords,
                "GetShardIterator" => Self::GetShardIterator,
                "ListStreams" => Self::ListStreams,
                _ => return None,
            });
        }
        Some(match header.strip_prefix(PREFIX)? {
            "BatchExecuteStatement" => Self::BatchExecuteStatement,
            "BatchGetItem" => Self::BatchGetItem,
            "BatchWriteItem" => Self::BatchWriteItem,
            "CreateTable" => Self::CreateTable,
            "DeleteItem" => Self::DeleteItem,
            "DeleteResourcePolicy" => Self::DeleteResourcePolicy,
            "DeleteTable" => Self::DeleteTable,
            "DescribeEndpoints" => Self::DescribeEndpoints,
            "DescribeLimits" => Self::DescribeLimits,
            "DescribeTable" => Self::DescribeTable,
            "DescribeTimeToLive" => Self::DescribeTimeToLive,
            "ExecuteStatement" => Self::ExecuteStatement,
            "ExecuteTransaction" => Self::ExecuteTransaction,
            "GetItem" => Self::GetItem,
            "GetResourcePolicy" => Self::GetResourcePolicy,
            "ListTables" => Self::ListTables,
            "ListTagsOfResource" => Self::ListTagsOfResource,
            "PutItem" => Self::PutItem,
            "PutResourcePolicy" => Self::PutResourcePolicy,
            "Query" => Self::Query,
            "Scan" => Self::Scan,
            "TagResource" => Self::TagResource,
            "TransactGetItems" => Self::TransactGetItems,
            "TransactWriteItems" => Self::TransactWriteItems,
            "UntagResource" => Self::UntagResource,
            "UpdateItem" => Self::UpdateItem,
            "UpdateTable" => Self::UpdateTable,
            "UpdateTimeToLive" => Self::UpdateTimeToLive,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        assert_eq!(Target::parse("DynamoDB_20120810.PutItem"), Some(Target::PutItem));
        assert_eq!(
            Target::parse("DynamoDBStreams_20120810.GetRecords"),
            Some(Target::GetRecords)
        );
        for header in [
            "",
            "PutItem",
            "DynamoDB_20120810.putitem",
            "DynamoDB_20111205.PutItem",
            "DynamoDB_20120810.",
            "DynamoDB_20120810.GetRecords",
            "DynamoDBStreams_20120810.PutItem",
        ] {
            assert_eq!(Target::parse(header), None, "{header}");
        }
    }
}
