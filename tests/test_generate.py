import numpy as np
import pandas as pd
import pytest
import torch

from evlib.bench.peers import generate_without_cache
from evlib.config import ModelConfig
from evlib.data.store import Split
from evlib.generation import generate, generate_answers, to_uint8
from evlib.model import NextFrame

pytestmark = pytest.mark.usefixtures("one_thread")


def network(**changes) -> NextFrame:
    """The paper's blocks at a small width."""
    torch.manual_seed(0)
    settings = dict(width=32, heads=2, local_blocks=2, global_blocks=5, max_frames=40)
    net = NextFrame(ModelConfig(**{**settings, **changes})).eval()
    with torch.no_grad():
        net.head.weight *= 4  # frames that differ from each other
    return net


def video(frames: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(256, (batch, frames, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("given", [1, 2, 3, 7])
def test_the_cache_changes_nothing(given):
    net = network()
    generated = generate(net, video(given), 20)
    assert generated.shape == (2, 20, 3, 64, 64)
    assert (generated - generate_without_cache(net, video(given), 20)).abs().max() < 1e-4
    assert (generated[:, 1:] - generated[:, :-1]).abs().amax(dim=(0, 2, 3, 4)).min() > 1e-4  # not one frame, repeated


def test_frames_may_come_in_pieces():
    net, frames, cache = network(), video(9), {}
    with torch.no_grad():
        pieces = [net(frames[:, a:b], cache=cache) for a, b in ((0, 4), (4, 5), (5, 9))]
        assert cache["frames"] == 9
        assert (torch.cat(pieces, dim=1) - net(frames)).abs().max() < 1e-5


@pytest.mark.parametrize("given", [1, 6])
def test_each_new_frame_is_one_frames_work(given):
    net = network()
    seen = {name: [] for name in ("encoder", "middle", "decoder")}
    for name, frames in seen.items():
        for block in getattr(net, name):
            block.register_forward_pre_hook(lambda block, args, frames=frames: frames.append(args[0].shape[1]))
    generate(net, video(given), 10)
    assert seen["encoder"] == 2 * [given] + 9 * 2 * [1]
    assert seen["middle"] == 5 * [given] + 9 * 5 * [1]
    assert seen["decoder"] == 2 * [min(given, 3)] + 9 * 2 * [1]


def test_local_blocks_remember_one_frame_and_global_blocks_all():
    net, cache = network(), {}
    with torch.no_grad():
        net(video(6), last=1, cache=cache)
    held = {
        name: {cache[block.time][0].shape[2] for block in getattr(net, name)}
        for name in ("encoder", "middle", "decoder")
    }
    assert held == {"encoder": {1}, "middle": {6}, "decoder": {1}}


def test_the_temporal_encoding_ends_generation_with_a_sentence():
    net = network(global_blocks=1, max_frames=8)
    assert generate(net, video(6), 3).shape[1] == 3  # the last generated frame is not seen again
    with pytest.raises(ValueError, match="9 frames, but this network's temporal encoding has 8"):
        generate(net, video(6), 4)


def split_of(shapes: list[tuple[int, int]]) -> Split:
    """Sequences of so many input and answer frames, over twelve random frames."""
    rng = np.random.default_rng(0)
    sequences = np.full((len(shapes), max(map(sum, shapes))), -1, dtype=np.int32)
    for row, (n_in, n_out) in zip(sequences, shapes):
        row[: n_in + n_out] = rng.integers(12, size=n_in + n_out)
    frames = torch.from_numpy(rng.integers(256, size=(12, 64, 64, 3), dtype=np.uint8))
    metadata = pd.DataFrame(shapes, columns=["n_in", "n_out"])
    return Split("test", frames, torch.from_numpy(sequences), metadata)


def test_answers_come_in_the_order_of_the_rows():
    """Rows of three shapes, in batches of two: each answer is the one generated for its row alone."""
    split, sizes = split_of([(3, 1), (2, 2), (3, 1), (2, 1), (3, 1), (2, 2)]), []
    net = network(global_blocks=1, max_frames=8)
    answers = generate_answers(net, split, lambda n_in: n_in - 1, batch=2, on_batch=sizes.append)
    assert sorted(sizes) == [1, 1, 2, 2]
    for row, (n_in, found) in enumerate(zip(split.metadata.n_in, answers)):
        alone = torch.from_numpy(split.inputs(row)).permute(0, 3, 1, 2)[None]
        assert isinstance(found, np.ndarray) and found.shape == (n_in - 1, 64, 64, 3) and found.dtype == np.uint8
        expected = to_uint8(generate(net, alone, n_in - 1))[0].numpy()
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_the_length_of_an_answer_never_comes_from_the_true_one():
    shapes, counted = [(2, 1), (2, 4), (3, 2)], []
    answers = generate_answers(
        network(global_blocks=1, max_frames=12), split_of(shapes), lambda n_in: counted.append(n_in) or 3
    )
    assert [len(answer) for answer in answers] == [3, 3, 3] and counted == [2, 2, 3]


def test_floats_are_rounded_to_bytes():
    frames = torch.tensor([0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.1, -0.1]).view(6, 1, 1, 1).expand(6, 3, 64, 64)
    rounded = to_uint8(frames)
    assert rounded.shape == (6, 64, 64, 3) and rounded[:, 0, 0, 0].tolist() == [0, 0, 1, 255, 255, 0]
