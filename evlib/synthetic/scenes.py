"""Small scenes of solids that rest, roll, enter and collide, simulated as equal discs on a floor, and their films. Only
scenes in which four frames of the film show all that happens are used.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations

import numpy as np
from PIL import Image

from evlib.synthetic.sprites import CANVAS, COLORS, FOOT, MATERIALS, SHAPES, SIN, silhouette, sprite

WIDTH, HEIGHT, FRAMES = 120, 80, 128  # of a film; px, px, frames
SEEN = (0, 32, 64, 96)  # the frames that the task shows to a model,
SEEN_SIZE = 64  # stretched to a square of so many pixels

# The unit of length on the floor is one pixel of the film's width; x goes to the right, y away from the camera.
RADIUS = 18.0
FRICTION = 0.004  # px per frame, lost every frame
FRONT = HEIGHT - 10  # the row of the frame where y is 0
STAGE = np.array([[19.0, 0.0], [101.0, 68.0]])  # corners of the floor on which a solid is wholly in the frame
WINGS = (-28.0, 148.0)  # x of solids that are about to enter

SHARES = {1: 0.35, 2: 0.45, 3: 0.20}  # of scenes with so many solids
ROLES = {"rest": 0.4, "roll": 0.3, "enter": 0.3}
SPEED = {"rest": (0.0, 0.0), "roll": (0.5, 1.3), "enter": (0.9, 1.6)}  # px per frame
AIMED = 0.6  # share of moving solids that head for another one
SAME_COLOR, SAME_SHAPE = 0.12, 0.5  # share of scenes in which two solids share a color; may share a shape

IN_SIGHT = 0.6  # share of a solid's pixels, in at least two of the frames SEEN
DISPLACED = 5.0  # px of the stretched frames: least shift of a moving solid between two frames that show it


@dataclass(frozen=True)
class Solid:
    """One solid and what it does in its film."""

    color: str
    shape: str
    material: str
    enters: bool  # from outside the frame
    moves: bool  # at some time; a solid that does not is stationary from the first frame to the last


@dataclass(frozen=True, eq=False)
class Scene:
    """A film before it is rendered."""

    solids: tuple[Solid, ...]
    path: np.ndarray  # float (128, K, 2), places on the floor
    collisions: tuple[tuple[int, int], ...]  # pairs of solids, in the order of time
    light: int  # gray level of the floor


def deal(rng: np.random.Generator, number: int) -> list[Scene]:
    """`number` scenes with 1, 2 or 3 solids in the proportions of SHARES, shuffled."""
    kinds = np.searchsorted(np.cumsum(list(SHARES.values())), (np.arange(number) + 0.5) / number)
    scenes = []
    for kind, K in enumerate(SHARES):
        good: list[Scene] = []
        while len(good) < (quota := int((kinds == kind).sum())):
            good += _rehearse(rng, 256, K)
        scenes += good[:quota]
    return [scenes[i] for i in rng.permutation(number)]


def film(scene: Scene) -> np.ndarray:
    """The frames of a scene, uint8 (128, 80, 120, 3), RGB."""
    floor = _floor(scene.light)
    sprites = [sprite(s.color, s.shape, s.material) for s in scene.solids]
    corners = _corners(scene.path)
    frames = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    for frame in range(FRAMES):
        if frame and (corners[frame] == corners[frame - 1]).all():
            frames[frame] = frames[frame - 1]
            continue
        picture = floor.copy()
        for k in _far_to_near(scene.path[frame]):
            picture.paste(sprites[k], tuple(corners[frame, k].tolist()), sprites[k])
        frames[frame] = np.asarray(picture)
    return frames


def roll(places: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Simulates K equal discs on each of N floors, with elastic collisions and a little friction. places, velocities:
    float (N, K, 2), px and px per frame -> their places, float (N, FRAMES, K, 2), and which pairs, in the order of
    `combinations(range(K), 2)`, collide right after a frame, bool (N, FRAMES, pairs)."""
    x, v = places.astype(float), velocities.astype(float)
    N, K, _ = x.shape
    pairs = list(combinations(range(K), 2))
    paths, hits = np.empty((N, FRAMES, K, 2)), np.zeros((N, FRAMES, len(pairs)), bool)
    for frame in range(FRAMES):
        paths[:, frame] = x
        for column, (i, j) in enumerate(pairs):
            gap = x[:, j] - x[:, i]
            distance = np.linalg.norm(gap, axis=1, keepdims=True)
            normal = gap / distance
            closing = ((v[:, j] - v[:, i]) * normal).sum(axis=1, keepdims=True)
            hit = (distance < 2 * RADIUS) & (closing < 0)  # discs that move apart have collided already
            impulse = np.where(hit, closing * normal, 0)
            v[:, i] += impulse  # equal masses swap their velocities along the line of centers
            v[:, j] -= impulse
            hits[:, frame, column] = hit[:, 0]
        speed = np.linalg.norm(v, axis=2, keepdims=True)
        v *= np.maximum(speed - FRICTION, 0) / np.maximum(speed, FRICTION)
        x = x + v
    return paths, hits


