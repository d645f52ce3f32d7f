import functools
import importlib
import json
import logging
import sys
from itertools import count
from threading import RLock

import boto3
import hypothesis
import pytest
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter, clear_context_keys
from botocore.config import Config

from act_one.aws import s3_client
from act_one.settings import Settings
from act_one.tasks.table import TaskTable
from local.emulator import ADMINISTRATOR, REGION, ROOT, environment, running_emulator
from local.expand import expand
from tests.sizes import size
from tests.unit.fakes import settings, use_new_session

hypothesis.settings.register_profile(
    "unit",
    max_examples=size(25, 60),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("unit")

TABLE_NUMBERS = count(1)


class LinesKept(logging.Handler):
    """Keeps log lines as Lambda gets them."""

    def __init__(self):
        super().__init__()
        self.setFormatter(LambdaPowertoolsFormatter())
        self.lines = []

    def emit(self, record):
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def log_lines():
    """The lines that `act_one` logs during a test, each a dictionary."""
    handler = LinesKept()
    logger = logging.getLogger(Logger(child=True).service)
    logger.addHandler(handler)
    clear_context_keys()
    yield handler.lines
    clear_context_keys()
    logger.removeHandler(handler)


@pytest.fixture(autouse=True)
def no_metrics_of_other_tests():
    """All parts of a process write into one set of metrics; a handler writes it out at its end."""
    Metrics().clear_metrics()


@pytest.fixture(scope="session")
def endpoint_url(tmp_path_factory):
    with running_emulator(tmp_path_factory.mktemp("aws")) as url:
        yield url


@pytest.fixture(scope="session")
def aws(endpoint_url):
    """Build clients of the emulator, one for each service."""

    @functools.cache
    def client(service):
        return boto3.client(
            service,
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id=ADMINISTRATOR["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )

    return client


@pytest.fixture
def entries_of_a_page(aws):
    """How many files and folders S3 lists on a page: fewer than 1,000, as it may."""
    entries = size(10, 1_000)

    def ask_for_fewer(params, **_):
        params["MaxKeys"] = entries

    events = aws("s3").meta.events
    events.register("provide-client-params.s3.ListObjectsV2", ask_for_fewer)
    yield entries
    events.unregister("provide-client-params.s3.ListObjectsV2", ask_for_fewer)


@pytest.fixture(scope="session")
def shipped_s3(endpoint_url):
    """The S3 client that ships, made where the defaults of AWS lead to the emulator."""
    with pytest.MonkeyPatch.context() as patch:
        use_new_session(patch)
        for name, value in environment(endpoint_url).items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        return s3_client(attempts=1)


@pytest.fixture
def import_handler(monkeypatch):
    """Import a handler's module anew, with Lambda's environment; AWS is out of reach."""

    def imported(name):
        for setting in Settings.__slots__:
            monkeypatch.setenv(setting.upper(), str(getattr(settings(), setting)))
        for variable, value in environment("http://127.0.0.1:1").items():
            if variable.startswith("AWS_"):
                monkeypatch.setenv(variable, value)
        use_new_session(monkeypatch)
        monkeypatch.syspath_prepend(str(ROOT / "functions"))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return imported


@pytest.fixture(scope="session")
def dynamodb(aws):
    return aws("dynamodb")


@pytest.fixture(scope="session")
def create_table(dynamodb):
    """Name a table of the template; it is created by the first call that names it."""
    waiting = {}
    one_at_a_time = RLock()  # CreateTable names a table too

    def create_those_named(params, **_):
        with one_at_a_time:
            for name in waiting.keys() & tables_named(params):
                dynamodb.create_table(TableName=name, **table_properties(waiting.pop(name)))

    def create(logical_id):
        name = f"{logical_id}-{next(TABLE_NUMBERS)}"
        waiting[name] = logical_id
        return name

    dynamodb.meta.events.register("provide-client-params.dynamodb", create_those_named)
    return create


def tables_named(params):
    """The tables that a call to DynamoDB is about."""
    written = [next(iter(item.values())) for item in params.get("TransactItems", ())]
    single = [params] if "TableName" in params else []
    return {*params.get("RequestItems", ()), *(one["TableName"] for one in (*single, *written))}


@pytest.fixture
def table(dynamodb, create_table):
    """A tasks table and a ledger of the test's own."""
    return TaskTable(dynamodb, create_table("TasksTable"), create_table("LedgerTable"))


@functools.cache
def table_properties(logical_id):
    """A table as the template has it, in the words of CreateTable."""
    written = expand(ROOT / "template.yaml")["Resources"][logical_id]["Properties"]
    later = {"PointInTimeRecoverySpecification", "TimeToLiveSpecification"}
    by_parameter = {"SSESpecification", "DeletionProtectionEnabled"}
    asked = {name: value for name, value in written.items() if name not in later | by_parameter}
    if "StreamSpecification" in asked:
        stream = {"StreamEnabled": True} | asked["StreamSpecification"]
        asked["StreamSpecification"] = stream
    return asked
