"""`make doctor`: what accounts, regions and machines can have that the emulator doesn't."""

import re

import boto3
import pytest
from botocore.exceptions import ClientError

from local.expand import load
from ops import doctor
from ops.doctor import Account
from ops.findings import Check, examine, not_checked, ok, problem, summary, warning
from ops.plan import ROOT, Plan, read_plan
from tests.transcripts import TRANSCRIPTS

TEMPLATE = load(ROOT / "template.yaml")
MISSING = {"Code": "ResourceNotFoundException", "Message": "none"}


class FakeAws:
    """A session of boto3, and every client of it: an account without a stack."""

    region_name = "eu-central-1"

    def __init__(self, **changes):
        self.stack = None
        self.events = []
        self.quota = 10
        self.unreserved = None
        self.asked = []
        self.roles = 20
        self.log_role = None
        self.scheduled = {}
        self.refused = ()
        self.__dict__.update(changes)
        error = type("ResourceNotFoundException", (ClientError,), {})
        self.exceptions = type("Exceptions", (), {"ResourceNotFoundException": error})
        self.missing = error({"Error": MISSING}, "Any")

    def client(self, service):
        if service in self.refused:
            return Refusing(service, self.exceptions)
        return self

    def get_caller_identity(self):
        return {"Arn": "arn:aws:iam::123456789012:user/operator"}

    def describe_stacks(self, StackName):  # noqa: N803 - boto3's names
        if self.stack is None or StackName != self.stack["StackName"]:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "none"}}, "Any")
        return {"Stacks": [self.stack]}

    def get_paginator(self, _name):
        return self

    def paginate(self, **_):
        return [{"StackEvents": self.events}]

    def list_function_url_configs(self, **_):
        raise self.missing

    def get_account_settings(self):
        free = self.quota if self.unreserved is None else self.unreserved
        limits = {"ConcurrentExecutions": self.quota, "UnreservedConcurrentExecutions": free}
        return {"AccountLimit": limits}

    def list_requested_service_quota_change_history_by_quota(self, **_):
        return {"RequestedQuotas": self.asked}

    def get_account(self):
        limits = {"rateLimit": 10_000.0, "burstLimit": 5_000}
        return {"throttleSettings": limits, "cloudwatchRoleArn": self.log_role}

    def get_account_summary(self):
        return {"SummaryMap": {"Roles": self.roles, "RolesQuota": 1_000}}

    def describe_secret(self, SecretId):  # noqa: N803
        if SecretId not in self.scheduled:
            raise self.missing
        return {"DeletedDate": self.scheduled[SecretId]}

    def describe_event_bus(self, **_):
        raise self.missing

    def describe_log_groups(self, **_):
        return {"logGroups": []}


class Refusing:
    """A client whose every call is refused."""

    def __init__(self, service, exceptions):
        self.service = service
        self.exceptions = exceptions

    def __getattr__(self, name):
        def refuse(**_):
            message = f"User: x is not authorized to perform: {self.service}:{name} on resource: *"
            raise ClientError(
                {"Error": {"Code": "AccessDeniedException", "Message": message}}, name
            )

        return refuse


def stack(status, **more):
    outputs = [{"OutputKey": "TasksTable", "OutputValue": "x"}]
    return {
        "StackName": "act-one",
        "StackId": "id",
        "StackStatus": status,
        "Outputs": outputs,
        **more,
    }


def account(aws=None, region="eu-central-1", **given):
    aws = aws or FakeAws()
    return Account(aws, region, Plan(stack="act-one", given=given), TEMPLATE, aws.stack)


def texts(findings):
    return [f"{one.grade}: {one.text}" for one in findings]


@pytest.fixture
def doctor_of(monkeypatch, capsys, tmp_path):
    """Run the command in an account; return its exit status and what it says."""
    programs = {"python3.13": "3.13.9", "uv": "0.9.11", "make": "4.3", "sam": doctor.TESTED_SAM}
    for name, version in programs.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\necho 'Version {version}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    def run(aws, *arguments):
        monkeypatch.setattr(boto3, "Session", lambda **_: aws)
        return doctor.main([*arguments]), capsys.readouterr().out

    return run


def test_the_page_of_operations_shows_what_it_says_in_a_new_account(doctor_of):
    status, said = doctor_of(FakeAws(scheduled={"act-one/provider": "2026-12-28"}))

    assert status == 2
    assert said.splitlines() == TRANSCRIPTS["make doctor"].splitlines()


def test_what_may_not_be_seen_is_named_with_its_permission_and_stops_nothing(doctor_of):
    aws = FakeAws(quota=1_000, refused=("lambda", "iam", "secretsmanager", "apigateway"))

    status, said = doctor_of(aws)

    assert status == 0
    refused = re.findall(r"^not checked  .* needs the permission (\S+)$", said, re.MULTILINE)
    assert refused == [
        "lambda:list_function_url_configs",
        "lambda:get_account_settings",
        "apigateway:get_account",
        "iam:get_account_summary",
        "secretsmanager:describe_secret",
    ]
    assert said.splitlines()[-1] == "act-one can be deployed (5 not checked)."


