"""Mutants of the bounds on what strangers send: texts, replies, chunks and media files."""

import math
import re
from array import array
from http.client import HTTPResponse
from typing import Final

from act_one.media import images, mp4
from act_one.media.stream import Stream
from act_one.net.response import Response, Source
from act_one.provider import replies
from tests.protocol.mutants.registry import altered, mutant

FORMS: Final = "provider/test_undocumented_forms.py::"
EXCHANGE: Final = "net/test_exchange.py::"
DOWNLOADS: Final = "net/test_downloads.py::"
HOSTILE: Final = "media/test_hostile.py::"
QUICKLY: Final = HOSTILE + "test_a_file_made_to_take_long_is_checked_quickly"
LARGE: Final = HOSTILE + "test_no_file_of_512_megabytes_takes_two_seconds"

# ── Texts ─────────────────────────────────────────────────────────────────────────────────────


@mutant(
    "secrets that the provider echoes are passed on",
    replies,
    "scrub",
    killer=FORMS + "test_an_echoed_secret_is_removed_from_the_reason",
)
def _(scrub, text, _secrets=()):
    return scrub(text)


altered(
    "a long text is not cut before secrets are looked for in it",
    replies,
    "_MAX_TEXT",
    16_000,
    killer=FORMS + "test_scrubbing_a_long_text_is_fast",
)
altered(
    "a callback token that the provider echoes is passed on",
    replies,
    "_CALLBACK_TOKEN",
    re.compile(r"(?!)"),
    killer=FORMS + "test_a_callback_token_is_removed_from_a_failure",
)


@mutant(
    "an id is read that is too long for the index",
    replies,
    "_id",
    killer=FORMS + "test_an_id_too_long_for_the_index_is_not_read",
)
def _(_id, found, *names):
    return next(filter(None, (replies._text(found.get(name)) for name in names)), "")  # noqa: SLF001


# ── Replies ───────────────────────────────────────────────────────────────────────────────────


@mutant(
    "a chunk may have a negative length",
    Response,
    "read1",
    killer=DOWNLOADS + "test_a_chunk_of_negative_length_is_an_error",
)
def _(_read1, self, n=-1):
    self._source.allow(n)
    piece = HTTPResponse.read1(self, n)
    self._chunked_bytes += len(piece)
    return piece


@mutant(
    "a head and what is around chunks may have any length",
    Source,
    "__init__",
    killer=DOWNLOADS + "test_endless_chunk_framing_is_refused_without_buffering_it",
)
def _(init, self, connected, **bounds):
    init(self, connected, **bounds | {"max_overhead_bytes": math.inf})


@mutant(
    "interim replies may come for ever",
    Source,
    "__init__",
    killer=DOWNLOADS + "test_an_endless_head_is_refused_without_buffering_it[interim answers]",
)
def _(init, self, connected, **bounds):
    init(self, connected, **bounds)
    self._max_received = math.inf


@mutant(
    "the paid exchange reads interim replies for ever",
    Source,
    "__init__",
    killer=EXCHANGE
    + "test_an_endless_reply_is_given_up_soon_without_buffering_it[interim responses]",
)
def _(init, self, connected, **bounds):
    init(self, connected, **bounds | {"max_overhead_bytes": math.inf})


# ── Media files ───────────────────────────────────────────────────────────────────────────────


@mutant(
    "a chunk's end is computed in the integers of its table",
    mp4,
    "_read_sample_table",
    killer=HOSTILE + "test_a_chunk_that_ends_beyond_its_integer_type_is_cut_off",
)
def _(read_sample_table, table):
    samples, end = read_sample_table(table)
    code = "I" if mp4._first(table, b"stco") else "Q"  # noqa: SLF001
    return samples, array(code, [end])[0]


class Unbounded:
    """A stream whose parts are not counted."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def has_part(self, _count=1):
        return True


@mutant(
    "the parts of a file are not counted",
    Stream,
    "has_part",
    killer=QUICKLY + "[empty boxes]",
)
def _(_has_part, _self, _count=1):
    return True


@mutant(
    "the fill bytes of a JPEG are not counted",
    images,
    "_next_segment",
    killer=QUICKLY + "[JPEG fill bytes]",
)
def _(next_segment, stream):
    return next_segment(Unbounded(stream))


@mutant(
    "the sub-blocks of a GIF are not counted",
    images,
    "_skip_sub_blocks",
    killer=QUICKLY + "[GIF blocks of a byte]",
)
def _(skip_sub_blocks, stream):
    return skip_sub_blocks(Unbounded(stream))


altered(
    "all entries of Exif data are read",
    images,
    "MAX_CHILDREN",
    65_536,
    killer=LARGE + "[JPEG Exif entries]",
)


@mutant(
    "the entries of segment indexes are not counted",
    mp4,
    "_take_sidx",
    killer=LARGE + "[segment indexes]",
)
def _(take_sidx, stream, *rest):
    return take_sidx(Unbounded(stream), *rest)
