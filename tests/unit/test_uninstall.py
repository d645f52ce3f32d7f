"""`make uninstall`: what it must never touch, and what it does when AWS refuses."""

import io
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from ops import uninstall
from ops.deployed import Resource
from ops.stacks import CommandError
from ops.uninstall import Doomed

ID = "arn:aws:cloudformation:eu-central-1:1:stack/act-one/2"
OTHER_ID = "arn:aws:cloudformation:eu-central-1:1:stack/act-one/3"
NAMES = {
    "TasksTable": "AWS::DynamoDB::Table",
    "LedgerTable": "AWS::DynamoDB::Table",
    "ResultsBucket": "AWS::S3::Bucket",
    "UploadsBucket": "AWS::S3::Bucket",
}


def refusal(code):
    return ClientError({"Error": {"Code": code, "Message": code}}, "Any")


class Cloudformation:
    """Stacks of one name: perhaps one that is there, and deleted ones."""

    def __init__(self, there=None, deleted=(), names=NAMES, statuses=()):
        self.there = there
        self.deleted = deleted
        self.names = names
        self.statuses = [*statuses]
        self.calls = []

    def describe_stacks(self, StackName):  # noqa: N803 - boto3's names
        if self.statuses:
            status = self.statuses.pop(0)
            return {
                "Stacks": [{"StackStatus": status, "StackStatusReason": "a bucket isn't empty."}]
            }
        if self.there is None:
            raise refusal("ValidationError")
        return {"Stacks": [{"StackName": StackName, "StackId": ID, "StackStatus": self.there}]}

    def get_paginator(self, name):
        return SimpleNamespace(paginate=getattr(self, f"page_of_{name}"))

    def page_of_list_stacks(self, **_):
        return [{"StackSummaries": self.deleted}]

    def page_of_describe_stack_events(self, StackName):  # noqa: N803
        events = [
            {
                "LogicalResourceId": name,
                "ResourceType": kind,
                "PhysicalResourceId": f"{name} of {StackName}",
                "ResourceStatus": status,
            }
            for name, kind in self.names.items()
            for status in ("DELETE_SKIPPED", "CREATE_COMPLETE")
        ]
        return [{"StackEvents": events}]

    def page_of_list_stack_resources(self, **_):
        summaries = [
            {
                "LogicalResourceId": name,
                "ResourceType": kind,
                "PhysicalResourceId": f"newer {name}",
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for name, kind in self.names.items()
        ]
        return [{"StackResourceSummaries": summaries}]

    def __getattr__(self, name):
        return lambda **asked: self.calls.append((name, asked))


def session(**clients):
    clients.setdefault("sts", SimpleNamespace(get_caller_identity=lambda: {"Account": "1"}))
    return SimpleNamespace(client=clients.__getitem__, region_name="eu-central-1")


def doomed(status="DELETE_COMPLETE", resources=(), *, protected=False, **clients):
    return Doomed(
        session=session(**clients),
        account="1",
        name="act-one",
        id=ID,
        status=status,
        protected=protected,
        resources={one.name: (one,) for one in resources},
    )


def test_the_stack_that_is_there_is_meant_before_any_deleted_one():
    aws = Cloudformation("UPDATE_COMPLETE", [{"StackName": "act-one", "StackId": OTHER_ID}])

    found = uninstall.find("act-one", session(cloudformation=aws))

    assert found.id == ID
    kept, newer = found.resources["TasksTable"]
    assert (kept.id, newer.id) == (f"TasksTable of {ID}", "newer TasksTable")
    assert found.id_of("TasksTable") == "newer TasksTable"


def test_of_deleted_stacks_only_the_latest_of_this_name_is_meant():
    def deleted(name, number, at):
        status = "DELETE_COMPLETE"
        return {"StackName": name, "StackId": number, "StackStatus": status, "DeletionTime": at}

    listed = [deleted("act-one", "1", 5), deleted("act-one", "2", 7), deleted("act-one-x", "3", 9)]
    aws = Cloudformation(deleted=listed)

    found = uninstall.find("act-one", session(cloudformation=aws))

    assert found.id == "2"
    assert {one.id for some in found.resources.values() for one in some} == {
        f"{name} of 2" for name in NAMES
    }


@pytest.mark.parametrize(
    ("aws", "words"),
    [
        (Cloudformation(), "none was deleted in the last 90 days"),
        (Cloudformation("CREATE_COMPLETE", names={"Website": "AWS::S3::Bucket"}), "not a stack of"),
    ],
)
def test_another_stack_or_none_is_refused(aws, words):
    with pytest.raises(CommandError, match=words):
        uninstall.find("act-one", session(cloudformation=aws))


def test_a_stack_that_cannot_be_deleted_is_told_with_the_reason():
    aws = Cloudformation(statuses=["DELETE_FAILED"])

    with pytest.raises(CommandError, match="a bucket isn't empty"):
        uninstall.delete_stack(doomed("CREATE_COMPLETE", protected=True, cloudformation=aws))

    assert [name for name, _ in aws.calls] == ["update_termination_protection", "delete_stack"]


def test_a_deletion_that_is_under_way_is_waited_for(monkeypatch):
    monkeypatch.setattr(uninstall, "_LOOK_SECONDS", 0.0)
    aws = Cloudformation(statuses=["DELETE_IN_PROGRESS", "DELETE_COMPLETE"])

    uninstall.delete_stack(doomed("DELETE_IN_PROGRESS", cloudformation=aws))

    assert aws.calls == []


class Tables:
    """A client of DynamoDB with one table, which notes what is asked of it."""

    exceptions = SimpleNamespace(ResourceNotFoundException=KeyError)

    def __init__(self, owner, *, protected=False):
        self.owner = owner
        self.protected = protected
        self.calls = []

    def describe_table(self, **_):
        if self.owner is None:
            raise KeyError
        found = {"TableStatus": "ACTIVE", "TableArn": "arn"}
        return {"Table": found | {"DeletionProtectionEnabled": self.protected}}

    def list_tags_of_resource(self, **_):
        return {"Tags": [{"Key": "aws:cloudformation:stack-id", "Value": self.owner}]}

    def get_waiter(self, _name):
        return SimpleNamespace(wait=lambda **_: None)

    def update_table(self, **_):
        self.calls.append("unprotect")

    def delete_table(self, **_):
        self.calls.append("delete")


@pytest.mark.parametrize(
    ("tables", "calls"),
    [
        (Tables(ID), ["delete"]),
        (Tables(ID, protected=True), ["unprotect", "delete"]),
        (Tables(None), []),
    ],
)
def test_a_table_is_deleted_protected_or_not_or_gone(tables, calls):
    assert uninstall.delete_table("tasks", doomed(dynamodb=tables)) is bool(calls)
    assert tables.calls == calls


def test_a_table_that_is_another_stacks_now_is_left_alone():
    tables = Tables(OTHER_ID)

    with pytest.raises(CommandError, match="belongs to another stack"):
        uninstall.delete_table("tasks", doomed(dynamodb=tables))

    assert tables.calls == []


class Bucket:
    """A client of S3 with one bucket of many versions; all calls must name the owner."""

    def __init__(self, versions=0, *, errors=(), names=("results",), owner=ID):
        self.left = [{"Key": f"k{n}", "VersionId": f"v{n}"} for n in range(versions)]
        self.errors = [*errors]
        self.names = names
        self.batches = []
        self.deleted = False
        self.owner = owner

    def get_bucket_tagging(self, *, ExpectedBucketOwner, **_):  # noqa: N803
        assert ExpectedBucketOwner == "1"
        if self.owner is None:
            raise refusal("NoSuchTagSet")
        return {"TagSet": [{"Key": "aws:cloudformation:stack-id", "Value": self.owner}]}

    def list_buckets(self):
        return {"Buckets": [{"Name": name} for name in self.names]}

    def list_object_versions(self, *, MaxKeys, ExpectedBucketOwner, **_):  # noqa: N803
        assert ExpectedBucketOwner == "1"
        page, half = self.left[:MaxKeys], len(self.left[:MaxKeys]) // 2
        return {"Versions": page[:half], "DeleteMarkers": page[half:]}

    def delete_objects(self, *, Delete, ExpectedBucketOwner, **_):  # noqa: N803
        assert ExpectedBucketOwner == "1"
        if self.errors:
            return {"Errors": self.errors}
        self.batches.append(len(Delete["Objects"]))
        self.left = [one for one in self.left if one not in Delete["Objects"]]
        return {}

    def list_multipart_uploads(self, **_):
        return {}

    def delete_bucket(self, *, ExpectedBucketOwner, **_):  # noqa: N803
        assert ExpectedBucketOwner == "1"
        assert not self.left
        self.deleted = True


def test_a_bucket_is_emptied_in_batches_of_a_thousand():
    bucket = Bucket(2_300)

    assert uninstall.delete_bucket("results", doomed(s3=bucket))

    assert bucket.batches == [1_000, 1_000, 300]
    assert bucket.deleted


def test_a_bucket_that_is_not_this_accounts_is_left_alone():
    bucket = Bucket(1, names=("results-of-another", "results2"))

    assert not uninstall.delete_bucket("results", doomed(s3=bucket))

    assert bucket.batches == []


@pytest.mark.parametrize(("owner", "batches"), [(ID, [2]), (None, [2]), (OTHER_ID, [])])
def test_a_bucket_that_is_another_stacks_now_is_left_alone(owner, batches):
    bucket = Bucket(2, owner=owner)

    if batches:
        uninstall.delete_bucket("results", doomed(s3=bucket))
    else:
        with pytest.raises(CommandError, match=OTHER_ID):
            uninstall.delete_bucket("results", doomed(s3=bucket))

    assert (bucket.batches, bucket.deleted) == (batches, bool(batches))


def test_data_that_are_another_stacks_now_are_told_before_anything_is_destroyed(monkeypatch):

    calls = []
    stack = doomed(
        resources=[Resource(name="ResultsBucket", type="AWS::S3::Bucket", id="results")],
        status="CREATE_COMPLETE",
        s3=Bucket(2, owner=OTHER_ID),
        cloudformation=SimpleNamespace(delete_stack=lambda **_: calls.append("delete")),
    )
    monkeypatch.setattr(uninstall, "client_keys", lambda _: calls.append("keys"))

    with pytest.raises(CommandError, match=OTHER_ID):
        uninstall.remove(stack, print, forget_secrets=False)

    assert calls == []


def test_objects_that_cannot_be_deleted_stop_it():
    bucket = Bucket(2, errors=[{"Key": "k1", "Code": "AccessDenied"}])

    with pytest.raises(CommandError, match="k1: AccessDenied"):
        uninstall.delete_bucket("results", doomed(s3=bucket))

    assert not bucket.deleted


def test_only_secrets_with_the_stacks_tag_are_the_stacks():
    owners = {"act-one/provider": ID, "act-one/callback": OTHER_ID}

    def describe_secret(SecretId):  # noqa: N803 - boto3's name
        return {"Tags": [{"Key": "aws:cloudformation:stack-id", "Value": owners[SecretId]}]}

    vault = SimpleNamespace(
        describe_secret=describe_secret,
        exceptions=SimpleNamespace(ResourceNotFoundException=KeyError),
    )

    assert uninstall.secrets_left(doomed(secretsmanager=vault)) == ["act-one/provider"]


@pytest.mark.parametrize(
    ("typed", "given", "confirmed"),
    [
        ("act-one\n", "", True),
        ("yes\n", "", False),
        ("\n", "", False),
        ("act-one\n", "act-two", False),
        ("", "act-one", True),
    ],
)
def test_only_the_stacks_own_name_confirms(typed, given, confirmed, monkeypatch):
    terminal = io.StringIO(typed)
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    asked = SimpleNamespace(confirm=given)

    if confirmed:
        uninstall.confirm(asked, doomed())
    else:
        with pytest.raises(CommandError, match="Nothing is destroyed"):
            uninstall.confirm(asked, doomed())


def test_open_tasks_stop_it_only_while_they_can_end(monkeypatch, capsys):
    monkeypatch.setattr(uninstall, "open_tasks", lambda _: (3, 2))

    with pytest.raises(CommandError, match="3 tasks are open, 2 of which"):
        uninstall.refuse_open(doomed("CREATE_COMPLETE"), force=False)
    uninstall.refuse_open(doomed("CREATE_COMPLETE"), force=True)
    uninstall.refuse_open(doomed("DELETE_COMPLETE"), force=False)

    assert capsys.readouterr().out.count("their results are lost") == 2


def test_secrets_that_wait_are_told_with_what_ends_that(monkeypatch):
    monkeypatch.setattr(uninstall, "remains", lambda _: ["act-one/provider"])
    assert "FORGET_SECRETS=1" in uninstall.conclusion(doomed())

    monkeypatch.setattr(uninstall, "remains", lambda _: ["act-one/provider", "tasks"])
    with pytest.raises(CommandError, match="run this again"):
        uninstall.conclusion(doomed())


@pytest.mark.parametrize("arguments", [[], [" "], ["act-one", "--yes"]])
def test_a_mistake_is_told_and_nothing_is_asked_of_aws(arguments, monkeypatch, capsys):
    monkeypatch.setattr(uninstall.boto3, "Session", lambda: pytest.fail("AWS was asked"))

    assert uninstall.main(arguments) == 2
    assert "make uninstall STACK=" in capsys.readouterr().err


def test_a_resource_that_was_replaced_is_removed_with_its_successor():
    replaced = [Resource(name="ResultsBucket", type=uninstall.BUCKET, id=one) for one in "ab"]
    stack = doomed()
    both = Doomed(
        session=stack.session,
        account="1",
        name="act-one",
        id=ID,
        status="DELETE_COMPLETE",
        resources={"ResultsBucket": (*replaced,)},
    )

    assert [one.id for one in both.of_type(uninstall.BUCKET)] == ["a", "b"]
