"""Questions are changed, separators and answers are not, and several processes do to a batch what one would."""

import pytest
import torch

from evlib.config import TrainConfig
from evlib.data import tasks
from evlib.data.batches import Batch
from evlib.training.augment import BAND, CHANGES, DROP, SHIFT, augment, fade_context
from evlib.training.learner import answer_loss

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def video() -> torch.Tensor:
    """32 sequences of three question frames, a separator and an answer."""
    return torch.randint(1, 256, (32, 5, 3, 64, 64), dtype=torch.uint8, generator=generator(9))


@pytest.mark.parametrize("how", CHANGES)
def test_only_the_question_changes(video, how):
    seen = augment(video, 4, how, generator())
    assert seen.dtype == torch.uint8 and seen.shape == video.shape
    assert torch.equal(seen[:, 3:], video[:, 3:])
    changed = (seen[:, :3] != video[:, :3]).flatten(1).any(dim=1)
    assert changed.float().mean() > (0.15 if how == "drop" else 0.8)


@pytest.mark.parametrize("how", CHANGES)
def test_the_generator_decides(video, how):
    assert torch.equal(augment(video, 4, how, generator(1)), augment(video, 4, how, generator(1)))
    assert not torch.equal(augment(video, 4, how, generator(1)), augment(video, 4, how, generator(2)))


@pytest.mark.parametrize("how", CHANGES)
def test_two_processes_do_what_one_does(video, how):
    halves = [augment(video[local], 4, how, generator(), 32, local) for local in (slice(0, 16), slice(16, 32))]
    assert torch.equal(torch.cat(halves), augment(video, 4, how, generator()))


def test_none_is_the_very_same(video):
    assert augment(video, 4, "none", generator()) is video
    assert augment(video, 1, "flip", generator()) is video  # a separator alone


def test_an_image_is_moved_and_half_of_them_are_mirrored(video):
    seen = augment(video, 4, "flip", generator())
    mirrored = 0
    for before, after in zip(video, seen):
        found = [
            (flip, dy, dx)
            for flip in (False, True)
            for dy in range(-SHIFT, SHIFT + 1)
            for dx in range(-SHIFT, SHIFT + 1)
            if torch.equal(moved(before[:3], flip, dy, dx), after[:3])
        ]
        assert len(found) == 1  # all three frames alike
        mirrored += found[0][0]
    assert 8 <= mirrored <= 24


def moved(frames: torch.Tensor, flip: bool, dy: int, dx: int) -> torch.Tensor:
    frames = frames.flip(-1) if flip else frames
    index = torch.arange(64)
    return frames[..., (index + dy).clamp(0, 63), :][..., (index + dx).clamp(0, 63)]


def test_shift_never_mirrors():
    ramp = torch.arange(64, dtype=torch.uint8).expand(16, 2, 3, 64, 64)
    assert (augment(ramp, 2, "shift", generator())[:, 0].int().diff(dim=-1) >= 0).all()


def test_a_mask_is_one_band_each_way(video):
    seen = augment(video, 4, "mask", generator())[:, :3]
    for frames in seen:
        black = (frames == 0).all(dim=1)
        assert torch.equal(black[0], black[1]) and torch.equal(black[0], black[2])
        rows, columns = black[0].all(dim=1), black[0].all(dim=0)
        for band in (rows, columns):
            assert band.sum() <= BAND and (not band.any() or band.nonzero().diff(dim=0).eq(1).all())
        assert torch.equal(black[0], rows[:, None] | columns)


def test_a_tenth_of_the_words_is_dropped():
    words = torch.full((500, 21, 3, 4, 4), 9, dtype=torch.uint8)
    seen = augment(words, 20, "drop", generator())
    blank = (seen == 0).flatten(2).all(dim=2)
    assert torch.equal(blank, (seen == 0).flatten(2).any(dim=2)) and not blank[:, 19:].any()
    assert blank[:, :19].float().mean() == pytest.approx(DROP, abs=0.015)


def test_a_task_says_what_preserves_its_answers():
    allowed = {name: task.augment for name, task in tasks.TASKS.items()}
    assert allowed == {
        "sst2": "drop",
        "cifar10": "flip",
        "tinyvirat": "shift",
        "audiomnist": "mask",
        "fsdd": "mask",
        "clevrer": "none",
        "tgifqa": "none",
        "colorization": "none",
        "lasot": "none",
    }
    for preset in ("paper", "demo"):
        assert {task.config(preset, steps=1).train.augment for task in tasks.TASKS.values()} == {"none"}
    fast = {name for name, task in tasks.TASKS.items() if task.config("fast", steps=1).train.augment != "none"}
    assert fast == {"cifar10"}  # where a comparison supports it: results/recipe
    assert tasks.get("cifar10").config("fast", steps=1, augment="none").train.augment == "none"


def test_answers_in_the_context_fade_into_the_input():
    video = torch.randint(0, 256, (16, 7, 3, 64, 64), dtype=torch.uint8, generator=generator())
    torch.manual_seed(0)
    context = 255 * fade_context(video, 4)
    assert torch.allclose(context[:, :4], video[:, :4].float(), atol=1e-3)  # the input and the separator
    given, answers = video[:, :3].float(), video[:, 4:].float()
    share = ((context[:, 4:] - answers) / (given - answers)).flatten(1).nanmedian(dim=1).values  # one per sequence
    assert share.min() < 0.2 and share.max() > 0.8
    assert torch.allclose(context[:, 4:], torch.lerp(answers, given, share.view(-1, 1, 1, 1, 1)), atol=0.01)


@pytest.mark.parametrize(("n_in", "n_out", "fades"), [(4, 3, True), (5, 2, False), (2, 1, False)])
def test_only_a_video_as_answer_fades_and_only_in_the_context(n_in, n_out, fades):
    """The network sees the faded frames; the loss compares with the true ones."""
    video = torch.randint(0, 256, (2, n_in + n_out, 3, 64, 64), dtype=torch.uint8, generator=generator())
    seen = []

    def knows_the_answer(frames, last):
        seen.append(frames)
        return video[:, -last:].float() / 255

    config = TrainConfig(fade_context=True)
    assert answer_loss(knows_the_answer, Batch(video, n_in, n_out), config, torch.float32).item() < 1e-5
    assert torch.equal(seen[0], video[:, :-1]) != fades
