"""A boto3 client that does what it is told: one line of JSON with an operation and its request in, one with the answer out.

For tests in other languages that want what boto3 does with connections, errors and retries. Arguments: the endpoint, the
region, the file of the authority of its certificate (or `-`), the retry mode and the attempts; keys come from the environment.

An answer is `{"status": 200, "body": {...}}`, for an error of the service with its status, `__type` and members, or
`{"failure": "..."}` when boto3 has given up without one, each with `attempts`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
from botocore import xform_name


def make_client(endpoint: str, region: str, ca_file: str, mode: str, attempts: str) -> Any:
    return boto3.session.Session().client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        verify=False if ca_file == "-" else ca_file,
        config=botocore.config.Config(retries={"mode": mode, "total_max_attempts": int(attempts)}),
    )


def answer(client: Any, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        body = getattr(client, xform_name(operation))(**request)
    except botocore.exceptions.ClientError as error:
        response: dict[str, Any] = dict(error.response)
        metadata = response.pop("ResponseMetadata", {})
        told = response.pop("Error", {})
        body = {"__type": told.get("Code"), "message": told.get("Message"), **response}
        attempts = 1 + metadata.get("RetryAttempts", 0)
        return {"status": metadata.get("HTTPStatusCode", 0), "body": body, "attempts": attempts}
    except botocore.exceptions.BotoCoreError as error:
        return {"failure": f"{type(error).__name__}: {error}", "attempts": 1}
    metadata = body.pop("ResponseMetadata")
    return {"status": metadata["HTTPStatusCode"], "body": body, "attempts": 1 + metadata["RetryAttempts"]}


def main() -> None:
    client = make_client(*sys.argv[1:6])
    for line in sys.stdin:
        told = json.loads(line)
        print(json.dumps(answer(client, told["operation"], told["request"])), flush=True)


if __name__ == "__main__":
    main()
