"""The loop, on a data set of forty frames and a network of forty thousand parameters.

As a program this file trains, so that a test can kill it or run it under torchrun:

    python tests/test_train.py OUT [OUT ...] [NAME=VALUE ...]
"""

import itertools
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import evlib
import evlib.training.device as devices
import evlib.training.train as loop
from evlib.config import Config, TrainConfig, preset
from evlib.data.store import Split, VideoStore
from evlib.model import NextFrame
from evlib.training.checkpoint import export, load_weights, training_info
from evlib.training.distributed import Distributed
from evlib.training.loss import concave, ms_ssim
from evlib.training.optim import EMA, Muon, lr_scale, make_optimizers, set_lr
from evlib.training.train import stream_seed, train, validate
from evlib.utils.errors import EvlibError

STEPS = 8
STORE = {
    "task": "tiny",
    "dataset": "none",
    "renderer": "a renderer",
    "data": "miniature",
    "examples": "0123",
    "vocabulary": ["a"],
}

pytestmark = pytest.mark.usefixtures("one_thread")


def tiny_store() -> VideoStore:
    """Sixty sequences of two shapes over forty random frames; the last frame follows from the first."""
    rng = np.random.default_rng(0)
    sequences = np.full((60, 4), -1, dtype=np.int32)
    sequences[:, :3] = rng.integers(0, 40, size=(60, 3))
    n_in = np.where(np.arange(60) % 2, 3, 2)
    sequences[np.arange(60), n_in] = sequences[:, 0] % 4
    metadata = pd.DataFrame({"split": 40 * ["train"] + 10 * ["validation"] + 10 * ["test"], "n_in": n_in, "n_out": 1})
    manifest = {**STORE, "sequences": 60}
    frames = np.repeat(np.repeat(rng.integers(256, size=(40, 8, 8, 3), dtype=np.uint8), 8, axis=1), 8, axis=2)
    return VideoStore(Path("memory"), manifest, frames, sequences, metadata)


def tiny(**changes) -> Config:
    size = dict(
        width=32, heads=2, global_blocks=1, max_frames=4, batch=4, steps=STEPS, validations=4, validation_size=8
    )
    return preset("demo").override(**{**size, "task": "tiny", "precision": "float32", **changes})


def run(out: Path, store: VideoStore | None = None, **changes) -> list[str]:
    """Trains, and returns the lines of progress."""
    lines = []
    train(tiny(**changes), store or tiny_store(), out, device="cpu", log=lines.append)
    return lines


def log_of(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "log.csv")


