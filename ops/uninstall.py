"""Remove a stack with all its data: tables, buckets with all versions, logs, clients' API keys.

    python -m ops.uninstall STACK [--confirm NAME] [--force] [--forget-secrets]

with the operator's own AWS credentials. STACK is a stack's name or id. **This can't be undone.** It
first lists what goes, and asks for the stack's name, or takes it from `--confirm`. It refuses while
tasks are open, unless `--force` is given. `--forget-secrets` ends the waiting time of the secrets,
which otherwise keep their names for up to 30 days.

CloudFormation keeps tables and buckets when it deletes the stack, and remembers for 90 days which.
So a run that was interrupted is finished by the same command. Nothing else than what CloudFormation
lists as this stack's is touched, and the API keys that its clients table names.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.exceptions import ClientError

from act_one.tasks.schema import UnreadableRowError
from act_one.tasks.table import TaskTable
from act_one.tasks.task import Billing
from ops.deployed import Resource, list_resources
from ops.stacks import CommandError, CommandParser, code_of, find_stack, run

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE: Final = "make uninstall STACK=act-one CONFIRM=act-one"
TABLE: Final = "AWS::DynamoDB::Table"
BUCKET: Final = "AWS::S3::Bucket"
LOGS: Final = "AWS::Logs::LogGroup"
OURS: Final = frozenset({"TasksTable", "LedgerTable", "ResultsBucket", "UploadsBucket"})
"""What a stack of this template has."""
DELETE_SECONDS: Final = 3_600.0
_LOOK_SECONDS: Final = 2.0
_STACK_ID: Final = "aws:cloudformation:stack-id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """A stack, there or deleted, and what is or was its own, by the names in the template."""

    session: boto3.Session
    account: str
    name: str
    id: str
    status: str
    protected: bool = False
    resources: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)
    """A resource that was replaced has several."""

    @property
    def is_deleted(self) -> bool:
        return self.status == "DELETE_COMPLETE"

    def client(self, service: str) -> Any:  # noqa: ANN401 - the name decides the type
        return self.session.client(service)  # type: ignore[call-overload]

    def of_type(self, kind: str) -> list[Resource]:
        return [one for some in self.resources.values() for one in some if one.type == kind]

    def id_of(self, name: str) -> str:
        """Return the id of the latest resource of a name; empty if there was none."""
        found = self.resources.get(name)
        return found[-1].id if found else ""


# ── What goes ─────────────────────────────────────────────────────────────────────────────────


def find(name: str, session: boto3.Session) -> Doomed:
    """Find a stack by name or id, or the latest deleted one of the name.

    Raises ``CommandError`` if there is none, or if it is one of something else.
    """
    account = session.client("sts").get_caller_identity()["Account"]
    found: Mapping[str, Any] | None = find_stack(name, session) or _deleted(name, session)
    if found is None:
        raise CommandError(
            f"There is no stack {name!r} in {session.region_name}, and none was deleted in the "
            "last 90 days."
        )
    stack_id = found["StackId"]
    resources: dict[str, dict[str, Resource]] = {}
    kept = _kept(stack_id, session)
    there = () if found["StackStatus"] == "DELETE_COMPLETE" else list_resources(stack_id, session)
    for one in (*kept, *there):
        if one.id:
            resources.setdefault(one.name, {})[one.id] = one
    if not resources.keys() >= OURS:
        raise CommandError(
            f"{name!r} is not a stack of act-one, or has left nothing that CloudFormation knows of."
        )
    return Doomed(
        session=session,
        account=account,
        name=found["StackName"],
        id=stack_id,
        status=found["StackStatus"],
        protected=bool(found.get("EnableTerminationProtection")),
        resources={logical: tuple(by_id.values()) for logical, by_id in resources.items()},
    )


def _deleted(name: str, session: boto3.Session) -> Mapping[str, Any] | None:
    """Return the latest deleted stack of a name: what earlier ones left may be kept on purpose."""
    pages = session.client("cloudformation").get_paginator("list_stacks")
    found = [
        one
        for page in pages.paginate(StackStatusFilter=["DELETE_COMPLETE"])
        for one in page["StackSummaries"]
        if one["StackName"] == name
    ]
    return max(found, key=lambda one: one.get("DeletionTime") or one["CreationTime"], default=None)


def _kept(stack_id: str, session: boto3.Session) -> list[Resource]:
    """Return what CloudFormation has removed from a stack without deleting it, the oldest first."""
    pages = session.client("cloudformation").get_paginator("describe_stack_events")
    kept = [
        Resource(
            name=event["LogicalResourceId"],
            type=event["ResourceType"],
            id=event.get("PhysicalResourceId", ""),
            status=event["ResourceStatus"],
        )
        for page in pages.paginate(StackName=stack_id)
        for event in page["StackEvents"]
        if event["ResourceStatus"] == "DELETE_SKIPPED"
    ]
    return kept[::-1]


def open_tasks(stack: Doomed) -> tuple[int, int]:
    """Count the tasks that haven't ended, and those of them that are or may be paid for."""
    name = stack.id_of("TasksTable")
    client = stack.client("dynamodb")
    if not _table_exists(name, client):
        return 0, 0
    table = TaskTable(client, name)
    pages = client.get_paginator("query").paginate(
        TableName=name,
        IndexName="due",
        KeyConditionExpression="watched = :open",
        ExpressionAttributeValues={":open": {"S": "open"}},
    )
    count = paid = 0
    for item in (item for page in pages for item in page["Items"]):
        try:
            task = table.read(item["task_id"]["S"])
        except UnreadableRowError:
            count, paid = count + 1, paid + 1
            continue
        if task is not None and not task.done:
            count += 1
            paid += task.billing is not Billing.NONE or task.sent_at is not None
    return count, paid


