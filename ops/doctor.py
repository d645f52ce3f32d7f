"""Check, before `sam deploy`, whether this machine and this AWS account can deploy a stack.

    python -m ops.doctor [--stack NAME] [--config samconfig.toml] [NAME=value …]

with the operator's own AWS credentials. NAME=value are the parameters that `sam deploy` will be
given; the stack's name, region, profile and parameters come from the configuration file otherwise.
Nothing is changed. Prints a line for each check; the exit status is 2 while a problem stands.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.expand import load
from ops.findings import Check, Finding, examine, not_checked, ok, problem, summary, warning
from ops.plan import ROOT, Plan, read_plan
from ops.stacks import (
    NOT_DONE,
    code_of,
    find_stack,
    run,
    sentence,
)

TESTED_SAM: Final = "1.170.0"
"""The version of SAM CLI that the tests use (requirements/sam.txt)."""
NEW_ACCOUNT: Final = 10
"""How many functions a new account runs at once."""
UNRESERVED: Final = 100
"""How many executions Lambda keeps for functions without a reservation."""
CONCURRENCY_QUOTA: Final = "L-B99A9384"
SAM_STACK: Final = "aws-sam-cli-managed-default"
"""The stack with the bucket to which `sam deploy` uploads (`resolve_s3`)."""
SECRETS: Final = ("provider", "callback", "webhook")
ROLES: Final = 20
"""More than the roles that a stack has."""

_REGIONS_WITHOUT_URLS: Final = frozenset(
    {
        *("ap-south-2", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7"),
        *("ca-west-1", "eu-central-2", "eu-south-2", "il-central-1", "me-central-1"),
    }
)
"""Regions in which AWS documents no function URLs (November 2026)."""
_ADDED_BY_MAKE: Final = (ROOT / ".venv/bin", ROOT / ".tools/uv/bin")
"""In the order in which the Makefile puts them before the search path."""
_PARTITIONS_WITHOUT_URLS: Final = ("cn-", "us-gov-", "us-iso")
_NO_FUNCTION: Final = "act-one-doctor-asks-for-no-function"

_NOT_DEPLOYABLE: Final[Mapping[str, str]] = {
    "ROLLBACK_COMPLETE": "delete",
    "ROLLBACK_FAILED": "delete",
    "CREATE_FAILED": "delete",
    "DELETE_FAILED": "delete",
    "UPDATE_ROLLBACK_FAILED": "continue",
    "UPDATE_FAILED": "rollback",
}
_REPAIRS: Final[Mapping[str, str]] = {
    "delete": "remove what is left with `aws cloudformation delete-stack --stack-name {name}`, "
    "wait with `aws cloudformation wait stack-delete-complete --stack-name {name}`, deploy again",
    "continue": "remove the cause, then `aws cloudformation continue-update-rollback "
    "--stack-name {name}`, and deploy again when it is UPDATE_ROLLBACK_COMPLETE",
    "rollback": "go back first: `aws cloudformation rollback-stack --stack-name {name}`",
}


@dataclass(frozen=True, slots=True)
class Account:
    """Where the stack goes, and the stack that is there, as CloudFormation describes it."""

    session: boto3.Session
    region: str
    plan: Plan
    template: Mapping[str, Any]
    stack: Mapping[str, Any] | None

    def client(self, service: str) -> Any:  # noqa: ANN401 - the name decides the type
        return self.session.client(service)  # type: ignore[call-overload]

    def parameters(self) -> dict[str, str]:
        """Return the value of each parameter after the deployment; secret ones are hidden."""
        values = {
            name: str(one.get("Default", "")) for name, one in self.template["Parameters"].items()
        }
        kept = {name: value for name, value in self.kept().items() if name in values}
        return {**values, **kept, **self.plan.given}

    def kept(self) -> dict[str, str]:
        """Return the parameters of the stack that is there."""
        listed = (self.stack or {}).get("Parameters", ())
        return {one["ParameterKey"]: one.get("ParameterValue", "") for one in listed}


# ── This machine ──────────────────────────────────────────────────────────────────────────────


def user_path(path: str) -> str:
    """Return the search path without the folders that `make` puts before it.

    A folder of this checkout that the user has put there stays: `sam build` finds it too.
    """
    folders = [folder for folder in path.split(os.pathsep) if folder]
    for added in _ADDED_BY_MAKE:
        if folders and Path(folders[0]).resolve() == added.resolve():
            del folders[0]
    return os.pathsep.join(folders)


def tools(path: str) -> Iterator[Finding]:
    """Check the programs that `sam build` and `sam deploy` need, as this search path finds them."""
    versions = {name: _version(name, path) for name in ("python3.13", "uv", "make", "sam")}
    missing = [name for name, version in versions.items() if version is None]
    advice = {
        "python3.13": "install Python 3.13 under this name: the layers are compiled with it",
        "uv": f"install it (https://docs.astral.sh/uv), or put {ROOT}/.tools/uv/bin, "
        "which `make tools` fills, on your PATH",
        "make": "install it: `sam build` builds the layers with it",
        "sam": f"install the SAM CLI, or put {ROOT}/.tools/sam/bin, which `make tools` fills, "
        "on your PATH",
    }
    for name in missing:
        yield problem(f"{name} is missing: {advice[name]}")
    there = [f"{name} {version}".strip() for name, version in versions.items() if version]
    if there:
        yield ok(", ".join(there))
    if _numbers(versions["sam"] or TESTED_SAM) < _numbers(TESTED_SAM):
        yield warning(
            f"SAM CLI {versions['sam']} is older than {TESTED_SAM}, with which this is tested: "
            "upgrade it if `sam build` or `sam deploy` fails"
        )


def _version(program: str, path: str) -> str | None:
    """Run a program; return its version, None if it can't be run. A shim may find nothing."""
    found = shutil.which(program, path=path)
    if found is None:
        return None
    try:
        done = subprocess.run(
            [found, "--version"],
            env={**os.environ, "PATH": path, "SAM_CLI_TELEMETRY": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    named = re.search(r"\d+(\.\d+)+", done.stdout)
    return named[0] if named else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


# ── The account and the region ────────────────────────────────────────────────────────────────


def function_urls(account: Account) -> Iterator[Finding]:
    """Check whether the region has function URLs, if callbacks are to come through one."""
    region = account.region
    if account.parameters()["CallbackIngress"] == "Api":
        yield ok("CallbackIngress=Api: callbacks come through a REST API, in every region")
        return
    if region in _REGIONS_WITHOUT_URLS or region.startswith(_PARTITIONS_WITHOUT_URLS):
        yield problem(
            f"{region} has no Lambda function URLs: deploy with "
            "`sam deploy --parameter-overrides CallbackIngress=Api`"
        )
        return
    client = account.client("lambda")
    with suppress(client.exceptions.ResourceNotFoundException):
        client.list_function_url_configs(FunctionName=_NO_FUNCTION)
    yield ok(
        f"{region} has Lambda function URLs; if your organization forbids public ones, "
        "deploy with CallbackIngress=Api"
    )


def concurrency(account: Account) -> Iterator[Finding]:
    """Check how many functions the account runs at once, and what may be reserved."""
    limits = account.client("lambda").get_account_settings()["AccountLimit"]
    quota, unreserved = limits["ConcurrentExecutions"], limits["UnreservedConcurrentExecutions"]
    sources = polled_at_once(account.template)
    reserved = int(account.parameters()["CallbackReservedConcurrency"])
    already = _reserved_by(account)
    if reserved and unreserved + already - reserved < UNRESERVED:
        yield problem(
            f"CallbackReservedConcurrency={reserved} can't be reserved: of {quota} concurrent "
            f"executions {unreserved + already} are free, and {UNRESERVED} must stay free; "
            "set it to 0, or raise the quota (Service Quotas, Lambda, Concurrent executions)"
        )
    if unreserved <= sources:
        yield warning(
            f"all {unreserved} concurrent executions that are free in this account may be taken "
            f"by the stack's event sources ({sources}): the API and callbacks are throttled then. "
            f"{_raise_quota(account)}"
        )
    elif unreserved < UNRESERVED:
        new = ", as a new account does" if quota == NEW_ACCOUNT else ""
        yield warning(
            f"this account runs {quota} functions at once{new}; the stack's event sources may use "
            f"{sources} of them, the API, callbacks and fallback share {unreserved - sources}: "
            f"enough to try it. {_raise_quota(account)}"
        )
    else:
        yield ok(
            f"{unreserved} concurrent executions are free; the stack's event sources may use "
            f"{sources} at once"
        )


def polled_at_once(template: Mapping[str, Any]) -> int:
    """Return how many executions all event sources of the stack may use at once."""
    return sum(
        event["Properties"].get("ScalingConfig", {}).get("MaximumConcurrency", 0)
        for resource in template["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "SQS"
    )


def _reserved_by(account: Account) -> int:
    """Return what the stack that is there has reserved: an update gives it back."""
    return int(account.kept().get("CallbackReservedConcurrency", 0))


def _raise_quota(account: Account) -> str:
    """Say how to raise the quota, and whether that was asked for."""
    ask = (
        "Ask for 1,000: `aws service-quotas request-service-quota-increase --service-code lambda "
        f"--quota-code {CONCURRENCY_QUOTA} --desired-value 1000`"
    )
    try:
        asked = account.client(
            "service-quotas"
        ).list_requested_service_quota_change_history_by_quota(
            ServiceCode="lambda", QuotaCode=CONCURRENCY_QUOTA
        )["RequestedQuotas"]
    except ClientError as error:
        if code_of(error) == "NoSuchResourceException":  # nothing was asked for
            return ask
        return f"{ask} (not checked whether that was done: {code_of(error)})"
    waiting = [one for one in asked if one["Status"] in {"PENDING", "CASE_OPENED"}]
    if waiting:
        return f"A request for {waiting[0]['DesiredValue']:.0f} is {waiting[0]['Status']}"
    return ask


def gateway_limits(account: Account) -> Iterator[Finding]:
    """Check that API Gateway lets the account have what the stack's parameters ask for."""
    found = account.client("apigateway").get_account()
    limits, parameters = found["throttleSettings"], account.parameters()
    if parameters["AccessLogs"] == "true" and not found.get("cloudwatchRoleArn"):
        yield problem(
            "AccessLogs=true needs a role of the account by which API Gateway writes logs, and "
            "there is none: docs/organizations.md#access-logs says how to set it"
        )
    asked = (float(parameters["RequestsPerSecond"]), float(parameters["RequestBurst"]))
    allowed = (float(limits["rateLimit"]), float(limits["burstLimit"]))
    if asked[0] > allowed[0] or asked[1] > allowed[1]:
        yield warning(
            f"RequestsPerSecond={asked[0]:g} and RequestBurst={asked[1]:g} exceed what API Gateway "
            f"allows this account ({allowed[0]:g}, {allowed[1]:g}): all its APIs share that"
        )
    else:
        yield ok(f"API Gateway allows this account {allowed[0]:g} requests a second")


def roles(account: Account) -> Iterator[Finding]:
    """Check that the account may have as many more roles as a stack needs."""
    if account.stack is not None:
        return
    found = account.client("iam").get_account_summary()["SummaryMap"]
    left = found["RolesQuota"] - found["Roles"]
    if left < ROLES:
        yield problem(
            f"{found['Roles']} of {found['RolesQuota']} IAM roles exist, and the stack needs "
            f"up to {ROLES} more: remove some, or raise the quota"
        )


# ── The stack ─────────────────────────────────────────────────────────────────────────────────


def stack_status(account: Account) -> Iterator[Finding]:
    """Check whether the stack that is there, if any, can be deployed to."""
    name, stack = account.plan.stack, account.stack
    if stack is None:
        yield ok(f"there is no stack {name} in {account.region}: `sam deploy` creates it")
        return
    status = str(stack["StackStatus"])
    keys = {one["OutputKey"] for one in stack.get("Outputs", ())}
    repair = _NOT_DEPLOYABLE.get(status)
    if repair is not None:
        why = _first_failure(account)
        yield problem(
            f"the stack {name} is {status}{f' ({why})' if why else ''}: "
            f"{_REPAIRS[repair].format(name=name)}"
        )
    elif status == "REVIEW_IN_PROGRESS":
        yield ok(f"the stack {name} has a change set that wasn't executed; `sam deploy` makes anew")
    elif status.endswith("_IN_PROGRESS"):
        yield problem(f"the stack {name} is {status}: wait until that is over")
    elif "TasksTable" not in keys:
        yield problem(f"{name} is a stack of something else: deploy with another --stack-name")
    elif status == "UPDATE_ROLLBACK_COMPLETE":
        yield warning(
            f"the last deployment to {name} failed and was rolled back: {_first_failure(account)}"
        )
    else:
        yield ok(f"the stack {name} is {status}: `sam deploy` updates it")


def _first_failure(account: Account) -> str:
    """Return why the latest deployment failed: the first failure, which led to the others."""
    pages = account.client("cloudformation").get_paginator("describe_stack_events")
    reason = ""
    for page in pages.paginate(StackName=(account.stack or {})["StackId"]):
        for event in page["StackEvents"]:  # the newest first
            status, why = event["ResourceStatus"], event.get("ResourceStatusReason", "")
            of_stack = event["PhysicalResourceId"] == event["StackId"]
            if of_stack and why == "User Initiated":
                return reason
            if status.endswith("_FAILED") and "cancelled" not in why.lower():
                reason = f"{event['LogicalResourceId']}: {why}"
    return reason


def parameters(account: Account) -> Iterator[Finding]:
    """Say which parameters the deployment changes, and which it keeps as they are."""
    known = account.template["Parameters"]
    kept = account.kept()
    for name in sorted(account.plan.given.keys() - known.keys()):
        yield problem(
            f"template.yaml has no parameter {name}, and `sam deploy` would ignore it: "
            "docs/parameters.md lists them"
        )
    network = [account.parameters()[name] for name in ("SubnetIds", "SecurityGroupIds")]
    if any(network) and not all(network):
        yield problem(
            "SubnetIds and SecurityGroupIds need each other, or the deployment fails at the first "
            "function: give both or neither"
        )
    given = {name: value for name, value in account.plan.given.items() if name in known}
    if account.stack is None:
        if given:
            yield ok(f"parameters: {_listed(given, known)}; the others have their defaults")
        return
    changed = {name: value for name, value in given.items() if kept.get(name) != value}
    own = {
        name: value
        for name, value in kept.items()
        if name in known and name not in changed and value != str(known[name].get("Default", ""))
    }
    gone = sorted(kept.keys() - known.keys())
    parts = [
        f"changes {_listed(changed, known)}" if changed else "changes none",
        f"keeps {_listed(own, known)}" if own else "",
        f"drops {', '.join(gone)}, which template.yaml no longer has" if gone else "",
    ]
    yield ok(f"parameters: `sam deploy` {'; '.join(part for part in parts if part)}")


def _listed(values: Mapping[str, str], known: Mapping[str, Any]) -> str:
    return ", ".join(
        name if known.get(name, {}).get("NoEcho") else f"{name}={value}"
        for name, value in sorted(values.items())
    )


def names(account: Account) -> Iterator[Finding]:
    """Check that a new stack's names are free: what an earlier one left may hold them."""
    if account.stack is not None and account.stack["StackStatus"] != "REVIEW_IN_PROGRESS":
        return
    name = account.plan.stack
    taken = [*_secrets_taken(account), *_bus_taken(account), *_logs_taken(account)]
    yield from taken
    if not taken:
        yield ok(f"the names that the stack takes are free: {name}/provider, the bus {name}, …")


def _secrets_taken(account: Account) -> Iterator[Finding]:
    client = account.client("secretsmanager")
    own = SECRETS[1:] if account.parameters()["ProviderApiKeySecretArn"] else SECRETS
    for secret in (f"{account.plan.stack}/{name}" for name in own):
        try:
            found = client.describe_secret(SecretId=secret)
        except client.exceptions.ResourceNotFoundException:
            continue
        if found.get("DeletedDate") is None:
            yield problem(
                f"the secret {secret} exists, and isn't of a stack {account.plan.stack}: "
                "remove it, or deploy under another name"
            )
        else:
            yield problem(
                f"the secret {secret} of an earlier stack is scheduled for deletion, and holds "
                "its name until then: `aws secretsmanager delete-secret "
                f"--force-delete-without-recovery --secret-id {secret}`"
            )


def _bus_taken(account: Account) -> Iterator[Finding]:
    client = account.client("events")
    try:
        client.describe_event_bus(Name=account.plan.stack)
    except client.exceptions.ResourceNotFoundException:
        return
    yield problem(
        f"there is an event bus {account.plan.stack} that isn't of a stack: remove it, or deploy "
        "under another name"
    )


def _logs_taken(account: Account) -> Iterator[Finding]:
    group = f"/aws/vendedlogs/states/{account.plan.stack}-fallback"
    found = account.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    if any(one["logGroupName"] == group for one in found):
        yield problem(
            f"the log group {group} of an earlier stack is there: `aws logs delete-log-group "
            f"--log-group-name {group}`"
        )


def sam_bucket(account: Account) -> Iterator[Finding]:
    """Check the stack in which SAM keeps the bucket that it uploads to."""
    stack = find_stack(SAM_STACK, account.session)
    status = str(stack["StackStatus"]) if stack else "CREATE_COMPLETE"
    if status in _NOT_DEPLOYABLE:
        yield problem(
            f"{SAM_STACK}, with the bucket that `sam deploy` uploads to, is {status}: "
            f"{_REPAIRS[_NOT_DEPLOYABLE[status]].format(name=SAM_STACK)}"
        )


# ── The command ───────────────────────────────────────────────────────────────────────────────


def checks(plan: Plan, session: boto3.Session, path: str) -> Iterator[Check]:
    """Yield the checks in order: those of AWS only if there are credentials and a region."""
    yield Check("programs", lambda: tools(path))
    try:
        region = session.region_name
        if not region:
            yield Check("region", lambda: [problem(_NO_REGION)])
            return
        who = session.client("sts").get_caller_identity()
        stack = find_stack(plan.stack, session)
    except (BotoCoreError, ClientError) as error:  # nothing else can be checked then
        text = sentence(error)
        yield Check("credentials", lambda: [problem(text), not_checked("the account")])
        return
    yield Check("credentials", lambda: [ok(f"{who['Arn']} in {region}")])
    account = Account(session, region, plan, load(ROOT / "template.yaml"), stack)
    for what, check in (
        ("the stack", stack_status),
        ("its parameters", parameters),
        ("function URLs", function_urls),
        ("concurrency", concurrency),
        ("limits of API Gateway", gateway_limits),
        ("roles", roles),
        ("names", names),
        ("the bucket of SAM", sam_bucket),
    ):
        yield Check(what, partial(check, account))


_NO_REGION: Final = (
    "there is no AWS region: set AWS_DEFAULT_REGION, or `region` in samconfig.toml or your profile"
)


def main(arguments: list[str]) -> int:
    """Check everything; returns 0 if nothing stands in the way of a deployment, else 2."""
    status = NOT_DONE

    def command() -> str:
        nonlocal status
        plan = read_plan(arguments)
        session = boto3.Session(profile_name=plan.profile, region_name=plan.region)
        path = user_path(os.environ.get("PATH", ""))
        found = examine(checks(plan, session, path), print)
        text, status = summary(
            found, f"{plan.stack} can be deployed", f"{plan.stack} can't be deployed yet"
        )
        return text

    return max(run(command), status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
