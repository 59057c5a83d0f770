"""Boxes survive being rendered and read: clean, soft, broken and noisy lines, beside red things, and on real clips."""

import time

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from evlib.frames.boxes import parse_box, read_box, read_boxes, render_box
from evlib.frames.image import image_frame, read_image
from evlib.scoring.metrics import iou
from evlib.utils.errors import EvlibError


def scene(rng: np.random.Generator) -> np.ndarray:
    """Soft blots of any color."""
    return np.asarray(
        Pillow.fromarray(rng.integers(20, 220, (6, 6, 3), dtype=np.uint8)).resize((64, 64), Pillow.Resampling.BICUBIC)
    )


def some_box(rng: np.random.Generator) -> tuple[float, ...]:
    w, h = rng.uniform(8, 30, 2)
    return rng.uniform(0, 64 - w), rng.uniform(0, 64 - h), w, h


def eight_bits(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def blurred(frame: np.ndarray) -> np.ndarray:
    padded = np.pad(frame.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    return eight_bits(sum(padded[i : i + 64, j : j + 64] for i in range(3) for j in range(3)) / 9)


def noisy(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return eight_bits(frame + rng.normal(0, 25.5, frame.shape))


DAMAGES = {
    "none": lambda frame, rng: frame,
    "noise, then blur": lambda frame, rng: blurred(noisy(frame, rng)),
    "blur, then noise": lambda frame, rng: noisy(blurred(frame), rng),
}


def overlaps(frames, boxes) -> np.ndarray:
    """IoU of what is read; 0 where nothing is."""
    found = [(np.nan,) * 4 if read is None else read.box for read in read_boxes(np.stack(frames))]
    return iou(np.array(found), np.array(boxes))


# ---- rendering -------------------------------------------------------------------------------------------------------


def test_the_line_is_pure_red_and_runs_along_the_edge():
    frame = np.full((64, 64, 3), 90, np.uint8)
    boxed = render_box(frame, (10, 20, 30, 12))
    red = (boxed == (255, 0, 0)).all(axis=-1)
    expected = np.zeros((64, 64), bool)
    expected[19:33, 9:41] = True
    expected[21:31, 11:39] = False
    assert (red == expected).all() and (boxed[~expected] == 90).all()
    assert (frame == 90).all() and boxed.dtype == np.uint8


def test_fractions_of_a_pixel_are_mixed():
    boxed = render_box(np.zeros((64, 64, 3), np.uint8), (10.25, 20, 30, 12))
    assert boxed[26, 8:13, 0].tolist() == [0, 191, 255, 64, 0]


@pytest.mark.parametrize("box", [(-9, -7, 20, 20), (50, 55, 30, 9), (-5, -5, 100, 100), (0, 10, 64, 20)])
def test_boxes_are_cut_at_the_frame(box):
    x, y, w, h = box
    cut = max(x, 0), max(y, 0), min(x + w, 64) - max(x, 0), min(y + h, 64) - max(y, 0)
    boxed = render_box(np.full((64, 64, 3), 90, np.uint8), box)
    assert (boxed == render_box(np.full((64, 64, 3), 90, np.uint8), cut)).all()
    assert overlaps([boxed], [cut])[0] > 0.95


def test_a_box_outside_is_not_rendered():
    frame = scene(np.random.default_rng(0))
    assert (render_box(frame, (64, 3, 5, 5)) == frame).all() and render_box(frame, (-9, 3, 5, 5)) is not frame


@pytest.mark.parametrize("box", [(1, 2, np.nan, 4), (1, np.inf, 3, 4), (1, 2, 0, 4), (1, 2, 3, -1), (1, 2, 3), 5.0])
def test_bad_boxes_are_named(box):
    with pytest.raises(EvlibError, match="box: expected x, y, w, h"):
        render_box(np.zeros((64, 64, 3), np.uint8), box)


def test_a_box_that_is_typed():
    assert parse_box("-1.5, 2,3e1,4") == (-1.5, 2, 30, 4)
    for text in ("", "1,2,3", "1,2,3,4,5", "1,2,three,4", "1,2,0,4", "1,2,3,-4", "nan,2,3,4", "1,2,inf,4"):
        with pytest.raises(
            EvlibError,
            match=f"The box '{text}' is not one: expected four numbers x,y,w,h with a width and height above 0.",
        ):
            parse_box(text)


@pytest.mark.parametrize(
    "frame", [np.zeros((64, 64, 3)), np.zeros((32, 64, 3), np.uint8), np.zeros((2, 64, 64, 3), np.uint8), None]
)
def test_bad_frames_are_named(frame):
    for call in (lambda: read_box(frame), lambda: render_box(frame, (1, 2, 3, 4))):
        with pytest.raises(EvlibError, match=r"must be uint8 of shape \(64, 64, 3\)"):
            call()
    with pytest.raises(EvlibError, match=r"must be uint8 of shape \(T, 64, 64, 3\)"):
        read_boxes(np.zeros((64, 64, 3), np.uint8))


# ---- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_boxes_are_read_back(damage):
    rng = np.random.default_rng(1)
    boxes = [some_box(rng) for _ in range(100)]
    frames = [DAMAGES[damage](render_box(scene(rng), box), rng) for box in boxes]
    assert overlaps(frames, boxes).mean() > (0.97 if damage == "none" else 0.92)


def test_soft_lines_are_read():
    rng = np.random.default_rng(2)
    boxes, frames = [some_box(rng) for _ in range(100)], []
    for box in boxes:
        plain = scene(rng)
        frames.append(blurred(eight_bits(0.5 * plain + 0.5 * render_box(plain, box))))
    assert overlaps(frames, boxes).mean() > 0.9


def test_broken_lines_are_read():
    """A third of the outline is erased, in six pieces."""
    rng = np.random.default_rng(3)
    boxes, frames = [some_box(rng) for _ in range(100)], []
    for x, y, w, h in boxes:
        plain = scene(rng)
        boxed = render_box(plain, (x, y, w, h))
        rows, columns = np.indices((64, 64)) + 0.5
        turn = np.arctan2((rows - y - h / 2) / h, (columns - x - w / 2) / w) / (2 * np.pi)
        erased = (6 * turn + rng.random()) % 1 < 1 / 3
        frames.append(np.where(erased[..., None], plain, boxed))
    assert overlaps(frames, boxes).mean() > 0.9


def test_confidence_says_how_much_of_the_outline_is_there():
    rng = np.random.default_rng(4)
    plain = np.full((64, 64, 3), 100, np.uint8)
    whole = render_box(plain, (12, 15, 30, 22))
    gaps, half_faded = whole.copy(), eight_bits(0.5 * plain + 0.5 * whole)
    gaps[:, 20:34] = plain[:, 20:34]  # 28 of 104 px of line
    assert read_box(whole).confidence > 0.99
    assert 0.65 < read_box(gaps).confidence < 0.8
    assert 0.4 < read_box(half_faded).confidence < 0.6
    assert all(read is None for read in read_boxes(np.stack([scene(rng) for _ in range(50)])))


def test_no_box_is_an_answer():
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    colors = (0, 0, 0), (255, 255, 255), (255, 0, 0), (130, 0, 10)
    grounds = np.stack([np.full((64, 64, 3), color, np.uint8) for color in colors])
    assert read_boxes(grounds) == [None] * 4
    assert sum(read is not None for read in read_boxes(noise)) <= 1


@pytest.mark.parametrize("shape", ["ellipse", "rectangle"])
def test_red_things_do_not_pass_for_boxes(shape):
    rng = np.random.default_rng(6)
    frames, boxed, boxes = [], [], []
    for _ in range(100):
        picture = Pillow.fromarray(scene(rng))
        for _ in range(3):
            (x, y), (w, h) = rng.integers(0, 48, 2).tolist(), rng.integers(7, 24, 2).tolist()
            getattr(ImageDraw.Draw(picture), shape)((x, y, x + w, y + h), fill=(int(rng.integers(180, 256)), 20, 20))
        frames.append(np.asarray(picture))
        boxes.append(some_box(rng))
        boxed.append(render_box(frames[-1], boxes[-1]))
    assert np.mean([read is None for read in read_boxes(np.stack(frames))]) >= 0.85
    assert overlaps(boxed, boxes).mean() > 0.95


def test_reading_takes_about_a_millisecond():
    rng = np.random.default_rng(7)
    frames = np.stack([render_box(scene(rng), some_box(rng)) for _ in range(50)])
    started = time.process_time()
    read_boxes(frames)
    assert (time.process_time() - started) / len(frames) < 0.01  # generous: cores are shared


# ---- real clips ------------------------------------------------------------------------------------------------------


@pytest.fixture
def clips(official) -> tuple[np.ndarray, np.ndarray]:
    """The first 20 frames of every clip, uint8 (N, 64, 64, 3), and their boxes cut at the frame, (N, 4)."""
    frames, boxes = [], []
    for folder in sorted(path.parent for path in official("tracking").glob("*/*/groundtruth.txt")):
        for number, line in enumerate((folder / "groundtruth.txt").read_text().splitlines()[:20], start=1):
            picture = read_image(folder / "img" / f"{number:08d}.jpg")
            x, y, w, h = (float(v) for v in line.split(","))
            scale = 64 / np.array([picture.shape[1], picture.shape[0]])
            low, high = ((np.array(corner) * scale).clip(0, 64) for corner in ((x, y), (x + w, y + h)))
            frames.append(image_frame(picture))
            boxes.append([*low, *(high - low)])
    return np.stack(frames), np.array(boxes)


def test_boxes_are_read_back_from_real_clips(clips):
    frames, boxes = clips
    large = boxes[:, 2:].min(axis=1) >= 6
    frames, boxes, rng = frames[large], boxes[large], np.random.default_rng(0)
    boxed = [render_box(frame, box) for frame, box in zip(frames, boxes)]
    for damage, least in zip(DAMAGES.values(), (0.98, 0.94, 0.94)):
        assert overlaps([damage(frame, rng) for frame in boxed], boxes).mean() > least


def test_narrow_boxes_are_read_back_from_real_clips(clips):
    frames, boxes = clips
    narrow = (boxes[:, 2:].min(axis=1) >= 3) & (boxes[:, 2:].min(axis=1) < 6)
    boxed = [render_box(frame, box) for frame, box in zip(frames[narrow], boxes[narrow])]
    assert overlaps(boxed, boxes[narrow]).mean() > 0.95


def test_real_frames_have_no_box(clips):
    assert np.mean([read is None for read in read_boxes(clips[0])]) > 0.99
