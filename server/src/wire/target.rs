//! `X-Amz-Target`: which operation a request asks for.

/// Prefix of the targets of DynamoDB itself.
const PREFIX: &str = "DynamoDB_20120810.";
/// Prefix of the targets of DynamoDB Streams.
const STREAMS_PREFIX: &str = "DynamoDBStreams_20120810.";

/// Makes the operations of their names, so that each stands here once.
macro_rules! targets {
    ($($name:ident,)+) => {
        /// The operations that this version has.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Target {
            $($name,)+
        }

        impl Target {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its place among all.
            pub(crate) const fn place(self) -> usize {
                self as usize
            }

            /// Its name in the API.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

targets! {
    BatchExecuteStatement,
    BatchGetItem,
    BatchWriteItem,
    CancelBulkOperation,
    CreateBackup,
    CreateTable,
    DeleteBackup,
    DeleteItem,
    DeleteResourcePolicy,
    DeleteTable,
    DescribeBackup,
    DescribeBulkOperation,
    DescribeContinuousBackups,
    DescribeEndpoints,
    DescribeExport,
    DescribeImport,
    DescribeLimits,
    DescribeStream,
    DescribeTable,
    DescribeTimeToLive,
    ExecuteStatement,
    ExecuteTransaction,
    ExportTableToPointInTime,
    GetItem,
    GetRecords,
    GetResourcePolicy,
    GetShardIterator,
    ImportTable,
    ListBackups,
    ListBulkOperations,
    ListExports,
    ListImports,
    ListStreams,
    ListTables,
    ListTagsOfResource,
    PutItem,
    PutResourcePolicy,
    Query,
    RestoreTableFromBackup,
    RestoreTableToPointInTime,
    Scan,
    StartBulkPutItems,
    TagResource,
    TransactGetItems,
    TransactWriteItems,
    UntagResource,
    UpdateContinuousBackups,
    UpdateItem,
    UpdateTable,
    UpdateTimeToLive,
}

impl Target {
    /// The operation of a header value; `None` when there is none or this version does not have it.
    pub(crate) fn parse(header: &str) -> Option<Self> {
        let (name, of_streams) = match header.strip_prefix(PREFIX) {
            Some(name) => (name, false),
            None => (header.strip_prefix(STREAMS_PREFIX)?, true),
        };
        let mut all = Self::ALL.iter().copied();
        all.find(|target| target.name() == name && target.is_of_streams() == of_streams)
    }

    fn is_of_streams(self) -> bool {
        matches!(
            self,
            Self::DescribeStream | Self::GetRecords | Self::GetShardIterator | Self::ListStreams
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_asked_for_by_its_name_under_one_prefix() {
        for target in Target::ALL {
            let ask = |prefix: &str| Target::parse(&format!("{prefix}{}", target.name()));
            let asked = [PREFIX, STREAMS_PREFIX].map(ask);
            let (own, other) = if target.is_of_streams() {
                (asked[1], asked[0])
            } else {
                (asked[0], asked[1])
            };
            assert_eq!((own, other), (Some(*target), None));
        }
    }

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
