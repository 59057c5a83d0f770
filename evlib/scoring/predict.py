"""One question, one answer.

model = load("results/demo/runs/sst2")          # a run folder, or a Hugging Face Hub id
model.predict(Text("a charming journey"))       # -> Prediction(answer='positive', ...)
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from huggingface_hub import hf_hub_download
from PIL import Image as Pillow
from safetensors import SafetensorError

from evlib.config import ModelConfig
from evlib.data import tasks
from evlib.frames.parts import Clip, Example, Part
from evlib.frames.render import fingerprint, render_example
from evlib.generate import generate, to_uint8
from evlib.model import NextFrame
from evlib.training.checkpoint import NAME
from evlib.utils.errors import EvlibError
from evlib.viz import plots


@dataclass(frozen=True)
class Prediction:
    answer: str  # what was read, matched to the vocabulary; boxes x,y,w,h; or what was measured
    score: float  # 0..1, how clearly: MS-SSIM of drawn words and a clean drawing of them, confidence of boxes
    read: str = ""  # Tesseract's words, before matching
    runners_up: dict[str, float] = field(
        default_factory=dict, repr=False
    )  # word -> distance of its drawing, nearest first
    frames: np.ndarray = field(default=None, repr=False)  # uint8 (T, 64, 64, 3): what the network drew
    inputs: np.ndarray = field(default=None, repr=False)  # uint8 (T, 64, 64, 3): what the network saw

    def strip(self, scale: int = 2, caption: str = "") -> Pillow.Image:
        """Input frames, a red line, the drawn frames: the paper's Figure 1."""
        return plots.strip(self.inputs, self.frames, scale, caption)


@dataclass(frozen=True)
class Model:
    """A trained network with the task it was trained on."""

    net: NextFrame
    config: dict

    @property
    def task(self) -> tasks.Task:
        return tasks.get(self.config["task"])

    def predict(self, *parts: Part) -> Prediction:
        """Draws the parts as frames, lets the network draw the answer, and reads it. A tracker sees as many frames of a clip as it has
        learnt to follow, and draws each of them."""
        count = self.config["answer_frames"]
        if self.task.answers.needs_box:
            parts = tuple(Clip(part.frames[:count]) if isinstance(part, Clip) else part for part in parts)
        drawn = render_example(Example(list(parts), []), self.task.max_inputs)
        inputs = np.stack([frame.pixels for frame in drawn.inputs])
        count = min(count, len(inputs) - 1) if self.task.answers.needs_box else count
        device = next(self.net.parameters()).device
        video = torch.from_numpy(inputs).movedim(-1, -3)[None].to(device)
        if len(inputs) + count > self.net.config.max_frames:
            raise EvlibError(
                f"{len(inputs)} input frames are too many: this network sees at most {self.net.config.max_frames - count}."
            )
        frames = to_uint8(generate(self.net, video, count))[0].numpy()
        reading = self.task.answers.one(frames, self.config["vocabulary"])
        return Prediction(*reading, frames=frames, inputs=inputs)


def load(run: str | Path, device: str = "cpu") -> Model:
    return Model(*load_network(run, device))


def load_network(run: str | Path, device: str = "cpu") -> tuple[NextFrame, dict]:
    """The network of a run and its config.json. EvlibError if there is none, if it was trained on frames of another
    renderer, or if weights and config do not fit."""
    local = Path(run).is_dir()
    if not local and (Path(run).exists() or str(run).count("/") != 1 or str(run).startswith(".")):
        raise EvlibError(
            f"{run}: expected a run folder with config.json and model.safetensors, found none; train one with `python -m evlib train`."
        )
    try:
        config_file = Path(run) / "config.json" if local else Path(hf_hub_download(str(run), "config.json"))
        config = json.loads(config_file.read_text())
        kept = next((path for name in ("model.safetensors", NAME) if (path := Path(run) / name).is_file()), None)
        if local and kept is None:
            raise FileNotFoundError
    except FileNotFoundError:
        raise EvlibError(
            f"{run}: expected a run folder with config.json and model.safetensors, found no such files; train one with `python -m evlib train`."
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise EvlibError(f"{run}: config.json is damaged; train it again.") from None
    except Exception as error:
        raise EvlibError(
            f"{run}: found neither a run folder nor a model on the Hugging Face Hub that can be reached ({type(error).__name__})."
        ) from None
    if missing := [name for name in ("task", "model", "renderer", "answer_frames", "vocabulary") if name not in config]:
        raise EvlibError(
            f"{run}: config.json is not that of a run, it has no {' and no '.join(missing)}; train it again."
        )
    if config["renderer"] != fingerprint():
        raise EvlibError(
            f"{run} was trained on frames of the renderer {config['renderer']}, this one draws {fingerprint()}: "
            "train it again, or use the version of evlib it was made with."
        )
    try:
        net = NextFrame(ModelConfig(**config["model"]))
        weights = kept if local else hf_hub_download(str(run), "model.safetensors")
        safetensors.torch.load_model(net, weights)
    except (EvlibError, SafetensorError, RuntimeError, TypeError, ValueError) as error:
        raise EvlibError(
            f"{run}: the weights do not fit the settings in config.json ({textwrap.shorten(str(error), 160)}); train it again."
        ) from None
    return net.to(device).eval(), config
