"""Where the network looks, on networks whose weights are set by hand so that the answer is known."""
import pytest
import torch
from torch import Tensor

from evlib.attention import recorded, temporal
from evlib.config import ModelConfig
from evlib.model import Attention, NextFrame, causal

pytestmark = pytest.mark.usefixtures("one_thread")


def network(**changes) -> NextFrame:
    torch.manual_seed(0)
    return NextFrame(ModelConfig(**{**dict(width=32, heads=2, local_blocks=1, global_blocks=2, max_frames=8), **changes})).eval()


def video(frames: int = 5, batch: int = 2) -> Tensor:
    return torch.randint(256, (batch, frames, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def untouched(attention: Attention) -> bool:
    return attention.attend.__func__ is Attention.attend


# ------------------------------------------------------------------------------------------------ one attention

def test_the_weights_are_those_of_the_plain_formula():
    """softmax(q k / sqrt d), by loops; and they explain what the attention returned."""
    torch.manual_seed(0)
    attention, x = Attention(width=8, heads=2, dropout=0.0), torch.randn(3, 5, 8)
    with torch.no_grad(), recorded([attention]) as seen:
        y = attention(x, causal(5, 0, None, "cpu"))
    q, k, v = (part.view(3, 5, 2, 4) for part in attention.qkv(x).detach().chunk(3, dim=-1))
    expected = torch.zeros(3, 2, 5, 5)
    for b in range(3):
        for h in range(2):
            for i in range(5):
                scores = [float(q[b, i, h] @ k[b, j, h]) / 4**0.5 for j in range(i + 1)]
                expected[b, h, i, :i + 1] = torch.tensor(scores).softmax(dim=0)
    assert len(seen) == 1 and torch.allclose(seen[0], expected, atol=1e-6)
    mixed = torch.einsum("bhij,bjhd->bihd", seen[0], v).reshape(3, 5, 8)
    assert torch.allclose(attention.out(mixed), y, atol=1e-6)


def test_a_planted_attention_looks_where_it_was_told():
    """Every place asks for the first channel, and the third place alone has it: ln 3 there, 0 elsewhere."""
    attention = Attention(width=4, heads=1, dropout=0.0)
    x = torch.zeros(1, 4, 4)
    x[0, 2, 0] = 1
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.bias.zero_()
        attention.qkv.bias[0] = torch.log(torch.tensor(3.0)) * 4**0.5          # q
        attention.qkv.weight[4, 0] = 1                                         # k
        with recorded([attention]) as seen:
            attention(x, None)
            attention(x, torch.ones(4, 4, dtype=torch.bool).tril())
    unmasked, masked = (weights[0, 0] for weights in seen)
    assert torch.allclose(unmasked, torch.tensor([1, 1, 3, 1]).expand(4, 4) / 6)
    assert torch.allclose(masked[1], torch.tensor([1, 1, 0, 0]) / 2) and torch.allclose(masked[2], torch.tensor([1, 1, 3, 0]) / 5)


# ------------------------------------------------------------------------------------------------ a network

def test_no_weight_on_what_is_masked():
    net, T = network(), 5
    blocks = [*net.encoder, *net.middle, *net.decoder]
    with torch.no_grad(), recorded([block.time for block in blocks]) as times, recorded([net.encoder[0].space]) as spaces:
        net(video(T))
    assert len(times) == len(blocks) and all(torch.allclose(w.sum(dim=-1), torch.ones(()), atol=1e-5) for w in (*times, *spaces))
    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    assert all((weights[:, :, later] == 0).all() for weights in times)
    assert (times[0][:, :, torch.ones(T, T, dtype=torch.bool).tril(-2)] == 0).all()        # a local block: this frame and the one before
    assert (times[1][:, :, ~later] > 0).all()                                              # a global one: all so far
    assert (spaces[0][:, :, ~net.encoder[0].near] == 0).all()


def test_recording_changes_nothing():
    net = network()
    with torch.no_grad():
        before = net(video())
        with recorded([block.time for block in net.middle]):
            during = net(video())
        after = net(video())
    assert torch.equal(before, during) and torch.equal(before, after)
    assert all(untouched(block.time) for block in net.middle)


def test_an_error_leaves_the_network_as_it_was():
    net = network(max_frames=4)
    with pytest.raises(ValueError, match="5 frames"):
        temporal(net, video(5))
    assert all(untouched(block.time) for block in net.middle)
    with pytest.raises(KeyboardInterrupt), recorded([net.middle[0].time]):
        raise KeyboardInterrupt
    assert untouched(net.middle[0].time)


@torch.no_grad()
def looks_at_white(times: float) -> NextFrame:
    """White frames become +-1 in turn, black ones 0, and every block passes them on. Then the first of two heads of the first of two
    global blocks looks at white frames so many `times` as much as at black ones; the others look everywhere alike."""
    net = network(zero_init=True)
    K, d = net.config.width, net.config.width // net.config.heads
    sign = torch.tensor([1.0, -1.0]).repeat(K // 2)                                        # a layer norm leaves it alone
    net.embed.weight.copy_(sign[:, None].expand_as(net.embed.weight) / net.embed.in_features)
    for encoding in (net.when, *net.where):
        encoding.zero_()
    net.merge.weight.copy_(torch.eye(K).repeat(1, 4) / 4)
    for block in net.middle:
        block.time.qkv.weight.zero_()
    looks = net.middle[0].time.qkv
    looks.bias[:d] = torch.log(torch.tensor(times)) * sign[:d] * d**0.5 / d                # q: wherever it is drawn
    looks.weight[K:2 * K] = torch.eye(K)                                                   # k: what is there
    return net


def test_a_planted_network_looks_where_it_was_told():
    """One white frame of four, seen three times as well by one head of four: (3/6 + 3/4) / 4 there, (1/6 + 3/4) / 4 elsewhere."""
    frames = torch.zeros(3, 4, 3, 64, 64, dtype=torch.uint8)
    frames[torch.arange(3), [0, 2, 3]] = 255
    weights = temporal(looks_at_white(3), frames)
    white = torch.tensor([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    assert torch.allclose(weights, torch.where(white, (3 / 6 + 3 / 4) / 4, (1 / 6 + 3 / 4) / 4), atol=1e-4)


def test_places_count_alike():
    """A frame that is white in its upper half draws attention to its upper places alone: half of all."""
    frames = torch.zeros(1, 4, 3, 64, 64)
    frames[0, 1, :, :32] = 1
    there, elsewhere = (3 / 6 + 1 / 4) / 2, (1 / 6 + 1 / 4) / 2
    expected = torch.tensor([[elsewhere, there, elsewhere, elsewhere]])
    assert torch.allclose(temporal(looks_at_white(3), frames), (expected + 3 / 4) / 4, atol=1e-4)


def test_shares_of_the_frames():
    weights = temporal(network(), video())
    assert weights.shape == (2, 5) and torch.allclose(weights.sum(dim=1), torch.ones(2), atol=1e-5) and (weights > 0).all()
    assert torch.allclose(temporal(network(), video() / 255), weights, atol=1e-6)
    assert temporal(network(), video(1)).tolist() == [[1], [1]]
