"""The animation on the front page: what five networks see, frame by frame, and what they answer; one of them is wrong.

showcase(results, data)  ->  results/figures/answers.gif
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as Pillow
from PIL import ImageDraw

from evlib.data import tasks
from evlib.frames.image import until_blank
from evlib.scoring.predict import load
from evlib.utils import files
from evlib.viz.plots import GRAY, RED, SECONDS, WHITE, enlarged, packed_gif, sans

# The task, its title, and whether its first right (True) or first wrong (False) test answer is shown.
PANELS = (
    ("sst2", "Text", True),
    ("cifar10", "Image", True),
    ("audiomnist", "Sound", True),
    ("tinyvirat", "Video", True),
    ("clevrer", "Video and question", False),
)
SCALE = 2  # frames are shown at 128 px
SIDE, GAP, LINE = 64 * SCALE, 8, 24  # px
WIDTH, HEIGHT = 2 * SIDE + 3 * GAP, SIDE + 3 * LINE + GAP  # of a panel
HOLD = 8  # frames for which the answer stays visible
SHORT, SLOW = 6, 2  # smallest number of moments for an input; moments for each frame of a longer answer
BLACK, GREEN = (0, 0, 0), (44, 120, 44)


class Panel:
    """One test example: its input frames, the answer's, and whether it is right."""

    def __init__(self, task_name: str, title: str, right: bool, results: Path, data: Path):
        task, run = tasks.get(task_name), results / "runs" / task_name
        table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
        found = table[(table.example_score == 1) == right]
        self.row = (found if len(found) else table).iloc[0]  # a run may have no right answer, or no wrong one
        self.title, self.right = title, bool(self.row.example_score == 1)
        item = next(i for i in task.items(task.root(data)) if i.split == "test" and i.source == self.row.source)
        prediction = load(run).predict(*item.load().inputs)
        inputs, outputs = prediction.inputs[:-1], until_blank(prediction.frames)  # without the separator
        self.inputs = np.repeat(inputs, -(-SHORT // len(inputs)), axis=0)
        self.outputs = np.repeat(outputs, 1 if len(outputs) == 1 else SLOW, axis=0)
        self.question = self.row.question if task.answer.has_question else ""
        self.answer = prediction.answer.replace("_", " ") + ("" if right else f" (true: {self.row.answer})")

    def __len__(self) -> int:
        return len(self.inputs) + len(self.outputs)

    def plot(self, moment: int) -> Pillow.Image:
        """The panel when `moment` frames have passed."""
        picture = Pillow.new("RGB", (WIDTH, HEIGHT), WHITE)
        pen, top = ImageDraw.Draw(picture), LINE + GAP
        pen.text((GAP, GAP), self.title, fill=BLACK, font=sans(14, bold=True))
        picture.paste(enlarged(self.inputs[min(moment, len(self.inputs) - 1)], SCALE), (GAP, top))
        picture.paste(BLACK, (2 * GAP + SIDE, top, 2 * GAP + 2 * SIDE, top + SIDE))
        pen.line([(1.5 * GAP + SIDE, top), (1.5 * GAP + SIDE, top + SIDE)], fill=RED, width=3)
        if self.question:
            pen.text((GAP, top + SIDE + LINE + 2), self.question, fill=GRAY, font=sans())
        if moment >= len(self.inputs):
            output = self.outputs[min(moment - len(self.inputs), len(self.outputs) - 1)]
            picture.paste(enlarged(output, SCALE), (2 * GAP + SIDE, top))
            color = GREEN if self.right else RED
            pen.text((GAP, top + SIDE + 4), self.answer, fill=color, font=sans(13))
        return picture


def showcase(results: Path, data: Path, out: Path, columns: int = 3) -> Path:
    """Writes the GIF, which loops forever, below 1.5 MB. The runs' predictions.csv say which answers are right."""
    panels = [Panel(*panel, results, data) for panel in PANELS if (results / "runs" / panel[0]).is_dir()]
    rows = -(-len(panels) // columns)
    moments = []
    for moment in range(max(map(len, panels)) + HOLD):
        sheet = Pillow.new("RGB", (columns * WIDTH, rows * HEIGHT), WHITE)
        for i, panel in enumerate(panels):
            sheet.paste(panel.plot(moment), (i % columns * WIDTH, i // columns * HEIGHT))
        moments.append(sheet)
    palette = moments[-1].quantize(96, dither=Pillow.Dither.NONE)
    with files.atomic(out) as temporary:
        temporary.write_bytes(packed_gif(moments, palette, SECONDS))
    return out
