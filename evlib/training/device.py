"""How and on what a step is computed: the device, the precision, the compiler. Nothing here changes what is computed,
except for rounding and, with the compiler, the random numbers of dropout.
"""

import platform
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

import torch
from torch import nn

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
    """What a run's env.json records about the machine."""
    threads = torch.get_num_threads()
    cpu = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def precision_for(config: Config, device: torch.device) -> torch.dtype:
    """The dtype of the matrix products in training. "auto": bfloat16 on a GPU and on a CPU that multiplies bfloat16
    natively (a step of preset demo is 1.3 to 1.9 times faster), else float32.

    So two kinds of processor train slightly different networks. Weights, loss, validation and generation are always
    float32."""
    if config.train.precision != "auto":
        return getattr(torch, config.train.precision)
    return fast_dtype(device)


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU and on a CPU with bfloat16 multiplication, else float32: emulated bfloat16 is slower."""
    if device.type == "cuda":
        return torch.bfloat16
    able = torch.cpu.get_capabilities()
    native = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


def autocast(dtype: torch.dtype, device: torch.device) -> AbstractContextManager:
    """Within a `with` statement, matrix products are computed in `dtype`."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)


def compiles(config: Config, device: torch.device) -> bool:
    """Whether the network is compiled with torch.compile. "auto": on a GPU; a CPU would gain 3 to 9 % after more than a
    minute of compiling."""
    how = config.train.compile
    return how in ("on", "graphs") or (how == "auto" and device.type == "cuda" and find_spec("triton") is not None)


def compiled(net: nn.Module, config: Config) -> nn.Module:
    """Applies torch.compile block by block: blocks of the same kind share compiled code, so it takes a third of the
    time that the whole network would. With "graphs", the whole network is compiled and a CUDA graph is recorded for
    each batch shape."""
    if config.train.compile == "graphs":
        return torch.compile(net, mode="reduce-overhead")
    torch.compiler.reset()  # the cache limits the versions of a block, including those of earlier networks
    for module in net.modules():
        if isinstance(module, Block):
            module.compile()
    return net


def uncompiled(is_compiled: bool) -> AbstractContextManager:
    """Within a `with` statement, a compiled network runs eagerly: rare computations are not worth minutes of
    compiling."""
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()
