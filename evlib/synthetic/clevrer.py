"""Films of colliding solids and questions about them, in the file format of CLEVRER.

    What color is the cube?                                   cyan
    How many objects are moving?                              2
    What color is the object to collide with the sphere?      red

Every answer is true in the simulation and visible in four frames of the film. A question alone gives nothing away: for
the same wording, all possible answers are equally frequent. Next to the frames there is room for 16 tokens; longer
questions lose their first words, but not what they ask for.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from evlib.synthetic.scenes import FRAMES, Scene, Solid, deal, film, sight, states
from evlib.synthetic.sprites import COLORS, MATERIALS, SHAPES
from evlib.synthetic.video_writer import in_parallel, write_mp4

# Films (10,000 and 5,000 in the real set), and the first one's index.
SPLITS = {"train": (5000, 0), "validation": (200, 10000)}
ASKED = 5  # descriptive questions about each film
RATE = 25  # frames a second

SHARES = {"query_color": 0.30, "query_shape": 0.20, "query_material": 0.12, "exist": 0.18, "count": 0.20}
LENGTHS = {12: 0.75, 16: 0.18, 18: 0.07}  # most tokens -> share of the questions of every subtype
TOGETHER = 2  # questions of the same subtype about a film, at most

ANSWERS = {"query_color": tuple(COLORS), "query_shape": SHAPES, "query_material": MATERIALS}
ANSWERS |= {"exist": ("yes", "no"), "count": ("0", "1", "2")}
STATES = ("moving", "stationary")
OPENINGS = {  # "What shape is" leaves room for a long name, "What is the shape of" does not
    "color": ("What color is", "What is the color of"),
    "shape": ("What shape is", "What is the shape of"),
    "material": ("What is the material of",),
}
# Names of solids: adjective and noun.
ALL_SHAPES = [("", shape) for shape in SHAPES]
ALL_COLORS = [(color, "object") for color in COLORS]
ALL_MATERIALS = [(material, "object") for material in MATERIALS]
EXACT = [(material, shape) for material in MATERIALS for shape in SHAPES]
NAMED_BY = {  # attribute -> names of solids that do not give it away
    "color": ALL_SHAPES + [(material, noun) for material in MATERIALS for noun in ("object", *SHAPES)],
    "shape": ALL_COLORS + ALL_MATERIALS,
    "material": ALL_SHAPES + ALL_COLORS,
}


@dataclass(frozen=True)
class Question:
    """One descriptive question that a scene answers."""

    subtype: str
    text: str
    answer: str
    answers: tuple[str, ...]  # the possible answers to this wording
    weight: float = 1.0  # how strongly it is preferred
    phrase: str = ""  # what it is about, if it can be asked in other words
    form: str = ""  # the text without the name of an event: questions of one form get every answer equally often

    @cached_property
    def meaning(self) -> tuple[str, str]:
        """The same for the same question in other words."""
        return self.subtype, self.phrase or self.text

    @cached_property
    def longest(self) -> int:
        """The first of LENGTHS that it does not exceed; the question mark is a token, too."""
        return next(length for length in LENGTHS if len(self.text.split()) < length)

    def entry(self) -> dict:
        """Its entry in the question file."""
        kinds = {"question_type": "descriptive", "question_subtype": self.subtype}
        return {"question": self.text, **kinds, "answer": self.answer}


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write video_<split>/video_<lo>-<hi>/video_<index>.mp4 and questions/<split>.json; counts simple questions."""
    entries: dict[str, list[dict]] = {split: [] for split in SPLITS}

    def films() -> Iterator[tuple[Path, Scene]]:
        for split, scene, entry in compose(rng):
            entries[split].append(entry)
            low = entry["scene_index"] // 1000 * 1000
            yield folder / f"video_{split}/video_{low:05d}-{low + 1000:05d}" / entry["video_filename"], scene

    in_parallel(_shoot, films())
    (folder / "questions").mkdir()
    for split, scenes in entries.items():
        (folder / "questions" / f"{split}.json").write_bytes((json.dumps(scenes) + "\n").encode())
    train, validation = (ASKED * number for number, _ in SPLITS.values())
    return train, validation


