from pathlib import Path

import boto3
import pytest
from hypothesis import Phase, settings

from local.emulator import ADMINISTRATOR, REGION, running_emulator
from local.expand import expand
from tests.protocol.world import Deployment

TEMPLATE = Path("template.yaml")
settings.register_profile("unshrunk", phases=[Phase.generate])
FUNCTIONS = (
    *("Submit", "Tasks", "Erase", "Callback", "Relay", "Copy", "Sweeper", "Fallback", "Ingest"),
)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory):
    """The real template's tasks table in an emulated DynamoDB, and its functions' time-outs."""
    resources = expand(TEMPLATE)["Resources"]
    asked = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    seconds = {
        name.lower(): float(resources[f"{name}Function"]["Properties"]["Timeout"])
        for name in FUNCTIONS
    }
    with running_emulator(tmp_path_factory.mktemp("emulator")) as endpoint_url:
        client = boto3.client(
            "dynamodb",
            endpoint_url=endpoint_url,
            region_name=REGION,
            aws_access_key_id=ADMINISTRATOR["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"],
        )
        for name, resource in (("tasks", "TasksTable"), ("ledger", "LedgerTable")):
            described = resources[resource]["Properties"]
            chosen = {word: described[word] for word in asked if word in described}
            client.create_table(TableName=name, **chosen)
        yield Deployment(client, "tasks", "ledger", seconds)
