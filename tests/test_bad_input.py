"""What people get wrong, and what they get away with, through the command line.

A mistake ends with status 2 and one sentence that names the file or the argument, and leaves nothing half-written.
"""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytesseract
import pytest
import soundfile
from PIL import Image as Pillow

from evlib.data import encode, tasks
from evlib.scoring import ocr as decode
from evlib.utils import files
from evlib.utils.errors import EvlibError


@pytest.fixture
def refused(command, tmp_path):
    """Runs a command that has to fail, and checks how: returns its sentence."""

    def run(*words) -> str:
        before = everything(tmp_path)
        status, _, complaint = command(*words)
        assert status == 2, complaint
        assert complaint.startswith("evlib: ") and complaint.count("\n") == 1 and "Traceback" not in complaint
        assert everything(tmp_path) <= before | {tmp_path / "data" / ".evlib"}  # nothing new but an empty folder
        return complaint

    return run


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


# ---- commands and arguments ------------------------------------------------------------------------------------------


def evlib(*words) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "evlib", *map(str, words)], capture_output=True, text=True)


def test_from_a_shell_a_mistake_is_one_line_and_status_2(tmp_path):
    done = evlib("encode", "sst2", "--data", tmp_path / "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"evlib: {tmp_path}/nowhere: expected a folder with data sets, found none; name it with --data.\n"
    )


def test_from_a_shell_an_answer_is_status_0(make_run, tmp_path):
    done = evlib("predict", make_run("sst2"), "--text", "a charming journey", "--out", tmp_path / "strip.png")
    assert done.returncode == 0, done.stderr
    assert "nearest rendered words: " in done.stdout and Pillow.open(tmp_path / "strip.png").height >= 64


@pytest.mark.parametrize("line", ["encode sst2 --dta x", "encod sst2", "encode", "train sst2 --out x --steps many", ""])
def test_an_unknown_command_or_option_is_status_2(command, line):
    words = line.split()
    status, _, complaint = command(*words)
    assert status == 2 and "Traceback" not in complaint
    assert not words or words[0] in complaint or words[-2] in complaint


@pytest.mark.parametrize("line", ["encode sst3", "train sst3 --out x", "download sst3"])
def test_an_unknown_task_offers_the_nearest(refused, line):
    assert "Unknown task 'sst3': did you mean 'sst2'?" in refused(*line.split())


@pytest.mark.parametrize(
    "option, says",
    [
        ("--preset dem", "Unknown preset 'dem': did you mean 'demo'?"),
        ("--set widht=64", "Unknown setting 'widht': did you mean 'width'?"),
        ("--set width", "--set width: expected NAME=VALUE"),
        ("", "Training needs an end: give --steps or --minutes."),
    ],
)
def test_training_options(refused, data, tmp_path, option, says):
    encode.encode(tasks.get("sst2"), data, log=lambda line: None)
    assert says in refused("train", "sst2", "--data", data, "--out", tmp_path / "run", *option.split())


# ---- data ------------------------------------------------------------------------------------------------------------


def test_a_data_set_that_is_not_there(refused, data, tmp_path):
    assert f"AudioMNIST is not under {data}" in refused("encode", "audiomnist", "--data", data)
    (tmp_path / "file").write_text("")
    assert f"{tmp_path}/file: expected a folder" in refused("encode", "sst2", "--data", tmp_path / "file")


SST2, CIFAR, FSDD = "SST-2", "cifar-10-batches-bin", "free-spoken-digit-dataset/recordings"
HEADER = b"sentence\tlabel\n"
BROKEN = [
    ("sst2", f"{SST2}/dev.tsv", None, "expected a file of the official data set, found none"),
    ("sst2", f"{SST2}/train.tsv", b"", "the file is empty"),
    ("sst2", f"{SST2}/train.tsv", b"index\tsentence\n0\tgood\n", "the header 'sentence<TAB>label', found 'index\\ts"),
    ("sst2", f"{SST2}/dev.tsv", HEADER + b"good 1\n", "a sentence, a tab and the label 0 or 1, found 'good 1'"),
    ("sst2", f"{SST2}/dev.tsv", HEADER + b"good\t2\n", "the label 0 or 1, found 'good\\t2'"),
    ("sst2", f"{SST2}/dev.tsv", HEADER + b"good \xff\xfe\t1\n", "expected text in UTF-8"),
    ("cifar10", f"{CIFAR}/data_batch_3.bin", bytes(5000), "expected records of 3073 bytes, found 5000 bytes"),
    ("cifar10", f"{CIFAR}/test_batch.bin", bytes([10]) * 3073, "record 0 has the label 10, expected 0 to 9"),
    ("fsdd", f"{FSDD}/0_ann_9.wav", b"not a sound at all", "expected a sound file"),
]


