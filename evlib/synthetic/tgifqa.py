"""Short animated GIFs with questions, in the file format of TGIF-QA's frame task.

    how many dogs are there in the field ?     two
    what color is the ship ?                   purple

A scene shows one to three things of one kind and color in one place; they hop, drift, rock or swing. These attributes
are independent, and a question never names the one that it asks for, so only the pictures contain the answer.
"""

import string
from collections import namedtuple
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from evlib.synthetic import figures
from evlib.synthetic.figures import Color, Palette, Pen, Point, cutout, turn
from evlib.synthetic.video_writer import in_parallel, write_gif

TRAIN, TEST = 2000, 200  # GIFs
TRAIN_QUESTIONS, TEST_QUESTIONS = 3, 4  # questions a GIF; in the test set one of each type
WIDTH, HEIGHT, FRAMES = 96, 72, 12
OVERSAMPLING = 2  # things and places are painted this much larger and reduced, for smooth edges


def kite(pen: Pen, c: Palette) -> None:
    """In the style of `figures`, on the square from -1 to 1."""
    pen.line([(0, 0.35), (-0.3, 0.6), (0.15, 0.75), (-0.1, 0.95)], 0.1, c.second)  # tail
    pen.shape([(0, -0.98), (0.85, -0.3), (0, 0.5), (-0.85, -0.3)], c.body)
    pen.shape([(0, -0.98), (0.85, -0.3), (0, -0.3)], c.second)
    pen.shape([(0, 0.5), (-0.85, -0.3), (0, -0.3)], c.second)


def beach(pen: Pen, rng: np.random.Generator) -> None:
    shore = rng.uniform(-0.15, 0.15)
    pen.shape(_band(-2, shore), (120, 205, 215))
    for y in np.arange(shore - 0.2, -2, -0.4):  # waves
        pen.line([(x, y + 0.06 * (i % 2)) for i, x in enumerate(np.arange(-2, 2, 0.2))], 0.07, (205, 240, 240))
    pen.shape(_band(shore, 2), (224, 190, 145))


def field(pen: Pen, rng: np.random.Generator) -> None:
    pen.shape(_band(-2, 2), (104, 112, 50))
    vanishing = rng.uniform(-0.6, 0.6)
    for x in np.arange(-6, 6, 1.0):  # furrows
        pen.shape([(vanishing, -1.1), (x, 1.6), (x + 0.5, 1.6)], (66, 76, 30))
    pen.shape(_band(-2, -0.75), (170, 205, 225))


def snow(pen: Pen, rng: np.random.Generator) -> None:
    hill = rng.uniform(0.3, 0.5)
    pen.shape(_band(-2, 2), (150, 172, 200))
    for x in (-0.85, 0.85):  # fir trees, half cut off by the edges of the picture
        for y in (-0.5, -0.1, 0.3):
            pen.shape([(x, y - 0.5), (x - 0.35, y + 0.1), (x + 0.35, y + 0.1)], (52, 84, 92))
    pen.shape([(-2, hill), (-1, hill), (0, hill + 0.2), (1, hill), (2, hill), (2, 2), (-2, 2)], (228, 236, 244))
    for x, y in rng.uniform(-1.05, 1.05, (24, 2)):
        pen.ellipse(x, y, 0.035, 0.045, (228, 236, 244))


def space(pen: Pen, rng: np.random.Generator) -> None:
    pen.shape(_band(-2, 2), (8, 8, 20))
    for x, y in rng.uniform(-1.05, 1.05, (40, 2)):
        pen.ellipse(x, y, 0.02, 0.027, (215, 215, 215))


def street(pen: Pen, rng: np.random.Generator) -> None:
    pen.shape(_band(-2, 2), (150, 146, 142))
    for x in np.arange(rng.uniform(-1.5, -1.1), 1.2, 0.42):  # two rows of windows
        for y in (-0.85, -0.3):
            pen.shape([(x, y), (x + 0.22, y), (x + 0.22, y + 0.35), (x, y + 0.35)], (92, 90, 92))
    pen.shape(_band(0.3, 2), (58, 58, 62))
    for x in np.arange(rng.uniform(-1.6, -1.2), 1.2, 0.6):  # the line in the middle of the road
        pen.shape([(x, 0.62), (x + 0.35, 0.62), (x + 0.35, 0.72), (x, 0.72)], (205, 205, 200))


def _band(top: float, bottom: float) -> list[Point]:
    return [(-2, top), (2, top), (2, bottom), (-2, bottom)]