def contents(stack: Doomed) -> Iterator[str]:
    """List what goes, a line for each thing."""
    if not stack.is_deleted:
        yield f"the stack {stack.name} ({stack.status}): API, functions, queues, rules, secrets"
    s3, dynamodb = stack.client("s3"), stack.client("dynamodb")
    for bucket in stack.of_type(BUCKET):
        if _bucket_exists(bucket.id, stack):
            count = size = 0
            for version in _versions(bucket.id, stack, s3):
                count, size = count + 1, size + version.get("Size", 0)
            yield f"the bucket {bucket.id}: {count} versions of objects, {size} bytes"
    for table in stack.of_type(TABLE):
        if _table_exists(table.id, dynamodb):
            rows = dynamodb.describe_table(TableName=table.id)["Table"]["ItemCount"]
            yield f"the table {table.id}: about {rows} rows"
    for key_id, name in client_keys(stack):
        yield f"the API key {key_id} of {name}"


def client_keys(stack: Doomed) -> list[tuple[str, str]]:
    """Return the ids and names of API keys that `ops.clients` made: no part of the stack."""
    table, client = stack.id_of("ClientsTable"), stack.client("dynamodb")
    gateway = stack.client("apigateway")
    if not table or not _table_exists(table, client):
        return []
    found = []
    for page in client.get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            owner = f"{stack.name}-{item.get('name', {}).get('S', '')}"
            for key in item.get("keys", {}).get("L", ()):
                key_id = key["M"]["gateway_id"]["S"]
                try:
                    named = gateway.get_api_key(apiKey=key_id)["name"]
                except gateway.exceptions.NotFoundException:
                    continue
                if named == owner:  # another one would not be this stack's
                    found.append((key_id, named))
    return found


# ── The removal ───────────────────────────────────────────────────────────────────────────────


def remove(stack: Doomed, show: "Callable[[str], None]", *, forget_secrets: bool) -> None:
    """Remove a stack and all that it leaves. May be interrupted, and repeated."""
    refuse_others(stack)
    gateway = stack.client("apigateway")
    for key_id, name in client_keys(stack):
        gateway.delete_api_key(apiKey=key_id)
        show(f"The API key of {name} is deleted.")
    if not stack.is_deleted:
        delete_stack(stack)
        show(f"The stack {stack.name} is deleted.")
    for kind, what, delete in (
        (BUCKET, "bucket", delete_bucket),
        (TABLE, "table", delete_table),
        (LOGS, "log group", _delete_logs),
    ):
        for one in stack.of_type(kind):
            if delete(one.id, stack):
                show(f"The {what} {one.id} is deleted.")
    if forget_secrets:
        for secret in secrets_left(stack):
            stack.client("secretsmanager").delete_secret(
                SecretId=secret, ForceDeleteWithoutRecovery=True
            )
            show(f"The secret {secret} is forgotten.")


def refuse_others(stack: Doomed) -> None:
    """Raise ``CommandError`` if another stack has a bucket or a table of this one's now."""
    for one in stack.of_type(BUCKET):
        if _bucket_exists(one.id, stack):
            _refuse_others(one.id, _bucket_tags(one.id, stack), stack)
    for one in stack.of_type(TABLE):
        if _table_exists(one.id, stack.client("dynamodb")):
            _refuse_others(one.id, _table_tags(one.id, stack), stack)


