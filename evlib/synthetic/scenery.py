"""What a fixed camera sees: a street of a few materials, people of a few limbs, and vehicles that turn in 3D.

Colors are strong, and each follows from something that a gray picture shows: a material from its pattern, a vehicle
from its shape, clothes from their brightness or stripes. So a network that colors gray films has something to learn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evlib.synthetic.figures import Color, Pen, Point, enlarged

RESOLUTION = 256  # side of the empty scene, in pixels; clips are smaller


GRASS, BRICK, MORTAR, TRUNK, LEAVES = (64, 139, 55), (175, 70, 50), (198, 112, 88), (92, 48, 10), (22, 86, 54)
ROAD, MARKING, PAVING, JOINT = (72, 54, 114), (226, 214, 255), (226, 184, 104), (196, 152, 78)
ZENITH, HAZE, SMOKE, INK, METAL = (70, 130, 210), (135, 190, 235), (235, 235, 240), (30, 16, 40), (150, 150, 190)
GLASS, DIM, LIT = (24, 62, 96), (110, 10, 20), (255, 150, 120)  # and the lamps of vehicles

_CIRCLE = np.stack([np.cos(t := np.linspace(0, 2 * np.pi, 16, endpoint=False)), np.sin(t)], axis=1)
_down, _across = np.mgrid[0 : 1 : RESOLUTION * 1j, 0 : 1 : RESOLUTION * 1j]


def street(rng: np.random.Generator) -> np.ndarray:
    """One camera's view without anybody in it, uint8 (256, 256, 3): sky, wall or trees, a strip, the road, a strip."""
    horizon, kerb, edge = rng.uniform(0.34, 0.38), 0.52, 0.84
    strips = (_grass, lambda rng: _tiled(PAVING, JOINT, 0.11, 0.09, 0.0, rng))
    near, far = [strips[i](rng) for i in rng.permutation([0, rng.integers(2)])]
    haze = np.clip(_down[..., None] * 2.2 + 0.25 * _blots(4, rng), 0, 1)
    picture = (1 - haze) * np.array(ZENITH) + haze * np.array(HAZE)
    for _ in range(rng.integers(1, 3)):
        _tree(picture, rng.random(), horizon, rng)
    start, width = rng.uniform(-0.3, 0.7), rng.uniform(0.4, 0.8)
    wall = (_across > start) & (_across < start + width) & (_down > rng.uniform(0.0, 0.15)) & (_down < horizon)
    picture[wall] = _tiled(BRICK, MORTAR, 0.13, 0.06, 0.5, rng)[wall]
    for band, top, bottom in ((far, horizon, kerb), (_road(kerb, edge, rng), kerb, edge), (near, edge, 2)):
        inside = (_down >= top) & (_down < bottom)
        picture[inside] = band[inside]
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _blots(cells: int, rng: np.random.Generator) -> np.ndarray:
    """Soft noise around 0, (256, 256, 1): about `cells` blots from edge to edge."""
    return enlarged(rng.uniform(-1, 1, (cells, cells)), RESOLUTION)[..., None]


def _grass(rng: np.random.Generator) -> np.ndarray:
    return np.array(GRASS) * (1 + 0.15 * _blots(26, rng))


def _road(top: float, bottom: float, rng: np.random.Generator) -> np.ndarray:
    surface = np.array(ROAD) * (1 + 0.06 * _blots(40, rng))
    dashes = (np.abs(_down - (0.55 * top + 0.45 * bottom)) < 0.012) & ((_across * 4 + rng.random()) % 1 < 0.55)
    surface[dashes] = MARKING
    return surface


def _tiled(tile: Color, joint: Color, width: float, height: float, bond: float, rng: np.random.Generator) -> np.ndarray:
    """Courses of tiles, each shifted by `bond` tiles against the one above."""
    row = np.floor(_down / height)
    x, y = (_across / width + bond * row + rng.random()) % 1, (_down / height) % 1
    joints = (x * width < 0.012) | (y * height < 0.012)
    return np.where(joints[..., None], joint, np.array(tile) * (1 + 0.05 * _blots(12, rng)))


