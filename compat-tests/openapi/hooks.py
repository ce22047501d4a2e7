"""What schemathesis has to know beside the document to get anywhere: signatures, and tables that are there.

Loaded by `schemathesis run` through SCHEMATHESIS_HOOKS. Requests are generated from the document; what would be refused at
the first look in most of them (names of tables, keys, expressions) is replaced in part of them by what fits, chosen by the
bytes of the request itself, so that a seed stays a seed. What was answered is counted, and written to STATOR_FUZZ_COUNTS at
the end.
"""

from __future__ import annotations

import atexit
import collections
import json
import os
import random
import threading
from typing import Any

import schemathesis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import fixtures

AMZ_JSON = "application/x-amz-json-1.0"
# How many requests of a hundred are left as they were generated.
UNTOUCHED_PERCENT = 20

schemathesis.serializer.alias(AMZ_JSON, "application/json")


@schemathesis.deserializer(AMZ_JSON)
def read_json(context: Any, response: Any) -> Any:
    """The body of an answer."""
    return json.loads(response.content)


class Signature:
    """Signs a request of `requests` when nothing about it changes any more."""

    def __init__(self) -> None:
        self._credentials = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        self._region = os.environ["AWS_REGION"]

    def __call__(self, prepared: Any) -> Any:
        host = prepared.url.split("/")[2]
        signed = {name: prepared.headers[name] for name in ("X-Amz-Target",) if name in prepared.headers}
        request = AWSRequest(
            prepared.method,
            prepared.url.split("#")[0],
            headers={"Host": host} | signed,
            data=prepared.body or b"",
        )
        SigV4Auth(self._credentials, "dynamodb", self._region).add_auth(request)
        for name, value in request.headers.items():
            prepared.headers[name] = value
        return prepared


SIGNATURE = Signature()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Signs what is about to be sent."""
    kwargs["auth"] = SIGNATURE


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """The body with what fits to the tables that are there."""
    if not isinstance(body, dict) or context.operation is None:
        return body
    chance = random.Random(json.dumps(body, sort_keys=True, default=str))
    if chance.randrange(100) < UNTOUCHED_PERCENT:
        return body
    name = str(context.operation.definition.raw.get("operationId"))
    return fixtures.fitting(name, body, chance)


COUNTS: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
SLOWEST: dict[str, float] = {}
LOCK = threading.Lock()


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Counts what was answered."""
    name = str(case.operation.definition.raw.get("operationId"))
    with LOCK:
        COUNTS[name][str(response.status_code)] += 1
        SLOWEST[name] = max(SLOWEST.get(name, 0.0), response.elapsed)


@schemathesis.hook
def after_network_error(context: Any, case: Any, request: Any) -> None:
    """Counts what was not answered."""
    with LOCK:
        COUNTS[str(case.operation.definition.raw.get("operationId"))]["no answer"] += 1


@atexit.register
def write() -> None:
    """Leaves the counts for whoever has started the run."""
    path = os.environ.get("STATOR_FUZZ_COUNTS")
    if path and COUNTS:
        with open(path, "w") as file:
            json.dump({"counts": COUNTS, "slowest": SLOWEST}, file)