def delete_stack(stack: Doomed) -> None:
    """Have CloudFormation delete the stack, and wait. Raises ``CommandError`` if it can't."""
    client = stack.client("cloudformation")
    if stack.protected:
        client.update_termination_protection(
            StackName=stack.name, EnableTerminationProtection=False
        )
    if stack.status != "DELETE_IN_PROGRESS":
        client.delete_stack(StackName=stack.id)
    ends_at = time.monotonic() + DELETE_SECONDS
    while time.monotonic() < ends_at:
        [found] = client.describe_stacks(StackName=stack.id)["Stacks"]
        match found["StackStatus"]:
            case "DELETE_COMPLETE":
                return
            case "DELETE_FAILED":
                raise CommandError(
                    f"CloudFormation can't delete {stack.name}: "
                    f"{found.get('StackStatusReason', 'its events say why')} Remove the cause, "
                    "and run this again."
                )
        time.sleep(_LOOK_SECONDS)
    raise CommandError(f"{stack.name} is still being deleted; run this again later.")


def _refuse_others(name: str, tags: list[Mapping[str, str]], stack: Doomed) -> None:
    """Raise ``CommandError`` for what another stack has: what is kept can be imported into one."""
    owner = next((tag["Value"] for tag in tags if tag["Key"] == _STACK_ID), stack.id)
    if owner != stack.id:
        raise CommandError(
            f"{name} belongs to another stack now, {owner}: no more of {stack.name} is removed."
        )


def _bucket_tags(name: str, stack: Doomed) -> list[Mapping[str, str]]:
    try:
        found = stack.client("s3").get_bucket_tagging(
            Bucket=name, ExpectedBucketOwner=stack.account
        )
    except ClientError as error:
        if code_of(error) == "NoSuchTagSet":
            return []
        raise
    return [*found["TagSet"]]


def _table_tags(name: str, stack: Doomed) -> list[Mapping[str, str]]:
    client = stack.client("dynamodb")
    arn = client.describe_table(TableName=name)["Table"]["TableArn"]
    return [*client.list_tags_of_resource(ResourceArn=arn)["Tags"]]


def _bucket_exists(name: str, stack: Doomed) -> bool:
    """Return whether this account has a bucket: names are shared by all accounts.

    A refused HEAD wouldn't tell a bucket of another account from a permission that is missing.
    """
    return any(one["Name"] == name for one in stack.client("s3").list_buckets()["Buckets"])


def _versions(name: str, stack: Doomed, s3: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - boto3's
    """Yield the versions and delete markers of a bucket."""
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket=name, ExpectedBucketOwner=stack.account
    )
    for page in pages:
        yield from page.get("Versions", ())
        yield from page.get("DeleteMarkers", ())


