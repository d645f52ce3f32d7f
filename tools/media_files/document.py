"""The table of media files as a page: the same files that the tests ask about.

python -m tools.media_files.document         writes docs/media-files.md
python -m tools.media_files.document --ask   asks the preflight about each file first
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from local.stack import ROOT
from tools.media_files.files_server import files_server
from tools.media_files.sources import Sources
from tools.media_files.table import TABLE, Case
from tools.media_files.verdicts import KEPT, ask, kept

DOCUMENT: Final = ROOT / "docs/media-files.md"

_HEAD: Final = """\
# Media files, and what is said of them

What a file is, is told from its bytes, in two ways:

- `probe` reads a remote file by ranges: its first 64 KiB, then where its index is. It says what an
  input is before anything is paid for: its type, duration and size as shown.
- `Scan` sees a file stream by and must know before its last chunk goes on whether all of it is
  there: a result is stored whole or not at all.

Both look at containers, never at pictures or sound. The files below are made by ffmpeg and by
cutting and changing those; the tests ask both about each of them, in chunks of 1, 7, 4,096 and
262,144 bytes, with the file's size told and not told, and compare what is said of the whole ones
with what ffmpeg says. `tools/media_files/table.py` holds the table,
`python -m tools.media_files.document` writes this page from it, and a test compares the two.

The columns: what `probe` says; what the copy says, by `Scan`, which decides whether a result is
stored; what the preflight says of the file as a client's video (or image, in the groups of images),
asked over HTTP, with a shortest duration of 1 s because these files have 2; how many ranged reads
`probe` makes and how much it reads; and the milliseconds of the whole preflight of both inputs,
HEAD included, measured once on 127.0.0.1.

| code | the file |
|---|---|
| `media_cut_off` | its end is missing, or what its index speaks of |
| `media_broken` | it contradicts itself |
| `media_wrong_type` | it is something else, such as a web page, sound, or another kind of image |
| `media_unknown_type` | it is none of the kinds known here |
| `media_no_video` | it is a video's container, with sound only |
| `media_empty` | its video track holds no picture, or shows it for no time |
| `media_unclear` | `probe` only: can't be told by 12 reads and 4 MiB |

## What can't be told

- A file that lost its end exactly between two fragments or two blocks, and says nowhere how much
  there should be: live WebM, and fragmented MP4 without a segment index. Its `Content-Length` may.
- A fragmented or live file has a duration only if it says so ahead (`mehd`, `sidx`, `Duration`).
- An index beyond 8 MiB passes unread, as does whatever comes after 65,536 boxes, elements, chunks
  or blocks of one file. That bounds the time any file can take: 0.3 s, whatever it is made of.
- `probe` doesn't look for the end of an image, nor, where the server tells no size, for a video's.

The duration is that of the video track, edit list included: not that of the movie, which lasts as
long as its longest track. The size is what is shown: pixels made square (`pasp`, or the size at
which the track is shown), then turned. A frame cropped by `clap` is not taken into account.

## What it costs

Measured once, on 2 shared cores, beside the SHA-256 of the same chunk (about 200 µs there):

| | µs per 256 KiB |
|---|--:|
| MP4 | 1 |
| WebP | 1 |
| WebM, fragmented MP4, PNG, of small parts | 50 to 65 |
| JPEG; GIF; live WebM of 1 KB blocks | 260; 330; 580 |

Telling what a remote file is takes 0.1 ms beside its one or two reads; importing it all, 5 ms.
"""


def render(table: Mapping[str, Sequence[Case]]) -> str:
    """Write the page."""
    return "".join(f"{line}\n" for line in (*_HEAD.splitlines(), *_tables(table, kept())))


def _tables(
    table: Mapping[str, Sequence[Case]], said: Mapping[str, Mapping[str, tuple[str, float]]]
) -> Iterator[str]:
    for group, cases in table.items():
        yield from ("", f"## {group}", "")
        yield "| file | probe | copy | preflight | reads | KiB read, at most | ms |"
        yield "|---|---|---|---|--:|--:|--:|"
        for case in cases:
            copy = "the same" if case.scan == case.probe else case.scan
            verdict, took = said[group][case.name]
            words = (case.name, case.probe, copy, verdict, case.reads, case.kib, took)
            yield f"| {' | '.join(map(str, words))} |"


if __name__ == "__main__":
    if sys.argv[1:] == ["--ask"]:
        with TemporaryDirectory() as folder, files_server() as server:
            said = ask(Sources(Path(folder)), server)
        KEPT.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")
    DOCUMENT.write_text(render(TABLE))
