import json
from dataclasses import replace

import pytest
import torch

from evlib.bench.variants import compute_all_frames
from evlib.config import ModelConfig, preset
from evlib.frames.render import word_frame
from evlib.model import Block, NextFrame, causal
from evlib.training.loss import ms_ssim, next_frame_loss
from evlib.training.optim import lr_scale, make_optimizers, set_lr

SMALL = ModelConfig(width=32, heads=2, local_blocks=2, global_blocks=2, max_frames=8)


pytestmark = pytest.mark.usefixtures("one_thread")


def network(config: ModelConfig = SMALL) -> NextFrame:
    torch.manual_seed(0)
    return NextFrame(config).eval()


def video(frames: int, batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randint(
        256, (batch, frames, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


# ---- size, shape, range ----------------------------------------------------------------------------------------------


def test_sizes_of_the_presets():
    with torch.device("meta"):  # counted, not allocated
        paper, demo = (sum(p.numel() for p in NextFrame(preset(name).model).parameters()) for name in ("paper", "demo"))
        assert paper == pytest.approx(41e6, rel=0.01) and demo < 1e6


def test_preset_paper_starts_and_predicts_as_ever():
    """Numbers of the first version, which stored weights and published results rest on: from a seed the same
    parameters, from those the same frames."""
    net = network(preset("paper").model)
    assert sum(p.double().abs().sum().item() for p in net.parameters()) == pytest.approx(1258471.84410, rel=1e-9)
    assert net.embed.weight[0, :2].tolist() == pytest.approx([-0.060079451650, 0.000632480718], abs=1e-9)
    assert net.head.weight[-1, -2:].tolist() == pytest.approx([0.050423733890, 0.024917416275], abs=1e-9)
    assert net.time_embed[3, 0, :2].tolist() == pytest.approx([0.003318275092, -0.004029909149], abs=1e-9)
    with torch.no_grad():
        predicted = net(video(5), last=1)
    assert predicted[0, 0, :, 10, 20].tolist() == pytest.approx([0.60698223, 0.56829894, 0.49969345], abs=2e-6)
    assert predicted[1, 0, :, 63, 0].tolist() == pytest.approx([0.80772036, 0.66968334, 0.77076554], abs=2e-6)
    assert predicted.mean().item() == pytest.approx(0.48693241, abs=1e-6)


@pytest.mark.parametrize("batch, frames", [(1, 1), (2, 5), (3, 8)])
def test_one_prediction_per_frame(batch, frames):
    out = network()(video(frames, batch))
    assert out.shape == (batch, frames, 3, 64, 64) and out.dtype == torch.float32
    assert 0 <= out.min() < out.max() <= 1


def test_bytes_and_floats_are_the_same_image():
    net, frames = network(), video(3)
    assert torch.equal(net(frames), net(frames.float() / 255))


def test_the_head_puts_each_pixel_where_it_belongs():
    """An untrained network that starts at a mean frame predicts that frame."""
    net, mean = network(), torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    net.init_output_bias(mean)
    assert (net(video(2)) - mean.clamp(0.01, 0.99)).abs().max() < 1e-5


def test_zero_init_starts_blocks_at_the_identity():
    block = network(ModelConfig(width=32, heads=2, local_blocks=1, global_blocks=1, zero_init=True)).middle[0]
    x = torch.randn(1, 3, 16, 32)
    assert torch.equal(block(x), x)


def test_too_many_frames_are_a_sentence():
    with pytest.raises(ValueError, match="9 frames, but this network's temporal encoding has 8"):
        network()(video(9))


# ---- copying from the past -------------------------------------------------------------------------------------------


def test_an_untrained_network_copies_the_frame_that_it_is_told_to():
    net, frames = network(replace(SMALL, copy=True)), video(6)
    net.init_copy({3}, opened=True)
    earlier = frames[:, 2:4].float() / 255  # the predictions of frames 5 and 6: three frames before each
    assert (net(frames, last=2) - earlier).abs().max() < 4e-3
    mean = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(1))
    net.init_copy()
    net.init_output_bias(mean)
    assert (net(frames) - mean.clamp(0.01, 0.99)).abs().max() < 1e-5


def test_near_frames_are_not_copied_if_there_are_others():
    net, frames = network(replace(SMALL, copy=True, shortest_lag=4)), video(6)
    net.init_copy({4}, opened=1.0)
    with torch.no_grad():
        net.copy.lag.bias[0] = 40  # of the frame before
    past = frames[:, 1:3].float() / 255  # four frames before the predictions of frames 5 and 6
    assert (net(frames, last=2) - past).abs().max() < 4e-3
    few = net(frames[:, :2])
    assert few.isfinite().all()
    few.mean().backward()
    assert net.copy.lag.weight.grad.isfinite().all()


def test_a_gate_that_blends_hides_what_is_generated():
    net, frames = network(replace(SMALL, copy=True)), video(6)
    net.init_copy({3}, opened=True)
    torch.nn.init.normal_(net.head.weight)
    earlier = frames[:, 2:4].float() / 255
    assert (net(frames, last=2) - earlier).abs().max() < 4e-3
    with torch.no_grad():
        net.copy.change.bias.fill_(0.5)  # what is copied is changed
    assert torch.allclose(net(frames, last=2), (earlier.logit(eps=2e-3) + 0.5).sigmoid(), atol=1e-3)
    with torch.no_grad():
        net.copy.gate.bias.zero_()
    assert (net(frames, last=2) - earlier).abs().max() > 0.1


@pytest.mark.parametrize("settings", [{}, {"shortest_lag": 3}])
def test_copying_never_looks_ahead_and_is_the_same_with_a_cache(settings):
    net, frames = network(replace(SMALL, copy=True, **settings)), video(6).float() / 255
    torch.nn.init.normal_(net.copy.lag.weight)
    torch.nn.init.normal_(net.copy.gate.weight)
    with torch.no_grad():
        whole, cache = net(frames), {}
        assert torch.allclose(net(frames[:, :4]), whole[:, :4], atol=1e-6)
        steps = [net(part, last=1, cache=cache) for part in (frames[:, :3], *frames[:, 3:].split(1, dim=1))]
    assert torch.allclose(torch.cat(steps, dim=1), whole[:, 2:], atol=1e-5)


# ---- the convolutional stem ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [4, 8])
def test_a_stem_turns_each_patch_into_a_vector(patch):
    net = network(replace(SMALL, patch=patch, stem=16)).train()
    frames = video(3)
    assert net.embed(frames / 255).shape == (2, 3, (64 // patch) ** 2, 32)
    out = net(frames)
    assert out.shape == (2, 3, 3, 64, 64)
    out.square().mean().backward()
    for name, p in net.embed.named_parameters():
        assert p.grad.isfinite().all() and p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("patch", [4, 8])
def test_a_stem_sees_each_frame_alone_and_keeps_its_layout(patch):
    """What changes in one corner of a frame changes that corner's patch and not the opposite one's."""
    stem, before = network(replace(SMALL, patch=patch, stem=16)).embed, video(3) / 255
    after = before.clone()
    after[:, 1, :, 60:, :4] = 1 - after[:, 1, :, 60:, :4]  # lower left
    changed = (stem(after) - stem(before)).abs().amax(dim=(0, 3)) > 1e-6  # (3 frames, N)
    G = 64 // patch
    assert not changed[0].any() and not changed[2].any()
    rows, columns = changed[1].view(G, G).nonzero().T
    assert changed[1].view(G, G)[-1, 0] and rows.min() >= G - 3 and columns.max() <= 2


def test_a_stem_computes_equal_frames_once_and_puts_each_in_its_place():
    stem, frames = network(replace(SMALL, stem=16)).embed, video(5) / 255
    frames[:, 3], frames[1, 1] = frames[:, 0], frames[0, 4]  # 7 distinct frames of 10
    sizes = []
    stem.layers.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    together = stem(frames)
    alone = torch.stack([torch.cat([stem(frame[None, None]) for frame in row], dim=1)[0] for row in frames])
    assert sizes[0] == 7
    assert torch.allclose(together, alone, atol=1e-5)


# ---- what looks at what ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", range(1, 6))
def test_a_later_frame_changes_no_earlier_prediction(changed):
    net, before = network(), video(6)
    after = before.clone()
    after[:, changed] = 255 - after[:, changed]
    difference = (net(after) - net(before)).abs().amax(dim=(0, 2, 3, 4))
    assert difference[:changed].max() < 1e-6
    assert difference[changed:].min() > 1e-4  # and every later one


def block_reach(local: bool, frame: int = 1, patch: int = 9) -> torch.Tensor:
    """(4 frames, 64 patches) bool: where one block's output changes when one patch of one frame does."""
    torch.manual_seed(0)
    block = Block(SMALL, grid=8, local=local).eval()
    x = torch.randn(1, 4, 64, 32)
    y = x.clone()
    y[:, frame, patch] = torch.randn(32)
    return (block(y) - block(x)).abs().amax(dim=(0, 3)) > 1e-7


@pytest.mark.parametrize("patch, rows, columns", [(9, (0, 3), (0, 3)), (7, (0, 2), (6, 8))])  # 7 is in a corner
def test_a_local_block_reaches_3x3_patches_and_one_frame_on(patch, rows, columns):
    near = torch.zeros(4, 8, 8, dtype=torch.bool)
    near[1:3, slice(*rows), slice(*columns)] = True
    assert torch.equal(block_reach(local=True, patch=patch), near.flatten(1))


def test_a_global_block_reaches_all_patches_and_all_later_frames():
    assert block_reach(local=False).float().mean(dim=1).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "T, past, window, expected",
    [
        (3, 0, None, ["x..", "xx.", "xxx"]),
        (4, 0, 2, ["x...", "xx..", ".xx.", "..xx"]),
        (4, 0, 3, ["x...", "xx..", "xxx.", ".xxx"]),
        (2, 2, None, ["xxx.", "xxxx"]),
        (2, 1, 2, ["xx.", ".xx"]),
        (1, 1, 2, ["xx"]),
        (1, 0, 2, ["x"]),
    ],
)
def test_causal(T, past, window, expected):
    mask = causal(T, past, window, torch.device("cpu"))
    assert ["".join(".x"[int(m)] for m in row) for row in mask] == expected


def test_one_new_frame_may_look_at_all():
    assert causal(1, 5, None, torch.device("cpu")) is None


# ---- the last frames only --------------------------------------------------------------------------------------------


def untrimmed(net: NextFrame) -> NextFrame:
    """The same network, whose last global block computes all frames."""
    compute_all_frames(net.middle[-1])
    return net


@pytest.mark.parametrize("local_blocks", [0, 2])
@pytest.mark.parametrize("last", range(1, 7))
def test_the_last_frames_are_those_of_all(last, local_blocks):
    config, frames = replace(SMALL, local_blocks=local_blocks), video(6)
    predicted = network(config)(frames, last=last)
    assert (predicted - network(config)(frames)[:, -last:]).abs().max() < 1e-6
    assert (predicted - untrimmed(network(config))(frames, last=last)).abs().max() < 1e-6


@pytest.mark.parametrize("local_blocks", [0, 2])
def test_the_last_global_block_trims_with_a_cache_too(local_blocks):
    config, frames = replace(SMALL, local_blocks=local_blocks), video(6)
    nets, caches = (network(config), untrimmed(network(config))), ({}, {})
    for start, stop, last in ((0, 4, 1), (4, 5, 1), (5, 6, 1)):
        a, b = (net(frames[:, start:stop], last=last, cache=cache) for net, cache in zip(nets, caches))
        assert (a - b).abs().max() < 1e-6
    keys = [cache[net.middle[-1].time][0] for net, cache in zip(nets, caches)]
    assert keys[0].shape[2] == 6 and torch.allclose(*keys, atol=1e-6)  # keys and values of all frames


def test_blocks_work_for_the_last_frames_only():
    net, sizes = network(), []
    for module in (net.middle[-1].mlp, *net.decoder):
        module.register_forward_pre_hook(lambda module, args: sizes.append(args[0].shape[1]))
    net(video(8), last=1)
    net(video(8))
    untrimmed(net)(video(8), last=1)
    assert sizes == [3, 3, 3, 8, 8, 8, 8, 3, 3]  # two decoder blocks look one frame back each


# ---- learning and saving ---------------------------------------------------------------------------------------------


def test_one_batch_is_overfitted():
    """Four one-word questions and answers, with the recipe of preset `demo`."""
    words = ["red", "grün", "blue", "gray"], ["stop", "go", "sea", "fog"]
    pixels = torch.stack([torch.stack([torch.from_numpy(word_frame(w).copy()) for w in pair]) for pair in zip(*words)])
    frames = pixels.permute(0, 1, 4, 2, 3)
    config = preset("demo").override(width=64, heads=2, global_blocks=1)
    torch.manual_seed(0)
    net = NextFrame(config.model)
    net.init_output_bias(frames[:, 1].float().mean(dim=0) / 255)
    optimizers = make_optimizers(net, config.train)
    for step in range(120):
        set_lr(optimizers, lr_scale(step / 120, config.train))
        next_frame_loss(net(frames[:, :1]), frames[:, 1:]).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    similarity = ms_ssim(net(frames[:, :1])[:, 0], frames[:, 1].float() / 255)
    assert similarity.min() > 0.95


def test_a_network_survives_being_saved(tmp_path):
    net = network()
    net.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model"]["width"] == 32
    again = NextFrame.from_pretrained(tmp_path).eval()
    assert again.config == net.config
    assert torch.equal(again(video(3)), net(video(3)))
