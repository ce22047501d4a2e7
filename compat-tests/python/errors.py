"""Asserting an error: status, full type and sentence.

The sentences in the tests are Amazon DynamoDB's. Where DynamoDB Local words one in its own way,
`dynamodb_local.py` says how.
"""

from __future__ import annotations

import re

import dynamodb_local
from raw import Answer
from server import Target

TARGET: Target | None = None
"""The server under test; set once by the `target` fixture."""

SERVICE = "com.amazonaws.dynamodb.v20120810"
VALIDATION = "com.amazon.coral.validate#ValidationException"
CORAL_SERVICE = "com.amazon.coral.service"

NOT_FOUND = "Requested resource not found"
FAILED_CONDITION = "The conditional request failed"
KEY_MISMATCH = "The provided key element does not match the schema"
NOTHING_TO_UPDATE = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, "
    "SSESpecification, ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, "
    "DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is required"
)
BAD_TABLE_NAME = (
    "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain "
    "only the characters a-z, A-Z, 0-9, '_', '-', and '.'"
)


def refused(answer: Answer, sentence: str, error: str = VALIDATION, status: int = 400) -> None:
    """Asserts that the request was refused with this type and exactly this sentence."""
    shown = answer.body[:600].decode(errors="replace")
    assert answer.status == status, shown
    assert answer.type == error, shown
    if TARGET is not None and TARGET.is_dynamodb_local:
        assert re.fullmatch(dynamodb_local.wording(sentence), answer.message or "", re.DOTALL), shown
    else:
        assert answer.json.get("message") == sentence, shown


def not_found(answer: Answer, sentence: str = NOT_FOUND) -> None:
    """Asserts ResourceNotFoundException."""
    refused(answer, sentence, f"{SERVICE}#ResourceNotFoundException")


def failed_condition(answer: Answer) -> None:
    """Asserts ConditionalCheckFailedException."""
    refused(answer, FAILED_CONDITION, f"{SERVICE}#ConditionalCheckFailedException")


def accepted(answer: Answer) -> dict[str, object]:
    """Asserts success and returns the body."""
    assert answer.status == 200, answer.body[:600].decode(errors="replace")
    body: dict[str, object] = answer.json
    return body