def delete_bucket(name: str, stack: Doomed) -> bool:
    """Empty a bucket of all versions and unfinished uploads, and delete it; False if it is gone."""
    if not _bucket_exists(name, stack):
        return False
    _refuse_others(name, _bucket_tags(name, stack), stack)
    s3, owner = stack.client("s3"), {"ExpectedBucketOwner": stack.account}
    while True:
        page = s3.list_object_versions(Bucket=name, MaxKeys=1_000, **owner)
        batch = [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if not batch:
            break
        done = s3.delete_objects(Bucket=name, Delete={"Objects": batch, "Quiet": True}, **owner)
        if errors := done.get("Errors"):
            raise CommandError(
                f"{len(errors)} objects of {name} can't be deleted, the first of them "
                f"{errors[0]['Key']}: {errors[0]['Code']}."
            )
    for upload in s3.list_multipart_uploads(Bucket=name, **owner).get("Uploads", ()):
        s3.abort_multipart_upload(
            Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"], **owner
        )
    s3.delete_bucket(Bucket=name, **owner)
    return True


def _table_exists(name: str, client: Any) -> bool:  # noqa: ANN401 - boto3's
    try:
        found = client.describe_table(TableName=name)["Table"]
    except client.exceptions.ResourceNotFoundException:
        return False
    return str(found["TableStatus"]) != "DELETING"


def delete_table(name: str, stack: Doomed) -> bool:
    """Delete a table, protected or not; False if it is gone."""
    client = stack.client("dynamodb")
    if not _table_exists(name, client):
        return False
    _refuse_others(name, _table_tags(name, stack), stack)
    table = client.describe_table(TableName=name)["Table"]
    if table.get("DeletionProtectionEnabled"):
        client.update_table(TableName=name, DeletionProtectionEnabled=False)
        client.get_waiter("table_exists").wait(TableName=name)
    client.delete_table(TableName=name)
    return True


def _delete_logs(name: str, stack: Doomed) -> bool:
    client = stack.client("logs")
    found = client.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if all(one["logGroupName"] != name for one in found):
        return False
    client.delete_log_group(logGroupName=name)
    return True


def secrets_left(stack: Doomed) -> list[str]:
    """Return the names of the stack's secrets that wait for their deletion."""
    client = stack.client("secretsmanager")
    left = []
    for name in (f"{stack.name}/{one}" for one in ("provider", "callback", "webhook")):
        try:
            found = client.describe_secret(SecretId=name)
        except client.exceptions.ResourceNotFoundException:
            continue
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
        if tags.get(_STACK_ID) == stack.id:
            left.append(name)
    return left


def remains(stack: Doomed) -> list[str]:
    """Name what is left of the stack."""
    dynamodb = stack.client("dynamodb")
    return [
        *(one.id for one in stack.of_type(BUCKET) if _bucket_exists(one.id, stack)),
        *(one.id for one in stack.of_type(TABLE) if _table_exists(one.id, dynamodb)),
        *secrets_left(stack),
    ]


# ── The command ───────────────────────────────────────────────────────────────────────────────


def main(arguments: list[str]) -> int:
    """Remove a stack; returns 0 if nothing is left of it, 2 if not, 130 if interrupted."""
    try:
        return run(lambda: _command(arguments))
    except KeyboardInterrupt:
        print("\nInterrupted: the same command goes on.", file=sys.stderr)
        return 130


def _command(arguments: list[str]) -> str:
    asked = _read(arguments)
    stack = find(asked.stack, boto3.Session())
    left = [*contents(stack)]
    if stack.is_deleted and asked.forget_secrets:
        left += [f"the secret {name}, scheduled for deletion" for name in secrets_left(stack)]
    if not left:
        return conclusion(stack)
    print("This will be destroyed, and can't be brought back:", *left, sep="\n  ")
    refuse_open(stack, force=asked.force)
    confirm(asked, stack)
    remove(stack, print, forget_secrets=asked.forget_secrets)
    return conclusion(stack)


def refuse_open(stack: Doomed, *, force: bool) -> None:
    """Raise ``CommandError`` while tasks are open, unless that is accepted.

    Without its functions, a deleted stack's tasks can't end any more.
    """
    count, paid = open_tasks(stack)
    if not count:
        return
    said = f"{count} tasks are open, {paid} of which are or may be paid for"
    if not force and not stack.is_deleted:
        raise CommandError(
            f"{said}: their results would be lost. Wait until they end (`make pause STACK="
            f"{stack.name}` lets no more be sent), or add FORCE=1."
        )
    print(f"{said}: their results are lost.")


def confirm(asked: Namespace, stack: Doomed) -> None:
    """Raise ``CommandError`` unless the stack's name is given, or typed on a terminal."""
    given = asked.confirm
    if not given and sys.stdin.isatty():
        given = input(f"Type the stack's name to destroy it in account {stack.account}: ")
    if given.strip() != stack.name:
        raise CommandError(
            f"Nothing is destroyed: confirm with the stack's name, CONFIRM={stack.name}."
        )


def conclusion(stack: Doomed) -> str:
    left = remains(stack)
    secrets = [name for name in left if "/" in name]
    if left == secrets and secrets:
        return (
            f"Nothing else remains of {stack.name}, but {', '.join(secrets)} wait for their "
            "deletion, and a new stack can't have this name until then: add FORGET_SECRETS=1 to "
            "end that. "
            f"{_ELSEWHERE}"
        )
    if left:
        raise CommandError(f"Of {stack.name} remain {', '.join(left)}: run this again.")
    return f"Nothing remains of {stack.name}. {_ELSEWHERE}"


_ELSEWHERE: Final = (
    "What isn't the stack's stays: the packages in the bucket of SAM, a CDN's own stack, and for "
    "35 days DynamoDB's backups of deleted tables."
)


def _read(arguments: list[str]) -> Namespace:
    parser = CommandParser("ops.uninstall", f"Name the stack: {USAGE}")
    parser.add_argument("stack")
    parser.add_argument("--confirm", default="")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--forget-secrets", action="store_true")
    asked = parser.parse_args(arguments)
    asked.stack = asked.stack.strip()
    if not asked.stack:
        raise CommandError(f"Name the stack: {USAGE}")
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
