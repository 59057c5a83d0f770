"""Reads selected frames from a video file (section 3.1: a video needs no rendering, only resizing).

    read_video("clip.mp4", spread(10))          -> uint8 (10, 64, 64, 3): ten frames, evenly spread over the file
    read_video("cat.gif", at(0, 32, 64, 96))    -> these four
    read_video("bird-1/img", first(20))         -> the first twenty images of a folder

Frames are chosen by number, not time: where the frame rate varies, evenly spread frames are unevenly spaced in time.
Only the chosen frames are converted, so a long video takes no more memory than a short one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from PIL import Image as Pillow

from evlib.config import SIZE
from evlib.frames.image import UNREADABLE, image_frame, over_white, read_image
from evlib.utils.errors import EvlibError, UnreadableFile

Choose = Callable[[int], Sequence[int]]  # number of frames in the file -> indices, ascending, repeats allowed

ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")  # Pillow composes their partial frames
STILL = ("JPEG", "BMP", "TIFF")  # FFmpeg would treat one as a video of one frame
IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"}
EXACT = {"mov", "matroska"}  # containers whose timestamps identify frames reliably
LOSS = 2  # frames that may be missing at the end of a video
WORTH_A_SEEK = 8  # frames; decoding fewer is as fast as seeking past them
LARGE = 640 * 480  # pixels; decoding larger frames gains from threads
av.logging.set_level(None)  # FFmpeg's messages arrive as exceptions; stderr stays clean


def spread(count: int) -> Choose:
    """`count` frames spread evenly over the file, from the first: i * n // count. A shorter clip repeats some."""
    return lambda n: [i * n // count for i in range(count)]


def first(count: int) -> Choose:
    """The first `count` frames; a shorter clip repeats its last one."""
    return at(*range(count))


def at(*indices: int) -> Choose:
    """The frames at these indices, counted from 0 and ascending; an index beyond the end gives the last frame."""
    return lambda n: [min(i, n - 1) for i in indices]


def read_video(path: str | Path, choose: Choose, size: int | None = SIZE) -> np.ndarray:
    """A video (mp4, avi, mpeg, mov, mkv, webm, ...), an animation (gif, webp, apng) or a folder of images in natural
    order (2 before 10) -> the chosen frames: uint8 (len(choice), size, size, 3) RGB, 0..255, upright, stretched to a
    square; `size=None` keeps the file's own height and width. Transparent frames are composited on white.

    The file type is detected from the content, not the name. Raises UnreadableFile if the file is missing, empty, cut
    short, a still image or otherwise unreadable; up to two missing frames at the end repeat the last complete one.
    """
    source = _source(path)
    indices, last = list(choose(source.count)), source.count - 1
    if not indices or indices != sorted(indices) or indices[0] < 0 or indices[-1] > last:
        raise EvlibError(f"{path}: expected a choice of ascending frame numbers from 0 to {last}, found {indices}.")
    distinct, frames = sorted(set(indices)), {}
    for i, pixels in zip(distinct, source.read(distinct), strict=True):
        frames[i] = pixels if size is None else image_frame(pixels, size)
    if len({frame.shape for frame in frames.values()}) > 1:
        raise UnreadableFile(f"{path}: expected frames of one size, found several; name the size to bring them to.")
    return np.stack([frames[i] for i in indices])


def count_frames(path: str | Path) -> int:
    """The number of frames of anything `read_video` reads, without decoding them. Raises the same UnreadableFile."""
    return _source(path).count


def _source(path: str | Path) -> _Folder | _Animation | _Film:
    path = Path(path)
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise UnreadableFile(f"{path}: expected a video file or a folder of images, found none; check the path.")
    if path.stat().st_size == 0:
        raise UnreadableFile(f"{path}: expected a video file, found an empty one (0 bytes); fetch it again.")
    try:
        with Pillow.open(path, formats=ANIMATED + STILL) as image:
            kind = image.format
    except Pillow.UnidentifiedImageError:
        return _Film(path)
    except UNREADABLE as error:
        raise _broken(path, error) from None
    if kind in ANIMATED:
        return _Animation(path)
    raise _still(path, kind)


def _broken(path: Path, found: object) -> UnreadableFile:
    found = f"one that cannot be read ({found}); fetch it again, or leave it out"
    return UnreadableFile(f"{path}: expected a whole video file (mp4, avi, webm, gif, ...), found {found}.")


def _still(path: Path, kind: str) -> UnreadableFile:
    todo = "read it with evlib.frames.image.read_image"
    return UnreadableFile(f"{path}: expected moving pictures, found a still one ({kind}); {todo}.")


class _Folder:
    def __init__(self, path: Path):
        images = (file for file in path.iterdir() if file.suffix.lower() in IMAGES and not file.name.startswith("."))
        self.files = sorted(images, key=_natural)
        self.count = len(self.files)
        if not self.files:
            raise UnreadableFile(f"{path}: expected a folder of images (jpg, png, ...), found none in it.")

    def read(self, indices: list[int]) -> Iterator[np.ndarray]:
        for i in indices:
            try:
                yield read_image(self.files[i])
            except EvlibError as error:
                raise UnreadableFile(str(error)) from None


def _natural(file: Path) -> tuple:
    """Sorts by the numbers in a name: img2 before img10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name.lower())], file.name


class _Animation:
    def __init__(self, path: Path):
        self.path = path
        with self._open() as image:
            self.skipped = int(getattr(image, "default_image", False))  # an APNG's image for viewers without animation
            self.count = getattr(image, "n_frames", 1) - self.skipped
            if self.count == 1 and image.format != "GIF":
                raise _still(path, image.format)
            if image.format == "GIF" and not path.read_bytes()[-64:].rstrip(b"\0").endswith(b";"):
                image.seek(self.count - 1)  # many files lack only the trailer; if the last image
                image.load()  # is incomplete too, the number of frames is wrong

    def read(self, indices: list[int]) -> Iterator[np.ndarray]:
        with self._open() as image:
            for i in indices:
                image.seek(i + self.skipped)
                yield np.asarray(over_white(image))

    @contextmanager
    def _open(self) -> Iterator[Pillow.Image]:
        try:
            with Pillow.open(self.path, formats=ANIMATED) as image:
                yield image
        except (*UNREADABLE, EOFError, IndexError) as error:
            raise _broken(self.path, error) from None


class _Film:
    """Counts the packets first: this needs no decoding, works for every container, and finds the key frames."""

    def __init__(self, path: Path):
        self.path = path
        with self._open() as (container, stream):
            times, key_times, ends = [], [], {}
            for packet in container.demux():
                if packet.pts is not None:
                    ends[packet.stream] = max(ends.get(packet.stream, packet.pts), packet.pts + (packet.duration or 0))
                if packet.stream is stream and packet.size and not packet.is_discard:  # is_discard: trimmed away
                    times.append(packet.pts)
                    if packet.is_keyframe:
                        key_times.append(packet.pts)
            self.count, self.keys, self.numbers = len(times), [], {}
            if not times:
                raise _broken(path, "it holds no frames")
            self._check_whole(container, stream, times, ends)
            if EXACT & set(container.format.name.split(",")) and None not in times and len(set(times)) == len(times):
                self.times = sorted(times)
                self.numbers = {time: i for i, time in enumerate(self.times)}
                self.keys = sorted(self.numbers[time] for time in key_times)

    def _check_whole(self, container, stream, times: list[int | None], ends: dict) -> None:
        """Raises if the file is cut short: it holds less than its header promises. (MPEG streams have no header.)"""
        promised = (container.duration or 0) / av.time_base
        if container.format.name == "avi":  # FFmpeg corrects its duration by the file size
            promised = float(stream.frames * stream.time_base)
        end = max((float(end * part.time_base) for part, end in ends.items()), default=promised)
        pauses = (b - a for a, b in pairwise(sorted(time for time in times if time is not None)))
        longest = max(pauses, default=0) * float(stream.time_base)  # the last frame may last as long
        if end + longest < 0.9 * promised:
            raise _broken(self.path, f"its header promises {promised:.1f} s, it holds {end:.1f} s")

    def read(self, indices: list[int]) -> Iterator[np.ndarray]:
        done = 0
        try:
            for pixels in self._decode(indices, self.keys):
                yield pixels
                done += 1
        except _Astray:  # then decode from the start, which is slower
            yield from self._decode(indices[done:], [])

    def _decode(self, indices: list[int], keys: list[int]) -> Iterator[np.ndarray]:
        """Seeks to a key frame of `keys` where that saves decoding, and identifies frames by their timestamps;
        without keys, decodes from the start and counts frames."""
        with self._open() as (container, stream):
            frames, frame, current = _frames(container, stream), None, -1
            for i in indices:
                key = keys[bisect_right(keys, i) - 1] if keys and keys[0] <= i else 0
                if key - current > WORTH_A_SEEK:
                    container.seek(self.times[key], stream=stream)
                    frames, current = _frames(container, stream), -1
                while current < i and (found := next(frames, None)) is not None:
                    frame, current = found, self.numbers.get(found.pts, -1) if keys else current + 1
                if keys and current != i:
                    raise _Astray
                if frame is None or current < min(i, self.count - 1 - LOSS):
                    raise _broken(self.path, f"decoding ends after {current + 1} of {self.count} frames")
                # Starting more threads would take ten times as long as the conversion.
                yield np.rot90(frame.to_ndarray(format="rgb24", threads=1), round(frame.rotation / 90))

    @contextmanager
    def _open(self) -> Iterator[tuple]:
        try:
            with av.open(f"file:{self.path}", metadata_errors="replace") as container:
                kind = container.format.name
                if kind.endswith("_pipe") or kind == "image2":
                    raise _still(self.path, kind.removesuffix("_pipe"))
                if kind in ("tty", "concat"):  # FFmpeg would render text files and follow lists of files
                    raise _broken(self.path, "text")
                streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
                if not streams:  # cover art does not count
                    found = " and ".join(sorted({stream.type for stream in container.streams})) or "a header"
                    found = f"a file with no more than {found} in it; fetch it again, or leave it out"
                    raise UnreadableFile(f"{self.path}: expected moving pictures, found {found}.")
                context = streams[0].codec_context
                if context is None:
                    raise _broken(self.path, "FFmpeg has no decoder for it")
                context.thread_count = 1 if context.width * context.height < LARGE else 4
                yield container, streams[0]
        except (av.error.FFmpegError, ValueError) as error:
            raise _broken(self.path, getattr(error, "strerror", None) or error) from None


class _Astray(Exception):
    """Seeking to a key frame did not lead to the requested frame."""


def _frames(container, stream) -> Iterator[av.VideoFrame]:
    """Frames in presentation order, up to the first packet that cannot be decoded."""
    try:
        yield from container.decode(stream)
    except av.error.InvalidDataError:
        yield from stream.codec_context.decode(None)  # what the decoder still holds
