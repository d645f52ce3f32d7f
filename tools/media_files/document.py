"""Writes docs/media-files.md from the table of media files that the tests use.

python -m tools.media_files.document             writes the page
python -m tools.media_files.document --measure   records the preflight's results first
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from local.stack import ROOT
from tools.media_files.files_server import files_server
from tools.media_files.preflight import RECORDED, measure, recorded
from tools.media_files.sources import Sources
from tools.media_files.table import TABLE, Case

DOCUMENT: Final = ROOT / "docs/media-files.md"

_HEAD: Final = """\
# Media files, and how they are judged

The backend reads a file's type from its bytes, in two ways:

- `probe` reads ranges of a remote file: its first 64 KiB, then its index. The preflight uses it to
  get an input's type, duration and displayed size before anything is paid for.
- `Scan` checks a file while it is copied. It must know before the last chunk is sent to S3 whether
  the file is complete, so that a result is stored whole or not at all.

Both check the container only; neither decodes pictures or sound. The files below are made by ffmpeg
and by editing its output. The tests run both checks on each file, in chunks of 1, 7, 4,096 and
262,144 bytes, with and without a known file size, and compare the results for complete files with
those of ffmpeg. `python -m tools.media_files.document` writes this page from the table in
`tools/media_files/table.py`, and a test compares the two.

The columns are:

- **probe**: the result of `probe`;
- **copy**: the result of `Scan`, which decides whether a copy is stored;
- **preflight**: the result of the preflight over HTTP, with the file as the video (as the image in
  the groups of images) and a minimum duration of 1 s, because these files last 2 s;
- **reads**, **KiB**: the number of ranged reads of `probe`, and the most that they read;
- **ms**: the time of one preflight of both inputs, HEAD included, measured once on 127.0.0.1.

| code | the file |
|---|---|
| `media_cut_off` | its end, or data that its index refers to, is missing |
| `media_broken` | its structure is invalid |
| `media_wrong_type` | it is something else: a web page, sound, another kind of video or image |
| `media_unknown_type` | its format is not recognised |
| `media_no_video` | it is a video container with sound only |
| `media_empty` | its video track has no samples or no duration |
| `media_unclear` | `probe` only: 12 reads and 4 MiB were not enough |

`C2PA` in the column copy means that the file carries a C2PA manifest:

- in MP4 and QuickTime, a top-level `uuid` box of the type `d8fec3d6-1b0e-483c-9297-5828877ec481`
  with the purpose `manifest`, `original` or `update`;
- in PNG a `caBX` chunk, in JPEG an APP11 segment, that begins a JUMBF box of the type `c2pa`;
- in WebP, a `C2PA` chunk.

A manifest is found, not verified: a C2PA tool says who signed it and whether it fits the file.
Whether there is one is unknown (`c2pa: null`) for WebM, for which C2PA defines no embedding; for
GIF, which isn't searched; for files of more parts than are read; and for WebP files whose chunks
don't fill them. `probe` doesn't search. The copy in the bucket has every byte of the provider's
file, so that a manifest stays valid.

## What can't be detected

- A file that is cut off exactly between two fragments or blocks and doesn't state how many there
  are: live WebM, and fragmented MP4 without a segment index. Its `Content-Length` may reveal it.
- The duration of a fragmented or live file, unless its header states it (`mehd`, `sidx`,
  `Duration`).
- Errors in an index larger than 8 MiB, or after the first 65,536 boxes, elements, segments, blocks,
  fill bytes and entries of segment indexes. These limits bound the CPU time for any file of 512 MB
  to two seconds.
- The end of an image, for `probe`; and that of a video if the server doesn't state its size.

The duration is that of the video track with its edit list, not that of the movie, which lasts as
long as its longest track. The size is the displayed one: with square pixels (by `pasp`, or the
track's display size), then rotated. Cropping by `clap` is ignored.

## Cost

Measured once on 2 shared cores, where the SHA-256 of the same chunk takes about 200 µs:

| | µs per 256 KiB |
|---|--:|
| MP4 | 1 |
| WebP | 1 |
| WebM, fragmented MP4, PNG, of small parts | 50 to 65 |
| JPEG; GIF; live WebM of 1 KB blocks | 260; 330; 580 |

`probe` takes 0.1 ms besides its one or two reads. Importing the package takes 5 ms.
"""


def render(table: Mapping[str, Sequence[Case]]) -> str:
    """Return the page as Markdown."""
    return "".join(f"{line}\n" for line in (*_HEAD.splitlines(), *_tables(table, recorded())))


def _tables(
    table: Mapping[str, Sequence[Case]], results: Mapping[str, Mapping[str, tuple[str, float]]]
) -> Iterator[str]:
    for group, cases in table.items():
        yield from ("", f"## {group}", "")
        yield "| file | probe | copy | preflight | reads | KiB | ms |"
        yield "|---|---|---|---|--:|--:|--:|"
        for case in cases:
            copy = "the same" if case.scan == case.probe else case.scan
            preflight, milliseconds = results[group][case.name]
            cells = (case.name, case.probe, copy, preflight, case.reads, case.kib, milliseconds)
            yield f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        with TemporaryDirectory() as folder, files_server() as server:
            measured = measure(Sources(Path(folder)), server)
        RECORDED.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    DOCUMENT.write_text(render(TABLE))
