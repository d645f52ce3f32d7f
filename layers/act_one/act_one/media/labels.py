"""What an object in the results bucket says of itself: S3's user metadata.

S3 takes ASCII and 2 KB of it. Other text is written in the encoded words of RFC 2047, in which S3
returns what isn't ASCII itself.
"""

import re
from base64 import b64encode
from itertools import batched
from typing import Final

from act_one.tasks.documents import DISCLOSURE
from act_one.tasks.task import Task

_PLAIN: Final = re.compile(r"[!-~]+(?: [!-~]+)*")
_ENCODED: Final = "=?"
_CHARACTERS_PER_WORD: Final = 11
"""A word has 75 characters at most: 45 bytes in Base64."""


def object_labels(task: Task) -> dict[str, str]:
    """Return the user metadata of a task's results: at most 2,048 bytes."""
    labels = {"task-id": task.task_id, "disclosure": DISCLOSURE}
    if task.consent is not None:
        labels["consent"] = header_text(task.consent)
    return labels


def header_text(text: str) -> str:
    """Write a text as a header can hold it: as it is, or in encoded words of RFC 2047."""
    if _PLAIN.fullmatch(text) and _ENCODED not in text:
        return text
    return " ".join(
        _encoded_word("".join(part)) for part in batched(text, _CHARACTERS_PER_WORD, strict=False)
    )


def _encoded_word(text: str) -> str:
    return f"=?utf-8?b?{b64encode(text.encode()).decode()}?="
