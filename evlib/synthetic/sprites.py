"""Cubes, spheres and cylinders of rubber or metal, as seen by a camera that looks down on a floor at an angle: ray-cast
from the solid's geometry, once per process.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

COLORS = {
    "gray": (112, 112, 118), "red": (225, 25, 30), "blue": (35, 60, 225), "green": (25, 150, 40),
    "brown": (125, 70, 20), "cyan": (30, 205, 215), "purple": (165, 40, 205), "yellow": (250, 220, 25),
}  # fmt: skip
SHAPES = ("cube", "sphere", "cylinder")
MATERIALS = ("metal", "rubber")

ELEVATION = np.radians(32)  # of the camera above the floor
SIN, COS = np.sin(ELEVATION), np.cos(ELEVATION)

SIDE = 26.0  # px, of a cube
YAW = np.radians(28)  # of a cube: one wide face, one narrow one
BALL = 18.0  # px, radius of a sphere
DRUM, TALL = 18.0, 17.0  # px, radius and height of a cylinder

LIGHT = np.array([-0.45, -0.4, 0.8])  # from the upper left, in front of the scene
WINDOWS = ((LIGHT, 0.8), (np.array([-0.4, 0.75, 0.53]), 1.0))  # mirrored by metal: direction, how near counts as inside
CANVAS, FOOT = 56, 36  # px: a square sprite, and the row in it of the middle of the solid's footprint
OVERSAMPLING = 4


@cache
def sprite(color: str, shape: str, material: str) -> Image.Image:
    """A solid and its shadow, RGBA, CANVAS x CANVAS."""
    hit, place, normal = _cast(shape)
    lit = _shade(place, normal, np.array(COLORS[color]) / 255, material)
    x, v = _grid()
    y = v / SIN  # where the rays meet the floor
    shadow = 0.45 * np.clip(1.6 - np.hypot(x - 5, y - 4) / 15, 0, 1)  # away from the light, soft
    rgba = np.concatenate([np.where(hit[..., None], lit, 0.1), np.where(hit, 1, shadow)[..., None]], axis=2)
    rgba[..., :3] *= rgba[..., 3:]  # reduced with premultiplied alpha, so that no edge has a dark or light rim
    small = rgba.reshape(CANVAS, OVERSAMPLING, CANVAS, OVERSAMPLING, 4).mean(axis=(1, 3))
    small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
    return Image.fromarray(np.rint(255 * small).astype(np.uint8), "RGBA")


@cache
def silhouette(shape: str) -> np.ndarray:
    """The silhouette, bool (CANVAS, CANVAS)."""
    hit = _cast(shape)[0]
    return hit.reshape(CANVAS, OVERSAMPLING, CANVAS, OVERSAMPLING).mean(axis=(1, 3)) > 0.5


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Screen coordinates of the rays, px from the middle of the footprint: u to the right, v upwards."""
    at = (np.arange(CANVAS * OVERSAMPLING) + 0.5) / OVERSAMPLING
    return np.meshgrid(at - CANVAS / 2, FOOT - at)


def _cast(shape: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parallel rays onto a solid that stands at the origin: hit (S, S), and place and normal (S, S, 3) where it is hit.
    A ray through (u, v) runs along x = u and v = y SIN + z COS: one of y and z gives the other."""
    u, v = _grid()
    if shape == "sphere":
        up = v - BALL * COS  # px above the middle of the disc that a sphere is on the screen
        depth = np.sqrt(np.maximum(BALL**2 - u**2 - up**2, 0))  # towards the camera
        normal = np.stack([u, up * SIN - depth * COS, up * COS + depth * SIN], axis=2) / BALL
        return u**2 + up**2 <= BALL**2, BALL * (normal + (0, 0, 1)), normal
    wall, outward, tall, inside = _cylinder(u) if shape == "cylinder" else _cube(u)
    y, z = (v - tall * COS) / SIN, (v - wall * SIN) / COS  # on the lid, and on the wall
    lid = inside(y)[..., None]
    hit = lid[..., 0] | ((z >= 0) & (z <= tall))
    place = np.where(lid, np.stack([u, y, np.full_like(u, tall)], axis=2), np.stack([u, wall, z], axis=2))
    return hit, np.nan_to_num(place), np.where(lid, (0.0, 0.0, 1.0), outward)


Prism = tuple[np.ndarray, np.ndarray, float, Callable[[np.ndarray], np.ndarray]]


def _cylinder(u: np.ndarray) -> Prism:
    """y of the wall that faces the camera (NaN beside it), its normal, the height, and which y are in the footprint."""
    wall = -np.sqrt(np.where(abs(u) <= DRUM, DRUM**2 - u**2, np.nan))
    normal = np.stack([u, np.nan_to_num(wall), np.zeros_like(u)], axis=2) / DRUM
    return wall, normal, TALL, lambda y: u**2 + y**2 <= DRUM**2


def _cube(u: np.ndarray) -> Prism:
    """The same for a cube, of which two faces are in sight."""
    right, left = (np.sin(YAW), -np.cos(YAW)), (-np.cos(YAW), -np.sin(YAW))  # their normals

    def inside(y: np.ndarray) -> np.ndarray:
        return np.logical_and(*(abs(nx * u + ny * y) <= SIDE / 2 + 1e-6 for nx, ny in (right, left)))

    walls = [(SIDE / 2 - nx * u) / ny for nx, ny in (right, left)]
    wall = np.maximum(*walls)
    normal = np.where((walls[0] > walls[1])[..., None], (*right, 0.0), (*left, 0.0))
    return np.where(inside(wall), wall, np.nan), normal, SIDE, inside


def _shade(place: np.ndarray, normal: np.ndarray, color: np.ndarray, material: str) -> np.ndarray:
    """What the camera sees of a surface, (..., 3), 0 .. 1: rubber is matt, metal mirrors windows and a dark floor."""
    diffuse = np.clip(normal @ LIGHT, 0, 1)[..., None]
    if material == "rubber":
        return np.clip(color * (0.6 + 0.45 * diffuse), 0, 1)
    eye = np.array([0.0, -COS, SIN])
    mirrored = 2 * (normal @ eye)[..., None] * normal - eye
    # The room is near, so reflections change along a flat face; otherwise the face would have a single color.
    towards = mirrored + (place - (0, 0, BALL)) / 30
    room = 0.65 + 0.35 * np.tanh(2 * towards[..., 2:]) + 0.35 * diffuse
    windows = sum(np.clip((towards @ window - edge) * 4, 0, 1) for window, edge in WINDOWS)[..., None]
    return np.clip(color * room + windows, 0, 1)
