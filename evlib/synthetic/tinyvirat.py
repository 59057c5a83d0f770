"""What people and vehicles do in front of a fixed camera, in the file format of TinyVIRAT, version 1.

    a figure with a box crosses the picture                         ["activity_carrying", "activity_walking"]
    a van, seen from behind, drives away and then to the left       ["vehicle_moving", "vehicle_turning_left"]

Twelve of the 26 classes, each visible in ten frames spread over a clip. Clips of one camera share its street and its
light; training and test set have no camera in common, but all streets are made of the same materials (see `scenery`),
so that colors can be inferred from gray.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from evlib.synthetic import scenery, video_writer
from evlib.synthetic.figures import Pen
from evlib.synthetic.scenery import DARK, LIGHT, PEDALS, SKINS, STRIPED, TROUSERS, Pose

RATE = 30  # frames a second
CLIPS = {"train": (900, 45), "test": (240, 12)}  # clips, cameras
FRAMES, SIDES = (40, 90), (40, 96)  # shortest and longest, smallest and largest; most are nearer to the first
OVERSAMPLING = 2  # clips are painted this much larger and reduced, for smooth edges
GRAIN = 3.0  # standard deviation of the noise, in gray levels


def standing(phase: float) -> Pose:
    sway = 0.01 * np.sin(phase)
    return Pose((0, -0.525), (sway, -0.83), ((-0.05, 0), (0.05, 0)), ((-0.17, -0.47), (0.17, -0.47)))


def walking(phase: float) -> Pose:
    return _gait(phase, stride=0.18, lift=0.06, lean=0.03, reach=0.16, hands=-0.5)


def running(phase: float) -> Pose:
    return _gait(1.8 * phase, stride=0.34, lift=0.26, lean=0.24, reach=0.28, hands=-0.68)


def riding(phase: float) -> Pose:
    """On a saddle, the feet on pedals."""
    (x, y), dx, dy = PEDALS, 0.09 * np.cos(phase), 0.09 * np.sin(phase)
    feet = (x - dx, y - dy), (x + dx, y + dy)
    return Pose((-0.13, -0.6), (0.14, -0.88), feet, ((0.34, -0.62),) * 2, bicycle=True)


def _gait(phase: float, stride: float, lift: float, lean: float, reach: float, hands: float) -> Pose:
    """A foot swings forward through the air while the other one pushes back; the arms swing against the legs."""
    feet = tuple((stride * np.cos(a), -lift * max(0.0, -np.sin(a))) for a in (phase, phase + np.pi))
    swings = (-reach * np.cos(phase), reach * np.cos(phase))
    arms = tuple((lean + swing, hands - 0.3 * max(0.0, swing)) for swing in swings)
    return Pose((0, -0.49), (lean, -0.81), feet, arms)


def carrying(phase: float) -> Pose:
    """Walking with a box."""
    x, y = (pose := walking(phase)).neck
    return replace(pose, hands=((x + 0.3, y + 0.26),) * 2, box=True)


def gesturing(phase: float) -> Pose:
    """Standing, an arm stretched forward and upward, waving a flag."""
    x, y = (pose := standing(phase)).neck
    return replace(pose, hands=(pose.hands[0], (x + 0.33, y - 0.02 + 0.2 * np.sin(1.3 * phase))), flag=True)


class Place(NamedTuple):
    """Where a vehicle is at a moment: how far ahead of and above its usual place, in lengths of the frame."""

    ahead: float = 0.0
    above: float = 0.0
    turned: float = 0.0  # degrees, from across the picture (0) to away from the camera (90)
    lamps: bool = False  # the red ones are lit
    fumes: float = 0.0  # from the exhaust
    lifted: float = 0.0  # the tailgate


def turning(time: float) -> Place:
    """Away from the camera, then round the corner."""
    turned = 90 * (1 - np.clip((time - 0.25) / 0.4, 0, 1))
    return Place(0.5 * max(0.0, time - 0.35) - 0.16, 0.2 * min(time, 0.6) - 0.1, turned)


# Labels, the distance covered in widths of the frame, the shirt, and the pose at a phase of the stride. Clothes tell
# the activity, because they are easier to see in a small picture than the movements of legs.
PEOPLE = {
    "walks": (("activity_walking",), 0.5, DARK, walking),
    "runs": (("activity_running",), 0.9, STRIPED, running),
    "stands": (("activity_standing",), 0.0, LIGHT, standing),
    "brings": (("activity_carrying", "activity_walking"), 0.5, DARK, carrying),
    "waves": (("activity_gesturing", "activity_standing"), 0.0, LIGHT, gesturing),
    "cycles": (("Riding",), 0.7, STRIPED, riding),
}
TRAFFIC = {  # labels, and the place at a fraction of the clip, 0 to 1
    "passes": (("vehicle_moving",), lambda time: Place(1.1 * (time - 0.5))),
    "stops": (("vehicle_stopping",), lambda time: Place(-0.7 * max(0.0, 1 - time / 0.65) ** 2, lamps=True)),
    "starts": (
        ("vehicle_starting",),
        lambda time: Place(0.8 * max(0.0, (time - 0.35) / 0.65) ** 2, fumes=float(np.clip(time / 0.3, 0.3, 1))),
    ),
    "turns left": (("vehicle_moving", "vehicle_turning_left"), turning),
    "turns right": (("vehicle_moving", "vehicle_turning_right"), turning),
    "opens": (("Opening",), lambda time: Place(turned=48, lifted=float(np.clip((time - 0.15) / 0.6, 0, 1)))),
}
STORIES = {  # person, vehicle: in how many of a hundred clips
    ("walks", None): 6, ("runs", None): 6, ("stands", None): 5, ("cycles", None): 6,                  # one label
    (None, "passes"): 6, (None, "stops"): 5, (None, "starts"): 5, (None, "opens"): 6,
    ("brings", None): 10, ("waves", None): 10, (None, "turns left"): 10, (None, "turns right"): 10,   # two
    ("brings", "passes"): 8, ("waves", "stops"): 7,                                                   # three
}  # fmt: skip


class Shot(NamedTuple):
    """Everything that a clip is made from."""

    path: Path
    person: str | None
    vehicle: str | None
    frames: int
    side: int
    camera: int  # the seed of the street and its light
    seed: int


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write tiny_train.json, tiny_test.json and videos/<split>/<camera>/<clip>.mp4."""
    shots, first = [], 0
    for split, (clips, cameras) in CLIPS.items():
        tubes, seeds = [], rng.integers(2**32, size=cameras)
        for i, (person, vehicle) in enumerate(_deck(clips, rng)):
            camera = i * cameras // clips
            name = f"VIRAT_S_{first + camera:06d}"
            frames, side = _between(*FRAMES, rng), 2 * _between(SIDES[0] // 2, SIDES[1] // 2, rng)
            path, dim, label = f"{name}/{i:06d}.mp4", [frames, side, side], labels(person, vehicle)
            tubes.append({"id": f"{i:06d}", "video_id": name, "path": path, "dim": dim, "label": label})
            look = int(seeds[camera]), int(rng.integers(2**32))
            shots.append(Shot(folder / "videos" / split / path, person, vehicle, frames, side, *look))
        (folder / f"tiny_{split}.json").write_text(json.dumps({"tubes": tubes}) + "\n", encoding="utf-8")
        first += cameras
    video_writer.in_parallel(record, shots)
    return CLIPS["train"][0], CLIPS["test"][0]


def labels(person: str | None, vehicle: str | None) -> list[str]:
    """The labels of a clip in alphabetical order, capitals first."""
    return sorted((PEOPLE[person][0] if person else ()) + (TRAFFIC[vehicle][0] if vehicle else ()))


def _deck(clips: int, rng: np.random.Generator) -> list[tuple[str | None, str | None]]:
    """As many stories as clips, each as often as STORIES says, shuffled."""
    stories, upto = list(STORIES), np.cumsum(list(STORIES.values())) / 100
    return [stories[i] for i in rng.permutation(np.searchsorted(upto, (np.arange(clips) + 0.5) / clips))]


def _between(low: int, high: int, rng: np.random.Generator) -> int:
    return low + int((high - low + 1) * rng.random() ** 3)


def record(shot: Shot) -> None:
    video_writer.write_mp4(shot.path, shoot(shot), RATE)


def shoot(shot: Shot) -> np.ndarray:
    """The frames of a clip, uint8 (T, S, S, 3)."""
    rng = np.random.default_rng(shot.seed)
    street, light = _camera(shot.camera)
    size = shot.side * OVERSAMPLING
    empty = Image.fromarray(street).resize((size, size), Image.Resampling.BICUBIC)
    actors = _cast(shot, rng)
    frames = []
    for i in range(shot.frames):
        canvas = empty.copy()
        for act in actors:
            act(canvas, size, i / (shot.frames - 1), i / RATE)
        frames.append(np.asarray(canvas.reduce(OVERSAMPLING)))
    grain = GRAIN * rng.standard_normal((shot.frames, shot.side, shot.side, 1), dtype=np.float32)
    return np.clip(np.stack(frames) * np.float32(light) + grain, 0, 255).astype(np.uint8)


@lru_cache(maxsize=4)
def _camera(seed: int) -> tuple[np.ndarray, float]:
    """The empty street of a camera, and how bright the day is."""
    rng = np.random.default_rng(seed)
    return scenery.street(rng), rng.uniform(0.9, 1.06)


# Paints on a canvas of so many pixels a side; time as a fraction of the clip, and in seconds.
Actor = Callable[[Image.Image, int, float, float], None]


def _cast(shot: Shot, rng: np.random.Generator) -> list[Actor]:
    """Who is in the clip, the farther one first."""
    ways = {"turns left": -1, "turns right": 1}
    way = ways.get(shot.vehicle) or int(rng.choice([-1, 1]))  # to the left or to the right
    together = shot.person is not None and shot.vehicle is not None
    actors = [_driver(shot.vehicle, way, together, rng)] if shot.vehicle else []
    return actors + ([_pedestrian(shot.person, way, together, rng)] if shot.person else [])


def _pedestrian(name: str, way: int, together: bool, rng: np.random.Generator) -> Actor:
    _, distance, shirt, pose = PEOPLE[name]
    outfit = scenery.Outfit(SKINS[rng.integers(3)], shirt, TROUSERS[rng.integers(2)])
    height, foot = rng.uniform(0.6, 0.64) if together else rng.uniform(0.76, 0.82), rng.uniform(0.94, 0.98)
    middle, facing = 0.5 + rng.uniform(-0.06, 0.06), way
    if together:  # walks towards the vehicle, or stands in front of it
        middle, facing = middle + (0.0 if distance else 0.28 * way), -way
    start, pace = rng.uniform(0, 2 * np.pi), 2 * np.pi * rng.uniform(0.9, 1.1)  # about a stride a second

    def act(canvas: Image.Image, size: int, time: float, seconds: float) -> None:
        pen = _pen(canvas, size, middle + facing * distance * (time - 0.5), foot, height, facing)
        scenery.person(pen, pose(start + pace * seconds), outfit)

    return act


def _driver(name: str, way: int, together: bool, rng: np.random.Generator) -> Actor:
    place = TRAFFIC[name][1]
    kinds = ("van", "truck") if name == "opens" else tuple(scenery.VEHICLES)  # a car's tailgate is too small to see
    vehicle = scenery.VEHICLES[kinds[rng.integers(len(kinds))]]
    length = rng.uniform(0.6, 0.66) if together else rng.uniform(0.8, 0.88)
    ground = rng.uniform(0.66, 0.7) if together else rng.uniform(0.76, 0.82)
    x, early = 0.5 - 0.08 * way * together + rng.uniform(-0.04, 0.04), rng.uniform(-0.05, 0.05)

    def act(canvas: Image.Image, size: int, time: float, seconds: float) -> None:
        now = place(time + early)
        pen = _pen(canvas, size, x + way * now.ahead, ground - now.above, length)
        scenery.vehicle(pen, vehicle, now.turned if way == 1 else 180 - now.turned, now.lamps, now.fumes, now.lifted)

    return act


def _pen(canvas: Image.Image, size: int, x: float, y: float, scale: float, facing: int = 1) -> Pen:
    """For a figure whose unit is `scale` frames and whose foot is at (x, y) of the frame; facing -1 mirrors it."""
    return Pen(canvas, scale * size * np.diag([facing, 1.0]), np.array([x, y]) * size)
