"""Media files that ffmpeg makes on demand: a few are encoded, most are remuxed from those."""

import subprocess
from pathlib import Path

import imageio_ffmpeg

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2")
SOUND = ("-f", "lavfi", "-i", "sine=d=2")
COPY = ("-c", "copy")
PIPED = {"-flush_packets"}  # written to a pipe, so that ffmpeg can't seek back to fill in sizes
FRAGMENTS = "empty_moov+default_base_moof"

RECIPES = {
    # Encoded: 2 s at 25 frames per second, with a keyframe every 12 frames.
    "h264.mp4": (
        *PICTURE,
        *SOUND,
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "12"),
        *("-c:a", "aac", "-shortest"),
    ),
    "h265.mp4": (
        *PICTURE,
        *("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
        *("-tag:v", "hvc1"),
    ),
    "av1.mp4": (*PICTURE, "-c:v", "libsvtav1", "-preset", "11"),
    "vp8.webm": (
        *PICTURE,
        *("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "12"),
        *("-cluster_time_limit", "500"),
    ),
    "vp9.webm": (
        *PICTURE,
        *SOUND,
        *("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "12"),
        *("-c:a", "libopus", "-cluster_time_limit", "500"),
    ),
    "long.mp4": (
        *("-f", "lavfi", "-i", "color=s=64x36:r=100:d=200"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-crf", "40", "-g", "100", "-bf", "0"),
    ),
    "portrait.mp4": ("-i", "h264.mp4", "-vf", "transpose", "-preset", "ultrafast"),
    "portrait.png": ("-i", "picture.png", "-vf", "transpose"),
    "sound.webm": ("-f", "lavfi", "-i", "sine=d=1", "-c:a", "libopus"),
    "picture.png": ("-f", "lavfi", "-i", "testsrc2=s=320x180", "-frames:v", "1"),
    "deep.png": ("-i", "picture.png", "-pix_fmt", "rgb48be"),
    "animated.png": ("-i", "h264.mp4", "-vf", "fps=5", "-f", "apng"),
    "picture.jpg": ("-i", "picture.png"),
    "lossy.webp": ("-i", "picture.png"),
    "lossless.webp": ("-i", "picture.png", "-lossless", "1"),
    "clear.webp": ("-i", "picture.png", "-pix_fmt", "yuva420p"),
    "animated.webp": ("-i", "h264.mp4", "-vf", "fps=5", "-c:v", "libwebp_anim"),
    "picture.gif": ("-i", "picture.png", "-vf", "scale=160:90"),
    "animated.gif": ("-i", "h264.mp4", "-vf", "fps=5"),
    "picture.avif": ("-i", "picture.png", "-c:v", "libaom-av1", "-cpu-used", "8"),
    "picture.bmp": ("-i", "picture.png", "-vf", "scale=32:18"),
    # Remuxed.
    "faststart.mp4": ("-i", "h264.mp4", *COPY, "-movflags", "faststart"),
    "mute.mp4": ("-i", "h264.mp4", *COPY, "-an"),
    "sound first.mp4": ("-i", "h264.mp4", *COPY, "-map", "0:a", "-map", "0:v"),
    "two videos.mp4": (
        *("-i", "h265.mp4", "-i", "long.mp4", *COPY, "-t", "2", "-map", "0:v", "-map", "1:v"),
    ),
    "sound only.mp4": ("-i", "h264.mp4", *COPY, "-vn"),
    "sound.m4a": ("-i", "h264.mp4", *COPY, "-vn"),
    "fragments.mp4": ("-i", "h264.mp4", *COPY, "-movflags", f"frag_keyframe+{FRAGMENTS}"),
    "first in index.mp4": ("-i", "h264.mp4", *COPY, "-movflags", "frag_keyframe"),
    "segments.mp4": (
        "-i",
        "h264.mp4",
        *COPY,
        "-movflags",
        f"frag_keyframe+global_sidx+{FRAGMENTS}",
    ),
    "dash.mp4": ("-i", "h264.mp4", *COPY, "-movflags", f"frag_keyframe+dash+{FRAGMENTS}"),
    "turned 90.mp4": ("-display_rotation", "-90", "-i", "h264.mp4", *COPY),
    "turned 180.mp4": ("-display_rotation", "180", "-i", "h264.mp4", *COPY),
    "turned 270.mp4": ("-display_rotation", "90", "-i", "h264.mp4", *COPY),
    "mirrored.mp4": ("-display_hflip", "-i", "h264.mp4", *COPY),
    "turned 90.webm": ("-display_rotation", "-90", "-i", "vp9.webm", *COPY),
    "wide pixels.mp4": ("-i", "h264.mp4", *COPY, "-aspect", "64:27"),
    "wide pixels.webm": ("-i", "vp9.webm", *COPY, "-aspect", "64:27"),
    "trimmed.mp4": ("-ss", "0.7", "-i", "h264.mp4", *COPY),
    "vp9.mp4": ("-i", "vp9.webm", *COPY),
    "h264.3gp": ("-i", "h264.mp4", *COPY, "-an"),
    "h264.mov": ("-i", "h264.mp4", *COPY),
    "faststart.mov": ("-i", "h264.mp4", *COPY, "-movflags", "faststart"),
    "long faststart.mp4": ("-i", "long.mp4", *COPY, "-movflags", "faststart"),
    "piped.webm": ("-i", "vp9.webm", *COPY, "-f", "webm", "-flush_packets", "1"),
    "live.webm": ("-i", "vp9.webm", *COPY, "-f", "webm", "-live", "1"),
    "cues first.webm": ("-i", "vp9.webm", *COPY, "-cues_to_front", "1"),
    "av1.webm": ("-i", "av1.mp4", *COPY),
    "h264.mkv": ("-i", "h264.mp4", *COPY),
    "h264.ts": ("-i", "h264.mp4", *COPY),
    "h264.avi": ("-i", "h264.mp4", *COPY),
    "sound.mp3": ("-i", "h264.mp4", "-vn"),
}


class Sources:
    """Returns files by name; each is made on first use."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __call__(self, name):
        return self.path(name).read_bytes()

    def path(self, name):
        made = self._folder / name
        if not made.exists():
            recipe = RECIPES[name]
            for other in RECIPES.keys() & {*recipe}:
                self.path(other)
            done = run(*recipe, "pipe:" if PIPED & {*recipe} else name, folder=self._folder)
            if done.stdout:
                made.write_bytes(done.stdout)
        return made


def run(*arguments, folder):
    """Run ffmpeg in a folder; its output is the same bytes each time."""
    *before, last = arguments
    return subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            *("-hide_banner", "-nostdin", "-y", "-v", "error"),
            *before,
            *("-fflags", "+bitexact", "-threads", "1"),
            last,
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        env={"SVT_LOG": "0"},
        timeout=60,
    )
