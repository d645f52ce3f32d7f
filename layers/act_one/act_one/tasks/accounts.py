"""The ledger's table, as it is read: the accounts of its owners, day by day."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from act_one.tasks.ledger import Amounts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """The table ``name``, reached through ``client``."""

    client: "DynamoDBClient"
    name: str

    def days(self, owner: str, first: str, last: str) -> dict[str, Amounts]:
        """Read an account by day, from ``first`` to ``last`` (``yyyy-mm-dd``), oldest first."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.name,
            KeyConditionExpression="#owner = :owner AND #day BETWEEN :first AND :last",
            ExpressionAttributeNames={"#owner": "owner", "#day": "day"},
            ExpressionAttributeValues={
                ":owner": {"S": owner},
                ":first": {"S": first},
                ":last": {"S": last},
            },
            ConsistentRead=True,
        )
        return {
            item["day"]["S"]: {
                name: int(value["N"]) for name, value in item.items() if "N" in value
            }
            for page in pages
            for item in page["Items"]
        }