@pytest.mark.parametrize(
    ("aws", "words"),
    [
        (FakeAws(region_name=None), "there is no AWS region"),
        (FakeAws(refused=("sts",)), "sts:get_caller_identity"),
    ],
)
def test_without_a_region_or_credentials_it_says_so_and_asks_no_more(aws, words, doctor_of):
    status, said = doctor_of(aws)

    assert status == 2
    assert words in said
    assert "stack act-one" not in said


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("ROLLBACK_COMPLETE", "delete-stack --stack-name act-one"),
        ("DELETE_FAILED", "delete-stack --stack-name act-one"),
        ("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name act-one"),
        ("UPDATE_FAILED", "rollback-stack --stack-name act-one"),
        ("UPDATE_IN_PROGRESS", "wait until that is over"),
    ],
)
def test_a_stack_that_cannot_be_deployed_to_gets_the_command_that_helps(status, words):
    [found] = texts(doctor.stack_status(account(FakeAws(stack=stack(status)))))

    assert found.startswith("problem: ")
    assert words in found


def test_the_reason_is_the_first_failure_of_the_latest_deployment():
    def event(name, status, reason=""):
        return {
            "LogicalResourceId": name,
            "PhysicalResourceId": "id" if name == "act-one" else "x",
            "StackId": "id",
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
        }

    events = [
        event("act-one", "ROLLBACK_COMPLETE"),
        event("CopyFunction", "CREATE_FAILED", "Resource creation cancelled"),
        event("EventBus", "CREATE_FAILED", "a consequence"),
        event("CallbackUrl", "CREATE_FAILED", "the cause"),
        event("act-one", "CREATE_IN_PROGRESS", "User Initiated"),
        event("Api", "UPDATE_FAILED", "long ago"),
    ]
    aws = FakeAws(stack=stack("ROLLBACK_COMPLETE"), events=events)

    assert "(CallbackUrl: the cause)" in texts(doctor.stack_status(account(aws)))[0]


def test_a_stack_of_something_else_is_not_overwritten():
    aws = FakeAws(stack=stack("CREATE_COMPLETE", Outputs=[]))

    assert "is a stack of something else" in texts(doctor.stack_status(account(aws)))[0]


@pytest.mark.parametrize("region", ["eu-south-2", "us-gov-west-1", "cn-north-1"])
def test_a_region_without_function_urls_needs_the_other_ingress(region):
    [without] = texts(doctor.function_urls(account(region=region)))
    [instead] = texts(doctor.function_urls(account(region=region, CallbackIngress="Api")))

    assert "problem" in without
    assert "CallbackIngress=Api" in without
    assert instead.startswith("ok")


@pytest.mark.parametrize(
    ("aws", "given", "expected"),
    [
        (FakeAws(quota=1_000), {}, ["ok"]),
        (FakeAws(quota=10, unreserved=8), {}, ["warning"]),
        (FakeAws(quota=1_000), {"CallbackReservedConcurrency": "20"}, ["ok"]),
        (FakeAws(quota=110), {"CallbackReservedConcurrency": "20"}, ["problem", "ok"]),
        (FakeAws(quota=10), {"CallbackReservedConcurrency": "5"}, ["problem", "warning"]),
    ],
)
def test_concurrency_that_is_missing_or_reserved_is_judged(aws, given, expected):
    found = [*doctor.concurrency(account(aws, **given))]

    assert [str(one.grade) for one in found] == expected


def test_what_the_stack_has_reserved_can_be_reserved_again():
    kept = [{"ParameterKey": "CallbackReservedConcurrency", "ParameterValue": "20"}]
    there = stack("UPDATE_COMPLETE", Parameters=kept)
    aws = FakeAws(stack=there, quota=120, unreserved=100)

    assert [str(one.grade) for one in doctor.concurrency(account(aws))] == ["ok"]


def test_a_quota_that_was_asked_for_is_not_asked_for_again():
    asked = [{"Status": "PENDING", "DesiredValue": 1000.0}]

    [found] = texts(doctor.concurrency(account(FakeAws(asked=asked))))

    assert "A request for 1000 is PENDING" in found
    assert "request-service-quota-increase" not in found


def test_the_event_sources_of_the_template_leave_room_in_a_new_account():
    assert doctor.polled_at_once(TEMPLATE) == 9 < doctor.NEW_ACCOUNT


def test_roles_and_parameters_are_checked_before_they_fail():
    [roles] = texts(doctor.roles(account(FakeAws(roles=990))))
    [unknown, _] = texts(doctor.parameters(account(Callback="Api", DailyBudgetUsd="5")))
    [throttle] = texts(doctor.gateway_limits(account(RequestBurst="6000")))

    assert "990 of 1000 IAM roles" in roles
    assert "no parameter Callback" in unknown
    assert throttle.startswith("warning")


