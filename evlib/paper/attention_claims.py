"""Section 5.1, measured: each sentence about attention becomes a number per test example, relative to uniform
attention. `evlib.paper.claims` compares these numbers, over several seeds, with the paper's sentences."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evlib.data import tasks
from evlib.data.store import Split, VideoStore
from evlib.frames.render import tokenize
from evlib.generation import to_uint8
from evlib.model import NextFrame
from evlib.paper.claims import paired
from evlib.scoring.predict import load_run
from evlib.utils import files
from evlib.viz import attention
from evlib.viz.attention import AttentionMaps, attention_maps, generate_with_attention, inside


@dataclass(frozen=True)
class Example:
    """A test example, and where the network looked while it generated the answer."""

    source: str
    question: str
    answer: str
    n_truncated: int
    inputs: Tensor  # uint8 (n_in, 3, 64, 64)
    true: Tensor  # uint8 (n_out, 3, 64, 64)
    generated: np.ndarray  # uint8 (n_out, 64, 64, 3)
    maps: AttentionMaps

    @property
    def on_words(self) -> tuple[list[str], Tensor]:
        """The words of the question as the network sees them, and the temporal attention on each."""
        words = tokenize(self.question)[self.n_truncated :]
        return words, self.maps.temporal[0, self.maps.n_in - 1 - len(words) : self.maps.n_in - 1]

    @property
    def on_clip(self) -> Tensor:
        """The temporal attention on each frame before the separator."""
        return self.maps.temporal[0, :-1]


def examples(net: NextFrame, split: Split, count: int) -> list[Example]:
    """Test examples evenly spread over a split, with their attention maps and as many frames as the true answer has."""
    rows, table, found = np.unique(np.linspace(0, len(split) - 1, count).astype(int)), split.metadata, []
    for row in rows:
        n_in, n_out, video = int(table.n_in[row]), int(table.n_out[row]), split.gather([row])
        frames, maps = generate_with_attention(net, video[:, :n_in], n_out)
        about = (table[name][row] for name in ("source", "question", "answer", "n_truncated"))
        inputs, true = video[0].cpu().split([n_in, n_out])
        generated, maps = to_uint8(frames)[0].numpy(), AttentionMaps(*(part.cpu() for part in maps))
        found.append(Example(*about, inputs, true, generated, maps))
    return found


def count(run: str | Path, store: VideoStore, n: int = 24, reviews: int = 500) -> pd.DataFrame:
    """Measures every claim that fits the task of a run on `n` test examples (for SST-2 on `reviews`), and writes
    RUN/attention.csv: claim, counted, times, error, n. `times` is 1 for uniform attention."""
    net, _ = load_run(run)
    split, name = store.split("test"), store.manifest["task"]
    if name == "sst2":
        about = "the word that says most about the answer"
        rows = [_row("informative words", about, on_most_informative_word(net, store, reviews))]
    else:
        counted = COUNTED.get(name, ())
        found = examples(net, split, n) if counted else []
        rows = [_row(claim, about, map(ratio, found)) for claim, about, ratio in counted]
    table = pd.DataFrame(rows, columns=["claim", "counted", "times", "error", "n"])
    files.write_text(Path(run) / "attention.csv", table.round(4).to_csv(index=False))
    return table


def _row(claim: str, counted: str, ratios: Iterable[float]) -> tuple:
    values = np.array([ratio for ratio in ratios if np.isfinite(ratio)])
    mean, error = paired(values) if len(values) else (np.nan, 0.0)
    return claim, counted, mean, error, len(values)


# ---- one number per example, 1 for uniform attention ---------------------------------------------------------------


def _share(e: Example, frames: slice) -> float:
    return float(e.on_clip[frames].mean() / e.on_clip.mean())


def _changing_frame(e: Example) -> float:
    change = torch.diff(e.inputs[:-1].float(), dim=0).abs().mean(dim=(1, 2, 3))
    return float(e.on_clip[int(change.argmax()) + 1] / e.on_clip.mean())


def _first_output(e: Example) -> float:
    """For targets that see three or more generated frames: the first relative to those between it and the newest."""
    seen = [weights[e.maps.n_in : e.maps.n_in + i] for i, weights in enumerate(e.maps.time[0]) if i >= 3]
    return float(np.mean([w[0] / w[1:-1].mean() for w in seen])) if seen else np.nan


def _key_words(e: Example) -> float:
    names = {"color", "shape", "material", *tasks.get("clevrer").answer.classes}
    words, weights = e.on_words
    named = torch.tensor([word.lower().removesuffix("s") in names for word in words])
    return float(weights[named].mean() / weights.mean()) if named.any() else np.nan


def _within(mask: Callable[[Example], Tensor]) -> Callable[[Example], float]:
    """The mean over frames of a mask's (T, 64, 64) share of the attention, divided by its share of the area."""

    def ratio(e: Example) -> float:
        where = mask(e)
        return float(inside(e.maps.space[0, : len(where)], where).nanmean())

    return ratio


_moving = _within(lambda e: attention.moving(e.inputs[:-1]))
# Task -> claim (its name in evlib.paper.claims), what is counted, and how.
COUNTED: dict[str, tuple[tuple[str, str, Callable[[Example], float]], ...]] = {
    "tinyvirat": (
        ("last frames", "the last two frames, relative to the mean frame", lambda e: _share(e, slice(-2, None))),
        ("changing frame", "the frame that changes most, relative to the mean frame", _changing_frame),
        ("moving things", "what moves", _moving),
    ),
    "colorization": (
        ("first frames", "the first two frames, relative to the mean frame", lambda e: _share(e, slice(2))),
        ("first output", "the first generated frame, relative to the later ones but the newest", _first_output),
        ("moving objects", "what moves", _moving),
        ("distinct color", "what is colorful in truth", _within(lambda e: attention.colored(e.true))),
    ),
    "clevrer": (
        ("key words", "words that name a property, relative to the mean word", _key_words),
        ("objects", "colored objects", _within(lambda e: attention.colored(e.inputs))),
    ),
}


def on_most_informative_word(net: NextFrame, store: VideoStore, limit: int = 500) -> list[float]:
    """For each test sentence, the attention on the word that says most about the answer, relative to the mean word: the
    word for which the training answers of the sentences that have it are farthest from the overall distribution."""
    train, split = store.metadata[store.metadata.split == "train"], store.split("test").head(limit)
    words = train.question.map(tokenize).explode()
    usual = train.answer.value_counts(normalize=True)
    counts = pd.crosstab(words.values, train.answer.loc[words.index].values)[usual.index]
    shares = (counts + 10 * usual).div(counts.sum(axis=1) + 10, axis=0)  # rare words prove little
    informativeness = ((shares - usual).abs().sum(axis=1) / 2).to_dict()
    times = []
    for batch in split.batches(64):
        n_in = int(split.metadata.n_in.values[batch[0]])
        weights = attention_maps(net, split.gather(batch)[:, :n_in]).temporal[:, :-1]  # without the separator's own
        for row, line in zip(batch, weights / weights.mean(dim=1, keepdim=True)):
            tokens = tokenize(split.metadata.question.values[row])[-len(line) :]  # the first words may be truncated
            most = max(range(len(tokens)), key=lambda i: round(informativeness.get(tokens[i], 0.0), 4))
            times.append(float(line[most]))
    return times
