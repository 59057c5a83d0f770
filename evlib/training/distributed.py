"""The processes of one run and their communication: one process, or as many as torchrun started."""

from __future__ import annotations

import atexit
import datetime
import os
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed

from evlib.training.device import find_device

TIMEOUT = datetime.timedelta(hours=6)  # the main process may encode a data set while the others wait


@dataclass(frozen=True)
class Distributed:
    """This process among those of a run. With one process, every method is the identity."""

    rank: int
    world_size: int
    device: torch.device  # of this process
    control: Any = field(default=None, repr=False)  # a process group on the CPU, which does not wait for the GPU

    @classmethod
    def start(cls, device: str | None) -> Distributed:
        """Joins the processes that torchrun started, if any, on the named device (None: a GPU, else the CPU)."""
        world_size, device = int(os.environ.get("WORLD_SIZE", 1)), find_device(device)
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) if world_size > 1 else device.index or 0)
            torch.cuda.set_device(device)
        if world_size == 1:
            return cls(0, 1, device)
        if not torch.distributed.is_initialized():  # once: a program may train several runs
            torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(torch.distributed.destroy_process_group)
        control = torch.distributed.new_group(backend="gloo", timeout=TIMEOUT)
        return cls(torch.distributed.get_rank(), world_size, device, control)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and logs."""
        return self.rank == 0

    def local_slice(self, size: int) -> slice:
        """This process's part of `size` items, divided equally among the processes."""
        return slice(self.rank * size // self.world_size, (self.rank + 1) * size // self.world_size)

    def broadcast(self, value: float) -> float:
        """The main process's value."""
        if self.world_size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        torch.distributed.broadcast(shared, src=0, group=self.control)
        return shared.item()

    def mean(self, value: float) -> float:
        """The mean of all processes' values."""
        if self.world_size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        torch.distributed.all_reduce(shared, group=self.control)
        return shared.item() / self.world_size

    def barrier(self) -> None:
        """Waits until all processes have reached this point."""
        if self.world_size > 1:
            torch.distributed.barrier(group=self.control)
