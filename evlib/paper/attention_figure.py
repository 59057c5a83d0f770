"""Figure 10 of trained networks: a few test examples with their attention, and the numbers behind the picture."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image as Pillow

from evlib.data.tasks import Task
from evlib.paper.attention_claims import Example
from evlib.scoring.answers import scorer
from evlib.viz import attention, attention_plots
from evlib.viz.attention_plots import Strip

LONG = 8  # input frames; for longer clips, fewer examples and fewer frames are plotted
CAPTION = 120  # characters


def figure10(found: Sequence[Example], task: Task, vocabulary: Sequence[str]) -> tuple[Pillow.Image, pd.DataFrame]:
    """Up to three of a task's examples (two of long clips), evenly spread, each with its answer as it is read, and
    `viz.attention.table` of them. `vocabulary`: that of the run."""
    long = found[0].maps.n_in > LONG and not found[0].question
    chosen = found[:: max(1, len(found) // 3)][: 2 if long else 3]
    strips = [
        Strip(
            np.concatenate([e.inputs.movedim(1, -1).numpy(), e.generated]),
            e.maps.temporal[0].numpy(),
            e.maps.space[0, : e.maps.n_in].numpy(),
            _caption(e, task, vocabulary)[:CAPTION],
        )
        for e in chosen
    ]
    picture = attention_plots.figure10(strips, max_frames=5 if long else 20)
    return picture, attention.table([e.source for e in chosen], [e.maps for e in chosen])


def _caption(e: Example, task: Task, vocabulary: Sequence[str]) -> str:
    if not e.answer or task.answer.needs_box:
        return e.source
    read = scorer(task.answer).read_one(e.generated, vocabulary).answer
    return f"{e.source}: {read or '(nothing)'}, {'right' if read == e.answer else f'true: {e.answer}'}"