def _rehearse(rng: np.random.Generator, tries: int, K: int) -> list[Scene]:
    """Random scenes of K solids, without those that four frames do not show clearly."""
    roles = rng.choice(list(ROLES), (tries, K), p=list(ROLES.values()))
    places = rng.uniform(*STAGE, (tries, K, 2))
    targets = rng.uniform(*STAGE, (tries, K, 2))
    if K > 1:
        others = np.roll(places, rng.integers(1, K), axis=1)
        targets = np.where(rng.random((tries, K, 1)) < AIMED, others, targets)
    places[..., 0] = np.where(roles == "enter", rng.choice(WINGS, (tries, K)), places[..., 0])
    ahead = targets - places
    slowest, fastest = (np.vectorize(lambda role, end=end: SPEED[role][end])(roles) for end in (0, 1))
    velocities = ahead / np.linalg.norm(ahead, axis=2, keepdims=True) * rng.uniform(slowest, fastest)[..., None]
    paths, hits = roll(places, velocities)

    pairs = list(combinations(range(K), 2))
    scenes = []
    for path, hit, role in zip(paths, hits, roles, strict=True):
        struck = [(frame, pairs[column]) for frame, column in np.argwhere(hit).tolist()]
        apart = all(np.linalg.norm(path[0, i] - path[0, j]) > 2 * RADIUS + 2 for i, j in pairs)  # at the beginning
        if not apart or not all(_told(path, frame, pair) for frame, pair in struck):
            continue
        moves = (path != path[0]).any(axis=(0, 2))
        looks = _looks(rng, K)
        solids = tuple(Solid(*look, bool(r == "enter"), bool(m)) for look, r, m in zip(looks, role, moves, strict=True))
        scene = Scene(solids, path, tuple(pair for _, pair in struck), int(rng.integers(198, 215)))
        if _clear(scene):
            scenes.append(scene)
    return scenes


def _told(path: np.ndarray, frame: int, pair: tuple[int, int]) -> bool:
    """Whether frames far apart show a collision: one solid was at rest before, and there is time to see it move."""
    at_rest = (path[frame, list(pair)] == path[frame - 1, list(pair)]).all(axis=1)
    return at_rest.sum() == 1 and frame < SEEN[-1] - 10


def _clear(scene: Scene) -> bool:
    """Whether every solid is in sight in two of the frames SEEN, and displaced between two such frames if it moves."""
    in_sight = sight(scene) >= IN_SIGHT
    places = on_screen(scene.path[list(SEEN)]) * SEEN_SIZE / (WIDTH, HEIGHT)
    for solid, when, at in zip(scene.solids, in_sight.T, places.swapaxes(0, 1), strict=True):
        ways = np.linalg.norm(at[when][:, None] - at[when][None], axis=2)
        if when.sum() < 2 or (solid.moves and ways.max() < DISPLACED):
            return False
    return True


def _looks(rng: np.random.Generator, K: int) -> list[tuple[str, str, str]]:
    """Color, shape and material of K solids; no two share both color and shape."""
    colors, shapes = rng.permutation(list(COLORS))[:K], rng.permutation(SHAPES)[:K]
    if rng.random() < SAME_COLOR:
        colors[-1] = colors[0]  # their shapes differ
    elif rng.random() < SAME_SHAPE:
        shapes = rng.choice(SHAPES, K)
    return list(zip(colors.tolist(), shapes.tolist(), rng.choice(MATERIALS, K).tolist(), strict=True))


@lru_cache(maxsize=8)
def sight(scene: Scene) -> np.ndarray:
    """The share of every solid that is in the frame and not hidden, float (4, K), 0 .. 1, in the frames SEEN."""
    masks = [silhouette(s.shape) for s in scene.solids]
    corners = _corners(scene.path)
    shares = np.zeros((len(SEEN), len(masks)))
    for t, frame in enumerate(SEEN):
        free = np.zeros((HEIGHT + 2 * CANVAS, WIDTH + 2 * CANVAS), bool)  # the margin is outside of the frame
        free[CANVAS:-CANVAS, CANVAS:-CANVAS] = True
        for k in _far_to_near(scene.path[frame])[::-1]:
            left, top = np.clip(corners[frame, k] + CANVAS, 0, (WIDTH + CANVAS, HEIGHT + CANVAS))
            window = free[top : top + CANVAS, left : left + CANVAS]
            shares[t, k] = (window & masks[k]).sum() / masks[k].sum()
            window &= ~masks[k]
    return shares


def states(scene: Scene, i: int) -> list[str | None]:
    """What every solid does between frames SEEN[i] and SEEN[i + 1]: "moving" or "stationary" all the time, "" if it has
    not entered at the first of them, and None if the two frames do not show it."""
    seen, (start, end) = sight(scene)[i : i + 2], SEEN[i : i + 2]
    path = scene.path[start : end + 1]
    steps = (np.diff(path, axis=0) != 0).any(axis=2)
    ways = np.linalg.norm(np.diff(on_screen(path[[0, -1]]), axis=0)[0] * SEEN_SIZE / (WIDTH, HEIGHT), axis=1)

    def state(k: int) -> str | None:
        if scene.solids[k].enters and seen[0, k] == 0:
            return ""
        if seen[:, k].min() >= IN_SIGHT and not steps[:, k].any():
            return "stationary"
        return "moving" if seen[:, k].min() >= IN_SIGHT and steps[:, k].all() and ways[k] >= DISPLACED else None

    return [state(k) for k in range(len(scene.solids))]


def on_screen(places: np.ndarray) -> np.ndarray:
    """Places on the floor (..., 2) -> pixels of the frame (..., 2), x to the right and y downwards."""
    return np.stack([places[..., 0], FRONT - places[..., 1] * SIN], axis=-1)


def _corners(path: np.ndarray) -> np.ndarray:
    """Where the sprites are pasted, int (..., 2)."""
    return np.rint(on_screen(path) - (CANVAS / 2, FOOT)).astype(int)


def _far_to_near(places: np.ndarray) -> np.ndarray:
    return np.argsort(-places[:, 1], kind="stable")


@cache
def _floor(light: int) -> Image.Image:
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    gray = light + 10 * y - 5 * x - 8 * (x**2 + y**2)
    return Image.fromarray(np.repeat(np.rint(gray)[..., None], 3, axis=2).astype(np.uint8))
