"""Loads a trained network and predicts the answer to one example.

model = load("results/demo/runs/sst2")          # a run folder, or a Hugging Face Hub id
model.predict(Text("a charming journey"))       # -> Prediction(answer='positive', ...)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from evlib.data import tasks
from evlib.data.tasks import Task
from evlib.data.tasks.answers import BoxesAnswer
from evlib.frames.parts import Box, Clip, Example, Part
from evlib.frames.render import fingerprint, render_example
from evlib.frames.video import first, read_video
from evlib.generation import generate, to_uint8
from evlib.model import NextFrame
from evlib.scoring.answers import Prediction, scorer
from evlib.training.checkpoint import load_network
from evlib.utils.errors import EvlibError


@dataclass(frozen=True)
class Model:
    """A trained network with the task, or the tasks, it was trained on."""

    net: NextFrame
    config: dict

    @property
    def tasks(self) -> list[Task]:
        return [tasks.get(name) for name in self.config["task"].split("+")]

    @property
    def task(self) -> Task:
        """The only task. Raises EvlibError if there are several."""
        if len(self.tasks) > 1:
            raise EvlibError(f"This network was trained on several tasks, {self.config['task']}: name one.")
        return self.tasks[0]

    def vocabulary(self, chosen: Sequence[Task]) -> list[str]:
        """The words that the answers of these tasks are matched to."""
        known = self.config["store"]["vocabulary"]
        return known if isinstance(known, list) else sorted({word for task in chosen for word in known[task.name]})

    def tasks_for(self, parts: Sequence[Part]) -> list[Task]:
        """The tasks whose inputs are parts of these types, in this order. Of tasks that take a clip alone, a clip with
        a box is for tracking, a gray one for colorization, any other for classification. EvlibError if there is none.
        """
        if len(self.tasks) == 1:
            return self.tasks
        fitting = [task for task in self.tasks if task.inputs == tuple(map(type, parts))]
        if not fitting:
            known = ", ".join(f"{' and '.join(kind.__name__ for kind in t.inputs)} ({t.name})" for t in self.tasks)
            found = " and ".join(type(part).__name__ for part in parts)
            raise EvlibError(f"This network was trained on {known}; found {found or 'nothing'}.")
        return [task for task in fitting if task.is_meant(parts)] or fitting

    def film_tasks(self, question: bool, box: bool) -> list[Task]:
        """The tasks about a clip with a question, with a box, or alone; a single task, whatever it is. EvlibError if
        there is none."""
        if len(self.tasks) == 1:
            return self.tasks
        films = [task for task in self.tasks if task.inputs[:1] == (Clip,)]
        fitting = [task for task in films if (task.answer.has_question, task.answer.needs_box) == (question, box)]
        if not fitting:
            found = " and ".join(["a video", *["a question"] * question, *["a box"] * box])
            raise EvlibError(f"This network was trained on {self.config['task']}; none of these takes {found}.")
        return fitting

    def film(self, path: str | Path, question: bool = False, box: Box | None = None) -> Clip:
        """A video file as input of the task that it is meant for, if it is asked about (`question`), has a target
        (`box`: x, y, w, h in its own pixels), or stands alone; then its colors decide. Raises EvlibError as
        `film_tasks` does, and if the file cannot be read."""
        chosen = self.film_tasks(question, box is not None)
        if len(chosen) > 1:
            first_frame = Clip(read_video(path, first(1)))
            chosen = [task for task in chosen if task.is_meant([first_frame])] or chosen
        return chosen[0].clip(path, box)

    def predict(self, *parts: Part) -> Prediction:
        """Renders the parts, generates the answer's frames, and reads them; with several tasks, the parts decide which
        one is meant (`tasks_for`).

        For tracking, a clip is cut so that the temporal encoding has room for all of its frames twice."""
        most, chosen = self.net.config.max_frames, self.tasks_for(parts)
        task = chosen[0]
        if isinstance(task.answer, BoxesAnswer):
            parts = [_first_frames(part, (most - 1) // 2) for part in parts]
        rendered = render_example(Example(list(parts), []), task.max_inputs)
        inputs = np.stack([frame.pixels for frame in rendered.inputs])
        count = task.answer.n_frames(len(inputs))
        if len(inputs) + count > most:
            raise EvlibError(f"{len(inputs)} input frames are too many: this network sees at most {most - count}.")
        device = next(self.net.parameters()).device
        video = torch.from_numpy(inputs).movedim(-1, -3)[None].to(device)
        frames = to_uint8(generate(self.net, video, count))[0].numpy()
        prediction = scorer(task.answer).read_one(frames, self.vocabulary(chosen))
        return replace(prediction, frames=frames, inputs=inputs, n_truncated=rendered.n_truncated)


def _first_frames(part: Part, count: int) -> Part:
    if not isinstance(part, Clip):
        return part
    return Clip(part.frames[:count], None if part.boxes is None else part.boxes[:count])


def load(run: str | Path, device: str = "cpu") -> Model:
    """The trained network of a run folder or Hugging Face Hub id, ready to predict. Raises EvlibError as `load_run`
    does."""
    return Model(*load_run(run, device))


def load_run(run: str | Path, device: str | torch.device = "cpu") -> tuple[NextFrame, dict]:
    """The network of a run and its config.json. Raises EvlibError if there is none, if it is damaged, or if it was
    trained on frames of another renderer."""
    net, config = load_network(run, device)
    if config["store"]["renderer"] != fingerprint():
        raise EvlibError(
            f"{run} was trained on frames of the renderer {config['store']['renderer']}, this is {fingerprint()}: "
            "train it again, or use the version of evlib it was made with."
        )
    return net, config
