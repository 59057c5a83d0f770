"""What a run costs, computed from its settings: parameters, arithmetic, memory, minutes, money.

    flops(preset("paper").model, n_in=21, n_out=1)            # FLOP of one sequence, forward
    step_flops(model, 21, 1, batch=16, optimizer="muon")      # a training step: network, optimizer
    minutes(1000 * step, DEVICES["a100"].flops, 0.3)          # at 30 % of an A100's rate

FLOP are those that torch counts while the network runs on the device `meta`, which has shapes and no numbers: matrix
products, convolutions and attention, 2 per multiply-add; sums, norms, activations and the loss are left out, as is
usual for "model FLOP". Attention is counted dense, as it is computed: what a mask hides is not subtracted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from evlib.config import MUON, SIZE, ModelConfig
from evlib.generation import generate
from evlib.model import NextFrame
from evlib.training.optim import make_optimizers

FRAME = 3 * SIZE * SIZE  # bytes of a frame in a store
LOSS_MAPS = 7.55  # frame-sized float32 maps that MS-SSIM saves for its backward pass (counted)

Optimizer = Literal["adamw", "muon"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Device:
    name: str
    flops: float  # FLOP/s of dense bfloat16 matrix products, the manufacturer's figure
    memory: float  # bytes
    dollars: float  # per hour. An assumption: prices differ threefold between providers


# A laptop has no entry here: its rate is measured by `python -m evlib bench --only network`.
DEVICES = {
    "a100": Device("A100 SXM, 80 GB", 312e12, 80e9, 2.0),
    "h100": Device("H100 SXM, 80 GB", 989e12, 80e9, 3.0),
    "h200": Device("H200 SXM, 141 GB", 989e12, 141e9, 4.0),
}


@dataclass(frozen=True)
class Memory:
    """Bytes that a training step holds at once. `activations` is what the forward pass saves for the backward pass."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    data: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations + self.data


# ---- parameters and arithmetic ---------------------------------------------------------------------------------------


@cache
def network(model: ModelConfig) -> NextFrame:
    """The network with shapes and no numbers."""
    with torch.device("meta"):
        return NextFrame(model)


def parameters(model: ModelConfig) -> int:
    return sum(p.numel() for p in network(model).parameters())


def _video(frames: int) -> Tensor:
    return torch.empty(1, frames, 3, SIZE, SIZE, device="meta")


def _counted(work: Callable) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # of fused attention it counts none
        work()
    return counter.get_total_flops()


@cache
def flops(model: ModelConfig, n_in: int, n_out: int, last: int | None = None) -> int:
    """FLOP of predicting the `n_out` answer frames of one sequence, given the true frames before them: the forward pass
    of training and validation, on n_in + n_out - 1 frames. `last`: frames predicted, if not n_out (loss "all")."""
    with torch.no_grad():
        return _counted(lambda: network(model)(_video(n_in + n_out - 1), last=last or n_out))


@cache
def step_flops(
    model: ModelConfig, n_in: int, n_out: int, batch: int, optimizer: Optimizer = "adamw", last: int | None = None
) -> int:
    """A training step on `batch` sequences: forward, backward and, of Muon, the products of its Newton-Schulz
    iterations, which cost the same for any batch. AdamW has none."""
    net = network(model)
    one = _counted(lambda: net(_video(n_in + n_out - 1), last=last or n_out).sum().backward())
    steps = [each.step for each in make_optimizers(net, MUON)] if optimizer == "muon" else []
    return batch * one + _counted(lambda: [step() for step in steps])


@cache
def generation_flops(model: ModelConfig, n_in: int, n_out: int) -> int:
    """Generating `n_out` frames after `n_in`, one sequence: the input once, then one frame at a time against the cached
    keys and values."""
    return _counted(lambda: generate(network(model), _video(n_in), n_out))


# ---- memory ----------------------------------------------------------------------------------------------------------


def memory(
    model: ModelConfig,
    batch: int,
    n_in: int,
    n_out: int,
    optimizer: Optimizer = "adamw",
    dtype: Precision = "float32",
    data: float = 0.0,
    last: int | None = None,
) -> Memory:
    """Bytes of a training step. `dtype` is that of matrix products (autocast: weights, gradients and optimizer stay in
    float32); `data`: bytes of the encoded data set on the device.

    Weights, gradients and optimizer are exact. Activations are within 5 % of what torch saves where attention is fused:
    on a GPU, and on a CPU in float32 without dropout; those of a stem and of copying are left out. Otherwise a CPU
    saves the attention weights as well, and with dropout wider masks: a quarter more, and up to twice as much.
    The peak that an allocator reports is some tens of percent above the total: temporaries, unused cached blocks.
    """
    count = parameters(model)
    muon = make_optimizers(network(model), MUON)[0].param_groups[0]["params"] if optimizer == "muon" else []
    held = 4 * sum(p.numel() for p in muon)  # one moment instead of two
    saved = _activations(model, batch, n_in + n_out - 1, n_out if last is None else last, dtype)
    return Memory(4.0 * count, 4.0 * count, 8.0 * count - held, saved, data)


def _activations(model: ModelConfig, batch: int, T: int, last: int, dtype: Precision) -> float:
    K, patch, N = model.width, 3 * model.patch**2, (SIZE // model.patch) ** 2
    size = 4 if dtype == "float32" else 2  # bytes of what a matrix product saves
    reach = min(T, last + model.local_blocks)
    masked = 1 if model.dropout else 0  # a byte per element that dropout may drop

    def block(tokens: int, handed_on: int | None = None) -> int:
        """With `handed_on`, only so many tokens count after the time attention's keys and values."""
        late = tokens if handed_on is None else handed_on
        normed = 2 * tokens + late  # inputs of the three norms, in float32 always; their outputs; mean and deviation
        norms = normed * (4 * K + size * K + 2 * 4)
        # queries, keys and values of both attentions; outputs; their log sums
        attentions = 2 * 3 * size * tokens * K + (tokens + late) * (size * K + 4 * model.heads)
        mlp = 2 * model.mlp * size * late * K  # before and after GELU
        masks = masked * (tokens + (2 + model.mlp) * late) * K
        return norms + attentions + mlp + masks

    embedding = size * T * N * patch + masked * T * N * K
    encoder = model.local_blocks * block(T * N)
    middle = size * T * N * K + (model.global_blocks - 1) * block(T * N // 4)  # with the input of merge
    middle += block(T * N // 4, reach * N // 4)
    mixing = size * (reach * N // 4 * K + reach * N * 2 * K)  # inputs of unmerge and mix
    decoder = model.local_blocks * block(reach * N)
    head = 4 * reach * N * K + size * last * N * K + 4 * last * N * patch  # norm's input, its output; the sigmoid's
    loss = LOSS_MAPS * 4 * last * FRAME
    copies = 2 * (parameters(model) if dtype == "bfloat16" else 0)  # of the weights, made once a step
    neighbors = 2 * model.local_blocks * size * N * N  # the mask of local space attention, as numbers
    per_sequence = embedding + encoder + middle + mixing + decoder + head + loss
    return batch * per_sequence + copies + neighbors


# ---- time and money --------------------------------------------------------------------------------------------------


def minutes(flops: float, rate: float, utilization: float) -> float:
    """Minutes that `flops` FLOP take at a share `utilization` (0..1) of `rate` FLOP/s."""
    return flops / (rate * utilization) / 60


def dollars(minutes: float, per_hour: float) -> float:
    return minutes / 60 * per_hour
