"""All settings, with units and reasons. Three presets: `paper` is Table 1 and section 3.3; `fast` is the same network
with a recipe that needs fewer steps; `demo` is the same code at a size that a laptop trains in about a minute.

Notebooks, the command line and a run's config.json all use the same `Config`.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from evlib.utils.errors import EvlibError

SIZE = 64  # px, height and width of every frame (section 3.1)
Augment = Literal["none", "flip", "shift", "mask", "drop"]

CURRICULA = ("short_first", "questions_first")  # settings that divide a run by its steps

# The allowed range of each numeric setting, and its wording in error messages.
RANGES: list[tuple[str, Callable[[float], bool], str]] = [
    ("width heads global_blocks mlp batch validation_size shards shortest_lag", lambda n: n >= 1, "at least 1"),
    ("local_blocks validations", lambda n: n >= 0, "at least 0"),
    ("stem", lambda n: n >= 0 and n % 8 == 0, "0 or a multiple of 8"),
    ("lr muon_lr weight_decay grad_clip l1", lambda x: 0 <= x < math.inf, "at least 0, and finite"),
    ("warmup decay loss_power power_decay", lambda x: 0 <= x <= 1, "from 0 to 1"),
    ("dropout ema_decay", lambda x: 0 <= x < 1, "at least 0 and below 1"),
    ("steps minutes", lambda x: x > 0, "more than 0"),
    ("seed", lambda n: 0 <= n < 2**32, "from 0 to 4294967295"),
    ("max_frames", lambda n: n >= 2, "at least 2: a frame of a question and one of an answer"),
    ("patch", lambda n: n >= 1 and SIZE % (2 * n) == 0, "1, 2, 4, 8, 16 or 32, which divide 64 evenly"),
    ("window", lambda n: 1 <= n <= 4, "from 1 to 4: of the five scales of 64 pixels the last has 4"),
]


@dataclass(frozen=True)
class ModelConfig:
    """The network (section 3.2). The defaults are the paper's and give 40.8M parameters (the paper says 41M)."""

    width: int = 512  # K, "we set K to 512 throughout"
    heads: int = 8  # 64 channels per head; the paper does not say
    patch: int = 8  # pixels; "for an input of 64x64 and a patch size of 8x8" (Figure 9)
    local_blocks: int = 2  # in the encoder and in the decoder each, on the 8x8 patch grid; the paper does not say
    global_blocks: int = 5  # on the 4x4 grid, after one 2x2 merge; the paper does not say
    mlp: int = 4  # hidden size of a block's MLP, as a multiple of width
    dropout: float = 0.1  # "for all layers except the final output layer"
    max_frames: int = 64  # length of the learned temporal encoding; Table 1 needs 41
    stem: int = 0  # channels of a convolutional stem's first layer, a multiple of 8; 0: linear patch embedding (paper)
    copy: bool = False  # a pointer to earlier frames, so that only changes have to be predicted; not in the paper
    shortest_lag: int = 1  # of copy, in frames: nearer frames are not copied (in long answers, these are generated)
    zero_init: bool = False  # every residual branch starts at zero, so that each block starts as the identity

    def __post_init__(self):
        check(self)
        if self.stem and self.patch == 1:
            raise EvlibError("A stem halves the frame until a pixel is a patch: patch must be 2 or more; found 1.")
        if self.width % self.heads:
            raise EvlibError(f"width must be a multiple of heads; found width {self.width}, heads {self.heads}.")