def _tree(picture: np.ndarray, x: float, foot: float, rng: np.random.Generator) -> None:
    radius, top = rng.uniform(0.1, 0.16), rng.uniform(0.08, 0.18)
    picture[(np.abs(_across - x) < 0.022) & (_down > top) & (_down < foot)] = TRUNK
    crown = np.hypot(_across - x, _down - top) < radius * (1 + 0.3 * _blots(14, rng)[..., 0])
    picture[crown] = (np.array(LEAVES) * (1 + 0.3 * _blots(20, rng)))[crown]


SKINS = ((255, 196, 150), (204, 132, 86), (120, 66, 36))
LIGHT, DARK, STRIPED = ((255, 172, 30),), ((124, 0, 124),), ((255, 236, 236), (214, 22, 60))  # shirts: bands of color
TROUSERS = ((20, 34, 140), (120, 214, 255))  # dark and light
CARDBOARD, TAPE = (226, 140, 52), (255, 226, 170)
THIGH, UPPER_ARM = 0.265, 0.2  # also of shins and forearms, as shares of the height
CLOTH = (60, 235, 235)  # of a flag
FRAME, SPOKES, PEDALS = (255, 70, 170), (255, 150, 205), (0.0, -0.2)  # of a bicycle


@dataclass(frozen=True)
class Outfit:
    skin: Color
    shirt: tuple[Color, ...]
    trousers: Color


@dataclass(frozen=True)
class Pose:
    """Where the ends of the limbs are: y grows downwards, the ground is 0, the top of the head about -1.
    Far limb first, near limb second."""

    hip: Point
    neck: Point
    feet: tuple[Point, Point]
    hands: tuple[Point, Point]
    box: bool = False
    flag: bool = False
    bicycle: bool = False


def person(pen: Pen, pose: Pose, outfit: Outfit) -> None:
    """A figure one unit tall, facing right, with what it rides and what it holds."""
    if pose.bicycle:
        _bicycle(pen)
    shade = tuple(int(0.75 * v) for v in outfit.trousers)
    shoulder = (pose.neck[0], pose.neck[1] + 0.04)
    _limb(pen, shoulder, pose.hands[0], UPPER_ARM, 1, 0.06, outfit.skin)
    _limb(pen, pose.hip, pose.feet[0], THIGH, -1, 0.1, shade)
    _limb(pen, pose.hip, pose.feet[1], THIGH, -1, 0.1, outfit.trousers)
    _torso(pen, pose, outfit.shirt)
    lean = 0.3 * (pose.neck[0] - pose.hip[0])
    pen.ellipse(pose.neck[0] + lean, pose.neck[1] - 0.095, 0.085, 0.095, outfit.skin)
    pen.ellipse(pose.neck[0] + lean - 0.02, pose.neck[1] - 0.145, 0.085, 0.06, INK)  # hair
    if pose.box:
        x, y = pose.hands[1]
        pen.shape([(x - 0.2, y - 0.2), (x + 0.2, y - 0.2), (x + 0.2, y + 0.14), (x - 0.2, y + 0.14)], CARDBOARD)
        pen.shape([(x - 0.03, y - 0.2), (x + 0.03, y - 0.2), (x + 0.03, y + 0.14), (x - 0.03, y + 0.14)], TAPE)
    if pose.flag:
        x, y = pose.hands[1]
        pen.line([(x, y + 0.05), (x, y - 0.42)], 0.04, INK)
        pen.shape([(x, y - 0.12), (x + 0.32, y - 0.1), (x + 0.32, y - 0.4), (x, y - 0.42)], CLOTH)
    _limb(pen, shoulder, pose.hands[1], UPPER_ARM, 1, 0.07, outfit.skin)


def _torso(pen: Pen, pose: Pose, shirt: tuple[Color, ...]) -> None:
    top, bottom, bands = np.array(pose.neck) - (0, 0.01), np.array(pose.hip) + (0, 0.03), 6 if len(shirt) > 1 else 1
    across = np.array([0.115, 0.0])
    for i in range(bands):
        a, b = (top + (bottom - top) * j / bands for j in (i, i + 1))
        pen.shape([a - across, a + across, b + across, b - across], shirt[i % len(shirt)])


