"""Figure 10: what is lighter and darker, where the colors and numbers stand."""

import io

import numpy as np
from PIL import Image as Pillow

from evlib.viz.attention_plots import BAR, SCALE, VEIL, Strip, figure10, overlay
from evlib.viz.plots import GAP, LINE, RED

TOP = LINE + BAR


def gray(frames: int, value: int = 100) -> np.ndarray:
    return np.full((frames, 64, 64, 3), value, np.uint8)


def uniform(frames: int, grid: int = 8) -> np.ndarray:
    return np.ones((frames, grid, grid))


def pixels(picture: Pillow.Image) -> np.ndarray:
    assert picture.mode == "P" and len(picture.getcolors()) <= 256
    return np.asarray(picture.convert("RGB")).astype(int)


def place(t: int, n_in: int) -> int:
    """The left edge of a frame in the first line."""
    return GAP + t * (64 + GAP) + (2 * GAP if t >= n_in else 0)


# ------------------------------------------------------------------------------------------------ a veil


def test_uniform_attention_leaves_a_frame_as_it_is():
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(overlay(frame, np.ones((8, 8))), frame)


def test_lighter_is_more_and_darker_less_up_to_twice_and_half():
    patches = np.ones((8, 8))
    patches[1, 5], patches[0, 0], patches[7, 2], patches[3, 3] = 2, 0.5, 50, 0
    strip = overlay(gray(1)[0], patches)
    light, dark = round(100 * (1 - VEIL) + 255 * VEIL), round(100 * (1 - VEIL))
    expected = np.full((8, 8), 100)
    expected[1, 5], expected[0, 0], expected[7, 2], expected[3, 3] = light, dark, light, dark
    assert np.array_equal(strip, np.kron(expected, np.ones((8, 8)))[..., None].repeat(3, axis=2))
    assert 100 < overlay(gray(1)[0], np.full((8, 8), 1.4))[0, 0, 0] < light


# ------------------------------------------------------------------------------------------------ the figure


def test_frames_bars_and_the_red_line_are_in_their_places():
    spatial = uniform(3)
    spatial[1, 1, 5] = 2
    picture = pixels(figure10([Strip(gray(4), np.array([0.1, 0.6, 0.3]), spatial, "a caption")]))
    light = round(100 * (1 - VEIL) + 255 * VEIL)
    for t in range(4):
        patch = picture[TOP : TOP + 64, place(t, 3) : place(t, 3) + 64]
        expected = np.full((64, 64), 100)
        if t == 1:
            expected[8:16, 40:48] = light
        assert np.abs(patch - expected[..., None]).max() <= 2  # 256 colors
    for t, share in enumerate((0.1, 0.6, 0.3)):
        bar = picture[LINE : TOP - 1, place(t, 3) : place(t, 3) + 64]
        assert np.abs(bar - 255 * np.array(SCALE(share / 0.6)[:3])).max() <= 4
    assert (picture[LINE : TOP - 1, place(3, 3) : place(3, 3) + 64] == 255).all()  # nothing attends to the last one
    red = np.abs(picture - RED).max(axis=2) <= 4
    assert (
        red[TOP : TOP + 64, place(3, 3) - 2 * GAP : place(3, 3) - GAP].all()
        and not red[:, : place(3, 3) - 2 * GAP].any()
    )


def test_the_shares_are_written_above():
    def above(share: float) -> np.ndarray:
        return pixels(figure10([Strip(gray(2), np.array([share, 1 - share]), uniform(2))]))[:LINE, : GAP + 64]

    assert (
        (above(0.25) < 128).any()
        and np.array_equal(above(0.25), above(0.2501))
        and not np.array_equal(above(0.25), above(0.35))
    )
    assert (above(0.001) < 128).any()


def test_long_parts_are_thinned_and_long_lines_broken():
    frames = (
        np.repeat(np.arange(31, dtype=np.uint8)[:, None, None, None] * 8, 64, axis=1)
        .repeat(64, axis=2)
        .repeat(3, axis=3)
    )
    strip = Strip(frames, np.arange(1, 12) / 66, uniform(11))
    thin = pixels(figure10([strip], max_frames=4))
    values = [thin[TOP + 32, place(i, 5) + 32, 0] // 8 for i in range(7)]
    assert values == [0, 3, 6, 9, 10, 11, 30]  # 0-9, the separator, 11-30
    whole = pixels(figure10([strip], width=4 * 66 + 3 * GAP))
    line = TOP + 64 + GAP
    assert [
        whole[row * line + TOP + 32, place(column, 9) + 32, 0] // 8 for row in range(2) for column in range(4)
    ] == list(range(8))
    assert whole.shape[0] >= 8 * line and figure10([strip]).width > 900


def test_short_examples_stand_side_by_side_and_long_ones_below_each_other():
    rng = np.random.default_rng(0)
    smooth = rng.integers(40, 216, (24, 8, 8, 3), dtype=np.uint8)
    clips = [
        np.stack(
            [
                np.asarray(Pillow.fromarray(frame).resize((64, 64), Pillow.Resampling.BICUBIC))
                for frame in smooth[i : i + 8]
            ]
        )
        for i in (0, 8, 16)
    ]
    examples = [Strip(clip, np.full(7, 1 / 7), rng.uniform(0.4, 2.2, (7, 8, 8)), "x") for clip in clips]
    one, three = figure10(examples[:1]), figure10(examples)
    assert three.height - one.height == 2 * (TOP + 64 + LINE + 4 * GAP)
    short = [Strip(gray(3, value), np.full(2, 1 / 2), uniform(2), "x") for value in (50, 150, 250)]
    assert figure10(short).height == one.height and figure10(short, width=500).height == figure10(examples[:2]).height
    second = pixels(figure10(short))[TOP + 32, 3 * (64 + GAP) + 3 * GAP + 4 * GAP + GAP + 32]
    assert np.abs(second - 150).max() <= 2
    packed = io.BytesIO()
    three.save(packed, "PNG", optimize=True)
    assert packed.tell() < 60_000


def test_the_key_has_a_line_of_its_own():
    picture = pixels(
        figure10([Strip(gray(2), np.ones(1), uniform(2))], width=1200)
    )  # where there was room beside the strip
    assert (
        picture.shape[1] == 1200
        and (picture[: TOP + 64, 150:] == 255).all()
        and (picture[TOP + 64 :, 150:] < 100).any()
    )


def test_an_untrained_network_is_no_problem():
    picture = pixels(figure10([Strip(gray(3), np.zeros(2), uniform(2))]))
    assert np.abs(picture[TOP : TOP + 64, GAP : GAP + 64] - 100).max() <= 2
