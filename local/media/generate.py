"""Makes the sample media of the provider simulator, all files of this folder.

    uv run --with av local/media/generate.py

- `performance.mp4`, `character.png`: the inputs, a grey actor and a coloured character;
- `result.mp4`, `poster.png`, `last_frame.png`: the result, the character moving like the actor.

All are 16:9, the videos H.264 and AAC with their index first (`faststart`). The pictures are drawn
by FFmpeg's `geq` filter, so they are free of other people's rights.
"""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.filter import Graph

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 640, 360
FRAMES_PER_SECOND = 25
SAMPLES_PER_SECOND = 48_000

# The expressions use X, Y and T (seconds). The head nods, the eyes blink and the mouth talks; the
# actor and the result move alike, as with the real provider.
NOD = "6*sin(2.2*T)"
HEAD = f"lt(hypot((X-320-14*sin(1.3*T))/105,(Y-185-{NOD})/130),1)"
EYES = (
    f"lt(hypot((abs(X-320-18*sin(1.3*T))-42)/15,"
    f"(Y-150-{NOD})/(2+13*gt(abs(sin(1.1*T+0.7)),0.12))),1)"
)
MOUTH = f"lt(hypot((X-320-18*sin(1.3*T))/44,(Y-238-{NOD})/(5+20*abs(sin(5*T)))),1)"


def face(backdrop: str, skin: str, dark: str) -> str:
    """Return the expression of one plane: backdrop, head, eyes and mouth."""
    return f"if({HEAD},if(max({EYES},{MOUTH}),{dark},{skin}),{backdrop})"


def planes(lum: tuple[str, str, str], cb: tuple[str, str, str], cr: tuple[str, str, str]) -> str:
    """Return the arguments of `geq`, with chroma planes in full size."""
    return f"lum='{face(*lum)}':cb='{face(*cb)}':cr='{face(*cr)}'"


ACTOR = planes(
    lum=("70+25*sin(X/67+T)*sin(Y/59)", "150+18*sin(Y/40)", "40"),
    cb=("128", "124", "128"),
    cr=("128", "134", "128"),
)
CHARACTER = planes(
    lum=(
        "96+40*sin(X/61+T)*sin(Y/57-T)+24*sin(hypot(X-320,Y-180)/27-2*T)",
        "170+22*sin((X+Y)/26+T)",
        "36",
    ),
    cb=("150+44*sin(X/90+T)", "90", "120"),
    cr=("110+44*sin(Y/70-T)", "160", "150"),
)


def drawn_frames(drawing: str, seconds: float) -> list[av.VideoFrame]:
    """Return the frames of a drawing, WIDTH x HEIGHT, 4:2:0."""
    graph = Graph()
    source = graph.add("color", f"c=black:s={WIDTH}x{HEIGHT}:r={FRAMES_PER_SECOND}:d={seconds}")
    full_chroma = graph.add("format", "yuv444p")
    drawn = graph.add("geq", drawing)
    half_chroma = graph.add("format", "yuv420p")
    sink = graph.add("buffersink")
    chain = [source, full_chroma, drawn, half_chroma, sink]
    for before, after in pairwise(chain):
        before.link_to(after)
    graph.configure()
    return list(pulled(graph))


def pulled(graph: Graph) -> Iterator[Any]:
    """Yield the output of a filter graph."""
    while True:
        try:
            yield graph.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return


def spoken_frames(tone: int, seconds: float) -> list[av.AudioFrame]:
    """Return a hum of `tone` hertz that follows the mouth."""
    graph = Graph()
    voice = f"0.2*sin(2*PI*{tone}*t)*abs(sin(5*t))"
    source = graph.add("aevalsrc", f"exprs='{voice}':s={SAMPLES_PER_SECOND}:d={seconds}")
    layout = graph.add("aformat", "sample_fmts=fltp:channel_layouts=mono")
    sink = graph.add("abuffersink")
    source.link_to(layout)
    layout.link_to(sink)
    graph.configure()
    return list(pulled(graph))


def write_video(path: Path, frames: list[av.VideoFrame], tone: int, quality: int) -> None:
    """Write H.264 and AAC to an MP4 with its index first."""
    seconds = len(frames) / FRAMES_PER_SECOND
    with av.open(path, "w", format="mp4", options={"movflags": "+faststart"}) as file:
        video = file.add_stream(
            "libx264",
            rate=FRAMES_PER_SECOND,
            options={"crf": str(quality), "preset": "slow", "profile": "main"},
        )
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = file.add_stream("aac", rate=SAMPLES_PER_SECOND, layout="mono")
        audio.bit_rate = 64_000
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        for sound in spoken_frames(tone, seconds):
            file.mux(audio.encode(sound))
        file.mux(audio.encode(None))


def write_picture(path: Path, frame: av.VideoFrame) -> None:
    """Write a frame as a PNG, at three quarters of its size to keep it under 100 KB."""
    picture = frame.reformat(WIDTH * 3 // 4, HEIGHT * 3 // 4, "rgb24")
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "rgb24"
    encoder.time_base = Fraction(1, FRAMES_PER_SECOND)
    encoder.options = {"compression_level": "9", "pred": "mixed"}
    packets = [*encoder.encode(picture), *encoder.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))


def write_samples() -> None:
    """Write all five files to this folder."""
    actor = drawn_frames(ACTOR, seconds=4)
    write_video(FOLDER / "performance.mp4", actor, tone=180, quality=31)
    result = drawn_frames(CHARACTER, seconds=5)
    write_picture(FOLDER / "character.png", result[0])
    write_picture(FOLDER / "poster.png", result[len(result) // 5])
    write_picture(FOLDER / "last_frame.png", result[-1])
    write_video(FOLDER / "result.mp4", result, tone=240, quality=31)


if __name__ == "__main__":
    write_samples()