def _limb(pen: Pen, start: Point, end: Point, bone: float, bend: int, width: float, color: Color) -> None:
    """Two bones of equal length from start to end; the joint between them lies in front (bend -1) or behind (1)."""
    a, b = complex(*start), complex(*end)
    half = (b - a) / 2
    joint = a + half + 1j * bend * half * max((bone / max(abs(half), 1e-6)) ** 2 - 1, 0.0) ** 0.5
    pen.line([start, (joint.real, joint.imag), end], width, color)
    pen.ellipse(*end, width * 0.6, width * 0.6, color)


def _bicycle(pen: Pen) -> None:
    """Facing right, its wheels on the ground, for a rider one unit tall."""
    for x in (-0.32, 0.32):
        pen.ellipse(x, -0.19, 0.2, 0.19, INK)
        pen.ellipse(x, -0.19, 0.14, 0.13, SPOKES)
    saddle, fork = (-0.13, -0.55), (0.27, -0.55)
    pen.line([(-0.32, -0.19), PEDALS, fork, saddle, (-0.32, -0.19)], 0.05, FRAME)
    pen.line([saddle, PEDALS], 0.05, FRAME)
    pen.line([(0.32, -0.19), fork, (0.34, -0.63)], 0.05, FRAME)


ELEVATION = np.radians(22)  # of the camera above the ground


@dataclass(frozen=True)
class Part:
    """A convex side view (x forwards, y up, clockwise), as wide as the vehicle, and the windows on its sides."""

    outline: tuple[Point, ...]
    color: Color
    windows: tuple[tuple[Point, ...], ...] = ()


@dataclass(frozen=True)
class Vehicle:
    """A vehicle one unit long; x of wheels, and y of the edges of its tailgate and of the pane in it."""

    parts: tuple[Part, ...]
    width: float
    wheels: tuple[float, ...]
    gate: tuple[float, float]
    pane: tuple[float, float]


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[Point, ...]:
    return ((x0, y0), (x0, y1), (x1, y1), (x1, y0))


_RED, _YELLOW, _BLUE, _SILVER = (232, 24, 30), (255, 214, 0), (36, 92, 246), (150, 220, 255)
_BACK = ((-0.36, 0.31), (-0.27, 0.48), (-0.12, 0.48), (-0.12, 0.31))
_FRONT = ((-0.07, 0.31), (-0.07, 0.48), (0.07, 0.48), (0.19, 0.31))
_CAR = (
    Part(((-0.5, 0.08), (-0.5, 0.3), (0.4, 0.3), (0.5, 0.24), (0.5, 0.08)), _RED),
    Part(((-0.44, 0.3), (-0.32, 0.52), (0.1, 0.52), (0.27, 0.3)), _RED, (_BACK, _FRONT)),
)
_FRONT_PANE = ((0.1, 0.37), (0.1, 0.55), (0.27, 0.55), (0.4, 0.37))
_PANES = (_box(-0.42, 0.37, -0.2, 0.55), _box(-0.15, 0.37, 0.05, 0.55), _FRONT_PANE)
_VAN = (Part(((-0.48, 0.08), (-0.48, 0.62), (0.28, 0.62), (0.48, 0.36), (0.48, 0.08)), _YELLOW, _PANES),)
_PANE = ((0.29, 0.3), (0.29, 0.47), (0.4, 0.47), (0.46, 0.3))
_CAB = ((0.24, 0.1), (0.24, 0.52), (0.42, 0.52), (0.5, 0.3), (0.5, 0.1))
_TRUCK = Part(_box(-0.5, 0.12, 0.2, 0.7), _BLUE), Part(_CAB, _SILVER, (_PANE,))
VEHICLES = {
    "car": Vehicle(_CAR, 0.46, (-0.3, 0.3), (0.12, 0.3), (0.32, 0.49)),
    "van": Vehicle(_VAN, 0.5, (-0.28, 0.28), (0.12, 0.6), (0.38, 0.55)),
    "truck": Vehicle(_TRUCK, 0.5, (-0.34, -0.12, 0.36), (0.14, 0.68), (0.4, 0.42)),
}