def test_access_logs_need_the_accounts_role():
    [missing, _] = texts(doctor.gateway_limits(account(AccessLogs="true")))
    aws = FakeAws(log_role="arn:role")
    found = texts(doctor.gateway_limits(account(aws, AccessLogs="true")))

    assert "docs/organizations.md#access-logs" in missing
    assert [line.startswith("ok") for line in found] == [True]


def test_a_secret_of_ones_own_leaves_the_name_of_the_stacks_unused():
    aws = FakeAws(scheduled={"act-one/provider": "2026-12-28"})

    assert "delete-secret" in texts(doctor.names(account(aws)))[0]
    own = "arn:aws:secretsmanager:eu-central-1:1:secret:a-abcdef"
    [found] = texts(doctor.names(account(aws, ProviderApiKeySecretArn=own)))
    assert found.startswith("ok")


@pytest.mark.parametrize("name", ["SubnetIds", "SecurityGroupIds"])
def test_half_a_network_is_a_problem(name):
    [found, _] = texts(doctor.parameters(account(**{name: "subnet-1,subnet-2"})))

    assert found.startswith("problem: ")
    assert "need each other" in found

    both = {"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}
    assert "need each other" not in "".join(texts(doctor.parameters(account(**both))))


def test_parameters_that_change_and_stay_are_listed_and_secret_ones_hidden():
    kept = {"DailyBudgetUsd": "5", "Gone": "1", "ProviderApiKey": "****", "ApiDocs": "true"}
    listed = [{"ParameterKey": name, "ParameterValue": value} for name, value in kept.items()]
    aws = FakeAws(stack=stack("UPDATE_COMPLETE", Parameters=listed))

    [found] = texts(doctor.parameters(account(aws, DailyBudgetUsd="9", ProviderApiKey="sk-1")))

    assert "changes DailyBudgetUsd=9, ProviderApiKey; drops Gone" in found
    assert "sk-1" not in found


def test_only_what_the_users_own_path_has_counts(tmp_path):
    path = doctor.user_path(f"{ROOT}/.venv/bin:{ROOT}/.tools/uv/bin:{tmp_path}")
    broken = tmp_path / "python3.13"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    old = tmp_path / "sam"
    old.write_text("#!/bin/sh\necho SAM CLI, version 1.9.0\n")
    old.chmod(0o755)

    assert path == str(tmp_path)
    python, uv, make, there, sam = texts(doctor.tools(path))
    assert "python3.13 is missing" in python
    assert "uv is missing" in uv
    assert "make is missing" in make
    assert there == "ok: sam 1.9.0"
    assert "1.9.0 is older than" in sam


def test_the_folder_of_the_checkout_that_the_advice_puts_on_the_path_is_searched():
    added = f"{ROOT}/.venv/bin:{ROOT}/.tools/uv/bin"

    assert doctor.user_path(f"{added}:{ROOT}/.tools/uv/bin") == f"{ROOT}/.tools/uv/bin"
    assert doctor.user_path(f"{added}:/bin:{ROOT}/.tools/sam/bin") == f"/bin:{ROOT}/.tools/sam/bin"
    assert doctor.user_path(f"{added}:{added}") == added


def test_the_makefile_puts_the_folders_before_the_path_that_the_doctor_leaves_out():
    makefile = (ROOT / "Makefile").read_text()

    [line] = re.findall(r"^export PATH := (.*):\$\(PATH\)$", makefile, re.MULTILINE)
    added = line.replace("$(CURDIR)", str(ROOT))

    assert doctor.user_path(f"{added}:/bin") == "/bin"


def test_the_version_that_is_tested_is_the_pinned_one():
    pins = (ROOT / "requirements/sam.txt").read_text()
    pinned = re.search(r"^aws-sam-cli==(\S+)", pins, re.MULTILINE)

    assert pinned[1] == doctor.TESTED_SAM


def test_the_configuration_of_sam_is_read(tmp_path):
    file = tmp_path / "samconfig.toml"
    file.write_text(
        "version = 0.1\n[default.deploy.parameters]\nstack_name = 'mine'\nregion = 'eu-west-1'\n"
        "parameter_overrides = 'DailyBudgetUsd=5 CorsOrigin=\"https://a.example\"'\n"
    )

    plan = read_plan(["--config", str(file), "DailyBudgetUsd=9"])

    assert (plan.stack, plan.region) == ("mine", "eu-west-1")
    assert plan.given == {"DailyBudgetUsd": "9", "CorsOrigin": "https://a.example"}


@pytest.mark.parametrize("arguments", [["typo"], ["--stack"], ["--config", "none.toml"]])
def test_a_mistake_is_told_in_one_sentence(arguments, capsys):
    assert doctor.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "make doctor" in captured.err


def test_findings_are_counted_and_only_problems_fail():
    found = examine([Check("a", lambda: [ok("a"), warning("b"), not_checked("c")])], lambda _: None)

    assert summary(found, "good", "bad") == ("good (1 warning, 1 not checked).", 0)
    assert summary([*found, problem("d"), problem("e")], "good", "bad") == (
        "bad (2 problems, 1 warning, 1 not checked).",
        2,
    )
    assert summary([ok("a")], "good", "bad") == ("good.", 0)
