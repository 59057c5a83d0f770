"""The front page's moving picture: what five networks see, frame by frame, and what they answer; one of them is wrong.

showcase(results, data)  ->  results/figures/answers.gif
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from evlib.data import tasks
from evlib.scoring.predict import load
from evlib.utils import files

# The task, what it is called, and whether its first right or its first wrong test answer is shown.
PANELS = (
    ("sst2", "Text", True),
    ("cifar10", "Image", True),
    ("audiomnist", "Sound", True),
    ("tinyvirat", "Video", True),
    ("clevrer", "Video and question", False),
)
SCALE = 2  # frames are shown at 128 px
SIDE, GAP, LINE = 64 * SCALE, 8, 24  # px
SECONDS = 0.3  # per frame
HOLD = 7  # frames for which the answer stands
WHITE, BLACK, RED, GREEN, GRAY = (255, 255, 255), (0, 0, 0), (214, 39, 40), (44, 120, 44), (110, 110, 110)


class Panel:
    """One test example: its input frames, the answer's, and whether it is right."""

    def __init__(self, task_name: str, title: str, right: bool, results: Path, data: Path):
        task, run = tasks.get(task_name), results / "runs" / task_name
        self.title, self.right = title, right
        table = pd.read_csv(run / "predictions.csv", keep_default_na=False)
        self.row = table[(table.example_score == 1) == right].iloc[0]
        item = next(i for i in task.items(task.root(data)) if i.split == "test" and i.source == self.row.source)
        prediction = load(run).predict(*item.load().inputs)
        self.inputs, self.outputs = prediction.inputs, prediction.frames
        self.caption = prediction.answer.replace("_", " ") + ("" if right else f" (true: {self.row.answer})")

    def __len__(self) -> int:
        return len(self.inputs) + len(self.outputs)

    def plot(self, moment: int) -> Pillow.Image:
        """The panel when `moment` frames have passed."""
        picture = Pillow.new("RGB", (2 * SIDE + 3 * GAP, SIDE + 2 * LINE + 2 * GAP), WHITE)
        pen, top = ImageDraw.Draw(picture), LINE + GAP
        pen.text((GAP, GAP), self.title, fill=BLACK, font=_font("DejaVuSans-Bold.ttf", 14))
        shown = self.inputs[min(moment, len(self.inputs) - 1)]
        picture.paste(_enlarged(shown), (GAP, top))
        answered = moment >= len(self.inputs)
        output = (
            self.outputs[min(moment - len(self.inputs), len(self.outputs) - 1)] if answered else np.zeros_like(shown)
        )
        picture.paste(_enlarged(output), (2 * GAP + SIDE, top))
        pen.line([(1.5 * GAP + SIDE, top), (1.5 * GAP + SIDE, top + SIDE)], fill=RED, width=3)
        if answered:
            color = GREEN if self.right else RED
            pen.text((GAP, top + SIDE + 4), self.caption, fill=color, font=_font("DejaVuSans.ttf", 13))
        return picture


def showcase(results: Path, data: Path, out: Path, columns: int = 3) -> Path:
    """Writes the GIF, endless, below 1.5 MB. The runs' predictions.csv say which answers are right."""
    panels = [Panel(*panel, results, data) for panel in PANELS if (results / "runs" / panel[0]).is_dir()]
    width, height = (2 * SIDE + 3 * GAP), SIDE + 2 * LINE + 2 * GAP
    rows = -(-len(panels) // columns)
    moments = []
    for moment in range(max(map(len, panels)) + HOLD):
        sheet = Pillow.new("RGB", (columns * width, rows * height), WHITE)
        for i, panel in enumerate(panels):
            sheet.paste(panel.plot(moment), (i % columns * width, i // columns * height))
        moments.append(sheet)
    palette = moments[-1].quantize(96, dither=Pillow.Dither.NONE)
    first, *others = (sheet.quantize(palette=palette, dither=Pillow.Dither.NONE) for sheet in moments)
    with files.atomic(out) as temporary:
        first.save(
            temporary, "GIF", save_all=True, append_images=others, loop=0, duration=round(1000 * SECONDS), optimize=True
        )
    return out


def _enlarged(frame: np.ndarray) -> Pillow.Image:
    return Pillow.fromarray(frame).resize((SIDE, SIDE), Pillow.Resampling.NEAREST)


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)