def compose(rng: np.random.Generator) -> Iterator[tuple[str, Scene, dict]]:
    """Every film: its split, its scene, and what the question file says about it."""
    for split, (number, first) in SPLITS.items():
        scenes, host = deal(rng, number), Host(rng)
        for index, scene in enumerate(scenes, start=first):
            asked = host.choose(list(descriptive(scene)))
            questions = [{"question_id": i, **question.entry()} for i, question in enumerate(asked)]
            name = f"video_{index:05d}.mp4"
            yield split, scene, {"scene_index": index, "video_filename": name, "questions": questions}


def _shoot(job: tuple[Path, Scene]) -> None:
    path, scene = job
    write_mp4(path, film(scene), rate=RATE, group=FRAMES)


class Host:
    """Asks the questions of a split so that their wording gives nothing away: for every form of question it holds a
    shuffled deck of the answers, prefers a question whose answer is on top, and reshuffles when the deck is empty."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.decks: dict[str, list[str]] = {}
        self.asked = Counter[str | tuple[str, int]]()  # questions of every subtype, and of every subtype and length

    def choose(self, candidates: list[Question]) -> list[Question]:
        """ASKED questions about a scene, each of the subtype and then of the length that lags most behind its share."""
        chosen: list[Question] = []
        while len(chosen) < ASKED:
            # No question twice in other words. Uneven counts by one are better than a missing question.
            known, subtypes = {q.meaning for q in chosen}, Counter(q.subtype for q in chosen)
            candidates = [q for q in candidates if q.meaning not in known and subtypes[q.subtype] < TOGETHER]
            left = [q for q in candidates if q.answer in self._deck(q)] or candidates
            subtype = min(dict.fromkeys(q.subtype for q in left), key=lambda s: (self.asked[s] + 1) / SHARES[s])
            lengths = dict.fromkeys(q.longest for q in left if q.subtype == subtype)
            length = min(lengths, key=lambda n: (self.asked[subtype, n] + 1) / LENGTHS[n])
            best = min(
                (q for q in left if (q.subtype, q.longest) == (subtype, length)),
                key=lambda q: (self._place(q), self.rng.exponential() / q.weight),
            )
            if best.answer in (deck := self._deck(best)):
                deck.remove(best.answer)
            self.asked.update([subtype, (subtype, length)])
            chosen.append(best)
        return chosen

    def _deck(self, question: Question) -> list[str]:
        """The answers to questions of this form that are still to be given in this round."""
        form = question.form or question.text
        if not self.decks.get(form):
            self.decks[form] = self.rng.permutation(question.answers).tolist()
        return self.decks[form]

    def _place(self, question: Question) -> int:
        """How many cards lie above this answer."""
        deck = self._deck(question)
        return deck.index(question.answer) if question.answer in deck else len(deck)


def descriptive(scene: Scene) -> Iterator[Question]:
    """Every descriptive question that the scene answers unambiguously."""
    for question in (*_queries(scene), *_existence(scene), *_counts(scene)):
        if len(question.text.split()) < max(LENGTHS) and question.answer in question.answers:
            yield question


def _queries(scene: Scene) -> Iterator[Question]:
    """What color, shape or material something is: asked only where the name fits exactly one solid."""
    everything = scene.solids
    entering = [s for s in everything if s.enters]
    for attribute, names in NAMED_BY.items():
        subtype = f"query_{attribute}"
        phrases = [(_phrase(*name), _those(everything, *name), 1.0) for name in names]
        phrases += [(_phrase(state, "object"), _those(everything, state), 0.7) for state in STATES]
        phrases.append(("object that enters the scene", entering, 0.7))
        for name in ALL_COLORS if attribute == "shape" else ALL_SHAPES:
            partners = _partners(scene, _those(everything, *name))
            phrases.append((f"object to collide with the {_phrase(*name)}", partners, 0.4))
        for state, there in _at_first(scene).items():
            for name in [("", "object"), *names]:
                phrases.append((f"{_phrase(*name)} that is {state} when the video begins", _those(there, *name), 1.0))
        for name in [*ALL_COLORS, *EXACT]:
            text = f"object to collide with the {_phrase(*name)} that enters the scene"
            phrases.append((text, _partners(scene, _those(entering, *name)), 1.0))
        for phrase, found, weight in phrases:
            if len(found) == 1:
                for opening in OPENINGS[attribute]:
                    text, answer = f"{opening} the {phrase}?", getattr(found[0], attribute)
                    yield Question(subtype, text, answer, ANSWERS[subtype], weight, phrase)


def _existence(scene: Scene) -> Iterator[Question]:
    def exist(text: str, found: list[Solid], event: str = "") -> Question:
        answer, form = "yes" if found else "no", f"Are there any {text}"
        return Question("exist", f"{form}{event}?", answer, ANSWERS["exist"], form=form)

    short = ALL_SHAPES + ALL_COLORS + ALL_MATERIALS
    for name in [*short, *((state, noun) for state in STATES for noun in ("object", *SHAPES)), *EXACT]:
        yield exist(f"{_phrase(*name)}s", _those(scene.solids, *name))
    for noun in ("object", *SHAPES):
        yield exist(f"{noun}s that enter the scene", [s for s in _those(scene.solids, noun) if s.enters])
    for state, there in _at_first(scene).items():
        for name in [("", "object"), *short, *EXACT]:
            yield exist(f"{_phrase(*name)}s that are {state} when the video begins", _those(there, *name))
    for event, resting in _entrances(scene):
        for name in [("", "object"), *ALL_SHAPES, *ALL_MATERIALS, *EXACT]:
            yield exist(f"{_phrase(*name)}s that are stationary when the ", _those(resting, *name), event)


def _counts(scene: Scene) -> Iterator[Question]:
    def count(text: str, number: int, event: str = "", answers=ANSWERS["count"]) -> Question:
        form = f"How many {text}"
        return Question("count", f"{form}{event}?", str(number), answers, form=form)

    names = ALL_SHAPES + ALL_MATERIALS
    for name in names:
        yield count(f"{_phrase(*name)}s are there", len(_those(scene.solids, *name)))
    yield count("objects are there", len(scene.solids), answers=("1", "2", "3"))
    for state in STATES:
        yield count(f"objects are {state}", len(_those(scene.solids, state)))
    yield count("objects enter the scene", sum(s.enters for s in scene.solids))
    yield count("collisions happen", len(scene.collisions))
    for state, there in _at_first(scene).items():
        for name in [("", "object"), *names]:
            text = f"{_phrase(*name)}s that are {state} are there when the video begins"
            yield count(text, len(_those(there, *name)))
    for event, resting in _entrances(scene):
        for name in [("", "object"), *names]:
            yield count(f"{_phrase(*name)}s are stationary when the ", len(_those(resting, *name)), event)


def _at_first(scene: Scene) -> dict[str, list[Solid]]:
    """Which solids are moving and which are stationary when the video begins; empty if the frames do not show it."""
    doing = states(scene, 0)
    return {} if None in doing else {state: [s for s, d in zip(scene.solids, doing) if d == state] for state in STATES}


def _entrances(scene: Scene) -> Iterator[tuple[str, list[Solid]]]:
    """Every entrance that the frames show, in words, and the solids that rest meanwhile."""
    seen = sight(scene)
    for k, solid in enumerate(scene.solids):
        before = int((seen[:, k] > 0).argmax()) - 1  # the last frame without it
        if solid.enters and None not in (doing := states(scene, before)):
            resting = [s for s, d in zip(scene.solids, doing) if d == "stationary"]
            for words in ((solid.color, solid.shape), (solid.color, solid.material, solid.shape)):
                yield f"{' '.join(words)} enters the scene", resting


def _phrase(adjective: str, noun: str) -> str:
    return f"{adjective} {noun}".strip()


def _those(solids: Sequence[Solid], *words: str) -> list[Solid]:
    """The solids that all the words fit."""
    return [s for s in solids if {*words} <= {"", "object", s.color, s.shape, s.material, STATES[not s.moves]}]


def _partners(scene: Scene, strikers: list[Solid]) -> list[Solid]:
    """What the only one of `strikers` collides with, without duplicates; empty unless there is exactly one."""
    if len(strikers) != 1:
        return []
    k = scene.solids.index(strikers[0])
    return [scene.solids[i] for i in sorted({i for pair in scene.collisions if k in pair for i in pair if i != k})]
