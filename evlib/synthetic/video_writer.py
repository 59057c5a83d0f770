"""Writes videos to files, for the miniatures of the video data sets."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import av
import numpy as np
from PIL import Image


def write_mp4(path: Path, frames: np.ndarray, rate: int = 30, quality: int = 3, group: int = 12) -> None:
    """uint8 (T, H, W, 3), H and W even -> an MPEG-4 file, as in VIRAT; rate in frames per second, quality 1 (best) to
    31, one keyframe per `group` frames."""
    T, H, W, _ = frames.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        options = {"qmin": str(quality), "qmax": str(quality), "g": str(group)}
        stream = file.add_stream("mpeg4", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"
        stream.codec_context.thread_count = 1  # so that the bytes depend on the frames alone
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        file.mux(stream.encode())


def write_gif(path: Path, frames: np.ndarray) -> None:
    """uint8 (T, H, W, 3), 10 frames per second -> an animated GIF with a palette per frame, which loops forever."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=100, loop=0)


def in_parallel(work: Callable, jobs: Iterable) -> None:
    """work(job) for every job, on all cores. `work` must be a module-level function and its jobs small: they are sent
    to other processes. Each job has its own seed, so the order of execution changes nothing."""
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=get_context("spawn")) as pool:
        list(pool.map(work, jobs, chunksize=8))  # raises what a job raised