class _Body:
    """Paints in the coordinates of a vehicle, x forwards, y up and z to its left, as the camera sees them."""

    def __init__(self, pen: Pen, heading: float) -> None:
        c, s, e = np.cos(np.radians(heading)), np.sin(np.radians(heading)), ELEVATION
        self.pen = pen
        self.camera = np.array([-s * np.cos(e), np.sin(e), -c * np.cos(e)])  # the direction towards it
        # (x, y, z) -> right and down
        self.picture = np.array([[c, -s * np.sin(e)], [0, -np.cos(e)], [-s, -c * np.sin(e)]])

    def paint(self, points: Sequence[tuple[float, float, float]], color: Color) -> None:
        self.pen.shape(np.array(points) @ self.picture, color)

    def side(self, outline: Sequence[Point], z: float, color: Color) -> None:
        self.pen.shape(np.asarray(outline) @ self.picture[:2] + z * self.picture[2], color)

    def back(self, y0: float, y1: float, z0: float, z1: float, color: Color, x: float = -0.505) -> None:
        self.paint([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)], color)


def vehicle(pen: Pen, v: Vehicle, heading: float, braking=False, fumes=0.0, lifted=0.0) -> None:
    """A vehicle one unit long around (0, 0) on the ground. heading: degrees; 0 drives to the right, 90 away from the
    camera, 180 to the left. fumes, lifted: how much comes from the exhaust, how far the tailgate is up; 0 to 1."""
    body = _Body(pen, heading)
    half = v.width / 2
    for i in range(3 if fumes else 0):
        body.side(_CIRCLE * (0.09 + 0.03 * i) * fumes + (-0.5 - 0.1 * i * fumes, 0.12 + 0.06 * i), 0, SMOKE)
    near = half if body.camera[2] > 0 else -half
    for x in v.wheels:  # the far ones show beneath
        body.side(_wheel(x, 0.1), -near, INK)
    for part in sorted(v.parts, key=lambda part: np.mean(part.outline, axis=0) @ body.camera[:2]):
        _extrude(body, part, half, near)
    for x in v.wheels:
        body.side(_wheel(x, 0.1), near, INK)
        body.side(_wheel(x, 0.045), near, METAL)
    lamps = LIT if braking else DIM
    body.side(_box(-0.5, 0.14, -0.36, 0.3) if braking else _box(-0.5, 0.18, -0.43, 0.28), near, lamps)  # light spreads
    if body.camera[0] < -0.05:
        _rear(body, v, half, lamps, lifted)


def _extrude(body: _Body, part: Part, half: float, near: float) -> None:
    """The surfaces of a part that face the camera; light comes from above."""
    for (x0, y0), (x1, y1) in zip(part.outline, (*part.outline[1:], part.outline[0])):
        if (y0 - y1) * body.camera[0] + (x1 - x0) * body.camera[1] > 0:  # the outward normal, as outlines run clockwise
            light = 0.75 + 0.3 * (x1 - x0) / math.hypot(x1 - x0, y1 - y0)
            corners = [(x0, y0, -half), (x1, y1, -half), (x1, y1, half), (x0, y0, half)]
            body.paint(corners, tuple(min(255, int(light * v)) for v in part.color))
    body.side(part.outline, near, part.color)
    for window in part.windows:
        body.side(window, near, GLASS)


def _rear(body: _Body, v: Vehicle, half: float, lamps: Color, lifted: float) -> None:
    bottom, top = v.gate
    if lifted:
        body.back(bottom, top, -0.85 * half, 0.85 * half, INK)
        angle = lifted * np.radians(105)
        x, y = -0.5 - (top - bottom) * np.sin(angle), top - (top - bottom) * np.cos(angle)
        body.paint([(-0.5, top, -half), (-0.5, top, half), (x, y, half), (x, y, -half)], v.parts[0].color)
    else:
        body.back(*v.pane, -0.75 * half, 0.75 * half, GLASS)
    for z in (-0.85 * half, 0.85 * half):
        body.back(0.18, 0.28, z - 0.04, z + 0.04, lamps)


def _wheel(x: float, radius: float) -> np.ndarray:
    return _CIRCLE * radius + (x, 0.1)
