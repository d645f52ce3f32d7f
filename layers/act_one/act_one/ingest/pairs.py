"""The pair of files that was last claimed from each folder of the uploads bucket.

A pair is claimed once, and the next one only when both of its files are newer: replacing the two
files one after the other never pays for one old and one new file.

    claim   no pair claimed, or the claimed pair is the one we read ──▶ this pair

S3's times have a resolution of one second, so other content of the same second counts as newer.

The same table has a lease on each folder's rejection, so that two invocations that read the folder
at the same time don't send two:

    reject  no live lease ──▶ a lease of 30 s, given back once the rejection is written

It also holds the secret from which ingest derives its tasks' ids. It is made once and never
replaced: with another secret, a repeated request would have another id and be paid again.
"""

import hashlib
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from act_one.clock import DAY
from act_one.tasks import schema
from act_one.tasks.identifiers import new_claim_id

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutItemInputTypeDef

_ID_ROW: Final = "ids"
"""The key of the row with the secret; a folder's key begins with ``incoming/``."""
_REJECTING: Final = "rejecting/"
"""Before the name of a folder: the key of the row with the lease on its rejection."""
REJECTION_SECONDS: Final = 30.0
"""How long one invocation may take to send a rejection before another may send it."""
_NONE_TAKEN: Final = "attribute_not_exists(folder)"
_AS_SEEN: Final = "claim_id = :seen"
_NO_LEASE: Final = f"{_NONE_TAKEN} OR lease_until <= :now"