@dataclass(frozen=True)
class TrainConfig:
    """The training loop (section 3.3 and Table 1)."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 3e-4  # for AdamW; "a constant learning rate of 3e-4"
    muon_lr: float = 0.003  # for Muon, which updates the matrices of the blocks and of a stem; AdamW updates the rest
    warmup: float = 0.0  # fraction of the run, at the start, in which the learning rate rises; not in the paper
    decay: float = 0.0  # fraction of the run, at the end, in which the learning rate falls to zero; not in the paper
    weight_decay: float = 0.01  # "AdamW using default parameters"
    batch: int | None = None  # sequences per step, over all processes; None: the task's own batch size (Table 1)
    mean_bias: bool = False  # initialize the output bias to the mean answer frame of the training set
    grad_clip: float = 1.0  # maximum gradient norm; 0: no clipping
    loss: Literal["outputs", "all"] = "outputs"  # frames in the loss: the answer's, or "each input frame" as well
    loss_power: float = 1.0  # of each frame's 1 - MS-SSIM; below 1, a blend of two answers costs more than either
    power_decay: float = 0.0  # fraction of the run, at the end, where the power falls from 1 to loss_power; 0: constant
    l1: float = 0.0  # weight of the mean absolute error, which captures brightness and hue better; not in the paper
    window: int = 3  # px, at most 4: of 64 px, only 4 are left at the fifth scale; the usual 11 needs 176 px images
    validations: int = 10  # per run, evenly spaced; the weights with the best score are saved
    validation_size: int = 256  # sequences
    task_weights: str = "equal"  # of several tasks: how often each is drawn, see data.union.probabilities
    short_first: bool = False  # curriculum: the shortest sequences for a third of the steps, then the shorter half
    questions_first: str = ""  # curriculum: only questions matching this regex, for the first 1/16 of the steps
    augment: Augment = "none"  # augmentation of the inputs, see training.augment; the paper does not mention any
    fade_context: bool = False  # of videos as answers: earlier answer frames are faded into the input; not in the paper
    ema_decay: float = 0.0  # for a moving average of the weights, which is then validated and saved instead; 0: none
    shards: int = 1  # parts of the data; each batch takes equally many sequences from each; several GPUs share them
    # How a step is computed, not what it computes:
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of matrix products; see training.device.precision_for
    compile: Literal["auto", "off", "on", "graphs"] = "auto"  # torch.compile; auto: on a GPU; graphs: with CUDA graphs

    def __post_init__(self):
        check(self)
        if (self.batch or self.shards) % self.shards:
            raise EvlibError(f"shards must be at least 1 and divide the batch of {self.batch}; found {self.shards}.")


@dataclass(frozen=True)
class Config:
    """The settings of a run. With `steps`, the run ends after that many, and learning rate and validations follow the
    step count, so the same seed gives the same weights on the same kind of machine; `minutes` is then only an estimate
    that is printed. Without `steps`, the run ends after `minutes`, and how far it gets depends on the machine."""

    task: str = ""
    preset: str = "paper"
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = 0
    init_from: str | None = None  # run to take the initial weights from: a folder beside this one, or a path (5.2)
    steps: int | None = None  # optimizer steps
    minutes: float | None = None  # training time

    def __post_init__(self):
        check(self)

    @property
    def label(self) -> str:
        """What log lines call the run: its tasks, or from four on their number."""
        n = self.task.count("+") + 1
        return self.task if n < 4 else f"{n} tasks"

    def require_end(self) -> None:
        if self.steps is None and self.minutes is None:
            raise EvlibError("Training needs an end: give --steps or --minutes.")
        for curriculum in CURRICULA:
            if getattr(self.train, curriculum) and self.steps is None:
                raise EvlibError(f"{curriculum} divides a run by its steps: give --steps.")

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Reads the output of `to_json`, or a run's config.json, which also records what the run was trained on."""
        values = json.loads(text)
        return cls(
            model=ModelConfig(**values["model"]),
            train=TrainConfig(**values["train"]),
            **{name: values[name] for name in _names(cls)},
        )

    def override(self, **changes: Any) -> Config:
        """A copy with some settings changed, named as in the dataclasses: override(width=96, lr=1e-3).
        Raises EvlibError for an unknown name and suggests the nearest one."""
        owners = {"": _names(Config), "model": _names(ModelConfig), "train": _names(TrainConfig)}
        parts: dict[str, dict] = {owner: {} for owner in owners}
        for name, value in changes.items():
            owner = next((owner for owner, names in owners.items() if name in names), None)
            if owner is None:
                raise EvlibError(f"Unknown setting {name!r}{nearest(name, sum(owners.values(), []))}")
            parts[owner][name] = value
        return dataclasses.replace(
            self,
            model=dataclasses.replace(self.model, **parts["model"]),
            train=dataclasses.replace(self.train, **parts["train"]),
            **parts[""],
        )


def check(config: Any) -> None:
    """Raises EvlibError naming a setting that has the wrong type or is outside RANGES: settings also come from files
    and command lines."""
    for name, kind in get_type_hints(type(config)).items():
        value, allowed = getattr(config, name), get_args(kind)
        if get_origin(kind) is Literal:
            fits, expected = value in allowed, " or ".join(map(repr, allowed))
        else:
            kinds, expected = allowed or (kind,), getattr(kind, "__name__", kind)
            fits = isinstance(value, kinds) or (float in kinds and isinstance(value, int))
            fits = fits and (bool in kinds or not isinstance(value, bool))
        if not fits:
            raise EvlibError(f"{name} must be {expected}; found {value!r}.")
    for names, fits, expected in RANGES:
        for name in names.split():
            if (value := getattr(config, name, None)) is not None and not fits(value):
                raise EvlibError(f"{name} must be {expected}; found {value}.")


def _names(cls) -> list[str]:
    return [f.name for f in dataclasses.fields(cls) if f.name not in ("model", "train")]


def nearest(name: str, known: list[str]) -> str:
    """The end of an error message: the nearest known name or, if none is close, all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}."


MUON = TrainConfig(optimizer="muon", lr=1e-3, warmup=0.02, decay=0.5, mean_bias=True)

PRESETS = {
    "paper": Config(),
    # What the small comparisons in results/recipe support: neither zero_init nor ema_decay.
    "fast": Config(preset="fast", train=MUON),
    # Without local blocks, the same frames cost half as much to process; words need depth rather than detail.
    "demo": Config(
        preset="demo",
        model=ModelConfig(width=96, heads=3, local_blocks=0, global_blocks=3, dropout=0.0, zero_init=True),
        train=dataclasses.replace(MUON, weight_decay=0.0, batch=16, validations=5),
    ),
}


def preset(name: str) -> Config:
    if name not in PRESETS:
        raise EvlibError(f"Unknown preset {name!r}{nearest(name, list(PRESETS))}")
    return PRESETS[name]
