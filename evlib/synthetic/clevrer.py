"""Films of colliding solids and questions about them, in the files of CLEVRER.

    What color is the cube?                                   cyan
    How many objects are moving?                              2
    What color is the object to collide with the sphere?      red

Every answer is true of the simulation and visible in four frames of the film. A question alone says nothing: the same words
are answered in every possible way, equally often.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evlib.synthetic.video_writer import in_parallel, write_mp4
from evlib.synthetic.scenes import Scene, Solid, deal, film
from evlib.synthetic.spec import Miniature
from evlib.synthetic.sprites import COLORS, MATERIALS, SHAPES

TRAIN, VALIDATION = 2000, 200  # films; 10,000 and 5,000 in the real set
ASKED = 5  # descriptive questions about each
SPLITS = {
    "train": (TRAIN, 0),
    "validation": (VALIDATION, 10000),
}  # and the index of the first scene, as in the real set
RATE = 25  # frames a second

SHARES = {"query_color": 0.30, "query_shape": 0.20, "query_material": 0.12, "exist": 0.18, "count": 0.20}
TOGETHER = 2  # questions of the same subtype about a film, at most

ANSWERS = {
    "query_color": tuple(COLORS),
    "query_shape": SHAPES,
    "query_material": MATERIALS,
    "exist": ("yes", "no"),
    "count": ("0", "1", "2"),
}
STATES = ("moving", "stationary")
OPENINGS = {  # "What shape is" leaves room for a long name, "What is the shape of" does not
    "color": ("What color is", "What is the color of"),
    "shape": ("What shape is", "What is the shape of"),
    "material": ("What is the material of",),
}
NAMED_BY = {  # an attribute is asked for by the name of a solid that does not give it away
    "color": [("", shape) for shape in SHAPES] + [(m, noun) for m in MATERIALS for noun in ("object", *SHAPES)],
    "shape": [(word, "object") for word in (*COLORS, *MATERIALS)],
    "material": [("", shape) for shape in SHAPES] + [(color, "object") for color in COLORS],
}


@dataclass(frozen=True)
class Question:
    """One descriptive question that a scene answers, with CLEVRER's program for it in postfix order."""

    subtype: str
    text: str
    answer: str
    program: tuple[str, ...]
    answers: tuple[str, ...]  # what may be answered to these words
    weight: float = 1.0  # how readily it is asked


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write video_<split>/video_<lo>-<hi>/video_<index>.mp4 and questions/<split>.json; counts descriptive questions."""
    (folder / "questions").mkdir()
    films, counts = [], []
    for split, (scenes, entries) in compose(rng).items():
        (folder / "questions" / f"{split}.json").write_bytes((json.dumps(entries) + "\n").encode())
        for scene, entry in zip(scenes, entries, strict=True):
            low = entry["scene_index"] // 1000 * 1000
            films.append(
                (folder / f"video_{split}" / f"video_{low:05d}-{low + 1000:05d}" / entry["video_filename"], scene)
            )
        counts.append(ASKED * len(scenes))
    for _ in in_parallel(_shoot, films):
        pass
    train, validation = counts
    return train, validation


def compose(rng: np.random.Generator) -> dict[str, tuple[list[Scene], list[dict]]]:
    """For "train" and "validation": the scenes, and what the question file says about each."""
    composed = {}
    for split, (number, first) in SPLITS.items():
        scenes, host = deal(rng, number), Host(rng)
        composed[split] = scenes, [_entry(first + i, scene, host) for i, scene in enumerate(scenes)]
    return composed


def _shoot(job: tuple[Path, Scene]) -> None:
    path, scene = job
    write_mp4(path, film(scene), rate=RATE)


def _entry(index: int, scene: Scene, host: Host) -> dict:
    asked: list[dict] = [
        {
            "question": q.text,
            "question_type": "descriptive",
            "question_subtype": q.subtype,
            "program": list(q.program),
            "answer": q.answer,
        }
        for q in host.choose(list(descriptive(scene)))
    ]
    asked += explanatory(scene)
    questions = [{"question_id": i, **question} for i, question in enumerate(asked)]
    return {"scene_index": index, "video_filename": f"video_{index:05d}.mp4", "questions": questions}


class Host:
    """Asks the questions of a split so that their words give nothing away.

    For every wording it holds a shuffled deck of the possible answers, and prefers the questions whose answer lies on top.
    A deck is reshuffled when it is used up: at every moment each answer has been given about equally often.
    """

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.decks: dict[str, list[str]] = {}
        self.has_question = Counter[str]()  # questions of every subtype

    def choose(self, candidates: list[Question]) -> list[Question]:
        """ASKED of a scene's questions, each of the subtype that lags most behind SHARES then."""
        chosen: list[Question] = []
        while len(chosen) < ASKED:
            programs, subtypes = (
                {q.program for q in chosen},
                Counter(q.subtype for q in chosen),
            )  # not the same in other words
            left = [q for q in candidates if q.program not in programs and subtypes[q.subtype] < TOGETHER]
            left = [q for q in left if q.answer in self._deck(q)] or left  # rather uneven by one than a question short
            subtype = min(dict.fromkeys(q.subtype for q in left), key=lambda s: (self.has_question[s] + 1) / SHARES[s])
            best = min(
                (q for q in left if q.subtype == subtype),
                key=lambda q: (self._place(q), self.rng.exponential() / q.weight),
            )
            if best.answer in (deck := self._deck(best)):
                deck.remove(best.answer)
            self.has_question[subtype] += 1
            chosen.append(best)
        return chosen

    def _deck(self, question: Question) -> list[str]:
        """The answers to these words that are still to be given in this round."""
        if not self.decks.get(question.text):
            self.decks[question.text] = self.rng.permutation(question.answers).tolist()
        return self.decks[question.text]

    def _place(self, question: Question) -> int:
        """How many cards lie above this answer."""
        deck = self._deck(question)
        return deck.index(question.answer) if question.answer in deck else len(deck)


