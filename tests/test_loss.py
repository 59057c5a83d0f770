import pytest
import pytorch_msssim
import torch

from evlib.config import ModelConfig, TrainConfig
from evlib.model import NextFrame
from evlib.training.loss import concave, ms_ssim, next_frame_loss, power_at


def pair(share: float, seed: int = 0, n: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Two batches of random images, smooth and grainy at once, the second made from the first."""
    g = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.interpolate(torch.rand(n, 3, 8, 8, generator=g), size=64, mode="bilinear")
    x = (smooth + torch.rand(n, 3, 64, 64, generator=g)) / 2
    return x, share * x + (1 - share) * torch.rand(n, 3, 64, 64, generator=g)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("similarity", [0.3, 0.6, 0.9, 0.99])
def test_ms_ssim_is_that_of_pytorch_msssim(similarity, seed):
    x, y = pair(similarity, seed)
    expected = pytorch_msssim.ms_ssim(x, y, data_range=1, win_size=3, size_average=False)
    assert (ms_ssim(x, y) - expected).abs().max() < 1e-5
    assert expected.max() - expected.min() > 0  # one number per image


def test_identical_frames_cost_nothing():
    x, _ = pair(0)
    assert next_frame_loss(x[None], x[None]).item() == pytest.approx(0, abs=1e-6)
    black = torch.zeros(2, 3, 64, 64)
    for window in range(1, 5):  # all that fit
        assert ms_ssim(black, black, window).tolist() == pytest.approx([1, 1], abs=1e-6)


def test_a_better_guess_costs_less():
    losses = [next_frame_loss(*(p[None] for p in pair(similarity))).item() for similarity in (0.3, 0.6, 0.9, 0.99)]
    assert losses == sorted(losses, reverse=True)


def test_uint8_targets_are_0_to_255():
    x, y = pair(0.7)
    y = (y * 255).round()
    assert next_frame_loss(x[None], y[None].to(torch.uint8)).item() == pytest.approx(
        next_frame_loss(x[None], y[None] / 255).item(), abs=1e-6
    )


BLACK, RANDOM = torch.zeros(1, 2, 3, 64, 64), torch.rand(1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    "predicted, target",
    [
        (BLACK, BLACK),
        (BLACK, 1 - BLACK),
        (RANDOM, BLACK),
        (BLACK, RANDOM),
        (RANDOM, RANDOM),
        (RANDOM, 1 - RANDOM),
        (RANDOM.round(), 1 - RANDOM.round()),
    ],
    ids=["black", "black on white", "random on black", "black on random", "identical", "inverted", "inverted, hard"],
)
def test_the_gradient_is_finite(predicted, target):
    predicted = predicted.clone().requires_grad_()
    loss = next_frame_loss(predicted, target)
    loss.backward()
    assert 0 <= loss.item() + 1e-6 <= 1 + 2e-6
    assert predicted.grad.isfinite().all()


@pytest.mark.parametrize("zero_init", [False, True])
def test_the_gradient_is_finite_at_initialisation(zero_init):
    torch.manual_seed(0)
    net = NextFrame(ModelConfig(width=32, heads=2, local_blocks=1, global_blocks=1, zero_init=zero_init))
    net.init_output_bias(torch.zeros(3, 64, 64))
    word = torch.zeros(1, 3, 3, 64, 64, dtype=torch.uint8)
    word[:, :, :, 24:40, 8:56:4] = 255
    loss = next_frame_loss(net(word[:, :-1]), word[:, 1:])
    loss.backward()
    assert 0 < loss.item() < 1
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_opposites_teach_something_too():
    """Where pytorch-msssim, which the scales are otherwise equal to, has no gradient at all."""
    theirs, ours = (RANDOM[0].clone().requires_grad_() for _ in range(2))
    pytorch_msssim.ms_ssim(theirs, 1 - RANDOM[0], data_range=1, win_size=3).backward()
    ms_ssim(ours, 1 - RANDOM[0]).mean().backward()
    assert theirs.grad.abs().max() == 0 < ours.grad.abs().max()


@pytest.mark.parametrize(
    "x, y, window, least",
    [
        ((1, 3, 32, 32), (1, 3, 32, 32), 3, 48),
        ((1, 3, 64, 40), (1, 3, 64, 40), 3, 48),
        ((1, 3, 64, 64), (2, 3, 64, 64), 3, 48),
        ((3, 64, 64), (3, 64, 64), 3, 48),
        ((1, 3, 64, 64), (1, 3, 64, 64), 5, 80),
        ((1, 3, 64, 64), (1, 3, 64, 64), 11, 176),  # the usual one
    ],
)
def test_images_that_do_not_fit_are_refused(x, y, window, least):
    with pytest.raises(ValueError, match=f"at least {least} pixels"):
        ms_ssim(torch.zeros(x), torch.zeros(y), window)


def test_mean_absolute_error_is_added_on_request():
    x, y = pair(0.6)
    x, y = x[:, None], y[:, None]  # one frame each
    expected = next_frame_loss(x, y) + 0.5 * (x - y).abs().mean()
    assert torch.isclose(next_frame_loss(x, y, l1=0.5), expected)
    shifted = (y * 0.8 + 0.1).clamp(0, 1)  # MS-SSIM hardly sees a shift of brightness and contrast
    assert next_frame_loss(shifted, y) < 0.1 * next_frame_loss(shifted, y, l1=10.0)


# ---- the concave loss ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_concave_keeps_0_and_1_and_the_order(power):
    distance = torch.linspace(0, 1, 1001)
    result = concave(distance, power)
    assert (result[0].item(), result[-1].item()) == pytest.approx((0, 1), abs=1e-6)
    assert (result.diff() > 0).all() and (result >= distance - 1e-6).all()


def test_power_1_is_the_distance_itself():
    distance = torch.rand(5)
    assert concave(distance, 1.0) is distance
    x, y = (frames[None] for frames in pair(0.6))
    assert next_frame_loss(x, y, loss_power=1.0) == next_frame_loss(x, y)


@pytest.mark.parametrize("progress, power", [(0, 1), (0.4, 1), (0.7, 0.75), (1, 0.5)])
def test_the_power_falls_from_1_at_the_end_of_a_run(progress, power):
    assert power_at(progress, TrainConfig(loss_power=0.5, power_decay=0.6)) == pytest.approx(power)
    assert power_at(progress, TrainConfig(loss_power=0.5)) == 0.5 and power_at(progress, TrainConfig()) == 1


def test_power_0_is_the_limit_of_small_powers():
    distance = torch.linspace(0, 1, 101)
    assert torch.allclose(concave(distance, 0.0), concave(distance, 1e-3), atol=2e-3)


@pytest.mark.parametrize("power", [0.0, 0.1, 0.5])
def test_the_slope_of_concave_is_finite_everywhere(power):
    distance = torch.tensor(
        [-1e-7, 0.0, 1e-7, 0.5, 1.0], requires_grad=True
    )  # rounding makes 1 - MS-SSIM negative, too
    concave(distance, power).sum().backward()
    assert distance.grad.isfinite().all() and distance.grad[1] > 10 * distance.grad[-1]


def test_a_blend_costs_more_than_either_answer_under_a_concave_loss():
    """Halfway between two answers of which one is right half of the time: what the mean of both costs, and what one of
    them does."""
    blend, committed = torch.tensor([0.4, 0.4]), torch.tensor([0.0, 0.8])
    assert concave(blend, 1.0).mean() == concave(committed, 1.0).mean()
    assert concave(blend, 0.5).mean() > 1.3 * concave(committed, 0.5).mean()


def test_the_loss_is_concave_in_each_frame():
    x, y = pair(0.6)
    each = torch.stack([concave(1 - ms_ssim(a[None], b[None]), 0.5) for a, b in zip(x, y)])
    assert next_frame_loss(x[None], y[None], loss_power=0.5) == pytest.approx(each.mean().item(), abs=1e-6)