class PairTakenError(Exception):
    """Another invocation claimed a pair of the folder since it was read: read it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file's ETag, its checksum under a KMS key, and when it changed (epoch seconds).

    Under a key an ETag is that of one upload. A claim of an older release has nothing else.
    """

    etag: str
    modified: float
    checksum: str | None = None

    @property
    def same(self) -> str:
        """Return what is the same for the same bytes."""
        return self.checksum or self.etag

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
        """Identifies the pair's content: the same for the same bytes in the same folder."""
        named = f"{self.folder}\n{self.video.same}\n{self.image.same}"
        return hashlib.sha256(named.encode()).hexdigest()

    def is_same(self, other: "Pair") -> bool:
        """Return whether these are the same bytes, or the very files."""
        uploads, others = ((one.folder, one.video.etag, one.image.etag) for one in (self, other))
        return self.key == other.key or uploads == others


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The pair that was claimed last, and the id of its task."""

    pair: Pair
    task_id: str
    claim_id: str
    expires_at: float | None
    """When DynamoDB may delete the claim, in epoch seconds; None: never."""
    run: int = 1
    """Counts the tasks of these same bytes, from 1: a failed one can be asked for again."""
    created: bool = False
    """Whether the task was created; its row may be gone since."""


class Verdict(Enum):
    """How a pair relates to the one that was claimed last."""

    NEW = auto()
    SAME = auto()
    """Already claimed; its task is missing if the claiming invocation was stopped."""
    MIXED = auto()
    """One of its files belongs to the pair claimed last: wait for its replacement."""


def judge(pair: Pair, taken: Taken | None) -> Verdict:
    """Compare a pair with the one that was claimed last."""
    if taken is None:
        return Verdict.NEW
    last = taken.pair
    if pair.video.replaces(last.video) and pair.image.replaces(last.image):
        return Verdict.NEW
    return Verdict.SAME if pair.is_same(last) else Verdict.MIXED


@dataclass(frozen=True, slots=True)
class PairTable:
    """The table ``name``, reached through ``client``."""

    client: "DynamoDBClient"
    name: str

    def read(self, folder: str) -> Taken | None:
        """Read the pair that was claimed last (strongly consistent).

        Raises ``NewerRowError`` for a claim of a newer release.
        """
        answer = self.client.get_item(
            TableName=self.name, Key={"folder": {"S": folder}}, ConsistentRead=True
        )
        return _read_item(answer["Item"]) if "Item" in answer else None

    def claim(
        self,
        pair: Pair,
        task_id: str,
        seen: Taken | None,
        expires_at: float | None,
        *,
        run: int = 1,
        created: bool = False,
    ) -> Taken:
        """Replace the claim that was read (``seen``) by this one, and return it.

        Raises ``PairTakenError`` when the claim has changed since, which may also be our own write
        whose reply was lost.
        """
        taken = Taken(
            pair=pair,
            task_id=task_id,
            claim_id=new_claim_id(),
            expires_at=expires_at,
            run=run,
            created=created,
        )
        as_seen = (_NONE_TAKEN, {}) if seen is None else (_AS_SEEN, {":seen": {"S": seen.claim_id}})
        if not self._put_if(_to_item(taken), *as_seen):
            raise PairTakenError(pair.folder)
        return taken

    @contextmanager
    def rejecting(self, folder: str, now: float) -> Iterator[bool]:
        """Reserve the sending of a folder's rejection; yield whether it is ours.

        If the function is stopped meanwhile, the lease runs out by itself.
        """
        item: dict[str, Any] = {
            "folder": {"S": f"{_REJECTING}{folder}"},
            "claim_id": {"S": new_claim_id()},
            "lease_until": {"N": str(now + REJECTION_SECONDS)},
            "expires_at": {"N": str(int(now + DAY))},
        }
        if not self._put_if(item, _NO_LEASE, {":now": {"N": str(now)}}):
            yield False
            return
        try:
            yield True
        finally:
            ended = {**item, "lease_until": {"N": "0"}}
            self._put_if(ended, _AS_SEEN, {":seen": item["claim_id"]})

    def id_secret(self) -> bytes:
        """Return the secret for ids; make it at the first call."""
        while True:
            answer = self.client.get_item(
                TableName=self.name, Key={"folder": {"S": _ID_ROW}}, ConsistentRead=True
            )
            if "Item" in answer:
                return bytes.fromhex(answer["Item"]["secret"]["S"])
            # Another invocation may make it first: the next turn reads what there is.
            secret = secrets.token_hex(32)
            self._put_if({"folder": {"S": _ID_ROW}, "secret": {"S": secret}}, _NONE_TAKEN, {})

    def _put_if(self, item: dict[str, Any], condition: str, values: dict[str, Any]) -> bool:
        """Put a row if the one with its key meets a condition; return whether it did."""
        asked: PutItemInputTypeDef = {
            "TableName": self.name,
            "Item": item,
            "ConditionExpression": condition,
        }
        if values:
            asked["ExpressionAttributeValues"] = values
        try:
            self.client.put_item(**asked)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _to_item(taken: Taken) -> dict[str, Any]:
    item = {
        "folder": {"S": taken.pair.folder},
        "video_etag": {"S": taken.pair.video.etag},
        "video_modified": {"N": str(taken.pair.video.modified)},
        "image_etag": {"S": taken.pair.image.etag},
        "image_modified": {"N": str(taken.pair.image.modified)},
        "task_id": {"S": taken.task_id},
        "claim_id": {"S": taken.claim_id},
        "run": {"N": str(taken.run)},
        "created": {"BOOL": taken.created},
        **schema.PAIRS.stamp(),
    }
    for kind, content in (("video", taken.pair.video), ("image", taken.pair.image)):
        if content.checksum is not None:
            item[f"{kind}_checksum"] = {"S": content.checksum}
    if taken.expires_at is not None:
        item["expires_at"] = {"N": str(int(taken.expires_at))}
    return item


def _read_item(item: Mapping[str, Any]) -> Taken:
    schema.PAIRS.check(item)

    def content(kind: str) -> Content:
        return Content(
            etag=item[f"{kind}_etag"]["S"],
            modified=float(item[f"{kind}_modified"]["N"]),
            checksum=item.get(f"{kind}_checksum", {}).get("S"),
        )

    return Taken(
        pair=Pair(folder=item["folder"]["S"], video=content("video"), image=content("image")),
        task_id=item["task_id"]["S"],
        claim_id=item["claim_id"]["S"],
        expires_at=float(item["expires_at"]["N"]) if "expires_at" in item else None,
        run=int(item.get("run", {"N": "1"})["N"]),
        created="created" in item and item["created"]["BOOL"],
    )
