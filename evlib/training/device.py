"""What a step is computed on, and how: the device, the precision, the compiler. Nothing here changes what
is computed, beyond its rounding and, with the compiler, which random numbers dropout draws.
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

# Width from which a CPU that multiplies bfloat16 itself does so: a step then takes some 0.7 of the time (results/bench/growth.csv).
# A narrower network stays in float32, so that what a laptop answers does not depend on its processor.
WIDE = 192


def find_device(name: str | None) -> torch.device:
    """The named device, or the first GPU, or the CPU."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError):
        raise EvlibError(
            f"There is no device {name!r} here: expected cpu{', cuda' if torch.cuda.is_available() else ' (this torch finds no CUDA GPU)'}."
        ) from None
    return device


def environment(device: torch.device) -> dict:
    """What a run's env.json says of the machine."""
    threads = torch.get_num_threads()
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    )
    return {
        "device": name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


# ------------------------------------------------------------------------------------ precision, compiler


def precision_for(config: Config, device: torch.device) -> torch.dtype:
    """The type that matrix products are computed in. "auto": bfloat16 on a GPU, and on a CPU for wide networks where the
    processor multiplies bfloat16 itself; else float32. The weights and the loss are float32 always."""
    if config.train.precision != "auto":
        return getattr(torch, config.train.precision)
    wide = config.model.width >= WIDE and has_bfloat16()
    return torch.bfloat16 if device.type == "cuda" or wide else torch.float32


def has_bfloat16() -> bool:
    """Whether this CPU has instructions for products of bfloat16; emulated they are slower than float32."""
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("bf16"))


@contextmanager
def autocast(dtype: torch.dtype, device: torch.device) -> Iterator[None]:
    """Within the block, matrix products are computed in `dtype`."""
    if dtype == torch.float32:
        yield
        return
    # A CPU's fused attention takes ten times as long backwards in bfloat16 as the plain one, on sequences as short as ours.
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, dtype), plain:
        yield


def compiles(config: Config, device: torch.device) -> bool:
    """Whether the network goes through torch.compile. "auto": on a GPU; a CPU would gain 3 to 9 % after a minute and more of compiling."""
    how = config.train.compile
    return how in ("on", "graphs") or (how == "auto" and device.type == "cuda" and find_spec("triton") is not None)


def compiled(net: nn.Module, config: Config) -> nn.Module:
    """The network through torch.compile, block by block: blocks of a kind share what the compiler makes, which takes a third of the
    time that the whole network would. With "graphs" it is the whole, and CUDA graphs are recorded and replayed, one for each shape of batch."""
    if config.train.compile == "graphs":
        return torch.compile(net, mode="reduce-overhead")
    torch.compiler.reset()  # it keeps only so many versions of a block, those of earlier networks too
    for module in net.modules():
        if isinstance(module, Block):
            module.compile()
    return net


def uncompiled(is_compiled: bool) -> AbstractContextManager:
    """Within the block, a compiled network runs as it is written: what is seldom asked of it is not worth the compiler's minutes."""
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
