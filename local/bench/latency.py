"""Warm latency of the API on the local stack, beside a bare function that writes one item.

The bare function is behind the same API, so what the emulator and its gateway take is in both.
Workers are started before anything is measured. Submissions include the checks of both input files,
the row, the ledger and the provider's answer.
"""

import io
import json
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import requests

from local.emulator import ROOT
from local.stack import LocalStack, running_stack, use_only_this_machine

CLIENTS: Final = (1, 20)
REQUESTS: Final = 200
"""How many requests of a kind all clients send together."""
PARAMETERS: Final[Mapping[str, str]] = {
    "CallbackGraceSeconds": "900",
    "RequestsPerSecond": "1000",
    "RequestBurst": "1000",
}
BARE: Final = """
import boto3

client = boto3.client("dynamodb")


def handler(event, context):
    item = {"id": {"S": context.aws_request_id}, "body": {"S": "x" * 1_000}}
    client.put_item(TableName="bare", Item=item)
    if event["httpMethod"] == "POST":
        print("posted", flush=True)
    return {"statusCode": 200, "body": "{}"}
"""
TRUST: Final = {
    "Effect": "Allow",
    "Principal": {"Service": "lambda.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
_TIMEOUT: Final = 60

type Request = Callable[[], requests.Response]


def latencies() -> None:
    """Print a table of the times of each route, at one and at many clients."""
    use_only_this_machine()
    folder = ROOT / ".local/bench"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        running_stack(PARAMETERS, Path(scratch), sweeping=False) as stack,
    ):
        routes = _routes(stack)
        print("| request, ms | clients | p50 | p95 | p99 | p50 over the bare function's |")
        print("|---|---|---|---|---|---|")
        for clients in CLIENTS:
            bare: dict[str, float] = {}
            for name, (method, request) in routes.items():
                _times(request, clients, clients * 3)  # starts the workers
                times = _times(request, clients, REQUESTS)
                quantiles = statistics.quantiles(times, n=100)
                p50, p95, p99 = (quantiles[at - 1] * 1e3 for at in (50, 95, 99))
                ratio = p50 / bare.setdefault(method, p50)
                row = f"{p50:.0f} | {p95:.0f} | {p99:.0f} | {ratio:.1f}"
                print(f"| {name} | {clients} | {row} |", flush=True)


def _routes(stack: LocalStack) -> dict[str, tuple[str, Request]]:
    """Return a request of each kind with its method; those to the bare function are first.

    Each is compared with one of its method: a POST writes to the log, as our submissions do, and
    the emulator waits 50 ms for the log of a function that writes none.
    """
    body = {
        "video": f"{stack.provider_url}/inputs/performance.mp4?seconds=3600&callback=lost",
        "image": f"{stack.provider_url}/inputs/character.png",
    }
    url, headers = stack.api_url, {"x-api-key": stack.api_key}
    bare = _bare(stack)
    task = requests.post(f"{url}/tasks", json=body, headers=headers, timeout=_TIMEOUT).json()

    def get(path: str) -> tuple[str, Request]:
        return "GET", partial(requests.get, f"{url}/{path}", headers=headers, timeout=_TIMEOUT)

    def post(path: str) -> tuple[str, Request]:
        return "POST", partial(
            requests.post, f"{url}/{path}", json=body, headers=headers, timeout=_TIMEOUT
        )

    return {
        "GET, a bare function that writes one item": get(bare),
        "POST, the same and a line of log": post(bare),
        "`GET /v1/tasks/{id}`": get(f"tasks/{task['id']}"),
        "`GET /v1/tasks?limit=20`": get("tasks?limit=20"),
        "`POST /v1/tasks`": post("tasks"),
    }


def _bare(stack: LocalStack) -> str:
    """Put the bare function behind the stack's API; returns its path."""
    lambdas, gateway, iam = (stack.client(name) for name in ("lambda", "apigateway", "iam"))
    table = stack.client("dynamodb").create_table(
        TableName="bare",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )["TableDescription"]["TableArn"]
    role = iam.create_role(RoleName="bare", AssumeRolePolicyDocument=_policy(TRUST))["Role"]["Arn"]
    allowed = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": table}
    iam.put_role_policy(RoleName="bare", PolicyName="put", PolicyDocument=_policy(allowed))
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("bare.py", BARE)
    arn: str = lambdas.create_function(
        FunctionName="bare",
        Runtime="python3.13",
        Handler="bare.handler",
        Role=role,
        MemorySize=512,
        Code={"ZipFile": code.getvalue()},
    )["FunctionArn"]
    lambdas.add_permission(
        FunctionName="bare",
        StatementId="gateway",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    resources: list[dict[str, Any]] = gateway.get_resources(restApiId=stack.api_id)["items"]
    [root] = [one["id"] for one in resources if one["path"] == "/"]
    made = gateway.create_resource(restApiId=stack.api_id, parentId=root, pathPart="bare")
    uri = f"arn:aws:apigateway:{stack.region}:lambda:path/2015-03-31/functions/{arn}/invocations"
    for method in ("GET", "POST"):
        named = {"restApiId": stack.api_id, "resourceId": made["id"], "httpMethod": method}
        gateway.put_method(**named, authorizationType="NONE", apiKeyRequired=True)
        gateway.put_integration(**named, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    gateway.create_deployment(restApiId=stack.api_id, stageName="v1")
    return "bare"


def _policy(statement: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _times(request: Request, clients: int, count: int) -> list[float]:
    """Send so many requests from so many clients at once; returns the seconds of each."""

    def client(share: int) -> list[float]:
        times = []
        for _ in range(share):
            began_at = time.perf_counter()
            answer = request()
            times.append(time.perf_counter() - began_at)
            answer.raise_for_status()
        return times

    with ThreadPoolExecutor(clients) as pool:
        return [one for times in pool.map(client, [count // clients] * clients) for one in times]
