import dataclasses

import pytest

from evlib.config import PRESETS, RANGES, Config, ModelConfig, TrainConfig, nearest, preset
from evlib.utils.errors import EvlibError


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_survives_json(name):
    config = preset(name).override(task="sst2", steps=7, lr=0.5, width=48, seed=3)
    assert Config.from_json(config.to_json()) == config


def test_the_paper_preset_is_section_3_3():
    paper = preset("paper")
    assert (paper.model.width, paper.model.patch, paper.model.dropout) == (512, 8, 0.1)
    assert (paper.train.optimizer, paper.train.lr, paper.train.warmup, paper.train.decay) == ("adamw", 3e-4, 0.0, 0.0)
    assert paper == Config()


def test_override_reaches_the_dataclass_that_has_the_name():
    config = preset("paper").override(width=48, lr=0.01, seed=5, steps=9)
    assert config == Config(seed=5, steps=9, model=ModelConfig(width=48), train=TrainConfig(lr=0.01))
    assert preset("paper") == Config()  # a copy: the preset is as it was


def test_every_setting_has_one_owner():
    names = [f.name for c in (Config, ModelConfig, TrainConfig) for f in dataclasses.fields(c)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "wrong, right", [("widht", "width"), ("learning_rate", "decay"), ("muonlr", "muon_lr"), ("step", "steps")]
)
def test_an_unknown_setting_offers_the_nearest(wrong, right):
    with pytest.raises(EvlibError, match=f"Unknown setting '{wrong}'") as error:
        preset("demo").override(**{wrong: 1})
    assert right in str(error.value)


@pytest.mark.parametrize("name", ["model", "train"])
def test_a_group_is_no_setting(name):
    with pytest.raises(EvlibError, match="Unknown setting") as error:
        preset("demo").override(**{name: None})
    assert f"mean '{name}'" not in str(error.value)


def test_an_unknown_preset_offers_the_nearest():
    with pytest.raises(EvlibError, match="did you mean 'paper'"):
        preset("papr")
    assert nearest("xyz", ["paper", "demo"]) == "; known: paper, demo."


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (dict(width=30, heads=4), "width must be a multiple of heads.*found width 30, heads 4"),
        (dict(stem=16, patch=1), "patch must be 2 or more; found 1"),
        (dict(batch=6, shards=4), "shards must be at least 1 and divide the batch of 6; found 4"),
        (dict(shards=0), "shards must be at least 1; found 0"),  # before it divides anything
        (dict(heads=0), "heads must be at least 1; found 0"),
        (dict(local_blocks=-1), "local_blocks must be at least 0; found -1"),
        (dict(stem=12), "stem must be 0 or a multiple of 8; found 12"),
        (dict(stem=-8), "stem must be 0 or a multiple of 8; found -8"),
        (dict(lr=-1e-3), "lr must be at least 0, and finite; found -0.001"),
        (dict(muon_lr=float("inf")), "muon_lr must be at least 0, and finite; found inf"),
        (dict(l1=float("nan")), "l1 must be at least 0, and finite; found nan"),
        (dict(loss_power=-0.1), "loss_power must be from 0 to 1; found -0.1"),
        (dict(warmup=1.5), "warmup must be from 0 to 1; found 1.5"),
        (dict(dropout=-0.1), "dropout must be at least 0 and below 1; found -0.1"),
        (dict(ema_decay=1.0), "ema_decay must be at least 0 and below 1; found 1.0"),
        (dict(steps=0), "steps must be more than 0; found 0"),
        (dict(seed=-1), "seed must be from 0 to 4294967295; found -1"),
        (dict(seed=2**32), "seed must be from 0 to 4294967295; found 4294967296"),
        (dict(max_frames=1), "max_frames must be at least 2.*; found 1"),
        (dict(patch=7), "patch must be 1, 2, 4, 8, 16 or 32, which divide 64 evenly; found 7"),
        (dict(patch=64), "patch must be .* found 64"),
        (dict(patch=-8), "patch must be .* found -8"),
        (dict(window=0), "window must be from 1 to 4: .*; found 0"),
        (dict(window=11), "window must be from 1 to 4: .*; found 11"),
        (dict(width=64.5), "width must be int; found 64.5"),
        (dict(mean_bias=1), "mean_bias must be bool; found 1"),
        (dict(steps=True), "steps must be .*int.*; found True"),
        (dict(optimizer="sgd"), "optimizer must be 'adamw' or 'muon'; found 'sgd'"),
    ],
)
def test_impossible_values_are_a_sentence(wrong, sentence):
    with pytest.raises(EvlibError, match=sentence):
        preset("demo").override(**wrong)


def test_the_ends_of_the_ranges_are_possible():
    ends = dict(window=4, patch=32, max_frames=2, dropout=0.0, seed=2**32 - 1, validation_size=1, validations=0)
    config = preset("demo").override(**ends, lr=0.0, warmup=1.0, decay=1, grad_clip=0)
    assert Config.from_json(config.to_json()) == config


def test_every_range_is_of_a_setting():
    known = {f.name for c in (Config, ModelConfig, TrainConfig) for f in dataclasses.fields(c)}
    named = [name for names, _, _ in RANGES for name in names.split()]
    assert set(named) <= known and len(named) == len(set(named))


def test_a_whole_number_is_a_float_too():
    assert preset("demo").override(minutes=2, lr=1).train.lr == 1
