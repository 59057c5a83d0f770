"""Attention maps of networks whose weights are set by hand so that the answer is known."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from evlib.config import ModelConfig
from evlib.generation import generate
from evlib.model import Attention, NextFrame, causal
from evlib.viz.attention import (
    attention_hooks,
    attention_maps,
    bright,
    central,
    colored,
    enlarge,
    generate_with_attention,
    in_boxes,
    inside,
    moving,
    occlusion,
    table,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def network(**changes) -> NextFrame:
    torch.manual_seed(0)
    return NextFrame(
        ModelConfig(**{**dict(width=32, heads=2, local_blocks=1, global_blocks=2, max_frames=8), **changes})
    ).eval()


def video(frames: int = 5, batch: int = 2) -> Tensor:
    return torch.randint(256, (batch, frames, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@contextmanager
def recorded_weights(attentions: list[Attention]) -> Iterator[list[Tensor]]:
    """The weights (B', heads, L, L') of every call of these attentions within the block."""
    weights = []
    with attention_hooks({module: lambda called, mask: weights.append(called) for module in attentions}):
        yield weights


def untouched(attention: Attention) -> bool:
    return attention.attend.__func__ is Attention.attend


# ------------------------------------------------------------------------------------------------ one attention


def test_the_weights_are_those_of_the_plain_formula():
    """softmax(q k / sqrt d), by loops; and they explain what the attention returned."""
    torch.manual_seed(0)
    attention, x = Attention(width=8, heads=2, dropout=0.0), torch.randn(3, 5, 8)
    with torch.no_grad(), recorded_weights([attention]) as calls:
        y = attention(x, causal(5, 0, None, "cpu"))
    q, k, v = (part.view(3, 5, 2, 4) for part in attention.qkv(x).detach().chunk(3, dim=-1))
    expected = torch.zeros(3, 2, 5, 5)
    for b in range(3):
        for h in range(2):
            for i in range(5):
                scores = [float(q[b, i, h] @ k[b, j, h]) / 4**0.5 for j in range(i + 1)]
                expected[b, h, i, : i + 1] = torch.tensor(scores).softmax(dim=0)
    assert len(calls) == 1 and torch.allclose(calls[0], expected, atol=1e-6)
    mixed = torch.einsum("bhij,bjhd->bihd", calls[0], v).reshape(3, 5, 8)
    assert torch.allclose(attention.out(mixed), y, atol=1e-6)


def test_a_planted_attention_attends_where_it_should():
    """Every place asks for the first channel, and the third place alone has it: ln 3 there, 0 elsewhere."""
    attention = Attention(width=4, heads=1, dropout=0.0)
    x = torch.zeros(1, 4, 4)
    x[0, 2, 0] = 1
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.bias.zero_()
        attention.qkv.bias[0] = torch.log(torch.tensor(3.0)) * 4**0.5  # q
        attention.qkv.weight[4, 0] = 1  # k
        with recorded_weights([attention]) as calls:
            attention(x, None)
            attention(x, torch.ones(4, 4, dtype=torch.bool).tril())
    unmasked, masked = (weights[0, 0] for weights in calls)
    assert torch.allclose(unmasked, torch.tensor([1, 1, 3, 1]).expand(4, 4) / 6)
    assert torch.allclose(masked[1], torch.tensor([1, 1, 0, 0]) / 2) and torch.allclose(
        masked[2], torch.tensor([1, 1, 3, 0]) / 5
    )


# ------------------------------------------------------------------------------------------------ a network


def test_no_weight_on_what_is_masked():
    net, T = network(), 5
    blocks = [*net.encoder, *net.middle, *net.decoder]
    with (
        torch.no_grad(),
        recorded_weights([block.time for block in blocks]) as times,
        recorded_weights([net.encoder[0].space]) as spaces,
    ):
        net(video(T))
    assert len(times) == len(blocks) and all(
        torch.allclose(w.sum(dim=-1), torch.ones(()), atol=1e-5) for w in (*times, *spaces)
    )
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    assert all((weights[:, :, later] == 0).all() for weights in times)
    assert (
        times[0][:, :, torch.ones(T, T, dtype=torch.bool).tril(-2)] == 0
    ).all()  # a local block: this frame and the one before
    assert (times[1][:, :, ~later] > 0).all()  # a global one: all so far
    assert (spaces[0][:, :, ~net.encoder[0].near] == 0).all()


def test_recording_changes_nothing():
    net = network()
    with torch.no_grad():
        before = net(video())
        with recorded_weights([block.time for block in net.middle]):
            during = net(video())
        after = net(video())
    assert torch.equal(before, during) and torch.equal(before, after)
    assert all(untouched(block.time) for block in net.middle)


def test_an_error_leaves_the_network_as_it_was():
    net = network(max_frames=4)
    with pytest.raises(ValueError, match="5 frames"):
        attention_maps(net, video(5))
    assert all(untouched(block.time) for block in net.middle)
    with pytest.raises(KeyboardInterrupt), recorded_weights([net.middle[0].time]):
        raise KeyboardInterrupt
    assert untouched(net.middle[0].time)


@torch.no_grad()
def attends_to_white(times: float) -> NextFrame:
    """White frames become +-1 in turn, black ones 0, and every block passes them on. Then the first of two heads of the
    first of two global blocks attends `times` as much to white frames as to black ones; the others attend uniformly."""
    net = network(zero_init=True)
    K, d = net.config.width, net.config.width // net.config.heads
    sign = torch.tensor([1.0, -1.0]).repeat(K // 2)  # a layer norm leaves it alone
    net.embed.weight.copy_(sign[:, None].expand_as(net.embed.weight) / net.embed.in_features)
    for encoding in (net.time_embed, *net.pos_embed):
        encoding.zero_()
    net.merge.weight.copy_(torch.eye(K).repeat(1, 4) / 4)
    for block in net.middle:
        block.time.qkv.weight.zero_()
    time = net.middle[0].time.qkv
    time.bias[:d] = torch.log(torch.tensor(times)) * sign[:d] * d**0.5 / d  # q: at every place
    time.weight[K : 2 * K] = torch.eye(K)  # k: what is there
    return net


def test_a_planted_network_attends_where_it_should():
    """Of four frames one is white, and one head of four attends to it three times as much as to the others."""
    frames = torch.zeros(3, 4, 3, 64, 64, dtype=torch.uint8)
    frames[torch.arange(3), [0, 2, 3]] = 255
    weights = attention_maps(attends_to_white(3), frames).temporal
    white = torch.tensor([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    assert torch.allclose(weights, torch.where(white, (3 / 6 + 3 / 4) / 4, (1 / 6 + 3 / 4) / 4), atol=1e-4)


def test_places_count_alike():
    """A frame that is white in its upper half gets attention at its upper places alone: half of all."""
    frames = torch.zeros(1, 4, 3, 64, 64)
    frames[0, 1, :, :32] = 1
    there, elsewhere = (3 / 6 + 1 / 4) / 2, (1 / 6 + 1 / 4) / 2
    expected = torch.tensor([[elsewhere, there, elsewhere, elsewhere]])
    assert torch.allclose(attention_maps(attends_to_white(3), frames).temporal, (expected + 3 / 4) / 4, atol=1e-4)


def test_shares_of_the_frames():
    weights = attention_maps(network(), video()).temporal
    assert (
        weights.shape == (2, 5) and torch.allclose(weights.sum(dim=1), torch.ones(2), atol=1e-5) and (weights > 0).all()
    )
    assert torch.allclose(attention_maps(network(), video() / 255).temporal, weights, atol=1e-6)
    assert attention_maps(network(), video(1)).temporal.tolist() == [[1], [1]]


# ------------------------------------------------------------------------------------------------ several targets


def test_each_target_counts_alike_on_the_inputs():
    """By loops over the weights of every target: those on the inputs, scaled to 1; and on all frames, relative to
    uniform attention."""
    net, frames, n = network(), video(6), 3
    with torch.no_grad(), recorded_weights([block.time for block in net.middle]) as layers:
        net(frames)
    maps = attention_maps(net, frames, targets=n)
    assert (
        maps.n_in == 4 and maps.time.shape == (2, 3, 6) and maps.temporal.shape == (2, 4) and maps.gain.shape == (2, 6)
    )
    weights = torch.stack([layer.view(2, -1, *layer.shape[1:]) for layer in layers]).mean(dim=(0, 2, 3))  # (B, T, T)
    for b in range(2):
        shares, gains = torch.zeros(4), [[] for _ in range(6)]
        for query in (3, 4, 5):
            row = weights[b, query]
            shares += row[:4] / row[:4].sum() / n
            for t in range(query + 1):
                gains[t].append(float(row[t]) * (query + 1))
        assert torch.allclose(maps.temporal[b], shares, atol=1e-5)
        assert torch.allclose(maps.gain[b], torch.tensor([sum(g) / len(g) for g in gains]), atol=1e-5)
    assert torch.allclose(maps.temporal.sum(dim=1), torch.ones(2), atol=1e-5) and torch.allclose(
        maps.time.sum(dim=2), torch.ones(2, 3), atol=1e-5
    )


def test_uniform_attention_scores_one():
    """Grids, borders, 3x3 neighborhoods and the number of frames so far must not show."""
    net = network(local_blocks=2)
    for block in (*net.encoder, *net.middle, *net.decoder):
        for attention in (block.space, block.time):
            torch.nn.init.zeros_(attention.qkv.weight)
    maps = attention_maps(net, video(6), targets=3)
    assert torch.allclose(maps.space, torch.ones(2, 6, 8, 8), atol=1e-5)
    assert torch.allclose(maps.gain, torch.ones(2, 6), atol=1e-5) and torch.allclose(
        maps.temporal, torch.full((2, 4), 1 / 4), atol=1e-5
    )


def test_one_pass_has_the_weights_of_generation_with_its_cache():
    net, inputs, n = network(), video(4), 3
    with recorded_weights([block.time for block in net.middle]) as calls:
        generated = generate(net, inputs, n)
    again, maps = generate_with_attention(net, inputs, n)
    assert torch.equal(generated, again)
    for i in range(n):  # two layers a step; the last row generates
        step = torch.stack([weights[:, :, -1] for weights in calls[2 * i : 2 * i + 2]])
        assert torch.allclose(maps.time[:, i, : 4 + i], step.mean(dim=(0, 2)).view(2, -1, 4 + i).mean(dim=1), atol=1e-5)


# ------------------------------------------------------------------------------------------------ which patch

ROW, COLUMN, FRAME = 1, 5, 2


@torch.no_grad()
def seeks_red(patch: int = 8, **changes) -> NextFrame:
    """Sees red alone and, in all global blocks, asks for it: red patches get a hundred times the attention of others.
    What they hold is handed on in space and then in time, and makes the answer brighter."""
    net = network(**{**dict(heads=1, patch=patch, zero_init=True, global_blocks=1, local_blocks=0), **changes})
    K = net.config.width
    sign = torch.tensor([1.0, -1.0]).repeat(K // 2)
    red = torch.arange(net.embed.in_features) < patch * patch  # channels come first
    net.embed.weight.copy_(sign[:, None] * red)
    for encoding in (net.time_embed, *net.pos_embed):
        encoding.zero_()
    net.merge.weight.copy_(torch.eye(K).repeat(1, 4))
    for block in (*net.encoder, *net.middle, *net.decoder):
        for attention in (block.space, block.time):
            attention.qkv.weight.zero_()
            attention.qkv.bias[:K] = torch.log(torch.tensor(100.0)) * sign * K**-0.5
            attention.qkv.weight[K : 2 * K] = torch.eye(K)
    for attention in (net.middle[0].space, net.middle[0].time):
        attention.qkv.weight[2 * K :] = torch.eye(K)
        attention.out.weight.copy_(torch.eye(K))
    net.unmerge.weight.copy_(torch.eye(K).repeat(4, 1))
    net.mix.weight[:, :K] = torch.eye(K)  # not the skip: it shows the last frame
    net.head.weight.copy_(sign.expand_as(net.head.weight))
    return net


def one_red_patch(patch: int = 8) -> Tensor:
    """Five frames of green and blue noise, some red in the patch at ROW, COLUMN of FRAME: uint8 (1, 5, 3, 64, 64)"""
    frames = video(5, batch=1)
    frames[:, :, 0] = 0
    frames[0, FRAME, 0, ROW * patch : (ROW + 1) * patch, COLUMN * patch : (COLUMN + 1) * patch] = 90
    return frames


def test_the_answer_depends_on_one_patch_of_one_frame_and_the_maps_name_it():
    """Every patch of every frame is blackened in turn: one of 320 changes the answer, and it has the most attention."""
    net, frames = seeks_red(), one_red_patch()
    blackened = frames.repeat(5 * 64, 1, 1, 1, 1)
    for i in range(5 * 64):
        t, row, column = i // 64, i % 64 // 8, i % 8
        blackened[i, t, :, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 0
    with torch.no_grad():
        change = (net(blackened, last=1) - net(frames, last=1)).abs().amax(dim=(1, 2, 3, 4)).view(5, 8, 8)
    assert change[FRAME, ROW, COLUMN] > 0.1 and (change > 1e-6).sum() == 1
    maps = attention_maps(net, frames)
    assert maps.temporal[0].argmax() == FRAME and maps.temporal[0, FRAME] > 0.9
    square = maps.space[0, FRAME] == maps.space[0, FRAME].max()  # a global block sees 2x2 patches as one
    assert square.nonzero().tolist() == [[0, 4], [0, 5], [1, 4], [1, 5]]
    assert torch.allclose(maps.space[0, 0], torch.ones(8, 8), atol=1e-5)  # nothing to see there


@pytest.mark.parametrize("patch", [4, 8])
def test_local_blocks_name_the_patch_itself(patch):
    """By loops, with 3x3 neighborhoods: the mean over a local block on each side and a global one, enlarged by kron."""
    G, frames = 64 // patch, one_red_patch(patch)
    net = seeks_red(patch, local_blocks=1)
    net.middle[0].space.out.weight.detach().zero_()  # else the decoder sees red everywhere
    net.middle[0].time.out.weight.detach().zero_()
    net.mix.weight.detach()[:, net.config.width :] = torch.eye(net.config.width)  # and this red alone
    net.mix.weight.detach()[:, : net.config.width] = 0
    maps = attention_maps(net, frames).space
    received, even = np.zeros((G, G)), np.zeros((G, G))
    for row, column in itertools.product(range(G), repeat=2):
        near = [
            (r, c) for r in range(row - 1, row + 2) for c in range(column - 1, column + 2) if 0 <= r < G and 0 <= c < G
        ]
        weights = np.array([100.0 if place == (ROW, COLUMN) else 1.0 for place in near])
        for place, share in zip(near, weights / weights.sum()):
            received[place] += share
            even[place] += 1 / len(near)
    small = np.ones((G // 2, G // 2))
    small[ROW // 2, COLUMN // 2] = 100
    far = small / small.mean()
    expected = (2 * received / even + np.kron(far, np.ones((2, 2)))) / 3
    assert np.allclose(maps[0, FRAME].numpy(), expected, atol=2e-3)
    assert (
        np.unravel_index(expected.argmax(), (G, G)) == (ROW, COLUMN)
        and (maps[0, FRAME] == maps[0, FRAME].max()).sum() == 1
    )
    top = table(["x"], [attention_maps(net, frames)]).set_index("frame").loc[FRAME]
    assert (top.top_row, top.top_column, top.grid) == (ROW, COLUMN, G)


def test_maps_are_enlarged_exactly():
    small = torch.arange(12.0).view(3, 2, 2)
    assert np.array_equal(
        enlarge(small, 6).numpy(), np.stack([np.kron(layer, np.ones((3, 3))) for layer in small.numpy()])
    )
    assert enlarge(small).shape == (3, 64, 64) and enlarge(small)[1, 0, 63] == 5 and enlarge(small)[1, 63, 0] == 6


# ------------------------------------------------------------------------------------------------ what for, and where


def test_blackening_finds_the_frame_that_matters():
    net, frames = seeks_red(), one_red_patch()[0]
    effect = occlusion(net, frames, 2)
    assert effect.shape == (5,) and effect.argmax() == FRAME and effect[FRAME] > 0.05
    assert (effect[[0, 1, 3, 4]] < 1e-6).all()
    assert torch.allclose(occlusion(net, frames / 255, 2), effect, atol=1e-6)


def test_the_share_inside_by_the_share_of_the_area():
    space = torch.ones(2, 8, 8)
    space[0, ROW, COLUMN] = 4
    mask = torch.zeros(2, 64, 64, dtype=torch.bool)
    mask[:, 8:16, 32:48] = True  # that patch and the one left of it
    ratio = inside(space, mask)
    assert torch.allclose(ratio, torch.tensor([(5 / 67) / (2 / 64), 1.0]))
    assert inside(space, torch.zeros(2, 64, 64, dtype=torch.bool)).isnan().all()


def test_places_in_frames():
    frames = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    frames[2, :, 3, 50] = 20  # appears, and is gone again
    frames[:, 0, 10, 20] = 70
    assert moving(frames).nonzero().tolist() == [[1, 3, 50], [2, 3, 50], [3, 3, 50]] and not moving(frames[:1]).any()
    assert colored(frames).nonzero().tolist() == [[t, 10, 20] for t in range(4)]
    assert bright(frames).sum(dim=(1, 2)).tolist() == [1, 1, 2, 1]
    assert central(frames)[1].sum() == 32 * 32 and central(frames)[1, 16, 47] and not central(frames)[1, 16, 48]
    boxes = in_boxes([[50, 3, 2, 1], None, [0.4, 61.6, 3.2, 9]])
    assert (
        boxes[0].nonzero().tolist() == [[3, 50], [3, 51]]
        and not boxes[1].any()
        and boxes[2].nonzero().tolist() == [[y, x] for y in (62, 63) for x in range(4)]
    )


def test_the_numbers_behind_the_picture():
    net = seeks_red()
    generated, maps = generate_with_attention(net, one_red_patch(), 3)
    rows = table(["a", "b"], [maps, maps])
    assert rows.columns.tolist() == [
        "example",
        "frame",
        "part",
        "temporal",
        "gain",
        "top_row",
        "top_column",
        "top_attention",
        "grid",
    ]
    assert (
        generated.shape == (1, 3, 3, 64, 64)
        and len(rows) == 2 * 7
        and rows.part.tolist() == (["input"] * 5 + ["generated"] * 2) * 2
    )
    one = rows[rows.example == "b"].set_index("frame")
    assert one.temporal.sum() == pytest.approx(1, abs=1e-3) and one.temporal.isna().tolist() == [False] * 5 + [True] * 2
    assert (
        one.temporal.idxmax() == FRAME and one.gain[FRAME] > 2 and (one.top_row[FRAME], one.top_column[FRAME]) == (0, 4)
    )
    with pytest.raises(ValueError):
        table(["a"], [maps, maps])