def descriptive(scene: Scene) -> Iterator[Question]:
    """Every descriptive question that the scene answers without doubt, of at most 12 words and signs."""
    for question in (*_queries(scene), *_existence(scene), *_counts(scene)):
        if len(question.text.split()) < 12 and question.answer in question.answers:  # the question mark is the twelfth
            yield question


def _queries(scene: Scene) -> Iterator[Question]:
    """What color, shape or material something is: asked where the name fits one solid alone."""
    everything = scene.solids
    for attribute, names in NAMED_BY.items():
        subtype = f"query_{attribute}"
        phrases = [(_phrase(*name), _program(*name), _those(everything, *name), 1.0) for name in names]
        phrases += [(_phrase(state, "object"), _program(state), _those(everything, state), 0.7) for state in STATES]
        entering = [s for s in everything if s.enters]
        phrases.append(
            ("object that enters the scene", ("events", "objects", "filter_in", "get_object"), entering, 0.7)
        )
        for adjective, noun in (
            [(color, "object") for color in COLORS] if attribute == "shape" else [("", shape) for shape in SHAPES]
        ):
            striker = (*_program(adjective, noun), "unique")
            program = ("events", *striker, "filter_collision", "unique", *striker, "get_col_partner")
            partners = _partners(scene, _those(everything, adjective, noun))
            phrases.append((f"object to collide with the {_phrase(adjective, noun)}", program, partners, 0.4))
        for phrase, program, found, weight in phrases:
            if len(found) == 1:
                for opening in OPENINGS[attribute]:
                    answer = getattr(found[0], attribute)
                    yield Question(
                        subtype,
                        f"{opening} the {phrase}?",
                        answer,
                        (*program, "unique", subtype),
                        ANSWERS[subtype],
                        weight,
                    )


