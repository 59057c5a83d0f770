"""What a step is computed on, and how: the device, the precision, the compiler. Nothing here changes what is computed,
beyond its rounding and, with the compiler, the random numbers of dropout.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from evlib.config import Config
from evlib.model import Block
from evlib.utils.errors import EvlibError


def find_device(name: str | None) -> torch.device:
    """The named device, or the first GPU, or the CPU."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError):
        expected = "cpu, cuda" if torch.cuda.is_available() else "cpu (this torch finds no CUDA GPU)"
        raise EvlibError(f"There is no device {name!r} here: expected {expected}.") from None
    return device


def environment(device: torch.device) -> dict:
    """What a run's env.json says of the machine."""
    threads = torch.get_num_threads()
    cpu = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def precision_for(config: Config, device: torch.device) -> torch.dtype:
    """The type that training computes matrix products in. "auto": bfloat16 on a GPU and on a CPU that multiplies
    bfloat16 itself (a step of preset demo is 1.3 to 1.9 times faster), else float32.

    So two kinds of processor may train networks that answer differently in the last bits. Weights and loss are float32
    always, validation and generation, too."""
    if config.train.precision != "auto":
        return getattr(torch, config.train.precision)
    return fast_dtype(device)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU and on a CPU with instructions for its products, else float32: emulated they are slower."""
    if device.type == "cuda":
        return torch.bfloat16
    able = torch.cpu.get_capabilities()
    native = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


@contextmanager
def autocast(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Within the block, matrix products are computed in `dtype`."""
    if dtype == torch.float32:
        yield
        return
    # A CPU's fused attention is ten times slower backwards in bfloat16 than the plain one, on sequences as short as
    # ours.
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, dtype), plain:
        yield


def compiles(config: Config, device: torch.device) -> bool:
    """Whether the network goes through torch.compile. "auto": on a GPU; a CPU would gain 3 to 9 % after more than a
    minute of compiling."""
    how = config.train.compile
    return how in ("on", "graphs") or (how == "auto" and device.type == "cuda" and find_spec("triton") is not None)


def compiled(net: nn.Module, config: Config) -> nn.Module:
    """The network through torch.compile, block by block: blocks of a kind share compiled code, in a third of the time
    that the whole network takes. With "graphs" it is the whole, and a CUDA graph is recorded for each shape of
    batch."""
    if config.train.compile == "graphs":
        return torch.compile(net, mode="reduce-overhead")
    torch.compiler.reset()  # the cache holds only so many versions of a block, those of earlier networks too
    for module in net.modules():
        if isinstance(module, Block):
            module.compile()
    return net


def uncompiled(is_compiled: bool) -> AbstractContextManager:
    """Within the block, a compiled network runs eagerly: what is seldom asked of it is not worth minutes of
    compiling."""
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
