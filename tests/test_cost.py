"""The closed formulas against what torch counts when the network runs."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from evlib.bench.timing import saved_bytes
from evlib.config import ModelConfig, preset
from evlib.generation import generate
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
    net = NextFrame(NETWORKS[request.param])
    torch.nn.init.normal_(net.head.weight, std=0.1)  # a stem computes equal frames once: generated ones must differ
    return net


def video(n_in: int, n_out: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(
        256, (batch, n_in + n_out, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def counted(work) -> int:
    """FLOP that torch counts. A CPU's fused attention is not in its list, the unfused one is two plain products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


# ------------------------------------------------------------------------------------ parameters, arithmetic


@pytest.mark.parametrize("name", ["demo", "paper"])
def test_parameters_of_the_presets(name):
    with torch.device("meta"):
        assert cost.parameters(preset(name).model) == sum(p.numel() for p in NextFrame(preset(name).model).parameters())


def test_parameters(net):
    assert cost.parameters(net.config) == sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("n_in, n_out", SHAPES)
def test_forward(net, n_in, n_out):
    frames = video(n_in, n_out)[:, :-1]
    assert counted(lambda: net(frames, last=n_out)) == 2 * cost.flops(net.config, n_in, n_out)
    assert counted(lambda: net(frames)) == 2 * cost.flops(net.config, n_in, n_out, last=n_in + n_out - 1)


@pytest.mark.parametrize("n_in, n_out", SHAPES)
def test_step(net, n_in, n_out):
    frames = video(n_in, n_out, batch=3)[:, :-1]
    step = cost.step_flops(net.config, n_in, n_out, batch=3)
    assert counted(lambda: net(frames, last=n_out).sum().backward()) == step.network == step.total
    net.zero_grad()


@pytest.mark.parametrize("n_in, n_out", SHAPES)
def test_generation(net, n_in, n_out):
    frames = video(n_in, n_out)[:, :n_in]

    @torch.no_grad()
    def naive():
        video = frames.float() / 255
        for _ in range(n_out):
            video = torch.cat([video, net(video, last=1)], dim=1)

    assert counted(lambda: generate(net, frames, n_out)) == 2 * cost.generation_flops(net.config, n_in, n_out)
    assert counted(naive) == 2 * cost.naive_generation_flops(net.config, n_in, n_out)


def test_muon(net):
    optimizers = make_optimizers(net, preset("demo").train)
    for p in net.parameters():
        p.grad = torch.rand_like(p)
    found = counted(lambda: [optimizer.step() for optimizer in optimizers])
    net.zero_grad()
    assert found == pytest.approx(cost.newton_schulz_flops(net.config), rel=0.01)
    step = cost.step_flops(net.config, 2, 1, 4, optimizer="muon")
    assert step.optimizer == cost.newton_schulz_flops(net.config) and step.total == step.network + step.optimizer


def test_the_paper_preset_costs_what_was_measured_by_hand():
    """About 8.5 GFLOP per frame for forward and backward, the decoder on all frames."""
    assert cost.step_flops(preset("paper").model, 20, 1, batch=1, last=20).total / 20 == pytest.approx(8.5e9, rel=0.1)


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


def test_store(tmp_path):
    assert cost.store_bytes(frames=10, sequences=7, length=3) == 10 * 64 * 64 * 3 + 7 * 3 * 4


# ------------------------------------------------------------------------------------ time and money


def test_minutes_and_dollars():
    a100 = cost.DEVICES["a100"]
    assert cost.minutes(312e12 * 60, a100.flops, 1.0) == 1 and cost.minutes(312e12 * 60, a100.flops, 0.25) == 4
    assert cost.dollars(90, per_hour=2.0) == 3.0
