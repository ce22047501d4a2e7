"""The OpenAPI documents against a running node: are they valid, and does the server answer what they say?

`run.py --stator BINARY` checks `openapi/*.json` and sends some requests that schemathesis makes from them; `--requests N`
sends at least that many. It fails for a document that is not OpenAPI 3.1, a status 5xx, an answer that does not come within
ten seconds, an answer that the document does not describe, a server that has ended or panicked, and an operation that was
never carried out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import botocore.session
from openapi_spec_validator import OpenAPIV31SpecValidator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "python"))

import fixtures  # noqa: E402
from server import Server  # noqa: E402

DOCUMENTS = {"dynamodb": ROOT / "openapi" / "dynamodb.json", "admin": ROOT / "openapi" / "admin.json"}
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# The paths of a document that are on the listener for clients.
PATHS = {"dynamodb": "^/", "admin": "^/_stator/"}
# An answer that takes longer is a hang.
ANSWER_SECONDS = 10
# Requests for each operation in a sample.
SAMPLE_EXAMPLES = 4
# A round that sends fewer requests than were asked for is followed by another, under another seed; not for ever.
ROUNDS_MAX = 40
# Operations that a request made by chance cannot carry out: they are about a job, or the restore of the whole, that is under way
# just then. Tests of the server carry them out.
NEVER_CARRIED_OUT = {"CancelJob", "ChangeRestore"}


def main() -> int:
    """Runs all of it; the exit status says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stator", required=True, help="the server's binary")
    parser.add_argument("--requests", type=int, default=0, help="send at least so many; without it, a sample")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    problems = [problem for path in DOCUMENTS.values() for problem in invalid(path)]
    if not problems:
        problems = attack(arguments)
    for problem in problems:
        print(f"openapi: {problem}")
    print(f"{len(DOCUMENTS)} passed, 0 failed" if not problems else f"0 passed, {len(problems)} failed")
    return 1 if problems else 0


def invalid(path: Path) -> list[str]:
    """What is wrong with a document as such."""
    document = json.loads(path.read_text())
    return [f"{path.name}: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]


def attack(arguments: argparse.Namespace) -> list[str]:
    """Sends requests to a server of this run's own, and says what was wrong."""
    problems: list[str] = []
    total: dict[str, dict[str, int]] = {}
    slowest: dict[str, float] = {}
    with Server(arguments.stator, "--ephemeral") as server:
        environment = prepare(server)
        sent = 0
        for round_number in range(ROUNDS_MAX if arguments.requests else 1):
            for name, path in DOCUMENTS.items():
                examples = (
                    arguments.requests // 100
                    if arguments.requests and name == "dynamodb"
                    else SAMPLE_EXAMPLES
                )
                status, counted = schemathesis(
                    path, server.target.endpoint, environment, phases(arguments, round_number), examples
                )
                if status != 0:
                    problems.append(f"{path.name}: schemathesis has found something, see above")
                for operation, counts in counted["counts"].items():
                    row = total.setdefault(operation, {})
                    for answer, count in counts.items():
                        row[answer] = row.get(answer, 0) + count
                        sent += count
                for operation, seconds in counted["slowest"].items():
                    slowest[operation] = max(slowest.get(operation, 0.0), seconds)
            if problems or sent >= arguments.requests:
                break
        problems += wrong_with(server, total, sent, arguments)
        report(total, slowest, sent)
    return problems


def phases(arguments: argparse.Namespace, round_number: int) -> list[str]:
    """What a round does: the bounds of every member once, as far as time allows, and chance under another seed each."""
    both = arguments.requests and round_number == 0
    return [
        "--phases",
        "coverage,fuzzing" if both else "fuzzing",
        "--seed",
        str(arguments.seed + round_number),
    ]


def wrong_with(
    server: Server, total: dict[str, dict[str, int]], sent: int, arguments: argparse.Namespace
) -> list[str]:
    """What is wrong with the server, or with the run, after all requests."""
    problems = []
    if server.process.poll() is not None:
        problems.append(f"the server has ended: {server.log()}")
    if "panicked" in server.log():
        problems.append(f"the server has panicked: {server.log()}")
    if sent < arguments.requests:
        problems.append(f"{sent} requests were sent, not {arguments.requests}")
    if arguments.requests:
        for operation, counts in total.items():
            if not counts.get("200") and operation not in NEVER_CARRIED_OUT:
                problems.append(f"{operation} was never carried out, only {counts}")
    return problems


def prepare(server: Server) -> dict[str, str]:
    """Makes the tables, and says what the hooks have to know."""
    target = server.target
    session = botocore.session.get_session()
    clients = [
        session.create_client(
            service,
            endpoint_url=target.endpoint,
            region_name=target.region,
            aws_access_key_id=target.access_key_id,
            aws_secret_access_key=target.secret_access_key,
        )
        for service in ("dynamodb", "dynamodbstreams")
    ]
    known = fixtures.made(*clients)
    return os.environ | {
        "AWS_ACCESS_KEY_ID": target.access_key_id,
        "AWS_SECRET_ACCESS_KEY": target.secret_access_key,
        "AWS_REGION": target.region,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONPATH": str(HERE),
        "SCHEMATHESIS_HOOKS": "hooks",
        "STATOR_FUZZ_ARNS": json.dumps(known),
    }


def schemathesis(
    document: Path, endpoint: str, environment: dict[str, str], phase: list[str], examples: int
) -> tuple[int, Any]:
    """Runs schemathesis over a document; gives its exit status and what was counted."""
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.json"
        command = [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            str(document),
            "--url",
            endpoint,
            "--checks",
            CHECKS,
            "--include-path-regex",
            PATHS[document.stem],
            *phase,
            "--max-examples",
            str(examples),
            "--request-timeout",
            str(ANSWER_SECONDS),
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
            "--continue-on-failure",
            "--workers",
            "2",
            "--no-color",
        ]
        status = subprocess.run(
            command, env=environment | {"STATOR_FUZZ_COUNTS": str(counts)}, cwd=folder
        ).returncode
        counted = json.loads(counts.read_text()) if counts.exists() else {"counts": {}, "slowest": {}}
    return status, counted


def report(total: dict[str, dict[str, int]], slowest: dict[str, float], sent: int) -> None:
    """Prints what was answered, operation by operation."""
    for operation, counts in sorted(total.items()):
        answers = ", ".join(f"{count} x {answer}" for answer, count in sorted(counts.items()))
        print(f"openapi: {operation:24} {answers}; slowest {slowest.get(operation, 0.0) * 1000:.0f} ms")
    print(f"openapi: {sent} requests")


if __name__ == "__main__":
    sys.exit(main())