def _existence(scene: Scene) -> Iterator[Question]:
    names = [("", shape) for shape in SHAPES]
    names += [(word, "object") for word in (*COLORS, *MATERIALS, *STATES)]
    names += [(word, shape) for word in (*MATERIALS, *STATES) for shape in SHAPES]
    for name in names:
        answer = "yes" if _those(scene.solids, *name) else "no"
        yield Question(
            "exist", f"Are there any {_phrase(*name)}s?", answer, (*_program(*name), "exist"), ANSWERS["exist"]
        )
    for noun in ("object", *SHAPES):
        answer = "yes" if any(s.enters for s in _those(scene.solids, noun)) else "no"
        program = ("events", *_program(noun), "filter_in", "exist")
        yield Question("exist", f"Are there any {noun}s that enter the scene?", answer, program, ANSWERS["exist"])


def _counts(scene: Scene) -> Iterator[Question]:
    def count(
        text: str, number: int, program: tuple[str, ...], answers: tuple[str, ...] = ANSWERS["count"]
    ) -> Question:
        return Question("count", f"How many {text}?", str(number), (*program, "count"), answers)

    for name in [("", shape) for shape in SHAPES] + [(material, "object") for material in MATERIALS]:
        yield count(f"{_phrase(*name)}s are there", len(_those(scene.solids, *name)), _program(*name))
    yield count("objects are there", len(scene.solids), ("objects",), ("1", "2", "3"))
    for state in STATES:
        yield count(f"objects are {state}", len(_those(scene.solids, state)), _program(state))
    yield count("objects enter the scene", sum(s.enters for s in scene.solids), ("events", "objects", "filter_in"))
    yield count("collisions happen", len(scene.collisions), ("events", "filter_collision"))


def explanatory(scene: Scene) -> Iterator[dict]:
    """At most one multiple-choice question: why the last collision of a scene happened."""
    if not scene.collisions:
        return
    *earlier, last = scene.collisions
    names = [_phrase(s.color, s.shape) for s in scene.solids]
    programs = [(*_program(s.color, s.shape), "unique") for s in scene.solids]
    choices = []
    for k, solid in enumerate(scene.solids):
        if k in last:
            text, program, true = (
                f"The {names[k]}'s entering the scene",
                ("events", *programs[k], "filter_in", "unique"),
                solid.enters,
            )
        else:
            text, program, true = f"The presence of the {names[k]}", programs[k], any(k in pair for pair in earlier)
        choices.append(
            {"choice_id": k, "choice": text, "program": list(program), "answer": "correct" if true else "wrong"}
        )
    one, other = last
    yield {
        "question": f"Which of the following is responsible for the collision between the {names[one]} and the {names[other]}?",
        "question_type": "explanatory",
        "program": [
            "events",
            *programs[one],
            "filter_collision",
            *programs[other],
            "filter_collision",
            "unique",
            "filter_ancestor",
        ],
        "choices": choices,
    }


def _phrase(adjective: str, noun: str) -> str:
    return f"{adjective} {noun}".strip()


def _those(solids: tuple[Solid, ...], *words: str) -> list[Solid]:
    """The solids that all the words fit."""
    return [
        s
        for s in solids
        if {*words} <= {"", "object", s.color, s.shape, s.material, STATES[0] if s.moves else STATES[1]}
    ]


def _program(*words: str) -> tuple[str, ...]:
    """The same in CLEVRER's modules."""
    program = ["objects"]
    for word in words:
        if word in STATES:
            program += ["null", f"filter_{word}"]  # at no moment in particular
        elif word not in ("", "object"):
            kind = next(
                kind
                for kind, values in (("color", COLORS), ("shape", SHAPES), ("material", MATERIALS))
                if word in values
            )
            program += [word, f"filter_{kind}"]
    return tuple(program)


def _partners(scene: Scene, strikers: list[Solid]) -> list[Solid]:
    """What the only one of `strikers` collides with, each once."""
    if len(strikers) != 1:
        return []
    k = scene.solids.index(strikers[0])
    return [scene.solids[i] for i in sorted({i for pair in scene.collisions if k in pair for i in pair if i != k})]


CLEVRER = Miniature(
    name="clevrer",
    folder="CLEVRER",
    version=1,
    about="Drawn solids that roll, enter and collide, with questions from a small grammar, in the files of CLEVRER; not the real videos.",
    fill=fill,
)