@pytest.mark.parametrize("task, name, content, says", BROKEN)
def test_broken_files_are_named(refused, data, task, name, content, says):
    if content is None:
        (data / name).unlink()
    else:
        (data / name).write_bytes(content)
    sentence = refused("encode", task, "--data", data)
    assert says in sentence and name in sentence


def test_a_character_without_a_glyph(refused, data):
    (data / SST2 / "dev.tsv").write_bytes(HEADER + "a 中 b\t1\n".encode())
    assert "no glyph for '中'" in refused("encode", "sst2", "--data", data)


def pickled(data: Path, content: bytes) -> Path:
    root = data / "py" / "cifar-10-batches-py"
    root.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (root / name).write_bytes(content)
    return root.parent


@pytest.mark.parametrize(
    "content",
    [
        b"nonsense",
        b"\x80\x02}.",
        b"\x80\x02}(U\x06labels](K\x01eU\x04data](K\x01eu.",
        b"\x80\x02}(U\x06labels](J\xff\xff\xff\xffeU\x04data](" + b"K\x01" * 3072 + b"eu.",
    ],
    ids=["nonsense", "no labels", "too few pixels", "label -1"],
)
def test_a_broken_pickle_is_named(refused, data, content):
    assert "data_batch_1" in refused(
        "encode", "cifar10", "--data", pickled(data, content), "--out", data / ".evlib" / "store"
    )


# ---- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner, name", [(np.lib.format, "write_array_header_1_0"), (np, "save")])
def test_a_full_disk_leaves_nothing(refused, data, monkeypatch, owner, name):
    monkeypatch.setattr(owner, name, full)
    sentence = refused("encode", "sst2", "--data", data)
    assert f"Cannot write {data}/.evlib/sst2: No space left on device. Nothing was left behind" in sentence


def test_a_source_that_cannot_be_read_is_no_full_disk(refused, data, monkeypatch):
    monkeypatch.setattr(encode, "render_example", lambda *_: Path("/nowhere/source.tsv").read_text())
    assert refused("encode", "sst2", "--data", data) == "evlib: /nowhere/source.tsv: No such file or directory.\n"


