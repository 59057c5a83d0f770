import dataclasses
import json

import pytest

from evlib.config import PRESETS, Config, ModelConfig, TrainConfig, nearest, preset
from evlib.errors import EvlibError


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_survives_json(name):
    config = preset(name).override(task="sst2", steps=7, lr=0.5, width=48, seed=3)
    assert Config.from_json(config.to_json()) == config


def test_a_runs_config_json_is_read_too():
    config = preset("demo").override(task="sst2", minutes=1.5)
    text = json.dumps({**json.loads(config.to_json()), "renderer": "abc", "answer_frames": 1})
    assert Config.from_json(text) == config


def test_the_paper_preset_is_section_3_3():
    paper = preset("paper")
    assert (paper.model.width, paper.model.patch, paper.model.dropout) == (512, 8, 0.1)
    assert (paper.train.optimizer, paper.train.lr, paper.train.warmup, paper.train.decay) == ("adamw", 3e-4, 0.0, 0.0)
    assert paper == Config()


def test_override_reaches_the_dataclass_that_has_the_name():
    config = preset("paper").override(width=48, lr=0.01, seed=5, steps=9)
    assert config == Config(seed=5, steps=9, model=ModelConfig(width=48), train=TrainConfig(lr=0.01))
    assert preset("paper") == Config()                                      # a copy: the preset is as it was


def test_every_setting_has_one_owner():
    names = [f.name for c in (Config, ModelConfig, TrainConfig) for f in dataclasses.fields(c)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("wrong, right", [("widht", "width"), ("learning_rate", "decay"), ("muonlr", "muon_lr"), ("step", "steps")])
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


@pytest.mark.parametrize("part", [lambda c: c, lambda c: c.model, lambda c: c.train])
def test_presets_are_frozen(part):
    config = part(preset("demo"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, dataclasses.fields(config)[0].name, 1)


@pytest.mark.parametrize("wrong, sentence", [
    (dict(width=30, heads=4), "width must be a multiple of heads.*found width 30, heads 4"),
    (dict(patch=7), "patch must divide 64 .* found 7"),
    (dict(patch=64), "patch must divide 64 into an even number of patches"),
    (dict(batch=0), "batch must be at least 1; found 0"),
    (dict(steps=0), "steps must be more than 0; found 0"),
    (dict(minutes=-1.0), "minutes must be more than 0; found -1.0"),
    (dict(lr="fast"), "lr must be float; found 'fast'"),
    (dict(width=64.5), "width must be int; found 64.5"),
    (dict(mean_bias=1), "mean_bias must be bool; found 1"),
    (dict(steps=True), "steps must be .*int.*; found True"),
    (dict(optimizer="sgd"), "optimizer must be 'adamw' or 'muon'; found 'sgd'"),
])
def test_impossible_values_are_a_sentence(wrong, sentence):
    with pytest.raises(EvlibError, match=sentence):
        preset("demo").override(**wrong)


def test_a_whole_number_is_a_float_too():
    assert preset("demo").override(minutes=2, lr=1).train.lr == 1
