"""Measuring: seconds in turns, the machine's own rate, bytes.

On one CPU thread seconds are CPU seconds, of this process and the programs it starts: on a busy machine the clock is
unfair to long work (a product of 512 x 512 fits into one time slice, one of 2048 x 2048 is interrupted: 89 against 15
GFLOP/s by the clock, 87 against 90 by CPU seconds). What a second thread gains only the clock shows: with several
threads, and on a GPU, seconds are the clock's, and the machine should be idle.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from evlib.training.device import environment

REPEATS = 5
PATIENCE = 3.0  # seconds after which no further repeat of the same work begins; three are always made
SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the matrices whose product is the yardstick


class Timing(NamedTuple):
    seconds: float  # the median
    repeats: int


def now(device: torch.device) -> float:
    """CPU seconds of one thread, else the clock's."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # until it has done what it was given
    elif torch.get_num_threads() == 1:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in used)
    return time.perf_counter()


def in_turns(
    works: dict[Hashable, Callable], device: torch.device, repeats: int = REPEATS, patience: float = PATIENCE
) -> dict[Hashable, Timing]:
    """Every work once without measuring, then `repeats` times in turns, so that whatever else the machine does falls on
    all of them alike."""
    for work in works.values():
        work()
    seconds: dict[Hashable, list[float]] = {name: [] for name in works}
    began = time.perf_counter()
    for turn in range(repeats):
        if turn >= 3 and time.perf_counter() - began > patience:
            break
        for name, work in works.items():
            started = now(device)
            work()
            seconds[name].append(now(device) - started)
    return {name: Timing(median(values), len(values)) for name, values in seconds.items()}


def product(dtype: torch.dtype, device: torch.device) -> tuple[Callable, float]:
    """A big square matrix product in `dtype`, and its FLOP."""
    side = SQUARE[device.type]
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b, 2.0 * side**3


def machine(device: torch.device) -> dict:
    """The columns of every row that say where it was measured, and on how many threads."""
    return {"device": environment(device)["device"], "threads": torch.get_num_threads()}


def cores() -> int:
    """CPU cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(found, int(os.environ.get("OMP_THREAD_LIMIT") or found))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within the block, torch computes on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- memory ----------------------------------------------------------------------------------------------------------


def peak_megabytes(device: torch.device) -> float:
    """The most that was ever held: of a GPU, by tensors since the count was last reset; of a CPU, by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_of_a_repeat(work: Callable, device: torch.device) -> float:
    """`peak_megabytes` of work done twice; of a GPU the second time: an optimizer makes its tensors in its first."""
    work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    work()
    return peak_megabytes(device)


def in_a_process(device: torch.device, work: Callable, *arguments):
    """work(*arguments) in a process of its own, where the peak of memory is this work's; on a GPU, whose peak can be
    reset, in this one."""
    if device.type == "cuda":
        return work(*arguments)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["evlib.bench.network"])  # torch is imported once, for all of them
    with ProcessPoolExecutor(1, context, torch.set_num_threads, (torch.get_num_threads(),)) as pool:
        return pool.submit(work, *arguments).result()


def saved_bytes(net: nn.Module, forward: Callable) -> int:
    """Bytes that `forward` saves for the backward pass: every storage once, the network's own left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}  # kept, or their addresses might be given away again

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in saved.values())
