"""Writes rows of the clients table: only what this release knows of them, and no newer rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from act_one.tasks import schema
from act_one.tasks.attributes import attribute

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def write_row(
    dynamodb: "DynamoDBClient",
    table: str,
    row_id: str,
    values: Mapping[str, object],
    *,
    new: bool = False,
) -> None:
    """Set attributes of a row, and remove those that are None; any others that it has stay.

    Raises ``NewerRowError`` for a row of a newer release, and boto3's error for a ``new`` row that
    is there already.
    """
    written = {**values, schema.ATTRIBUTE: schema.CLIENTS.written}
    bound = {name: attribute(value) for name, value in written.items() if value is not None}
    sets = ", ".join(f"#{name} = :{name}" for name in bound)
    removed = ", ".join(f"#{name}" for name, value in written.items() if value is None)
    limits = {} if new else {":schema_read": attribute(schema.CLIENTS.read)}
    try:
        dynamodb.update_item(
            TableName=table,
            Key={"id": {"S": row_id}},
            UpdateExpression=f"SET {sets}" + (f" REMOVE {removed}" if removed else ""),
            ConditionExpression="attribute_not_exists(id)" if new else schema.NOT_NEWER,
            ExpressionAttributeNames={f"#{name}": name for name in written},
            ExpressionAttributeValues={f":{name}": value for name, value in bound.items()} | limits,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        response: Mapping[str, Any] = error.response
        schema.CLIENTS.check(response.get("Item", {}))
        raise