def assert_same_run(a: Path, b: Path) -> None:
    """Bit for bit, but for what a clock measured."""
    last, other = (torch.load(out / "resume.pt", weights_only=True) for out in (a, b))
    for name in ("step", "validated", "best_score", "best_ssim"):
        assert last["state"][name] == other["state"][name]
    assert all(torch.equal(last["net"][name], other["net"][name]) for name in last["net"])
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    columns = ["step", "loss", "validation_ssim", "validation_score"]
    pd.testing.assert_frame_equal(log_of(a)[columns], log_of(b)[columns], check_exact=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("finished") / "run"
    return out, run(out)


# ---- a run and its folder --------------------------------------------------------------------------------------------


def test_a_run_folder_is_complete(finished):
    out, _ = finished
    assert {p.name for p in out.iterdir()} == {"config.json", "model.safetensors", "log.csv", "env.json", "resume.pt"}
    config = json.loads((out / "config.json").read_text())
    assert Config.from_json(json.dumps(config)) == tiny()
    assert config["store"] == STORE


def test_the_log_has_a_row_for_every_report(finished):
    log = log_of(finished[0])
    columns = ["step", "seconds", "loss", "frames_per_second", "validation_ssim", "validation_score"]
    assert list(log.columns) == columns
    validated = log.dropna(subset="validation_ssim")
    assert validated.step.tolist() == [2, 4, 6, 8]
    assert log.seconds.is_monotonic_increasing and (log.frames_per_second > 0).all()
    assert log.loss.between(0, 1).all() and validated.validation_ssim.between(0, 1).all()
    assert log.loss.iloc[-1] < log.loss.iloc[0]


def test_env_json_says_what_a_run_cost(finished):
    out, _ = finished
    env = training_info(out)
    names = "device torch python machine processes precision compiled steps seconds parameters"
    assert set(env) == {*names.split(), "best_validation_ssim", "best_validation_score"}
    assert env["device"].startswith("CPU, ") and env["torch"] == torch.__version__
    assert (env["processes"], env["steps"], env["precision"], env["compiled"]) == (1, STEPS, "float32", False)
    assert env["parameters"] == sum(p.numel() for p in NextFrame(tiny().model).parameters())
    assert env["best_validation_ssim"] == env["best_validation_score"] == log_of(out).validation_ssim.max()
    assert 0 < env["seconds"] < 60


def test_progress_is_a_line_each(finished):
    _, lines = finished
    assert (
        lines[-1].startswith(f"tiny: step {STEPS}  loss 0.")
        and " frames/s  00:00 left  validation SSIM 0." in lines[-1]
    )


def test_the_best_weights_are_saved_and_loaded_again(finished):
    out, _ = finished
    net = NextFrame.from_pretrained(out)  # config.json beside them
    assert net.config == tiny().model
    score, ssim, _ = validate(net, tiny_store().split("validation"), 8)
    assert score == ssim == pytest.approx(training_info(out)["best_validation_ssim"], abs=1e-6)


def test_a_run_is_the_same_every_time(finished, tmp_path):
    run(tmp_path)
    assert_same_run(finished[0], tmp_path)


def test_another_seed_is_another_run(finished, tmp_path):
    run(tmp_path, seed=1)
    assert not torch.equal(
        load_file(tmp_path / "model.safetensors")["embed.weight"],
        load_file(finished[0] / "model.safetensors")["embed.weight"],
    )


@pytest.mark.parametrize(
    "changes",
    [dict(loss="all"), dict(dropout=0.1), dict(mean_bias=False, zero_init=False), dict(grad_clip=0.0), dict(window=1)],
    ids=lambda changes: ", ".join(changes),
)
def test_other_settings_train_too(tmp_path, changes):
    run(tmp_path, steps=4, **changes)
    log = log_of(tmp_path)
    assert log.step.iloc[-1] == 4 and log.loss.between(0, 1).all()


def test_the_paper_preset_trains_on_a_cpu(tmp_path):
    config = preset("paper").override(task="tiny", width=32, heads=1, batch=4, steps=3, validations=1)
    train(config, tiny_store(), tmp_path, device="cpu", log=lambda line: None)
    assert log_of(tmp_path).step.tolist()[-1] == 3
    assert len(torch.load(tmp_path / "resume.pt", weights_only=True)["optimizers"]) == 1  # AdamW alone


# ---- the end of a run ------------------------------------------------------------------------------------------------


def fake_clock(monkeypatch, readings: list[float]) -> None:
    """The stopwatch shows these seconds one after the other, then stands still."""
    left = iter(readings)
    monkeypatch.setattr(loop.Stopwatch, "seconds", lambda self: next(left, readings[-1]))


@pytest.mark.parametrize("validations", [1, 4])
@pytest.mark.parametrize("slow", range(12))
def test_every_end_validates_and_saves(tmp_path, monkeypatch, slow, validations):
    """Minutes that end between any two readings of the clock: one second passes from reading to reading, and once
    ten."""
    monkeypatch.setattr(loop, "REPORT", 1.5)
    fake_clock(monkeypatch, [second + (10 if second > slow else 0) for second in range(1, 40)])
    run(tmp_path, steps=None, minutes=8.5 / 60, validations=validations)
    log, saved = log_of(tmp_path), torch.load(tmp_path / "resume.pt", weights_only=True)
    assert log.step.iloc[-1] == saved["state"]["step"] == training_info(tmp_path)["steps"] > 0
    assert not math.isnan(log.validation_ssim.iloc[-1])  # the last weights were validated
    assert training_info(tmp_path)["best_validation_ssim"] == log.validation_ssim.max() > 0
    if validations == 1:
        assert torch.equal(load_weights(tmp_path)["head.weight"], saved["net"]["head.weight"])  # and are the run's


def test_a_run_in_minutes_ends_by_the_clock(tmp_path, monkeypatch):
    fake_clock(monkeypatch, [10.0, 20.0, 30.0, 30.5, 61.0, 62.0])  # after each step, and after each report
    lines = run(tmp_path, steps=None, minutes=1.0, validations=2)
    log = log_of(tmp_path)
    assert log.step.tolist() == [1, 2, 3] and log.seconds.tolist() == [10, 30, 61] and len(lines) == 3
    assert log.validation_ssim.notna().tolist() == [False, True, True]
    assert (training_info(tmp_path)["steps"], training_info(tmp_path)["seconds"]) == (3, 62)


def test_a_stopped_run_in_minutes_continues_and_is_validated(tmp_path, monkeypatch):
    stopped_run(tmp_path, 2, monkeypatch, steps=None, minutes=60.0)
    fake_clock(monkeypatch, [3601.0])
    run(tmp_path, steps=None, minutes=60.0)
    assert training_info(tmp_path)["steps"] == 3
    assert log_of(tmp_path).validation_ssim.notna().iloc[-1]


def test_with_steps_the_minutes_are_an_estimate(finished, tmp_path):
    lines = run(tmp_path, minutes=0.001)
    assert lines[0] == f"tiny: {STEPS} steps, about 0.001 minutes"
    assert_same_run(finished[0], tmp_path)  # schedule and validations follow the steps
    assert run(tmp_path, minutes=7.0) == [f"tiny: already trained -> {tmp_path}"]


# ---- validation ------------------------------------------------------------------------------------------------------


def test_validation_never_sees_a_test_row(finished, tmp_path, monkeypatch):
    asked, split = [], VideoStore.split
    monkeypatch.setattr(
        VideoStore, "split", lambda self, name, device="cpu": asked.append(name) or split(self, name, device)
    )
    store = tiny_store()
    test = (store.metadata.split == "test").values
    store.sequences[test] = np.where(store.sequences[test] < 0, -1, 39)  # other test rows: the same run
    run(tmp_path, store)
    assert asked == ["train", "validation"]
    assert_same_run(finished[0], tmp_path)


def test_validation_takes_sequences_of_every_length():
    """Not the first ones, which are the shortest."""
    split, shapes = tiny_store().split("validation"), []
    net = NextFrame(tiny().model)
    net.register_forward_pre_hook(lambda net, args: shapes.append(tuple(args[0].shape[:2])))
    validate(net, split, 4)
    assert {frames for _, frames in shapes} == {2, 3} and sum(batch for batch, _ in shapes) == 4


def test_the_best_of_four_validations_is_saved(tmp_path, monkeypatch):
    scores, heads = [0.2, 0.9, 0.5, 0.4], []

    def validate(net, split, size, loss_power):
        heads.append(net.head.weight.clone())
        return scores[len(heads) - 1], 1 - scores[len(heads) - 1], {}

    monkeypatch.setattr(loop, "validate", validate)
    run(tmp_path)
    assert log_of(tmp_path).validation_score.dropna().tolist() == scores
    info = training_info(tmp_path)
    assert (info["best_validation_score"], info["best_validation_ssim"]) == pytest.approx((0.9, 0.1))
    assert torch.equal(load_file(tmp_path / "model.safetensors")["head.weight"], heads[1])
    assert torch.equal(
        torch.load(tmp_path / "resume.pt", weights_only=True)["net"]["head.weight"], heads[3]
    )  # training went on


def test_a_callback_gets_the_network_at_every_validation_and_changes_nothing(tmp_path, finished):
    seen = []
    train(tiny(), tiny_store(), tmp_path, "cpu", str, lambda step, net, split: seen.append((step, net.training)))
    assert seen == [(2, False), (4, False), (6, False), (8, False)]
    assert_same_run(finished[0], tmp_path)


def test_the_score_is_concave_and_the_ssim_is_plain(tmp_path):
    """The weights are chosen by what the loss measures; what is reported beside it does not depend on the power."""
    run(tmp_path, loss_power=0.5)
    log, info = log_of(tmp_path).dropna(), training_info(tmp_path)
    assert (log.validation_score < log.validation_ssim).all()
    assert info["best_validation_score"] == pytest.approx(log.validation_score.max())
    net, split = NextFrame.from_pretrained(tmp_path), tiny_store().split("validation")
    score, ssim, _ = validate(net, split, 10, 0.5)
    distances = []
    for row in range(10):
        video = split.gather([row])
        with torch.no_grad():
            distances.append(1 - ms_ssim(net(video[:, :-1], last=1)[:, 0], video[:, -1].float() / 255).item())
    assert ssim == pytest.approx(1 - np.mean(distances), abs=1e-5)
    assert score == pytest.approx(1 - concave(torch.tensor(distances), 0.5).mean().item(), abs=1e-5)
    assert validate(net, split, 10) == (pytest.approx(ssim), pytest.approx(ssim), {})


# ---- random numbers --------------------------------------------------------------------------------------------------


def test_augmentation_and_dropout_have_streams_of_their_own(tmp_path, monkeypatch):
    numbers = []

    def augment(video, n_in, how, generator, batch, local):
        numbers.extend([tuple(torch.rand(4, generator=generator).tolist()), tuple(torch.rand(4).tolist())])
        return video

    monkeypatch.setattr(loop, "augment", augment)
    run(tmp_path, steps=4)
    assert len(numbers) == len(set(numbers)) == 8  # a stream for every step and purpose


def test_no_two_streams_are_seeded_alike():
    keys = list(itertools.product((0, 1, 2**32 - 1), range(5), (loop.AUGMENT, loop.DROPOUT), range(4)))
    seeds = {stream_seed(*key) for key in keys}
    assert len(seeds) == len(keys) and all(0 <= seed < 2**64 for seed in seeds)
    torch.manual_seed(2**64 - 1)  # as large as they may be


# ---- stopping and continuing -----------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


def stopped_run(out: Path, step: int, monkeypatch, **changes) -> None:
    """A run that ends right after the checkpoint of `step`."""

    def save_checkpoint(out, learner, state, save=loop.save_checkpoint):
        save(out, learner, state)
        if state.step == step:
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(loop, "CHECKPOINT", -1)  # after every step
        patch.setattr(loop, "save_checkpoint", save_checkpoint)
        run(out, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        dict(),
        dict(dropout=0.1),
        dict(optimizer="adamw", warmup=0.3, decay=0.3, loss="all"),
        dict(ema_decay=0.9, augment="flip", shards=2),
    ],
    ids=["muon", "dropout", "adamw", "EMA and augmented"],
)
def test_a_stopped_run_continues_bit_for_bit(tmp_path, monkeypatch, changes):
    monkeypatch.setattr(loop, "REPORT", math.inf)  # rows of the log fall on validations, also across the stop
    run(tmp_path / "whole", **changes)
    for step in (1, 4, 5):
        stopped_run(tmp_path / f"stopped {step}", step, monkeypatch, **changes)
        assert training_info(tmp_path / f"stopped {step}") is None
        run(tmp_path / f"stopped {step}", **changes)
        assert_same_run(tmp_path / "whole", tmp_path / f"stopped {step}")