THINGS = {
    "car": figures.automobile, "dog": figures.dog, "horse": figures.horse,
    "kite": kite, "plane": figures.airplane, "ship": figures.ship,
}  # fmt: skip
COLORS: dict[str, Color] = {
    "red": (222, 24, 30), "green": (20, 205, 60), "blue": (30, 60, 235),
    "yellow": (255, 222, 10), "purple": (165, 30, 200), "white": (255, 255, 255),
}  # fmt: skip
PLACES = {"beach": beach, "field": field, "snow": snow, "space": space, "street": street}
PHRASES = {p: f"in the {p}" for p in ("field", "snow")} | {p: f"on the {p}" for p in ("beach", "street")}
PHRASES["space"] = "in space"
MOTIONS = {  # phase in radians -> steps to the right and down, tilt in degrees
    "hopping": lambda p: (0.0, 1 - 2 * abs(np.sin(p)), 0.0),
    "drifting": lambda p: (np.sin(p), 0.6 * np.cos(p), 0.0),
    "rocking": lambda p: (0.0, 0.0, 20 * np.sin(p)),
    "swinging": lambda p: (np.sin(p), np.cos(2 * p) / 2, -15 * np.sin(p)),
}
STEP = 0.25  # of a thing's radius; enough that no two frames in a row are the same, which a GIF would merge
NUMBERS: dict[str, tuple[int, list[Point]]] = {  # a thing's radius and where things stand, in pixels
    "one": (28, [(48, 36)]),
    "two": (20, [(24, 36), (72, 36)]),
    "three": (15, [(48, 20), (24, 52), (72, 52)]),
}
LEEWAY = 2  # pixels by which a group may be shifted, either way
STILL = 1 / 3  # share of GIFs with a resting camera: most of their frames hold only the part that changed
SWAY = 3  # pixels that the other cameras move, either way


TYPES = ("object", "number", "color", "location")  # in the order of TGIF-QA's type numbers
WORDINGS = {  # 5 to 9 tokens
    "object": ["what is moving {where} ?", "what can be seen {where} ?", "what is {color} and moving ?"],
    "number": ["how many {plural} are moving ?", "how many {plural} are there {where} ?",
               "how many {color} {plural} are there ?"],
    "color": ["what color {is_} the {noun} ?", "what is the color of the {noun} ?",
              "what color {is_} the {noun} {where} ?"],
    "location": ["where {is_} the {noun} ?", "where {is_} the {color} {noun} ?", "where {is_} the {noun} moving ?"],
}  # fmt: skip
LONG_WORDINGS = {  # 12 to 16 tokens
    "object": ["what is it that can be seen {motion} {where} over and over ?",
               "what is {color} and can be seen {motion} {where} over and over ?"],
    "number": ["how many {plural} can be seen {motion} over and over {where} ?",
               "how many {color} {plural} are there in all that can be seen {where} ?"],
    "color": ["what color {is_} the {noun} that can be seen {motion} {where} ?",
              "what is the color of the {noun} that {is_} {motion} {where} ?"],
    "location": ["where {is_} the {color} {noun} that can be seen {motion} over and over ?",
                 "where {is_} the {noun} that can be seen {motion} again and again ?"],
}  # fmt: skip
LONG = 0.25  # share of the questions that are long
OPENED = 0.4  # share of these with an opening: if a question loses its beginning, nothing else is lost
OPENINGS = ("in this gif ", "in this short gif ")
LONGEST = 18  # tokens
DESCRIPTION = "{number} {color} {noun} {is_} {motion} {where} ."


class Scene(NamedTuple):
    name: str  # of the GIF, without .gif
    object: str
    number: str
    color: str
    location: str
    motion: str
    seed: int  # of everything that no question asks for

    def phrase(self, wording: str) -> str:
        plural = self.object + "s"
        noun, is_ = (self.object, "is") if self.number == "one" else (plural, "are")
        return wording.format(**self._asdict(), noun=noun, plural=plural, is_=is_, where=PHRASES[self.location])


