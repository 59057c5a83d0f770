"""Images of every kind become RGB, upright, and 64x64."""

import numpy as np
import pytest
from PIL import Image as Pillow

from evlib.frames.image import FAINT, image_frame, is_blank, read_image, until_blank
from evlib.utils.errors import EvlibError


def picture(height: int = 20, width: int = 30) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1)
    return np.stack([red, green, np.full_like(x, 80)], axis=-1).astype(np.uint8)


def save(path, image: Pillow.Image, **options):
    image.save(path, **options)
    return path


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_color_images_keep_their_colors(tmp_path, mode):
    read = read_image(save(tmp_path / "color.png", Pillow.fromarray(picture()).convert(mode)))
    assert (read.dtype, read.shape) == (np.uint8, (20, 30, 3))
    assert np.abs(read.astype(int) - picture()).mean() < (30 if mode == "P" else 0.01)  # web palettes are coarse


@pytest.mark.parametrize("mode", ["L", "LA", "1", "CMYK"])
def test_gray_and_print_modes_are_read(tmp_path, mode):
    image = Pillow.fromarray(np.full((5, 7, 3), 255, np.uint8)).convert(mode)
    read = read_image(save(tmp_path / "gray.tiff", image))
    assert read.shape == (5, 7, 3) and (read == 255).all()


def test_transparency_lies_over_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 3] = [255, 255, 128, 0]  # black: two opaque columns, half, none
    read = read_image(save(tmp_path / "clear.png", Pillow.fromarray(pixels)))
    assert read[0, :, 0].tolist() == [0, 0, 127, 255]
    gray = Pillow.fromarray(pixels[..., [0, 3]], mode="LA")
    assert (read_image(save(tmp_path / "la.png", gray)) == read).all()
    palette = Pillow.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    read = read_image(save(tmp_path / "palette.png", palette, transparency=1))
    assert read[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    read = read_image(save(tmp_path / "deep.png", Pillow.fromarray(values)))
    assert read[0].tolist() == [[v, v, v] for v in (0, 1, 128, 255)]


def test_floats_are_scaled_to_their_largest(tmp_path):
    read = read_image(save(tmp_path / "float.tiff", Pillow.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32))))
    assert read[0, :, 0].tolist() == [0, 128, 255]


def test_photographs_are_turned_upright(tmp_path):
    image = Pillow.fromarray(np.repeat(picture(), 8, axis=0).repeat(8, axis=1))
    exif = Pillow.Exif()
    exif[0x0112] = 6  # the camera was held a quarter turn
    read = read_image(save(tmp_path / "turned.jpg", image, exif=exif, quality=95))
    assert read.shape == (240, 160, 3)
    assert np.abs(read.astype(int) - np.rot90(np.asarray(image), -1)).mean() < 4


def test_an_animation_gives_its_first_picture(tmp_path):
    frames = [Pillow.new("RGB", (8, 8), color) for color in ("red", "blue")]
    read = read_image(save(tmp_path / "moving.gif", frames[0], save_all=True, append_images=frames[1:]))
    assert read[0, 0].tolist() == [255, 0, 0]


def test_unreadable_images_are_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    whole = save(tmp_path / "whole.png", Pillow.fromarray(noise))
    Pillow.open(whole).save(tmp_path / "whole.jpg")
    for ending in ("png", "jpg"):
        data = (tmp_path / f"whole.{ending}").read_bytes()
        (tmp_path / f"cut.{ending}").write_bytes(data[: len(data) // 2])
        (tmp_path / f"header.{ending}").write_bytes(data[:30])
    (tmp_path / "text.png").write_text("this is no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    broken = [f"{name}.{ending}" for name in ("cut", "header") for ending in ("png", "jpg")]
    for name in (*broken, "text.png", "empty.png", "folder.png", "missing.png"):
        with pytest.raises(EvlibError, match=f"{name}: expected a whole image file"):
            read_image(tmp_path / name)


# ---- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", [(1, 1), (3000, 10), (10, 3000), (64, 64), (32, 32)])
def test_any_size_becomes_a_frame(height, width):
    frame = image_frame(picture(height, width))
    assert (frame.dtype, frame.shape) == (np.uint8, (64, 64, 3))
    assert abs(frame.mean() - picture(height, width).mean()) < 3


def test_a_frame_stays_as_it_is():
    assert (image_frame(picture(64, 64)) == picture(64, 64)).all()


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)],
)
def test_other_arrays_are_refused(wrong):
    with pytest.raises(EvlibError, match="An image must be uint8 of shape"):
        image_frame(wrong)


def test_a_frame_is_blank_without_ink_on_it():
    blank, inked = np.full((64, 64, 3), 20, np.uint8), np.full((64, 64, 3), 20, np.uint8)
    blank[30, 30], inked[30, 30] = 20 + FAINT - 1, 20 + FAINT
    assert is_blank(blank) and not is_blank(inked) and is_blank(np.full((64, 64, 3), 255, np.uint8))
    frames = np.stack([inked, inked, blank, inked])
    assert len(until_blank(frames)) == 2 and len(until_blank(frames[:2])) == 2 and len(until_blank(frames[2:])) == 0
