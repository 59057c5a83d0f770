"""An image becomes one frame (section 3.1: "each CIFAR-10 image is resized to 64x64 pixels")."""

from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from evlib.config import SIZE
from evlib.utils.errors import EvlibError

UNREADABLE = (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError)  # what Pillow raises for a bad file
FAINT = 64  # ink must be this much brighter than the background, out of 255


def read_image(path: str | Path) -> np.ndarray:
    """An image file of any size and kind -> uint8 (H, W, 3) RGB, upright, composited on white if transparent.
    16-bit gray is scaled to 8 bits. Raises EvlibError if it cannot be read whole."""
    try:
        with Pillow.open(path) as image:
            image.load()
            image = ImageOps.exif_transpose(image)
    except UNREADABLE as error:
        found = f"something that cannot be read ({error})"
        raise EvlibError(f"{path}: expected a whole image file (png, jpeg, gif, ...), found {found}.") from None
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65535 if image.mode.startswith("I") else max(values.max(), 1e-9)
        gray = np.clip(values / top * 255, 0, 255).round().astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    return np.asarray(over_white(image) if image.has_transparency_data else image.convert("RGB"))


def over_white(image: Pillow.Image) -> Pillow.Image:
    """A transparent image on a white background: RGB."""
    image = image.convert("RGBA")
    return Pillow.alpha_composite(Pillow.new("RGBA", image.size, "white"), image).convert("RGB")


def image_frame(pixels: np.ndarray, size: int = SIZE) -> np.ndarray:
    """uint8 (H, W, 3) of any size -> uint8 (size, size, 3), bicubic; an image that is not square is stretched."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise EvlibError(f"An image must be uint8 of shape (H, W, 3); found {pixels.dtype} of shape {pixels.shape}.")
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Pillow.fromarray(pixels).resize((size, size), Pillow.Resampling.BICUBIC))


def is_blank(frame: np.ndarray) -> bool:
    """Whether a frame, uint8 (64, 64, 3), has no ink on it: no pixel differs from the background by FAINT."""
    gray = frame.mean(axis=2)
    return bool(np.abs(gray - np.median(gray)).max() < FAINT)


def until_blank(frames: np.ndarray) -> np.ndarray:
    """The frames, uint8 (T, 64, 64, 3), before the first blank one; all of them if none is blank."""
    return frames[: next((t for t, frame in enumerate(frames) if is_blank(frame)), len(frames))]
