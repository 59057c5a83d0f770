"""Measurements: alternating timings, the machine's rate in a matrix product, bytes.

With one CPU thread, seconds are CPU seconds of this process and of the programs it starts: on a busy machine, the clock
is unfair to long work (a product of 512 x 512 fits into one time slice, one of 2048 x 2048 is interrupted: 89 against
15 GFLOP/s by the clock, 87 against 90 by CPU seconds). Only the clock shows what a second thread gains: with several
threads, and on a GPU, seconds are wall-clock seconds, and the machine should be idle.
"""

import os
import resource
import sys
import time
from collections.abc import Callable, Hashable, Iterator
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
    """CPU seconds if torch uses one CPU thread, else wall-clock seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # wait for the queued work
    elif torch.get_num_threads() == 1:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in used)
    return time.perf_counter()


def in_turns(
    works: dict[Hashable, Callable], device: torch.device, repeats: int = REPEATS, patience: float = PATIENCE
) -> dict[Hashable, Timing]:
    """Runs every work once as a warm-up, then `repeats` times alternately, so that other load on the machine affects
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
    """The column of every row that says where it was measured, and on a CPU on how many threads."""
    return {"device": environment(device)["device"]}


def cores() -> int:
    """CPU cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(found, int(os.environ.get("OMP_THREAD_LIMIT") or found))


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Within the `with` block, torch uses `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- memory ----------------------------------------------------------------------------------------------------------


def peak_megabytes(device: torch.device) -> float:
    """Peak memory: on a GPU of all tensors since the peak was last reset; on a CPU of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def saved_bytes(net: nn.Module, forward: Callable) -> int:
    """Bytes that `forward` saves for the backward pass: every storage once, without those of the network itself."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    saved: dict[int, torch.UntypedStorage] = {}  # kept alive, or their addresses might be reused

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for storage in saved.values())
