"""Measuring: seconds in turns, the machine's own rate, bytes.

Seconds are CPU seconds on a CPU, of this process and the programs it starts, and seconds of the clock on a GPU. On a machine
that others keep busy the clock is not fair to long work, even in turns: a product of 512 x 512 slips into one time slice, one of
2048 x 2048 is interrupted (measured: 89 against 15 GFLOP/s by the clock, 87 against 90 by CPU seconds). On an idle machine
with one thread the two are the same. What CPU seconds leave out: waiting for a disk, and what several threads gain or lose.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import torch
from torch import Tensor, nn

from evlib.training.device import environment

REPEATS = 5
PATIENCE = 10.0  # seconds after which no further repeat of the same work begins; three are always made
SQUARE = {"cpu": 2048, "cuda": 8192}  # side of the matrices whose product is the yardstick


def in_turns(
    works: dict[Hashable, Callable], device: torch.device, repeats: int = REPEATS, patience: float = PATIENCE
) -> dict[Hashable, list[float]]:
    """Seconds of every work, each done once unmeasured and then `repeats` times in turns, so that whatever else the machine
    does falls on all of them alike."""
    for work in works.values():
        work()
    seconds: dict = {name: [] for name in works}
    started = time.perf_counter()
    for turn in range(repeats):
        if turn >= 3 and time.perf_counter() - started > patience:
            break
        for name, work in works.items():
            seconds[name].append(once(work, device))
    return seconds


def once(work: Callable, device: torch.device) -> float:
    wait(device)
    started = now(device)
    work()
    wait(device)
    return now(device) - started


def now(device: torch.device) -> float:
    if device.type == "cuda":
        return time.perf_counter()
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def medians(seconds: dict[Hashable, list[float]]) -> dict[Hashable, float]:
    return {name: median(values) for name, values in seconds.items()}


def product(dtype: torch.dtype, device: torch.device) -> tuple[Callable, float]:
    """A big square matrix product in `dtype`, and its FLOP."""
    side = SQUARE[device.type]
    a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b, 2.0 * side**3


def place(device: torch.device) -> dict:
    """The columns of every row that say where it was measured."""
    return {"device": environment(device)["device"], "threads": torch.get_num_threads()}


# ------------------------------------------------------------------------------------ memory


def peak_megabytes(device: torch.device) -> float:
    """The most that this process ever held: of a GPU, tensors since the count was last reset; of a CPU, the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def peak_of_a_repeat(work: Callable, device: torch.device) -> float:
    """The most megabytes held while work is done a second time: an optimiser makes its own tensors in its first step. Of a CPU
    the whole process, at any time."""
    work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    work()
    return peak_megabytes(device)


def in_a_process(device: torch.device, work: Callable, *arguments):
    """work(*arguments) in a process of its own, where the peak of memory is that of this work; on a GPU, whose peak can be reset, here."""
    if device.type == "cuda":
        return work(*arguments)
    context = multiprocessing.get_context(
        "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    )
    context.set_forkserver_preload(["evlib.bench.network"])  # torch is imported once, for all of them
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_with_threads, torch.get_num_threads(), work, *arguments).result()


def _with_threads(threads: int, work: Callable, *arguments):
    torch.set_num_threads(threads)
    return work(*arguments)


def kept_bytes(net: nn.Module, forward: Callable) -> int:
    """Bytes that `forward` keeps for the backward pass: every storage once, the network's own left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*net.parameters(), *net.buffers())}
    storages: dict[int, int] = {}
    alive = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # or its address might be given away again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storages.values())
