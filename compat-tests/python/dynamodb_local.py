"""Where DynamoDB Local words an error differently from Amazon DynamoDB.

The tests hold DynamoDB's sentences. With `STATOR_TARGET=dynamodb-local` each is looked up here first, so that
the same test still checks that the request is refused for the same reason. Each entry is a pair of regular
expressions: DynamoDB's sentence, DynamoDB Local's. `\\1` in the second stands for the text of the first group
of the first.
"""

from __future__ import annotations

import re

INVALID = "One or more parameter values were invalid: "
ONE_ERROR = "1 validation error detected: Value "

WORDING: list[tuple[str, str]] = [
    (
        "Requested resource not found: Stream: .*",
        "Requested resource not found: Stream: .*|Stream does not exist",
    ),
    ("Requested resource not found: (Shard does not exist)", r"\1"),
    # Tables.
    (
        "Requested resource not found.*",
        "Cannot do operations on a non-existent table|Requested resource not found",
    ),
    ("Table already exists: .*", "Cannot create preexisting table"),
    (
        f"{INVALID}(ReadCapacityUnits and|ProvisionedThroughput must be specified when) .* PROVISIONED",
        "No provisioned throughput specified for the table",
    ),
    (f"{ONE_ERROR}.* at 'provisionedThroughput.*", "Table read and write throughput must be at least 1.*"),
    (
        f"{INVALID}Number of attributes in KeySchema .*",
        "The number of attributes in key schema must match .*",
    ),
    (
        f"{INVALID}Some index key attributes .*",
        "(Hash|Range) Key not specified in Attribute Definitions.*|No Attribute Schema Defined"
        "|Attribute .* is not defined in AttributeDefinitions",
    ),
    ("Invalid KeySchema: Some index key attribute have no definition", "No Attribute Schema Defined"),
    (
        f"Attribute Name is duplicated: .*|{INVALID}Duplicate element in NonKeyAttributes: .*",
        "Cannot have two attributes with the same name|The number of attributes in key schema must match .*",
    ),
    (
        f"{INVALID}AttributeDefinitions is not specified for index: .*",
        "No Attribute Schema Defined|Attribute .* is not defined in AttributeDefinitions"
        "|(Hash|Range) Key not specified in Attribute Definitions.*",
    ),
    ("Invalid KeySchema: The first .*", "Invalid key order.*|No Hash Key specified in schema.*"),
    ("Invalid KeySchema: The second .*", "Too many hash keys specified.*"),
    ("Both the Hash Key and the Range Key .*", "Two keys can not have the same name"),
    (f"{ONE_ERROR}.* at 'keySchema' .*", "No defined key schema.*|Key Schema too big.*"),
    (f"{ONE_ERROR}.* at 'keySchema.1.member.keyType' .*", "No Hash Key specified in schema.*"),
    (
        f"{ONE_ERROR}.* at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: (.*)",
        r"\1",
    ),
    (
        "The provisioned throughput for the table .*",
        "The requested throughput value equals the current value",
    ),
    ("At least one of ProvisionedThroughput, .*", "Nothing to update"),
    # Indexes.
    (
        f"{INVALID}Some AttributeDefinitions are not used.*",
        "The number of attributes in key schema must match .*",
    ),
    (
        f"{INVALID}Type mismatch for Index Key .*|The update expression attempted .* to unsupported type",
        f"{INVALID}Type mismatch for Index Key|Invalid attribute value type",
    ),
    (
        f"{INVALID}Duplicate index name: .*",
        "Two global secondary indices have the same name"
        "|Local Secondary Indices AND Global Secondary Indices must have different names",
    ),
    (
        f"{INVALID}Table KeySchema does not have a range key.*",
        "Local Secondary indices are not allowed on hash .*",
    ),
    (
        f"{INVALID}Index KeySchema does not have the same .*",
        "Local Secondary indices must have the same hash .*",
    ),
    (f"{INVALID}Index KeySchema does not have a range .*", "Local secondary indices must have a range key"),
    (
        f"{INVALID}Number of LocalSecondaryIndexes .*",
        "Cannot have more than 5 local secondary indexes per table",
    ),
    (f"{INVALID}GlobalSecondaryIndex count .*", "GlobalSecondaryIndex count exceeds the per-table limit"),
    (f"{INVALID}List of GlobalSecondaryIndexes is empty", "GSI list is empty/invalid"),
    (
        f"{ONE_ERROR}null at 'globalSecondaryIndexes.*projection' .*|{INVALID}Unknown ProjectionType: null",
        "Indexes must have a projection specified",
    ),
    (f"{ONE_ERROR}.*indexName' failed .*", "Invalid table/index name. .*"),
    (f"{ONE_ERROR}.*projectionType' .*", "Projection type must be INCLUDE, ALL, or KEYS_ONLY"),
    (f"{INVALID}ProjectionType is INCLUDE, .*", "If Projection type INCLUDE is specified, some non-key .*"),
    (f"{INVALID}ProjectionType is .*", "No attributes should be specified to be projected unless .*"),
    (
        f"{INVALID}ProvisionedThroughput is not specified for index.*",
        "No provisioned throughput specified for the global secondary index",
    ),
    (
        f"{ONE_ERROR}.* at 'globalSecondaryIndexes.*provisionedThroughput.*",
        "Global Secondary Index's read and write throughput must be at least 1, and cannot be null",
    ),
    # Statements.
    ("(Statement wasn't well formed, can't be processed: ).*", r"\1.*"),
    (f"{ONE_ERROR}.* at 'statement' failed to satisfy constraint: (.*)", r"\1"),
    (
        f"{ONE_ERROR}.* at 'statements' .*",
        "BatchGetItem cannot fetch more than 25 items|The statement was empty.",
    ),
    # Streams.
    (
        f"{INVALID}(Table is being created with a stream enabled|If stream is being enabled).*",
        "Invalid StreamViewType: Stream ViewType must not be null or empty .*",
    ),
    (
        f"{INVALID}(Table is being created with a stream|If stream is being) disabled, .*",
        "Invalid StreamViewType: Stream StreamEnabled was false but .*",
    ),
    ("(Table already has an enabled stream|Table has no stream to disable): .*", r"\1"),
    (f"{ONE_ERROR}null at 'streamSpecification.streamEnabled' .*", "Stream StreamEnabled was null"),
    # Time to live.
    (
        "TimeToLive is active on a different AttributeName.*",
        "TimeToLive is active on a different AttributeName",
    ),
    (f"{ONE_ERROR}null at 'timeToLiveSpecification' .*", "TimeToLiveSpecification cannot be null"),
    (
        f"{ONE_ERROR}null at 'timeToLiveSpecification.*",
        "AttributeName cannot be null when time to live is being enabled",
    ),
    (
        f"{ONE_ERROR}.* at 'timeToLiveSpecification.attributeName' .*",
        "Names of key attributes and attributes projected into an index must be between .*",
    ),
    # Constraints of the service model.
    (f"{ONE_ERROR}.* at 'limit' .*", f"Limit (must|in ListTables must) be .*|{ONE_ERROR}.* at 'limit' .*"),
    (f"{ONE_ERROR}.* at 'select' .*", "Select must be .*"),
    (f"{ONE_ERROR}.* at 'returnValues' .*", "Return values set to invalid value"),
    (f"{ONE_ERROR}null (at 'tableName' .*)", r"Value null \1"),
    (f"{ONE_ERROR}'.*' at 'tableName' .*", f"Invalid table/index name. .*|{ONE_ERROR}.*|TableName must be .*"),
    (f"{ONE_ERROR}null at 'key' .*", "Cannot have null key for GetItem, DeleteItem, or UpdateItem"),
    (f"{ONE_ERROR}null at 'item' .*", "Item to put in PutItem cannot be null"),
    (
        f"{ONE_ERROR}.* at 'requestItems' .* equal to 25.*",
        "Too many items requested for the BatchWriteItem call",
    ),
    (f"{ONE_ERROR}.* at 'requestItems.* equal to 100", "Too many items requested for the BatchGetItem call"),
    (
        f"{ONE_ERROR}.* at 'requestItems.*",
        "Batch.*Item (cannot have a null or no requests|must have some requests) set"
        "|The batch write request list for a table cannot be null or empty: .*"
        "|The list of keys in RequestItems for BatchGetItem is required: .* has empty list",
    ),
    (f"{ONE_ERROR}.* at 'expected..*comparisonOperator' .*", "Comparison type does not exist in DynamoDB"),
    (f"{ONE_ERROR}.* at 'attributeUpdates..*action' failed to satisfy constraint: (.*)", r"\1"),
    # Transactions.
    (
        f"{ONE_ERROR}'.*' at 'transactItems' .*",
        r"Value \[\] at 'transactItems' failed .*|Member must have length less than or equal to 100",
    ),
    (f"{ONE_ERROR}'(.*)' (at 'clientRequestToken' .*)", r"Value \1 \2"),
    (f"{ONE_ERROR}null at '(transactItems.*)", r"Value null at '\1"),
    (
        "Transaction payload size cannot exceed 4MB. (.*)",
        r"Transaction payload size cannot exceed 4MB. \1|Payload in response is too large.*",
    ),
    # Items, keys and values.
    ("ReturnValues can only be ALL_OLD or NONE", "Return values set to invalid value"),
    (f"{INVALID}Missing the key .*", "One of the required keys was not given a value"),
    (f"{INVALID}Type mismatch for key .*", f"{INVALID}Type mismatch for key|Invalid attribute value type"),
    (
        "The provided key element does not match the schema",
        "The number of conditions on the keys is invalid|One of the required keys was not given a value"
        f"|{INVALID}Type mismatch for key|Invalid attribute value type",
    ),
    (
        f"{INVALID}(Size of hashkey|Aggregated size of all range keys) .*",
        "Hash primary key values must be .*",
    ),
    (
        "(.*)The parameter cannot be converted to a numeric value.*?( for key :.*)?",
        r"\1A value provided cannot be converted into a number\2",
    ),
    (
        r"(.*)Attempting to store more than 38 significant digits in a Number( for key :\w+)?",
        r"\1DynamoDB only supports precision up to 38 digits\2",
    ),
    (r"(.*Input collection) \[.*\](of type BS contains duplicates.*)", r"\1 \2"),
    (r"(.*Input collection \[.*\] contains duplicates)\.(.*)", r"\1\2"),
    # Reads.
    ("Query condition missed key schema element: .*", "Query condition missed key schema element"),
    (
        "The provided starting key is (outside|invalid).*",
        "The provided starting key (is invalid|does not match the range key predicate).*"
        "|Exclusive Start Key must have same size as table's key schema|Type mismatch for attribute to update"
        "|Exclusive start key must lie within the segment",
    ),
    (
        "The TotalSegments parameter is required .*",
        "If segment is specified, total segment must also be specified",
    ),
    (
        "The Segment parameter is required .*",
        "If total segments is specified, a particular segment must also .*",
    ),
    ("The Segment parameter is zero-based .*", f"{ONE_ERROR}.* at 'segment' failed .*"),
    (
        f"{ONE_ERROR}.* at '(segment|totalSegments)' .*",
        f"{ONE_ERROR}.* at '(segment|totalSegments)' failed .*",
    ),
]


def wording(sentence: str) -> str:
    """DynamoDB Local's wording of `sentence`, as a regular expression."""
    for real, local in WORDING:
        found = re.fullmatch(real, sentence, re.DOTALL)
        if found is not None:
            groups = [group or "" for group in found.groups()]
            return re.sub(r"\\(\d)", lambda number: re.escape(groups[int(number[1]) - 1]), local)
    return re.escape(sentence)