def test_only_what_is_written_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (tmp_path / "out", Path("out")):
        with pytest.raises(FileNotFoundError, match="missing.txt"), files.atomic(out):
            (tmp_path / "missing.txt").read_text()
        with (
            pytest.raises(EvlibError, match="Cannot write .*out: No such file or directory. Nothing was left behind"),
            files.atomic(out) as temporary,
        ):
            (temporary.absolute() / "folder" / "file").write_text("")
        with pytest.raises(EvlibError, match="Cannot write .*out: No space left"), files.atomic(out):
            full()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_training(command, data, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", full)
    small = ["--steps", 1, "--set", "width=32", "--set", "heads=1"]
    status, _, complaint = command("train", "sst2", "--data", data, "--out", tmp_path / "run", *small)
    assert status == 2 and f"Cannot write {tmp_path}/run/model.safetensors: No space left" in complaint
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_folder_that_cannot_be_written(refused, data, make_run, tmp_path):
    (tmp_path / "file").write_text("in the way")
    run = make_run("sst2")
    assert f"Cannot write {tmp_path}/file/sub" in refused(
        "encode", "sst2", "--data", data, "--out", tmp_path / "file" / "sub"
    )
    assert f"Cannot write {tmp_path}/file/sub.png" in refused(
        "predict", run, "--text", "good", "--out", tmp_path / "file" / "sub.png"
    )


def test_training_into_a_folder_that_cannot_be_written(command, data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, _, complaint = command("train", "sst2", "--data", data, "--out", tmp_path / "file" / "run", "--steps", 1)
    assert status == 2 and f"Cannot write {tmp_path}/file/run" in complaint


def test_a_picture_never_replaces_a_folder(refused, make_run, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "holiday.jpg").write_text("precious")
    assert f"Cannot write {tmp_path}/pictures: Is a directory" in refused(
        "predict", make_run("sst2"), "--text", "good", "--out", tmp_path / "pictures"
    )
    assert (tmp_path / "pictures" / "holiday.jpg").read_text() == "precious"


# ---- runs ------------------------------------------------------------------------------------------------------------


def change(run: Path, **settings) -> None:
    config = json.loads((run / "config.json").read_text())
    for name, value in settings.items():
        (config["model"] if name in config["model"] else config)[name] = value
    (run / "config.json").write_text(json.dumps(config))


def write(name: str, content: bytes):
    return lambda run: (run / name).write_bytes(content)


NO_FIT = "the weights do not fit the settings in config.json"
UNFIT = [
    (lambda run: change(run, store={"renderer": "0123456789ab"}), "trained on frames of the renderer 0123456789ab"),
    (lambda run: change(run, width=64), NO_FIT),
    (lambda run: change(run, global_blocks=2), NO_FIT),
    (lambda run: change(run, heads=5), "found width 32, heads 5"),
    (lambda run: change(run, model={"depth": 3}), "depth"),
    (lambda run: change(run, task="sst3"), "Unknown task 'sst3'"),
    (write("config.json", b"{}"), "config.json is not that of a run, it has no task and no model and no store; train"),
    (write("config.json", b'{"task": "ss'), "config.json is damaged; train it again"),
    (write("config.json", b"\0\xff"), "config.json is damaged; train it again"),
    (write("model.safetensors", b"\xff" * 5000), NO_FIT),
    (lambda run: (run / "model.safetensors").unlink(), "a run folder with config.json and model.safetensors"),
]


@pytest.mark.parametrize("spoil, says", UNFIT)
def test_a_run_that_cannot_be_used(refused, make_run, tmp_path, spoil, says):
    run = make_run("sst2")
    spoil(run)
    sentence = refused("predict", run, "--text", "good", "--out", tmp_path / "strip.png")
    assert says in sentence and len(sentence) < 500


def test_no_run(refused, data, tmp_path):
    for words in (
        ["predict", tmp_path / "nowhere", "--text", "good"],
        ["evaluate", tmp_path / "nowhere", "--data", data],
    ):
        assert f"{tmp_path}/nowhere: expected a run folder" in refused(*words)


def test_tesseract_is_missing(refused, make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", "/nowhere/tesseract")
    decode.require_tesseract.cache_clear()
    assert "Tesseract is not installed" in refused(
        "predict", make_run("sst2"), "--text", "good", "--out", tmp_path / "strip.png"
    )


# ---- questions -------------------------------------------------------------------------------------------------------


def test_no_input(refused, make_run):
    assert "Nothing to answer: give --text, --image, --audio or --video." in refused("predict", make_run("sst2"))


def test_files_that_cannot_be_read(refused, make_run, tmp_path):
    run = make_run("cifar10")
    (tmp_path / "text.wav").write_text("this is no sound")
    for option, name in (("--image", "missing.png"), ("--audio", "text.wav")):
        assert f"{tmp_path}/{name}: " in refused("predict", run, option, tmp_path / name)


def test_more_frames_than_the_network_sees(refused, make_run, tmp_path):
    assert "101 input frames are too many: this network sees at most 63" in refused(
        "predict", make_run("cifar10"), "--text", "good " * 100
    )


@pytest.mark.parametrize("text", ["", "good " * 100, "top-notch , isn't it ?"])
def test_text_of_any_length_is_answered(command, make_run, tmp_path, text):
    status, output, complaint = command("predict", make_run("sst2"), "--text", text, "--out", tmp_path / "strip.png")
    assert (status, complaint) == (0, "") and "nearest rendered words: " in output


@pytest.mark.parametrize("kind", ["1x1", "palette", "16-bit", "narrow"])
def test_pictures_of_any_kind_are_answered(command, make_run, tmp_path, kind):
    image = {
        "1x1": lambda: Pillow.new("RGB", (1, 1), "red"),
        "palette": lambda: Pillow.new("P", (20, 20)),
        "narrow": lambda: Pillow.new("LA", (10, 3000)),
        "16-bit": lambda: Pillow.fromarray(np.full((9, 9), 40_000, np.uint16)),
    }[kind]()
    image.save(tmp_path / "image.png")
    status, output, complaint = command(
        "predict", make_run("cifar10"), "--image", tmp_path / "image.png", "--out", tmp_path / "strip.png"
    )
    assert (status, complaint) == (0, "") and "nearest rendered words: " in output


@pytest.mark.parametrize("kind", ["three samples", "silence", "30 seconds of stereo at 96 kHz"])
def test_sounds_of_any_kind_are_answered(command, make_run, tmp_path, kind):
    wave, rate = {
        "three samples": (np.full(3, 0.5), 8000),
        "silence": (np.zeros(8000), 8000),
        "30 seconds of stereo at 96 kHz": (np.random.default_rng(0).normal(0, 0.1, (30 * 96_000, 2)), 96_000),
    }[kind]
    soundfile.write(tmp_path / "sound.wav", wave, rate, subtype="PCM_24")
    status, output, complaint = command(
        "predict", make_run("fsdd"), "--audio", tmp_path / "sound.wav", "--out", tmp_path / "strip.png"
    )
    assert (status, complaint) == (0, "") and "nearest rendered words: " in output
