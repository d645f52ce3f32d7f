"""The pair of files that was last claimed from each folder of the uploads bucket.

A pair is claimed once, and the next one only when both of its files are newer: replacing the two
files one after the other never pays for one old and one new file.

    claim   no pair claimed, or the claimed pair is the one we read ──▶ this pair

S3's times have a resolution of one second, so other content of the same second counts as newer.
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
    """Another invocation claimed a pair of the folder since it was read: read it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file's ETag and the time of its last change (epoch seconds)."""

    etag: str
    modified: float

    def replaces(self, other: "Content") -> bool:
        """Return whether this is newer than the other."""
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
    """The pair that was claimed last, and the id of its task."""

    pair: Pair
    task_id: str
    claim_id: str


class Verdict(Enum):
    """How a pair relates to the one that was claimed last."""

    NEW = auto()
    SAME = auto()
    """Already claimed; its task may be missing if the claiming invocation was stopped."""
    MIXED = auto()
    """One of its files belongs to the pair claimed last: wait for its replacement."""


def judge(pair: Pair, taken: Taken | None) -> Verdict:
    """Compare a pair with the one that was claimed last."""
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
        """Read the pair that was claimed last (strongly consistent)."""
        answer = self.client.get_item(
            TableName=self.name, Key={"folder": {"S": folder}}, ConsistentRead=True
        )
        return _read_item(answer["Item"]) if "Item" in answer else None

    def claim(self, pair: Pair, task_id: str, seen: Taken | None, expires_at: float) -> None:
        """Replace the claim that was read (``seen``) by one of this pair.

        DynamoDB may delete it after ``expires_at``. Raises ``PairTakenError`` when the claim has
        changed since, which may also be our own write whose reply was lost.
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
