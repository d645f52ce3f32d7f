"""Which pair of files was taken last from each folder of the uploads bucket.

A pair is taken once, and the next one only when both of its files are newer: whoever replaces the
two one after the other never pays for the mixture in between.

    claim   no pair taken, or the pair taken is the one seen ──▶ this pair

Times are S3's, to the second, so a changed content counts as newer within the same second.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from act_one.tasks.identifiers import new_claim_id

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutItemInputTypeDef

_NONE_TAKEN: Final = "attribute_not_exists(folder)"
_AS_SEEN: Final = "claim_id = :seen"


class PairTakenError(Exception):
    """Somebody else took a pair of the folder since it was looked at: look again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is in a file, and since when (epoch seconds)."""

    etag: str
    modified: float

    def replaces(self, other: "Content") -> bool:
        """Tell whether this was put in the place of the other."""
        if self.modified == other.modified:
            return self.etag != other.etag
        return self.modified > other.modified


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The one video and the one image of a ``folder``, which ends with ``/``."""

    folder: str
    video: Content
    image: Content

    @property
    def key(self) -> str:
        """The pair's idempotency key: the same for the same bytes in the same folder."""
        named = f"{self.folder}\n{self.video.etag}\n{self.image.etag}"
        return hashlib.sha256(named.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The pair that was taken last, and the id of its task."""

    pair: Pair
    task_id: str
    claim_id: str


class Verdict(Enum):
    """What a pair is, beside the one that was taken last."""

    NEW = auto()
    SAME = auto()
    """Taken already; its task may still have to be made, if whoever took it was stopped."""
    MIXED = auto()
    """Half of it belongs to the pair taken last: the other half is still to come."""


def judge(pair: Pair, taken: Taken | None) -> Verdict:
    """Compare a pair with the one that was taken last."""
    if taken is None:
        return Verdict.NEW
    last = taken.pair
    if pair.video.replaces(last.video) and pair.image.replaces(last.image):
        return Verdict.NEW
    return Verdict.SAME if pair.key == last.key else Verdict.MIXED


@dataclass(frozen=True, slots=True)
class PairTable:
    """The table ``name``, reached through ``client``."""

    client: "DynamoDBClient"
    name: str

    def read(self, folder: str) -> Taken | None:
        """Read which pair was taken last (strongly consistent)."""
        answer = self.client.get_item(
            TableName=self.name, Key={"folder": {"S": folder}}, ConsistentRead=True
        )
        return _read_item(answer["Item"]) if "Item" in answer else None

    def claim(self, pair: Pair, task_id: str, seen: Taken | None, expires_at: float) -> None:
        """Take a pair in the place of the one that was seen.

        ``expires_at`` is when DynamoDB may forget it. Raises ``PairTakenError`` when another was
        taken since, which may also be our own claim whose reply was lost.
        """
        asked: PutItemInputTypeDef = {
            "TableName": self.name,
            "Item": _to_item(pair, task_id, expires_at),
            "ConditionExpression": _NONE_TAKEN,
        }
        if seen is not None:
            asked["ConditionExpression"] = _AS_SEEN
            asked["ExpressionAttributeValues"] = {":seen": {"S": seen.claim_id}}
        try:
            self.client.put_item(**asked)
        except self.client.exceptions.ConditionalCheckFailedException as error:
            raise PairTakenError(pair.folder) from error


def _to_item(pair: Pair, task_id: str, expires_at: float) -> dict[str, Any]:
    return {
        "folder": {"S": pair.folder},
        "video_etag": {"S": pair.video.etag},
        "video_modified": {"N": str(pair.video.modified)},
        "image_etag": {"S": pair.image.etag},
        "image_modified": {"N": str(pair.image.modified)},
        "task_id": {"S": task_id},
        "claim_id": {"S": new_claim_id()},
        "expires_at": {"N": str(int(expires_at))},
    }


def _read_item(item: Mapping[str, Any]) -> Taken:
    def content(kind: str) -> Content:
        return Content(
            etag=item[f"{kind}_etag"]["S"], modified=float(item[f"{kind}_modified"]["N"])
        )

    return Taken(
        pair=Pair(folder=item["folder"]["S"], video=content("video"), image=content("image")),
        task_id=item["task_id"]["S"],
        claim_id=item["claim_id"]["S"],
    )
