"""What a run costs: FLOP by hand, memory against what torch saves."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from evlib.bench.timing import saved_bytes
from evlib.config import ModelConfig, preset
from evlib.model import Attention, NextFrame
from evlib.paper import cost
from evlib.training.loss import next_frame_loss
from evlib.training.optim import make_optimizers

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [(1, 1), (2, 1), (7, 1), (5, 4), (3, 6)]
NETWORKS = {
    "demo": preset("demo").model,
    "paper's blocks": ModelConfig(width=64, heads=2, dropout=0.0, max_frames=40),
    "stem, copying": ModelConfig(width=48, heads=3, local_blocks=1, global_blocks=2, dropout=0.0, stem=16, copy=True),
    "small patches": ModelConfig(width=48, heads=3, local_blocks=1, global_blocks=1, patch=4, mlp=2, dropout=0.0),
}


@pytest.fixture(params=NETWORKS, scope="module")
def net(request) -> NextFrame:
    torch.manual_seed(0)
    return NextFrame(NETWORKS[request.param])


def video(n_in: int, n_out: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(
        256, (batch, n_in + n_out, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_numbers_of_the_paper_preset():
    """About 8.5 GFLOP per frame for forward and backward, the decoder on all frames (measured by hand)."""
    model = preset("paper").model
    assert cost.parameters(model) == pytest.approx(40.8e6, rel=1e-3)
    assert cost.step_flops(model, 20, 1, batch=1, last=20) / 20 == pytest.approx(8.5e9, rel=0.1)


def test_flop_of_one_layer_by_hand():
    """What counting leaves out would be missing here: attention, the last block on answer frames alone."""
    model = ModelConfig(width=32, heads=1, local_blocks=0, global_blocks=1, dropout=0.0)
    K, N, n, T = 32, 64, 16, 3  # width, patches, merged patches, frames
    early = T * N * 192 * K + T * n * 4 * K * K + T * n * (4 * K * K + 2 * n * K)  # patches, merging, space attention
    early += T * n * 3 * K * K + n * (K * K + 2 * T * K)  # time attention, whose output is wanted for one frame only
    late = n * 2 * 4 * K * K + n * 4 * K * K + N * 2 * K * K + N * 192 * K  # MLP, unmerging, mixing, pixels
    assert cost.flops(model, T, 1) == 2 * (early + late)


def test_flop_of_a_stem_and_of_copying():
    """The rest of the network is the same."""
    plain = ModelConfig(width=48, heads=3, local_blocks=0, global_blocks=1, dropout=0.0)
    stem, copy = dataclasses.replace(plain, stem=16), dataclasses.replace(plain, copy=True)
    assert cost.flops(stem, 3, 1) > cost.flops(plain, 3, 1)
    gate, change = 64 * 48 * 64, 64 * 48 * 192  # of one frame
    lag, pixels = 48 * 64, 3 * 3 * 64 * 64  # of one frame; weights times the pixels of three frames
    assert cost.flops(copy, 3, 1) == cost.flops(plain, 3, 1) + 2 * (gate + change + lag + pixels)


def test_a_step_counts_every_sequence_and_the_optimizer_once():
    model = ModelConfig(width=32, heads=1, local_blocks=0, global_blocks=1, dropout=0.0)
    one, two = (cost.step_flops(model, 2, 1, batch) for batch in (1, 2))
    assert two == 2 * one > 2 * cost.flops(model, 2, 1)
    muon = [cost.step_flops(model, 2, 1, batch, "muon") - batch * one for batch in (1, 2)]
    assert muon[0] == muon[1] > 0


def test_generation_costs_no_more_than_one_pass():
    model = NETWORKS["paper's blocks"]
    again = sum(cost.flops(model, 5 + i, 1) for i in range(4))
    assert cost.flops(model, 5, 1) < cost.generation_flops(model, 5, 4) < again


# ------------------------------------------------------------------------------------ memory


def saved(net: NextFrame, n_in: int, n_out: int, batch: int, dtype: str) -> int:
    """Bytes that the forward pass and the loss save for the backward pass."""
    frames = video(n_in, n_out, batch)

    def forward() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            predicted = net(frames[:, :-1], last=n_out)
        next_frame_loss(predicted, frames[:, -n_out:])

    return saved_bytes(net, forward)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("n_in, n_out", SHAPES)
def test_activations(net, n_in, n_out, dtype, monkeypatch):
    def fused(self, *qkv_and_mask):  # as on a GPU
        return F.scaled_dot_product_attention(*qkv_and_mask)

    monkeypatch.setattr(Attention, "attend", fused)
    net.train()
    if net.config.stem:
        pytest.skip("those of a stem are left out")
    estimate = cost.memory(net.config, 4, n_in, n_out, dtype=dtype)
    assert estimate.activations == pytest.approx(saved(net, n_in, n_out, 4, dtype), rel=0.05)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weights_gradients_and_optimizer(net, optimizer):
    optimizers = make_optimizers(net, dataclasses.replace(preset("demo").train, optimizer=optimizer))
    for p in net.parameters():
        p.grad = torch.rand_like(p)
    for o in optimizers:
        o.step()
    states = [
        t for o in optimizers for state in o.state.values() for t in state.values() if torch.is_tensor(t) and t.dim()
    ]
    estimate = cost.memory(net.config, 4, 3, 1, optimizer=optimizer, data=1e6)
    assert (
        estimate.weights
        == sum(p.nbytes for p in net.parameters())
        == estimate.gradients
        == sum(p.grad.nbytes for p in net.parameters())
    )
    assert estimate.optimizer == sum(t.nbytes for t in states)
    assert estimate.total == 2 * estimate.weights + estimate.optimizer + estimate.activations + 1e6
    net.zero_grad()


def test_dropout_adds_a_byte_an_element():
    """Not measurable on a CPU, which saves wider masks: the formula alone."""
    plain = preset("demo").model
    thin = dataclasses.replace(plain, dropout=0.1)
    more = cost.memory(thin, 2, 5, 1).activations - cost.memory(plain, 2, 5, 1).activations
    # The embedding's, seven widths in each of two blocks; in the last one, of the answer's frame alone but for space.
    assert more == 2 * 96 * (5 * 64 + 2 * 5 * 16 * 7 + 5 * 16 + 16 * 6)


# ------------------------------------------------------------------------------------ time and money


def test_minutes_and_dollars():
    a100 = cost.DEVICES["a100"]
    assert cost.minutes(312e12 * 60, a100.flops, 1.0) == 1 and cost.minutes(312e12 * 60, a100.flops, 0.25) == 4
    assert cost.dollars(90, per_hour=2.0) == 3.0