# One line of the question files.
Row = namedtuple("Row", "gif_name question answer type vid_id key description")


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write gifs/<gif_name>.gif and dataset/{Train,Test,Total}_frameqa_question.csv."""
    scenes, train, test = contents(rng)
    in_parallel(_write_scene, [(folder / "gifs" / f"{scene.name}.gif", scene) for scene in scenes])
    (folder / "dataset").mkdir()
    for name, rows in (("Train", train), ("Test", test), ("Total", train + test)):
        # Tabs and CR LF, as in the real files, which are called .csv all the same.
        lines = ["\t".join(map(str, row)) for row in (Row._fields, *rows)]
        (folder / "dataset" / f"{name}_frameqa_question.csv").write_bytes(("\r\n".join(lines) + "\r\n").encode())
    return len(train), len(test)


def contents(rng: np.random.Generator) -> tuple[list[Scene], list[Row], list[Row]]:
    """All scenes, the training ones first, with the training and the test questions; no picture yet."""
    train, test = _scenes(rng, TRAIN), _scenes(rng, TEST)
    numbers = iter(rng.permutation(TRAIN * TRAIN_QUESTIONS + TEST * TEST_QUESTIONS).tolist())  # for vid_id
    scenes = train + test
    rows: list[Row] = []
    for key, scene in enumerate(scenes):
        for i in range(TRAIN_QUESTIONS if key < TRAIN else TEST_QUESTIONS):
            kind = (key + i) % len(TYPES)  # the types take turns, so that all are equally frequent
            asked = TYPES[kind]
            question, answer, vid_id = _question(scene, asked, rng), getattr(scene, asked), f"FRAMEQA{next(numbers)}"
            rows.append(Row(scene.name, question, answer, kind, vid_id, key, scene.phrase(DESCRIPTION)))
    return scenes, rows[: TRAIN * TRAIN_QUESTIONS], rows[TRAIN * TRAIN_QUESTIONS :]


def _question(scene: Scene, asked: str, rng: np.random.Generator) -> str:
    wordings = (LONG_WORDINGS if (long := rng.random() < LONG) else WORDINGS)[asked]
    question = scene.phrase(wordings[rng.integers(len(wordings))])
    opened = OPENINGS[rng.integers(len(OPENINGS))] + question
    return opened if long and rng.random() < OPENED and len(opened.split()) <= LONGEST else question


def _scenes(rng: np.random.Generator, count: int) -> list[Scene]:
    """Every value of an attribute occurs equally often, and independently of the other attributes."""
    tables = map(list, (THINGS, NUMBERS, COLORS, PLACES, MOTIONS))
    columns = [rng.permutation([values[i % len(values)] for i in range(count)]).tolist() for values in tables]
    return [Scene(_name(rng), *values, seed=int(rng.integers(2**63))) for values in zip(*columns, strict=True)]


def _name(rng: np.random.Generator) -> str:
    """A name like tumblr_no73q2fm0I1uuf348o1_250."""
    signs = string.ascii_letters + string.digits
    middle, end = ("".join(signs[i] for i in rng.integers(len(signs), size=n)) for n in (8, 6))
    return f"tumblr_n{middle}1{end}o1_{rng.choice([250, 400, 500])}"


def _write_scene(job: tuple[Path, Scene]) -> None:
    path, scene = job
    write_gif(path, film(scene))


def film(scene: Scene) -> np.ndarray:
    """uint8 (FRAMES, HEIGHT, WIDTH, 3) RGB: a loop, so that the last frame leads to the first."""
    rng = np.random.default_rng(scene.seed)
    radius, stands = NUMBERS[scene.number]
    shift = rng.uniform(-LEEWAY, LEEWAY, 2)
    mirrored = rng.random() < 0.5
    sway = 0 if rng.random() < STILL else SWAY
    phases = 2 * np.pi * (np.arange(FRAMES) + rng.integers(FRAMES)) / FRAMES
    place = _place(scene.location, rng)
    frames = []
    for phase in phases:
        right, down, tilt = MOTIONS[scene.motion](phase)
        sprite = _sprite(scene.object, COLORS[scene.color], radius, round(tilt), mirrored)
        x, y = SWAY + np.rint(sway * np.array([np.cos(phase), np.sin(phase)])).astype(int)
        frame = place.crop((x, y, x + WIDTH, y + HEIGHT))
        for stand in stands:
            corner = np.rint(stand + shift + STEP * radius * np.array([right, down]) - sprite.width / 2).astype(int)
            frame.paste(sprite, tuple(corner.tolist()), sprite)
        frames.append(np.asarray(frame))
    return np.stack(frames)


def _place(name: str, rng: np.random.Generator) -> Image.Image:
    """RGB, larger than a frame by SWAY pixels on every side; -1 to 1 is what a resting camera sees."""
    size = np.array([WIDTH + 2 * SWAY, HEIGHT + 2 * SWAY]) * OVERSAMPLING
    canvas = Image.new("RGB", tuple(size.tolist()))
    PLACES[name](Pen(canvas, np.diag([WIDTH, HEIGHT]) * OVERSAMPLING / 2, size / 2), rng)
    return canvas.reduce(OVERSAMPLING)


@lru_cache(maxsize=64)
def _sprite(name: str, color: Color, radius: int, tilt: int, mirrored: bool) -> Image.Image:
    """RGBA: one thing on a transparent square, with a dark outline that sets it off from every place."""
    side = 2 * (radius + 3) * OVERSAMPLING  # tilted corners and the outline need a little room
    shade = tuple(int(0.8 * v) for v in color)
    palette = Palette(body=color, second=shade, ink=(24, 24, 28))
    matrix = radius * OVERSAMPLING * (turn(np.radians(tilt)) @ np.diag([-1 if mirrored else 1, 1]))
    thing = cutout(THINGS[name], palette, side, matrix, np.full(2, side / 2), by=OVERSAMPLING)
    outlined = Image.new("RGBA", thing.size, (*palette.ink, 0))
    outlined.putalpha(thing.getchannel("A").filter(ImageFilter.MaxFilter(3)))
    return Image.alpha_composite(outlined, thing)