def test_a_killed_process_continues_bit_for_bit(tmp_path, monkeypatch):
    killed = subprocess.Popen(
        [*PROGRAM, tmp_path / "killed", "steps=20"], env=environment(), stdout=subprocess.PIPE, text=True
    )
    for line in killed.stdout:
        if line.startswith("tiny: step 7 "):
            killed.send_signal(signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL and training_info(tmp_path / "killed") is None
    assert 6 <= torch.load(tmp_path / "killed" / "resume.pt", weights_only=True)["state"]["step"] < 20
    monkeypatch.setattr(loop, "REPORT", -1)  # a row for every step, as there
    run(tmp_path / "killed", steps=20)
    run(tmp_path / "whole", steps=20)
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    assert log_of(tmp_path / "killed").step.tolist() == list(range(1, 21))


def test_the_first_checkpoint_comes_before_the_first_step(tmp_path, monkeypatch):
    stopped_run(tmp_path, 0, monkeypatch)
    saved = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert (saved["state"]["step"], saved["state"]["best_score"]) == (0, -1.0)
    assert torch.equal(load_file(tmp_path / "model.safetensors")["head.weight"], saved["net"]["head.weight"])
    assert log_of(tmp_path).empty


def test_the_clock_goes_on_where_it_stopped(tmp_path, monkeypatch):
    stopped_run(tmp_path, 4, monkeypatch)
    saved = torch.load(tmp_path / "resume.pt", weights_only=True)
    saved["state"]["seconds"] += 1000
    torch.save(saved, tmp_path / "resume.pt")
    run(tmp_path)
    assert 1000 < training_info(tmp_path)["seconds"] < 1060
    assert (log_of(tmp_path).seconds > 1000).tolist().count(True) >= 2


def test_a_finished_run_is_recognized(finished, monkeypatch):
    out, _ = finished
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    monkeypatch.setattr(loop, "NextFrame", None)  # nothing is built
    assert run(out) == [f"tiny: already trained -> {out}"]
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(lr=0.5), r"\(lr 0.001 there, 0.5 here\)"),
        (dict(seed=1, width=64), r"\(seed 0 there, 1 here; width 32 there, 64 here\)"),
        (dict(steps=9), r"\(steps 8 there, 9 here\)"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused(finished, changes, sentence):
    with pytest.raises(EvlibError, match=f"holds a run with other settings {sentence}: name another folder"):
        run(finished[0], **changes)


@pytest.mark.parametrize("changes", [dict(renderer="another"), dict(examples="4567")])
def test_other_frames_in_the_same_folder_are_refused(finished, changes):
    store = tiny_store()
    store.manifest.update(changes)
    with pytest.raises(EvlibError, match=f"{list(changes)[0]} '.*' there, '{list(changes.values())[0]}' here"):
        run(finished[0], store)


def test_a_folder_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(EvlibError, match="is not empty and not a run folder"):
        run(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_a_killed_process_left_hidden_is_in_nobodys_way(tmp_path):
    (tmp_path / ".config.json.x1").mkdir()
    run(tmp_path, steps=1)
    assert training_info(tmp_path)["steps"] == 1


def test_figures_without_weights_are_trained_anew(tmp_path, monkeypatch):
    """A results folder under version control holds config.json and env.json, but no weights."""
    run(tmp_path)
    for name in ("model.safetensors", "resume.pt"):
        (tmp_path / name).unlink()
    stopped_run(tmp_path, 2, monkeypatch)
    assert training_info(tmp_path) is None  # the old env.json does not call this finished
    run(tmp_path)
    assert training_info(tmp_path)["steps"] == STEPS


# ---- optimizers, schedule --------------------------------------------------------------------------------------------


def test_the_papers_rate_is_constant():
    assert {lr_scale(p, TrainConfig()) for p in (0, 0.3, 0.999)} == {1.0}


@pytest.mark.parametrize(
    "progress, expected", [(0, 0.01), (0.05, 0.51), (0.1, 1), (0.5, 1), (0.75, 0.5), (0.9, 0.2), (1, 0)]
)
def test_the_rate_rises_and_falls(progress, expected):
    assert lr_scale(progress, TrainConfig(warmup=0.1, decay=0.5)) == pytest.approx(expected)


def test_muon_has_the_matrices_of_the_blocks_and_adamw_the_rest():
    net = NextFrame(tiny(local_blocks=1).model)
    muon, adamw = make_optimizers(net, tiny().train)
    names = {p: name for name, p in net.named_parameters()}
    owners = [{names[p] for p in group["params"]} for o in (muon, adamw) for group in o.param_groups]
    assert owners[0] | owners[1] == set(names.values()) and not owners[0] & owners[1]
    assert {"merge.weight", "mix.weight", "middle.0.mlp.0.weight", "encoder.0.time.qkv.weight"} <= owners[0]
    assert {
        "embed.weight",
        "head.weight",
        "output_bias",
        "time_embed",
        "pos_embed.0",
        "encoder.0.norms.0.weight",
    } <= owners[1]


def test_rates_are_shares_of_the_full_rate_also_after_loading():
    def rates(optimizers):
        return [group["lr"] for o in optimizers for group in o.param_groups]

    net, config = NextFrame(tiny().model), TrainConfig(optimizer="muon", lr=0.001, muon_lr=0.02)
    first = make_optimizers(net, config)
    set_lr(first, 0.5)
    set_lr(first, 0.1)
    assert rates(first) == pytest.approx([0.002, 0.0001])
    again = make_optimizers(net, config)
    for optimizer, saved in zip(again, first):
        optimizer.load_state_dict(saved.state_dict())
    set_lr(again, 1.0)
    assert rates(again) == pytest.approx([0.02, 0.001])  # not a share of the share that was saved


# ---- several processes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "processes, shards, says",
    [
        (3, 1, "A batch of 4 sequences cannot be shared evenly by 3 processes"),
        (4, 2, "2 shards cannot be shared evenly by 4 processes: set shards to a multiple of 4"),
    ],
)
def test_what_cannot_be_shared_is_refused_before_anything_is_written(tmp_path, monkeypatch, processes, shards, says):
    monkeypatch.setattr(Distributed, "start", lambda device: Distributed(0, processes, torch.device("cpu")))
    with pytest.raises(EvlibError, match=says):
        run(tmp_path / "run", shards=shards)
    assert not (tmp_path / "run").exists()


def test_two_processes_are_one_run(tmp_path, monkeypatch):
    """The same batches shared by two: a whole run, a stopped run that continues, and a finished one."""
    adamw = dict(optimizer="adamw", warmup=0.0, decay=0.0)  # Muon rounds to bfloat16, which magnifies any difference
    monkeypatch.setattr(loop, "REPORT", -1)
    run(tmp_path / "one", **adamw)
    stopped_run(tmp_path / "stopped", 3, monkeypatch, **adamw)
    done = torchrun(tmp_path / "two", tmp_path / "stopped", tmp_path / "two", **adamw)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()  # from the first process alone
    assert [line.split("  ")[0] for line in lines[:-1]] == [f"tiny: step {n}" for n in (*range(1, 9), *range(4, 9))]
    assert lines[-1] == f"tiny: already trained -> {tmp_path / 'two'}"

    alone = torch.load(tmp_path / "one" / "resume.pt", weights_only=True)["net"]
    for name in ("two", "stopped"):
        out = tmp_path / name
        assert training_info(out)["processes"] == 2
        assert (log_of(out).loss - log_of(tmp_path / "one").loss).abs().max() < 1e-4
        assert (log_of(out).validation_ssim - log_of(tmp_path / "one").validation_ssim).abs().max() < 1e-4
        net = torch.load(out / "resume.pt", weights_only=True)["net"]
        assert max((net[k] - alone[k]).abs().max().item() for k in net) < 1e-4


def test_two_processes_with_half_of_the_data_each_are_one_run(tmp_path, monkeypatch):
    """Sharded: each process holds only the frames of its part, and with the same number of shards one process does the
    same."""
    settings = dict(optimizer="adamw", warmup=0.0, decay=0.0, shards=2, augment="flip", ema_decay=0.5)
    monkeypatch.setattr(loop, "REPORT", -1)
    run(tmp_path / "one", **settings)
    done = torchrun(tmp_path / "two", **settings)
    assert done.returncode == 0, done.stderr
    assert (log_of(tmp_path / "two").loss - log_of(tmp_path / "one").loss).abs().max() < 1e-4
    saved = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    assert max((saved[0][k] - saved[1][k]).abs().max().item() for k in saved[0]) < 1e-4
    run(tmp_path / "unsharded", **{**settings, "shards": 1})
    assert not log_of(tmp_path / "one").loss.equals(log_of(tmp_path / "unsharded").loss)


def torchrun(*outs: Path, **settings) -> subprocess.CompletedProcess:
    options = f"--nproc-per-node=2 --master-addr=127.0.0.1 --master-port={free_port()}"
    launcher = [sys.executable, "-m", "torch.distributed.run", *options.split()]
    return subprocess.run(
        [*launcher, *PROGRAM[1:], *outs, *(f"{name}={json.dumps(value)}" for name, value in settings.items())],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


PROGRAM = [sys.executable, str(Path(__file__).resolve())]


def environment() -> dict:
    """As many threads there as here, so that sums are added up in the same order."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(evlib.__file__).parents[1]),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main(*arguments: str) -> None:
    """Trains with a checkpoint and a line after every step. Only the first process may write."""
    loop.REPORT = loop.CHECKPOINT = -1
    if os.environ.get("RANK", "0") != "0":
        loop.files.atomic = None
    changes = {
        name: json.loads(value) if value[0] in '"0123456789' else value
        for name, value in (a.split("=") for a in arguments if "=" in a)
    }
    for out in arguments:
        if "=" not in out:
            train(tiny(**changes), tiny_store(), out, device="cpu")


if __name__ == "__main__":
    main(*sys.argv[1:])


# ---- how a step is computed ------------------------------------------------------------------------------------------


def test_bfloat16_learns_what_float32_learns(finished, tmp_path):
    """The tolerance with which a run may go on at another precision, as on another type of device."""
    run(tmp_path, precision="bfloat16")
    assert training_info(tmp_path)["precision"] == "bfloat16"
    assert load_file(tmp_path / "model.safetensors")["embed.weight"].dtype == torch.float32
    loss, exact = log_of(tmp_path).loss, log_of(finished[0]).loss
    assert 0 < (loss - exact).abs().max() < 0.01
    assert (log_of(tmp_path).validation_ssim - log_of(finished[0]).validation_ssim).abs().max() < 0.01


def test_a_run_may_go_on_at_another_precision(finished, tmp_path, monkeypatch):
    stopped_run(tmp_path, 4, monkeypatch)
    run(tmp_path, precision="bfloat16")
    assert training_info(tmp_path)["steps"] == STEPS
    assert (
        abs(training_info(tmp_path)["best_validation_ssim"] - training_info(finished[0])["best_validation_ssim"]) < 0.01
    )


def test_what_a_gpu_left_goes_on_on_a_cpu(finished, tmp_path, monkeypatch):
    """The checkpoint of a GPU: its optimiser is the fused one, its random state of another kind."""
    adamw = dict(optimizer="adamw", warmup=0.0)
    monkeypatch.setattr(loop, "REPORT", math.inf)
    run(tmp_path / "whole", **adamw)
    stopped_run(tmp_path / "stopped", 4, monkeypatch, **adamw)
    saved = torch.load(tmp_path / "stopped" / "resume.pt", weights_only=True)
    saved.update(device="cuda", random_cuda=torch.zeros(16, dtype=torch.uint8))
    for group in saved["optimizers"][0]["param_groups"]:
        group["fused"] = True
    torch.save(saved, tmp_path / "stopped" / "resume.pt")
    assert "resumed on cpu, was stopped on cuda" in run(tmp_path / "stopped", **adamw)[0]
    again = torch.load(tmp_path / "stopped" / "resume.pt", weights_only=True)
    assert not again["optimizers"][0]["param_groups"][0]["fused"]
    whole = torch.load(tmp_path / "whole" / "resume.pt", weights_only=True)
    assert all(torch.equal(again["net"][name], whole["net"][name]) for name in whole["net"])


def test_a_run_of_before_a_setting_existed_has_its_default(tmp_path):
    run(tmp_path, steps=2)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("augment", "ema_decay", "shards", "compile", "loss_power"):
        del config["train"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(tmp_path, steps=2) == [f"tiny: already trained -> {tmp_path}"]
    with pytest.raises(EvlibError, match=r"\(ema_decay 0.0 there, 0.9 here\)"):
        run(tmp_path, steps=2, ema_decay=0.9)


def test_precision_goes_by_device_and_processor(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    for able, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: {"avx512_bf16": able})
        for name in ("demo", "fast", "paper"):
            assert devices.precision_for(preset(name), cpu) == dtype
            assert devices.precision_for(preset(name), gpu) == torch.bfloat16
            assert devices.precision_for(preset(name).override(precision="float32"), gpu) == torch.float32


@pytest.mark.parametrize("name, able", [("avx512_bf16", True), ("amx_bf16", True), ("bf16", True), ("avx2", False)])
def test_processors_that_multiply_bfloat16(monkeypatch, name, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "any", name: True})
    assert (devices.fast_dtype(torch.device("cpu")) == torch.bfloat16) is able


def test_validation_is_in_float32_whatever_training_is_in(tmp_path, monkeypatch):
    dtypes = {True: set(), False: set()}

    class Watched(NextFrame):
        def __init__(self, model):
            super().__init__(model)
            self.head.register_forward_hook(lambda head, args, out: dtypes[self.training].add(out.dtype))

    monkeypatch.setattr(loop, "NextFrame", Watched)
    run(tmp_path, precision="bfloat16", steps=2)
    assert dtypes == {True: {torch.bfloat16}, False: {torch.float32}}


def test_the_compiler_is_for_gpus(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: object())
    compiles = {
        (how, device): devices.compiles(tiny(compile=how), torch.device(device))
        for how in ("auto", "off", "on", "graphs")
        for device in ("cpu", "cuda")
    }
    assert [key for key, yes in compiles.items() if yes] == [
        ("auto", "cuda"),
        ("on", "cpu"),
        ("on", "cuda"),
        ("graphs", "cpu"),
        ("graphs", "cuda"),
    ]


def test_the_network_compiles_in_one_piece():
    """Traced without a break, so that a compiler sees all of it; nothing is generated here."""
    net = NextFrame(tiny(local_blocks=1, dropout=0.1).model).train()
    traced = torch.compile(net, backend="eager", fullgraph=True)
    for frames in (2, 3, 4):
        video = torch.randint(256, (2, frames, 3, 64, 64), dtype=torch.uint8)
        assert traced(video, last=1).shape == (2, 1, 3, 64, 64)


def test_blocks_are_compiled_for_training_alone_and_train_as_they_would(tmp_path, monkeypatch):
    compile, loop_itself, made, left, before_steps = torch.compile, loop.loop, [], [], []

    def backend(graph, inputs):  # traces, but spares the minutes of a real compiler
        made.append(graph)
        return graph.forward

    def validate_watched(*about):
        before = len(made)
        score = validate(*about)
        left.append(len(made) - before)
        return score

    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: compile(*args, backend=backend, **kwargs))
    monkeypatch.setattr(loop, "validate", validate_watched)
    monkeypatch.setattr(loop, "loop", lambda *about: (before_steps.append(len(made)), loop_itself(*about)))
    shape = {"local_blocks": 1, "global_blocks": 2, "batch": 5}
    run(tmp_path / "plain", **shape)
    assert not made and left == 4 * [0]
    run(tmp_path / "compiled", compile="on", **shape)
    assert 1 <= len(made) <= 8 and left == 8 * [0]  # two kinds of block, two lengths; not one for each of four blocks
    assert before_steps == [0, len(made)]  # and all of it off the clock
    assert training_info(tmp_path / "compiled")["compiled"] and not training_info(tmp_path / "plain")["compiled"]
    plain, compiled = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys()
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name])
    torch.compiler.reset()


# ---- the moving average ----------------------------------------------------------------------------------------------


def test_a_run_that_copies_starts_at_the_frame_that_comes_back(tmp_path):
    run(tmp_path, steps=1, copy=True)  # tiny_store's answers are the mean's, not an earlier frame's
    net = NextFrame.from_pretrained(tmp_path)
    assert all(p.abs().max() < 0.1 for p in net.copy.parameters())


def test_a_curriculum_needs_steps(tmp_path):
    run(tmp_path, short_first=True)
    assert log_of(tmp_path).step.iloc[-1] == STEPS
    with pytest.raises(EvlibError, match="short_first divides a run by its steps: give --steps."):
        run(tmp_path / "timed", short_first=True, steps=None, minutes=0.1)
    with pytest.raises(EvlibError, match="questions_first divides a run by its steps: give --steps."):
        run(tmp_path / "timed", questions_first="What", steps=None, minutes=0.1)


def test_averaged_weights_are_validated_and_saved(tmp_path):
    run(tmp_path, ema_decay=0.9)
    saved = torch.load(tmp_path / "resume.pt", weights_only=True)
    best, last, ema = load_weights(tmp_path)["head.weight"], saved["net"]["head.weight"], saved["ema"]
    assert ema["updates"] == STEPS
    assert torch.equal(best, ema["net"]["head.weight"]) and not torch.equal(best, last)
    _, ssim, _ = validate(NextFrame.from_pretrained(tmp_path), tiny_store().split("validation"), 8)
    assert ssim == pytest.approx(training_info(tmp_path)["best_validation_ssim"], abs=1e-6)


@pytest.mark.parametrize("able", [True, False])
def test_our_muon_is_torchs(monkeypatch, able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})
    torch.manual_seed(0)
    shapes = [(96, 32), (32, 32), (96, 32), (32, 128), (32, 64), (32, 32)]
    theirs = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    ours = [torch.nn.Parameter(p.detach().clone()) for p in theirs]
    settings = {"lr": 0.02, "weight_decay": 0.1}
    pair = torch.optim.Muon(theirs, **settings), Muon(ours, **settings)
    for step in range(3):
        for p, q in zip(theirs[step % 2 :], ours[step % 2 :]):  # in one step a matrix has no gradient
            p.grad, q.grad = (gradient := torch.randn(p.shape)), gradient.clone()
        for optimizer in pair:
            optimizer.step()
            optimizer.zero_grad()
        if able:
            assert all(torch.equal(p, q) for p, q in zip(theirs, ours))
        else:  # without bfloat16's rounding
            assert all(torch.allclose(p, q, atol=2e-3) for p, q in zip(theirs, ours))
    pair[1].load_state_dict(pair[0].state_dict())


def test_a_convolutions_kernel_is_a_matrix_to_muon():
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.randn(16, 8, 3, 3))
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    kernel.grad = torch.randn(kernel.shape)
    matrix.grad = kernel.grad.flatten(1).clone()
    Muon([kernel, matrix], lr=0.02, weight_decay=0.1).step()
    assert torch.allclose(kernel.flatten(1), matrix)


def test_the_average_follows_its_formula():
    net = NextFrame(tiny().model)
    ema, shares = EMA(net, 0.5), []
    for n in (0, 1, 8, 1000):
        ema.updates = n
        torch.nn.init.zeros_(ema.net.output_bias)
        torch.nn.init.ones_(net.output_bias)
        ema.update(net)
        shares.append(ema.net.output_bias[0, 0].item())
    assert shares == pytest.approx([1, 1 - 2 / 11, 0.5, 0.5]) and ema.updates == 1001


@pytest.mark.parametrize("left", [0, 2, 1000, -200, None])
def test_a_damaged_checkpoint_is_named(tmp_path, left):
    run(tmp_path)
    (tmp_path / "env.json").unlink()
    whole = (tmp_path / "resume.pt").read_bytes()
    (tmp_path / "resume.pt").write_bytes(b"hello" if left is None else whole[:left])
    with pytest.raises(EvlibError, match="resume.pt: the checkpoint is damaged"):
        run(tmp_path)


# ---- starting from another run ---------------------------------------------------------------------------------------


def test_a_run_starts_from_the_weights_of_the_run_beside_it(tmp_path):
    still = dict(steps=1, lr=0.0, muon_lr=0.0)
    run(tmp_path / "first")
    run(tmp_path / "second", init_from="first", **still)
    run(tmp_path / "by path", init_from=str(tmp_path / "first"), **still)
    run(tmp_path / "from scratch", **still)
    names = "first", "second", "by path", "from scratch"
    first, second, by_path, nothing = ((tmp_path / name / "model.safetensors").read_bytes() for name in names)
    assert first == second == by_path != nothing
    assert json.loads((tmp_path / "second" / "config.json").read_text())["init_from"] == "first"


def test_an_exported_run_is_finished_and_a_start(tmp_path):
    first = tmp_path / "first"
    lines = run(first)
    export(first)
    (first / "resume.pt").unlink()  # what a fresh clone does not have
    files = {path: path.read_bytes() for path in first.iterdir()}
    assert run(first) == [f"tiny: already trained -> {first}"]
    run(tmp_path / "second", init_from="first", steps=1, lr=0.0, muon_lr=0.0)
    exported, second = load_weights(first), load_weights(tmp_path / "second")
    assert all(torch.equal(exported[name], second[name]) for name in exported)
    assert {path: path.read_bytes() for path in first.iterdir()} == files
    with pytest.raises(EvlibError, match="other settings .*steps 8 there, 9 here"):
        run(first, steps=9)
    (first / "env.json").unlink()  # no longer finished: trained again, and the exported weights are gone
    assert len(run(first)) == len(lines)
    assert not (first / "model.fp16.safetensors").exists() and "exported" not in training_info(first)
    assert torch.equal(load_weights(first)["head.weight"].half().float(), exported["head.weight"])


def test_a_deeper_network_starts_as_the_other_one(tmp_path):
    """With zero_init, what the other network lacks changes no prediction."""
    run(tmp_path / "first", steps=2)
    deeper = {"global_blocks": 2, "zero_init": True, "init_from": "first", "steps": 1, "lr": 0.0, "muon_lr": 0.0}
    run(tmp_path / "second", **deeper)
    first, second = (NextFrame.from_pretrained(tmp_path / name) for name in ("first", "second"))
    frames = torch.randint(256, (2, 3, 3, 64, 64), dtype=torch.uint8)
    assert len(first.middle) < len(second.middle) and torch.allclose(first(frames), second(frames), atol=1e-6)
    with pytest.raises(EvlibError, match="has another shape than this one"):
        run(tmp_path / "third", **{**deeper, "zero_init": False})


def test_copying_starts_at_the_best_lag_also_from_other_weights(tmp_path, monkeypatch):
    """Unless the other network copies already."""
    run(tmp_path / "first", steps=2)
    still = {"steps": 1, "lr": 0.0, "muon_lr": 0.0, "copy": True}
    for name, start, best in (("second", "first", 2), ("third", "second", 1)):
        monkeypatch.setattr(Split, "best_lag", lambda split, mean, best=best: best)
        run(tmp_path / name, init_from=start, **still)
        net = NextFrame.from_pretrained(tmp_path / name)
        assert (
            net.copy.lag.bias.argmax() == 1
            and (net.copy.gate.bias == 1).all()
            and net.copy.change.weight.abs().max() == 0
        )


def test_a_start_that_is_not_there_or_does_not_fit(tmp_path):
    with pytest.raises(EvlibError, match="init_from: expected a trained run in nowhere"):
        run(tmp_path / "a", init_from="nowhere")
    run(tmp_path / "wide", width=64, steps=1)
    with pytest.raises(EvlibError, match="init_from: the network of .*wide has another shape than this one"):
        run(tmp_path / "b", init_from="wide")
