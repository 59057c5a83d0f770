"""Figure 10 of test examples: which are plotted, what is written under them, and the numbers beside."""

import numpy as np
import pytest
import torch

from evlib.data import tasks
from evlib.frames.render import word_frame
from evlib.paper import attention_figure
from evlib.paper.attention_claims import Example
from evlib.paper.attention_figure import figure10
from evlib.viz.attention import AttentionMaps


def example(i: int, n_in: int = 2, question: str = "", answer: str = "frog") -> Example:
    """Of which the network generates the word "frog"."""
    inputs = torch.zeros(n_in, 3, 64, 64, dtype=torch.uint8)
    maps = AttentionMaps(torch.full((1, 1, n_in), 1 / n_in), torch.ones(1, n_in, 8, 8))
    generated = word_frame("frog")[None]
    return Example(f"file {i}", question, answer, 0, inputs, torch.from_numpy(generated.copy()), generated, maps)


@pytest.fixture
def strips(monkeypatch):
    """The strips and settings of the picture that is plotted."""
    seen = {}
    plot = attention_figure.attention_plots.figure10

    def note(strips, max_frames):
        seen.update(strips=strips, max_frames=max_frames)
        return plot(strips, max_frames)

    monkeypatch.setattr(attention_figure.attention_plots, "figure10", note)
    return seen


def test_a_few_examples_are_spread_evenly(strips):
    found = [example(i) for i in range(23)] + [example(23, answer="cat")]
    picture, table = figure10(found, tasks.get("cifar10"), ["cat", "frog"])
    assert [strip.caption for strip in strips["strips"]] == [f"file {i}: frog, right" for i in (0, 8, 16)]
    assert table.example.unique().tolist() == ["file 0", "file 8", "file 16"] and (table.temporal == 0.5).all()
    assert strips["strips"][0].frames.shape == (3, 64, 64, 3) and np.asarray(picture).any()


def test_what_is_wrong_is_said(strips):
    figure10([example(0, answer="cat")], tasks.get("cifar10"), ["cat", "frog"])
    assert strips["strips"][0].caption == "file 0: frog, true: cat"


def test_of_long_clips_less_is_shown_but_all_of_a_long_question(strips):
    figure10([example(i, n_in=11, answer="") for i in range(9)], tasks.get("colorization"), [])
    assert [strip.caption for strip in strips["strips"]] == ["file 0", "file 3"] and strips["max_frames"] == 5
    figure10([example(i, n_in=11, question="what ?") for i in range(9)], tasks.get("tgifqa"), ["frog"])
    assert len(strips["strips"]) == 3 and strips["max_frames"] == 20
