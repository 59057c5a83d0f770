"""What a run costs, computed from its settings: parameters, arithmetic, memory, minutes, money.

    flops(preset("paper").model, n_in=21, n_out=1)            # FLOP of one sequence, forward
    step_flops(model, 21, 1, batch=16, optimizer="muon")      # a training step: network, optimizer
    minutes(1000 * step.total, DEVICES["a100"].flops, 0.3)    # at 30 % of an A100's rate

Closed formulas that follow `NextFrame.forward` (section 3.2) line by line; tests compare them with what torch counts.
FLOP are those of matrix products and attention, 2 per multiply-add; sums, norms, activations and the loss are left out,
as is usual for "model FLOP". Attention is counted dense, as it is computed: what a mask hides is not subtracted.

    B batch   T frames   K width   P patch   G = 64 / P grid   N = G * G patches per frame
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

from evlib.config import SIZE, ModelConfig

FRAME = 3 * SIZE * SIZE  # bytes of a frame in a store
NEWTON_SCHULZ = 5  # iterations with which Muon orthogonalizes a gradient
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
class StepFlops:
    """FLOP of one training step."""

    network: float  # forward and backward
    optimizer: float  # the matrix products of Muon; AdamW has none

    @property
    def total(self) -> float:
        return self.network + self.optimizer


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


# ---- parameters ------------------------------------------------------------------------------------------------------


def parameters(model: ModelConfig) -> int:
    """The number of the network's trainable parameters; exact."""
    K, P, N = model.width, model.patch, _patches(model)
    vectors = 2 * (3 + 1) * K + (model.mlp + 1) * K + 3 * 2 * K  # of a block: biases of attentions and MLP, three norms
    blocks = (2 * model.local_blocks + model.global_blocks) * (sum(map(prod, _block_matrices(model))) + vectors)
    encodings = model.max_frames * K + (N + N // 4 + N) * K
    ends = 3 * P * P * K + K if not model.stem else sum(prod(shape) + shape[0] for shape, _ in _convolutions(model))
    ends += 4 * sum(_channels(model)[1:])  # a stem's two norms per stage
    ends += 2 * K + K * 3 * P * P + N * 3 * P * P  # norm, head, bias
    ends += model.copy * (K + 1) * (model.max_frames + P * P)
    return blocks + sum(map(prod, _level_matrices(model))) + encodings + ends


def _block_matrices(model: ModelConfig) -> list[tuple[int, int]]:
    """Shapes of a block's matrices: two attentions and the MLP."""
    K = model.width
    return 2 * [(3 * K, K), (K, K)] + [(model.mlp * K, K), (K, model.mlp * K)]


def _level_matrices(model: ModelConfig) -> list[tuple[int, int]]:
    """Shapes of merge, unmerge and mix."""
    K = model.width
    return [(K, 4 * K), (4 * K, K), (K, 2 * K)]


def _muon_matrices(model: ModelConfig) -> list[tuple[int, int]]:
    """Shapes of what `optim.make_optimizers` gives to Muon; kernels as (out, 9 * in)."""
    kernels = [(out, k * n) for (out, n, k), _ in _convolutions(model)]
    return (2 * model.local_blocks + model.global_blocks) * _block_matrices(model) + _level_matrices(model) + kernels


def _channels(model: ModelConfig) -> list[int]:
    """Of a stem, between its stages; without one, nothing."""
    return [3, *(model.stem * 2**i for i in range(model.patch.bit_length() - 2))] if model.stem else []


def _convolutions(model: ModelConfig) -> list[tuple[tuple[int, int, int], int]]:
    """A stem's kernels, in order: (out, in, 9) and the pixels of a frame at which each is applied."""
    sizes, found = _channels(model), []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        found += [(shape, (SIZE >> i + 1) ** 2) for shape in ((b, a, 9), (b, b, 9), (b, b, 9))]
    return [*found, ((model.width, sizes[-1], 9), _patches(model))] if model.stem else []


def _patches(model: ModelConfig) -> int:
    return (SIZE // model.patch) ** 2


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def flops(model: ModelConfig, n_in: int, n_out: int, last: int | None = None) -> float:
    """FLOP of predicting the `n_out` answer frames of one sequence, given the true frames before them: the forward pass
    of training and validation, on n_in + n_out - 1 frames. `last`: frames predicted, if not n_out (loss "all")."""
    return _forward(model, n_in + n_out - 1, n_out if last is None else last)


def step_flops(
    model: ModelConfig, n_in: int, n_out: int, batch: int, optimizer: Optimizer = "adamw", last: int | None = None
) -> StepFlops:
    """A training step on `batch` sequences. For each product of the forward pass, the backward pass has two, the
    gradients of weights and input; the frames need no gradient, so a product with them has only one."""
    T = n_in + n_out - 1
    with_frames = _first(model, T) + model.copy * _copied(T, n_out if last is None else last)
    network = batch * (3 * flops(model, n_in, n_out, last) - with_frames)
    return StepFlops(network, newton_schulz_flops(model) if optimizer == "muon" else 0.0)


def newton_schulz_flops(model: ModelConfig) -> float:
    """Muon's Newton-Schulz iterations of one step, which cost the same for any batch. Each has three products: of the
    matrix (m x n, m <= n) with its transpose, of the m x m result with itself, and of an m x m with the m x n one."""
    sides = [sorted(shape) for shape in _muon_matrices(model)]
    return float(NEWTON_SCHULZ * sum(2 * m * m * n + 2 * m**3 + 2 * m * m * n for m, n in sides))


def generation_flops(model: ModelConfig, n_in: int, n_out: int) -> float:
    """Generating `n_out` frames after `n_in` with `generate.generate`, one sequence: the input once, then one frame at
    a time against the cached keys and values."""
    return _forward(model, n_in, 1) + sum(_forward(model, 1, 1, past=n_in + i) for i in range(n_out - 1))


def naive_generation_flops(model: ModelConfig, n_in: int, n_out: int) -> float:
    """The same without a cache: the whole sequence is computed again for every frame."""
    return sum(_forward(model, n_in + i, 1) for i in range(n_out))


def _forward(model: ModelConfig, T: int, last: int, past: int = 0) -> float:
    """FLOP of T frames after `past` cached ones; the last `last` of the T frames are predicted."""
    K, P, N = model.width, model.patch, _patches(model)
    reach = min(T, last + model.local_blocks)  # frames that the last global block passes on and the decoder runs on
    before = min(past, 1)  # a local block's cache holds one frame
    encoder = model.local_blocks * _block(model, N, T, before + T)
    merge = 2 * (T * N // 4) * 4 * K * K
    middle = (model.global_blocks - 1) * _block(model, N // 4, T, past + T) + _block(model, N // 4, T, past + T, reach)
    unmerge_and_mix = 2 * (reach * N // 4) * K * 4 * K + 2 * reach * N * 2 * K * K
    decoder = model.local_blocks * _block(model, N, reach, before + reach)
    head = 2 * last * N * K * 3 * P * P
    copy = 2 * last * K * (model.max_frames + N * P * P) + _copied(past + T, last) if model.copy else 0
    return float(_embedding(model, T) + encoder + merge + middle + unmerge_and_mix + decoder + head + copy)


def _embedding(model: ModelConfig, T: int) -> float:
    """A stem computes frames that are equal only once on a CPU; here they count each time."""
    stem = 2.0 * T * sum(prod(shape) * pixels for shape, pixels in _convolutions(model))
    return stem if model.stem else _first(model, T)


def _first(model: ModelConfig, T: int) -> float:
    """The layer that sees the pixels."""
    if not model.stem:
        return 2.0 * T * _patches(model) * 3 * model.patch**2 * model.width
    shape, pixels = _convolutions(model)[0]
    return 2.0 * T * prod(shape) * pixels


def _copied(T: int, last: int) -> float:
    """The weighted sums of earlier frames."""
    return 2.0 * last * T * FRAME if T > 1 else 0.0


def _block(model: ModelConfig, N: int, frames: int, keys: int, last: int | None = None) -> int:
    """A block on `frames` frames of N patches, whose time attention is over `keys` frames; with `last`, everything
    after the time attention's keys and values is computed for only so many frames."""
    tokens, handed_on = frames * N, (frames if last is None else last) * N
    *early, time_out, mlp_in, mlp_out = map(prod, _block_matrices(model))
    products = 2 * tokens * sum(early) + 2 * handed_on * (time_out + mlp_in + mlp_out)
    attention = 2 * 2 * model.width * (tokens * N + handed_on * keys)  # queries with keys, weights with values
    return products + attention


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
    float32); `data`: bytes of the encoded data set on the device, see `store_bytes`.

    Weights, gradients and optimizer are exact. Activations are within 5 % of what torch saves where attention is fused:
    on a GPU, and on a CPU in float32 without dropout; those of a stem and of copying are left out. Otherwise a CPU
    saves the attention weights as well, and with dropout wider masks: a quarter more, and up to twice as much.
    The peak that an allocator reports is some tens of percent above the total: temporaries, unused cached blocks.
    """
    count = parameters(model)
    held = 4 * sum(map(prod, _muon_matrices(model))) if optimizer == "muon" else 0  # one moment instead of two
    saved = _activations(model, batch, n_in + n_out - 1, n_out if last is None else last, dtype)
    return Memory(4.0 * count, 4.0 * count, 8.0 * count - held, saved, data)


def _activations(model: ModelConfig, batch: int, T: int, last: int, dtype: Precision) -> float:
    K, patch, N = model.width, 3 * model.patch**2, _patches(model)
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
    neighbours = 2 * model.local_blocks * size * N * N  # the mask of local space attention, as numbers
    per_sequence = embedding + encoder + middle + mixing + decoder + head + loss
    return batch * per_sequence + copies + neighbours


def store_bytes(frames: int, sequences: int, length: int) -> int:
    """An encoded data set: its distinct frames, uint8, and an int32 index of a frame for every frame of a sequence."""
    return frames * FRAME + sequences * length * 4


# ---- time and money --------------------------------------------------------------------------------------------------


def minutes(flops: float, rate: float, utilisation: float) -> float:
    """Minutes that `flops` FLOP take at a share `utilisation` (0..1) of `rate` FLOP/s."""
    return flops / (rate * utilisation) / 60


def dollars(minutes: float, per_hour: float) -> float:
    return minutes / 60 * per_hour
