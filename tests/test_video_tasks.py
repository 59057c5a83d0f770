"""The tasks about videos: which frames of which file become which example, and the messages about unusable files.

Small layouts are written on the spot. Frame i of a video is i in hexadecimal: a gray for the first digit on its left,
one for the second on its right.
"""

import json
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier
from time import sleep

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from evlib import load
from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.store import VideoStore
from evlib.data.tasks import clevrer as clevrer_module
from evlib.data.tasks import lasot as lasot_module
from evlib.data.tasks import tgifqa as tgifqa_module
from evlib.data.tasks.base import LoadOnce, hold_out
from evlib.data.tasks.lasot import FRAMES, LaSOT, scale
from evlib.data.tasks.tgifqa import COLUMNS
from evlib.data.tasks.tinyvirat import LABELS, to_gray
from evlib.frames.boxes import read_box
from evlib.frames.image import image_frame
from evlib.frames.parts import Clip, End, Text, Word
from evlib.frames.render import render, render_example
from evlib.scoring.metrics import iou
from evlib.synthetic.video_writer import write_gif, write_mp4
from evlib.utils.errors import EvlibError

TRAIN, HELD = (next(f"cam-{i}" for i in count() if hold_out(f"cam-{i}") == split) for split in ("train", "validation"))
VIDEO_TASKS = ("tinyvirat", "colorization", "clevrer", "tgifqa", "lasot")


# ---- small data sets in their official layouts -----------------------------------------------------------------------


def numbered(length: int, height: int = 32, width: int = 32) -> np.ndarray:
    frames = np.empty((length, height, width, 3), np.uint8)
    high, low = np.divmod(np.arange(length), 16)
    frames[:, :, : width // 2], frames[:, :, width // 2 :] = (
        8 + 16 * digit[:, None, None, None] for digit in (high, low)
    )
    return frames


def numbers(part: Clip) -> list[int]:
    """Which frames these are, read off the middle of their two halves."""
    high, low = (
        part.frames[:, 26:38, columns].mean(axis=(1, 2, 3)) // 16 for columns in (slice(10, 22), slice(42, 54))
    )
    return (16 * high + low).astype(int).tolist()


def pixels(part: Clip) -> list[np.ndarray]:
    """The frames as rendered, with their boxes."""
    return [frame.pixels for frame in render(part)]


@cache
def mp4(length: int = 12) -> bytes:
    with TemporaryDirectory() as folder:
        write_mp4(Path(folder) / "a.mp4", numbered(length), quality=1)
        return (Path(folder) / "a.mp4").read_bytes()


@cache
def jpegs(width: int, height: int) -> list[bytes]:
    files = [BytesIO() for _ in range(60)]
    for file, frame in zip(files, numbered(60, height, width)):
        Pillow.fromarray(frame).save(file, format="JPEG", quality=95)
    return [file.getvalue() for file in files]


def lay(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


CLIPS = {
    "train": [(f"{TRAIN}/000000.mp4", ["vehicle_moving", "activity_walking"]), (f"{HELD}/000001.mp4", ["Talking"])],
    "test": [("cam-test/000002.mp4", ["Opening"])],
}


def tinyvirat(data: Path, clips: dict = CLIPS, version: int = 1, length: int = 12) -> Path:
    root = data / {1: "TinyVIRAT", 2: "TinyVIRAT_V2"}[version]
    for split, listed in clips.items():
        tubes = [
            {"id": Path(p).stem, "video_id": str(Path(p).parent), "path": p, "dim": [length, 32, 32], "label": labels}
            for p, labels in listed
        ]
        if version == 1:
            lay(root / f"tiny_{split}.json", json.dumps({"tubes": tubes}))
        else:
            lay(root / f"tiny_{split.replace('test', 'val')}_v2.json", json.dumps(tubes))
        for path, _ in listed:
            lay(root / "videos" / (split if version == 1 else split.replace("test", "val")) / path, mp4(length))
    return root


def descriptive(*answers: str) -> list[dict]:
    """A question for every answer, and a multiple-choice one."""
    described = [
        {"question_id": i, "question": f"What is number {i}?", "question_type": "descriptive", "answer": answer}
        for i, answer in enumerate(answers)
    ]
    choice = {"choice_id": 0, "choice": "The sphere collides with the cube", "answer": "wrong"}
    return [*described, {"question_id": len(answers), "question": "What will happen next?", "choices": [choice]}]


SCENES = {
    "train": {i: descriptive("cyan", "2") for i in range(40)},
    "validation": {10_000: descriptive("yes"), 10_001: descriptive("rubber")},
}


def clevrer(
    data: Path, scenes: dict = SCENES, videos: str = "video_{}", questions: str = "questions/", length: int = 12
) -> Path:
    root = data / "CLEVRER"
    for name, numbered_scenes in scenes.items():
        content = [
            {"scene_index": i, "video_filename": f"video_{i:05d}.mp4", "questions": q}
            for i, q in numbered_scenes.items()
        ]
        lay(root / f"{questions}{name}.json", json.dumps(content))
        for i in numbered_scenes:
            low = i // 1000 * 1000
            lay(root / videos.format(name) / f"video_{low:05d}-{low + 1000:05d}" / f"video_{i:05d}.mp4", mp4(length))
    return root


def question(gif: str, words: str = "what is this ?", answer: str = "cat") -> str:
    return "\t".join((gif, words, answer, "0", "FRAMEQA1", "1", "a cat ."))


QUESTIONS = {
    "Train": [question(TRAIN), question(HELD, answer="dog"), question("gone")],
    "Test": [
        question("tumblr_1", "how many cats are there ?", "two"),
        question("tumblr_1"),
        question("gone too"),
        question("gone", answer="owl"),
    ],
    "Sample": [question("sample_1", answer="bird")],
}


def tgifqa(data: Path, rows: dict = QUESTIONS, folder: str = "dataset/", ends: str = "\r\n") -> Path:
    root = data / "tgif-qa"
    for name, lines in rows.items():
        lay(
            root / f"{folder}{name}_frameqa_question.csv", "".join(line + ends for line in ("\t".join(COLUMNS), *lines))
        )
    for gif in (TRAIN, HELD, "tumblr_1", "sample_1"):
        write_gif(root / "gifs" / f"{gif}.gif", numbered(10))
    return root


def sequence(folder: Path, boxes: list, size: tuple[int, int] = (128, 64), hidden: list[int] = ()) -> Path:
    """Pictures of width x height in `size`, and a box for each; frames `hidden` are fully occluded."""
    for i in range(len(boxes)):
        lay(folder / "img" / f"{i + 1:08d}.jpg", jpegs(*size)[i])
    lay(folder / "groundtruth.txt", "".join(f"{','.join(map(str, box))}\n" for box in boxes))
    lay(folder / "full_occlusion.txt", ",".join(str(int(i in hidden)) for i in range(len(boxes))))
    lay(folder / "out_of_view.txt", ",".join("0" for _ in boxes))
    return folder


BOX = (20, 10, 40, 30)  # in pictures of 128 x 64
MOVING = [(20 + i, 10, 40, 30) for i in range(50)]
TRACKS = {"training": ["cat-1", "cat-2", "ice-cream-12"], "testing": ["cat-3"]}


def lasot(data: Path, names: dict = TRACKS, flat: bool = False, boxes: list = MOVING) -> Path:
    root = data / "LaSOT"
    for split, listed in names.items():
        lay(root / f"{split}_set.txt", "".join(f"{name}\n" for name in listed))
        for name in listed:
            sequence(root / name if flat else root / name.rpartition("-")[0] / name, boxes)
    return root


WRITE = {"tinyvirat": tinyvirat, "colorization": tinyvirat, "clevrer": clevrer, "tgifqa": tgifqa, "lasot": lasot}


def items(name: str, root: Path) -> dict[str, list]:
    found = {"train": [], "validation": [], "test": []}
    for item in tasks.get(name).items(root):
        found[item.split].append(item)
    return found


def encoded(name: str, data: Path, **options) -> VideoStore:
    return encode(tasks.get(name), data, **{"log": lambda line: None, **options})


# ---- splits and groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIDEO_TASKS)
def test_no_group_is_in_two_splits(tmp_path, name):
    WRITE[name](tmp_path)
    table = encoded(name, tmp_path).metadata
    assert set(table.split) == {"train", "validation", "test"} and (table.group != "").all()
    assert (table.groupby("group").split.nunique() == 1).all()


@pytest.mark.parametrize("name", VIDEO_TASKS)
def test_validation_is_held_out_by_group_and_nothing_else(tmp_path, name):
    root = WRITE[name](tmp_path)
    for item in tasks.get(name).items(root):
        assert item.split in ("test", hold_out(item.group))


def test_a_very_small_data_set_gets_a_validation_group(tmp_path):
    cameras = [camera for i in range(40) if hold_out(camera := f"cam-{i}") == "train"][:5]
    clips = [(f"{camera}/{i}.mp4", ["Talking"]) for camera in cameras for i in range(3)]
    tinyvirat(tmp_path, {"train": clips, "test": CLIPS["test"]})
    table = encoded("tinyvirat", tmp_path).metadata
    assert table.split.value_counts().to_dict() == {"train": 12, "validation": 3, "test": 1}
    held = set(table[table.split == "validation"].group)
    assert len(held) == 1 and held <= set(cameras)

    tinyvirat(tmp_path, {"train": clips[::-1], "test": CLIPS["test"]})  # another order, the same group
    table = encoded("tinyvirat", tmp_path).metadata
    assert set(table[table.split == "validation"].group) == held


def test_other_data_in_a_like_layout_goes_by_its_own_name(tmp_path):
    tinyvirat(tmp_path).rename(tmp_path / "weizmann-actions")
    assert encoded("tinyvirat", tmp_path).manifest["dataset"] == "weizmann-actions (in TinyVIRAT's layout)"
    assert tasks.get("lasot").display_name(tmp_path / "tracking") == "tracking (in LaSOT's layout)"
    tinyvirat(tmp_path, version=2)  # the official data come first
    for name, folder in [("tinyvirat", "TinyVIRAT_V2"), ("colorization", "TinyVIRAT_V2")]:
        root = tasks.get(name).root(tmp_path)
        assert root.name == folder and tasks.get(name).display_name(root) == "TinyVIRAT"


def test_what_is_shared_is_loaded_once_by_however_many_threads():
    loads, start = [], Barrier(8)
    shared = LoadOnce(lambda: (loads.append(1), sleep(0.02), object()))  # long enough for the others to ask meanwhile
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: start.wait() is None or shared(), range(8)))
    assert len(loads) == 1 and len(set(map(id, seen))) == 1


def test_a_failure_is_not_shared():
    files = []
    shared = LoadOnce(lambda: files[0])
    with pytest.raises(IndexError):
        shared()
    files.append("a film")
    assert shared() == "a film"


@pytest.mark.parametrize("name, module, videos", [("clevrer", clevrer_module, 3), ("tgifqa", tgifqa_module, 4)])
def test_a_video_with_many_questions_is_decoded_once(tmp_path, monkeypatch, name, module, videos):
    if name == "clevrer":
        clevrer(
            tmp_path,
            {"train": {i: descriptive(*"012345") for i in (0, 1)}, "validation": {10_000: descriptive(*"012345")}},
        )
    else:
        tgifqa(
            tmp_path,
            {
                split: [question(gif, f"what {i} ?") for i in range(6) for gif in gifs]
                for split, gifs in {"Train": (TRAIN, HELD), "Test": ("tumblr_1", "sample_1")}.items()
            },
        )
    read, decoded = module.read_video, []
    monkeypatch.setattr(module, "read_video", lambda path, choose: decoded.append(path) or read(path, choose))
    store = encoded(name, tmp_path)
    assert len(decoded) == len(set(decoded)) == videos and store.manifest["sequences"] == 6 * videos


# ---- TinyVIRAT and colorization --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_tinyvirat_of_either_version(tmp_path, version):
    root = tinyvirat(tmp_path, version=version, length=25)
    assert tasks.get("tinyvirat").root(tmp_path) == root
    found = items("tinyvirat", root)
    assert {split: [item.group for item in there] for split, there in found.items()} == {
        "train": [TRAIN],
        "validation": [HELD],
        "test": ["cam-test"],
    }
    [item] = found["train"]
    assert item.source == f"videos/train/{TRAIN}/000000.mp4"
    assert found["test"][0].source == f"videos/{'test' if version == 1 else 'val'}/cam-test/000002.mp4"
    example = item.load()
    [clip] = example.inputs
    assert clip.frames.shape == (10, 64, 64, 3) and numbers(clip) == [i * 25 // 10 for i in range(10)]
    assert example.outputs == [Text("vehicle moving , activity walking"), End()]
    assert example.answer == "vehicle_moving, activity_walking"
    assert " ".join(frame.key for frame in render_example(example).outputs) == "vehicle moving , activity walking "


def test_tinyvirat_version_2_is_taken_where_both_are(tmp_path):
    root = tinyvirat(tmp_path, {"train": [("new/0.mp4", ["Push"])], "test": [("new/1.mp4", ["Pull"])]}, version=2)
    for path in tinyvirat(tmp_path).glob("*.json"):
        shutil.copy(path, root)
    assert [item.group for item in tasks.get("tinyvirat").items(root)] == ["new", "new"]


@pytest.mark.parametrize(
    "labels, words",
    [
        (["Talking"], "Talking|"),
        (["Opening", "Closing"], "Opening , Closing|"),
        (["Closing", "Opening"], "Closing , Opening|"),  # in the order of the file
        (["specialized_talking_phone", "vehicle_turning_left"], "specialized talking phone , vehicle turning left|"),
        (
            ["Pull", "specialized_talking_phone", "activity_running"],
            "Pull , specialized talking phone , activity running",
        ),  # eight words: no room for an end
        (["Pull", "Push", "Misc", "Riding", "Exiting"], "Pull , Push , Misc , Riding ,"),
    ],
)
def test_the_words_of_labels(tmp_path, labels, words):
    root = tinyvirat(tmp_path, {"train": [("cam-0/0.mp4", labels)], "test": CLIPS["test"]})
    example = next(tasks.get("tinyvirat").items(root)).load()
    rendered = render_example(example).outputs
    assert " ".join(frame.key for frame in rendered) == words.replace("|", " ")
    assert len(rendered) <= 8 and (rendered[-1].pixels.max() == 0) == words.endswith("|")
    assert example.answer == ", ".join(labels)


def test_a_camera_without_a_name_is_the_folder(tmp_path):
    root = tinyvirat(tmp_path)
    change(root / "tiny_train.json", 0, video_id=None)
    change(root / "tiny_train.json", 1, video_id=7)
    assert [item.group for item in tasks.get("tinyvirat").items(root)] == [TRAIN, "7", "cam-test"]


def test_a_short_clip_repeats_frames(tmp_path):
    root = tinyvirat(tmp_path, length=4)
    spread, first = (
        [numbers(item.load().inputs[0]) for item in tasks.get(name).items(root)][0]
        for name in ("tinyvirat", "colorization")
    )
    assert spread == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    assert first == [0, 1, 2, 3, 3, 3, 3, 3, 3, 3]


def test_labels_outside_the_26_are_in_the_notes(tmp_path):
    tinyvirat(
        tmp_path,
        {
            "train": [(f"{TRAIN}/0.mp4", ["wave_one_hand", "Talking"]), (f"{HELD}/1.mp4", ["Talking"])],
            "test": [("t/2.mp4", ["jumping"])],
        },
    )
    assert encoded("tinyvirat", tmp_path).manifest["notes"] == {
        "labels": 3,
        "labels that are not TinyVIRAT's": ["jumping", "wave_one_hand"],
    }
    assert len(set(LABELS)) == 26 and tasks.get("tinyvirat").notes(tinyvirat(tmp_path)) == {
        "labels": 4,
        "labels that are not TinyVIRAT's": [],
    }


def test_gray_is_luma():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    pixels[0, 0, :5] = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]
    found = to_gray(pixels)
    assert found.dtype == np.uint8 and found.shape == pixels.shape and (found == found[..., :1]).all()
    assert found[0, 0, :5, 0].tolist() == [76, 150, 29, 255, 0]
    exact = pixels.astype(int) @ [299, 587, 114]
    assert (abs(1000 * found[..., 0].astype(int) - exact) <= 500).all()  # the nearest whole number


def test_colorization_is_from_the_first_ten_frames_in_gray_to_the_same_in_color(tmp_path):
    root = tinyvirat(tmp_path, length=30)
    colored = numbered(30)
    colored[..., 0], colored[..., 2] = 255 - colored[..., 0], 200
    write_mp4(root / "videos/test/cam-test/000002.mp4", colored)
    example = items("colorization", root)["test"][0].load()
    [gray], [color] = example.inputs, example.outputs
    assert gray.frames.shape == color.frames.shape == (10, 64, 64, 3) and example.answer == ""
    assert (gray.frames == to_gray(color.frames)).all() and np.ptp(color.frames, axis=-1).mean() > 50
    assert numbers(Clip(color.frames[..., 1:2])) == list(range(10))
    assert (tasks.get("colorization").clip(root / "videos/test/cam-test/000002.mp4").frames == gray.frames).all()


# ---- CLEVRER ---------------------------------------------------------------------------------------------------------


def test_clevrer(tmp_path):
    root = clevrer(tmp_path, length=128)
    found = items("clevrer", root)
    assert len(found["train"] + found["validation"]) == 80 and len(found["test"]) == 2  # no multiple choice
    assert {item.source for item in found["test"]} == {"validation/video_10000.mp4:0", "validation/video_10001.mp4:0"}
    example = found["train"][1].load()
    assert numbers(example.inputs[0]) == [0, 32, 64, 96]
    assert (example.inputs[1:], example.outputs, example.answer) == ([Text("What is number 1?")], [Word("2")], "2")
    classes = tasks.get("clevrer").answer.classes
    assert list(classes) == encoded("clevrer", tmp_path).manifest["vocabulary"] and len(classes) == 21


def test_a_short_film_shows_its_last_frame(tmp_path):
    path = lay(tmp_path / "a.mp4", mp4(50))
    assert numbers(tasks.get("clevrer").clip(path)) == [0, 32, 49, 49]


@pytest.mark.parametrize("questions", ["questions/", ""])
@pytest.mark.parametrize("videos", ["video_{}", "{}", "videos/{}", ""])
def test_where_clevrers_archives_unpack(tmp_path, videos, questions):
    scenes = {
        "train": {0: descriptive("yes"), 9_999: descriptive("no")},
        "validation": {10_000: descriptive("yes"), 14_999: descriptive("cube")},
    }
    root = clevrer(tmp_path, scenes, videos, questions)
    assert [item.load().answer for item in tasks.get("clevrer").items(root)] == ["yes", "no", "yes", "cube"]
    assert len(tasks.get("clevrer").files(root)) == 6


def test_long_questions_lose_their_beginning(tmp_path):
    words = " ".join(f"word{i}" for i in range(20))
    described = [{"question_id": 0, "question": words, "answer": "yes"}]
    clevrer(tmp_path, {"train": {0: described, 1: descriptive("no")}, "validation": {10_000: described}})
    store = encoded("clevrer", tmp_path)
    row = store.metadata[store.metadata.source == "validation/video_10000.mp4:0"].iloc[0]
    assert row.n_in == 4 + 16 + 1 and row.n_out == 1 and row.n_truncated == 4 and row.question == words


# ---- TGIF-QA ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["dataset/", ""])
@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_tgifqa(tmp_path, folder, ends):
    root = tgifqa(tmp_path, folder=folder, ends=ends)
    found = items("tgifqa", root)
    assert {split: [item.group for item in there] for split, there in found.items()} == {
        "train": [TRAIN],
        "validation": [HELD],
        "test": ["tumblr_1", "tumblr_1", "sample_1"],
    }
    item = found["test"][0]
    assert item.source == "gifs/tumblr_1.gif:Test_frameqa_question.csv:2"
    example = item.load()
    assert numbers(example.inputs[0]) == [0, 2, 5, 7] and example.inputs[1:] == [Text("how many cats are there ?")]
    assert example.outputs == [Word("two")] and example.answer == "two"


@pytest.mark.parametrize(
    "name, questions",
    [
        (
            "clevrer",
            {
                "What color is the cube?": "colors",
                "What is the color of the last object to enter?": "colors",
                "What shape is it?": "shapes",
                "What is the material of it?": "materials",
                "How many objects of what color are there?": "counts",
                "Are there any red objects?": "yes or no",
                "Is it moving?": "yes or no",
            },
        ),
        (
            "tgifqa",
            {
                "what color is the shirt ?": "colors",
                "what is the color of the cat ?": "colors",
                "how many men are dancing ?": "counts",
                "where is the dog ?": "places",
                "what is the colorful bird eating ?": "things",
                "who waves ?": "things",
            },
        ),
    ],
)
def test_questions_are_scored_by_kind(name, questions):
    found = tasks.get(name).subsets(pd.DataFrame({"question": list(questions)}))
    assert sum(mask.astype(int) for mask in found.values()).tolist() == [1] * len(questions)  # each once
    assert {q: kind for kind, mask in found.items() for q, yes in zip(questions, mask) if yes} == questions


def test_missing_gifs_are_counted(tmp_path):
    tgifqa(tmp_path)
    manifest = encoded("tgifqa", tmp_path).manifest
    assert manifest["notes"] == {
        "Train: questions without their GIF": 1,
        "Test: questions without their GIF": 2,
        "Sample: questions without their GIF": 0,
    }
    assert manifest["unreadable"] == []
    assert manifest["vocabulary"] == ["bird", "cat", "dog", "owl", "two"]  # of all questions


def test_the_dataset_folder_comes_first(tmp_path):
    root = tgifqa(tmp_path)
    tgifqa(tmp_path, {"Train": [question("flat")]}, folder="")
    assert tasks.get("tgifqa").lists(root) == {
        name: root / f"dataset/{name}_frameqa_question.csv" for name in ("Train", "Test", "Sample")
    }


# ---- LaSOT -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flat", [False, True])
def test_lasot_in_either_layout(tmp_path, flat):
    root = lasot(tmp_path, flat=flat)
    found = items("lasot", root)
    place = {name: name if flat else f"{name.rpartition('-')[0]}/{name}" for names in TRACKS.values() for name in names}
    training = found["train"] + found["validation"]
    assert sorted(item.source for item in training) == sorted(
        f"{place[name]}:{start}" for name in TRACKS["training"] for start in (1, 16, 31)
    )
    assert [item.source for item in found["test"]] == [f"{place['cat-3']}:1"]  # the first clip alone
    assert {item.group for item in training} == set(TRACKS["training"])
    [clip] = next(item for item in training if item.source.endswith("cat-1:16")).load().inputs
    assert numbers(clip) == list(range(15, 35))


def test_the_target_is_boxed_in_the_first_input_frame_and_in_every_answer_frame(tmp_path):
    example = items("lasot", lasot(tmp_path))["test"][0].load()
    [clip], [boxed], answer = example.inputs, example.outputs, json.loads(example.answer)
    assert clip.frames is boxed.frames and clip.frames.shape == (20, 64, 64, 3)
    assert numbers(clip) == list(range(20))  # nothing is rendered on them yet
    assert answer == [[10 + i / 2, 10.0, 20.0, 30.0] for i in range(20)]  # 128 x 64 pixels are halved across
    inputs, outputs = pixels(clip), pixels(boxed)
    assert (iou(np.array([read_box(frame).box for frame in outputs]), np.array(answer)) > 0.97).all()
    assert (inputs[0] == outputs[0]).all() and [read_box(frame) for frame in inputs[1:]] == [None] * 19


def test_absent_targets_have_no_box_in_picture_and_answer(tmp_path):
    boxes = [BOX] * 20
    boxes[3:6] = (0, 0, 0, 0), (20, 10, 0, 30), (200, 10, 20, 20)  # without size, without width, outside
    folder = sequence(tmp_path / "cat-1", boxes, hidden=[7])
    lay(folder / "out_of_view.txt", ",".join(str(int(i == 9)) for i in range(20)) + "\n")
    example = LaSOT.example(folder, 0)
    absent = [3, 4, 5, 7, 9]
    assert [i for i, box in enumerate(json.loads(example.answer)) if box is None] == absent
    assert [i for i, frame in enumerate(pixels(example.outputs[0])) if read_box(frame) is None] == absent
    lay(folder / "full_occlusion.txt", "".join(f"{int(i == 7)}\n" for i in range(20)))  # as LaSOT's toolkit writes them
    assert LaSOT.example(folder, 0).answer == example.answer
    for name in ("full_occlusion", "out_of_view"):
        (folder / f"{name}.txt").unlink()
    assert [i for i, box in enumerate(json.loads(LaSOT.example(folder, 0).answer)) if box is None] == [3, 4, 5]


def test_no_clip_starts_where_the_target_is_absent(tmp_path, monkeypatch):
    folder = sequence(tmp_path / "cat-1", MOVING, hidden=[15])
    assert LaSOT().starts(folder) == [0, 30]
    monkeypatch.setattr(lasot_module, "CLIPS", 5)
    assert LaSOT().starts(folder) == [0, 8, 22, 30]


def test_a_short_sequence_shows_all_its_frames(tmp_path):
    folder = sequence(tmp_path / "cat-1", MOVING[:12])
    example = LaSOT.example(folder, 0)
    assert len(example.inputs[0].frames) == len(example.outputs[0].frames) == len(json.loads(example.answer)) == 12
    assert LaSOT().starts(folder) == [0] == LaSOT().starts(sequence(tmp_path / "cat-2", [BOX] * FRAMES))


@pytest.mark.parametrize(
    "box, cut",
    [((-20, 10, 60, 30), (0, 10, 20, 30)), ((100, 40, 60, 60), (50, 40, 14, 24)), ((-9, -9, 999, 999), (0, 0, 64, 64))],
)
def test_boxes_are_cut_at_the_edge_of_the_frame(tmp_path, box, cut):
    assert scale(box, 128, 64) == cut
    example = LaSOT.example(sequence(tmp_path / "cat-1", [box] * 20), 0)
    assert json.loads(example.answer) == [list(map(float, cut))] * 20
    frame = pixels(example.outputs[0])[0]
    x, y, w, h = cut
    inner = [(y, x + w // 2), (y + h - 1, x + w // 2), (y + h // 2, x), (y + h // 2, x + w - 1)]  # pixel of each line
    assert all(frame[row, column].tolist() == [255, 0, 0] for row, column in inner)


def test_a_box_of_your_own(tmp_path):
    path = lay(tmp_path / "street.mp4", mp4(25))  # 32 x 32 pixels
    clip = tasks.get("lasot").clip(path, (4, 8, 16, 20))
    assert clip.frames.shape == (20, 64, 64, 3) and numbers(clip) == list(range(20))
    frames = pixels(clip)
    assert iou(np.array([read_box(frames[0]).box]), np.array([(8, 16, 32, 40)])) > 0.97
    assert [read_box(frame) for frame in frames[1:]] == [None] * 19


# ---- files that cannot be used ---------------------------------------------------------------------------------------


def refused(name: str, data: Path) -> str:
    """What encoding says when it cannot; what was there stays as it was."""
    before = set((data / ".evlib").rglob("*"))
    with pytest.raises(EvlibError) as caught:
        encoded(name, data)
    sentence = str(caught.value)
    assert set((data / ".evlib").rglob("*")) == before
    assert sentence.startswith(str(data)) and "\n" not in sentence and len(sentence) < 700
    return sentence


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) * 9 // 10])


def change(file: Path, entry: int, **values) -> None:
    """Other values for an entry of a JSON list; None takes a key away."""
    content = json.loads(file.read_text())
    listed = content["tubes"] if isinstance(content, dict) else content
    listed[entry] = {key: value for key, value in {**listed[entry], **values}.items() if value is not None}
    file.write_text(json.dumps(content))


def text(content: bytes | str):
    return lambda path: lay(path, content)


def entry(number: int, **values):
    return lambda path: change(path, number, **values)


NO_LIST = 'tiny_train.json: expected a list of clips, or {"tubes": [...]}, found '
WRONG_CLIPS = [
    (text("{tubes"), "tiny_train.json: expected JSON, found something else"),
    (text(b"\xff\xfe["), "tiny_train.json: expected JSON, found something else"),
    (text(""), "tiny_train.json: the file is empty"),
    (text("[]"), f"{NO_LIST}[]"),
    (text("{}"), f"{NO_LIST}{{}}"),
    (text("7"), f"{NO_LIST}7"),
    (text("[7]"), "entry 0 needs a path and a list of labels, found 7"),
    (entry(1, path=None), "tiny_train.json: entry 1 needs a path and a list of labels, found {'id': '000001'"),
    (entry(0, label="Talking"), "entry 0 needs a path and a list of labels"),
    (entry(0, label=[]), "entry 0 needs a path and a list of labels"),
    (entry(1, label=["Talking", 5]), "entry 1 has a label that is no name: ['Talking', 5]"),
    (entry(0, label=["Push, Pull"]), "entry 0 has a label that is no name: ['Push, Pull']"),
    (entry(0, label=[" _"]), "entry 0 has a label that is no name: [' _']"),
    (entry(1, path="../../a.mp4"), "entry 1 names '../../a.mp4', which lies outside the data set"),
    (entry(1, path="/a.mp4"), "entry 1 names '/a.mp4', which lies outside the data set"),
    (lambda p: p.rename(p.with_name("tiny_train_v2.json")), "tiny_val_v2.json: expected a file of the official"),
]


@pytest.mark.parametrize("spoil, says", WRONG_CLIPS)
def test_lists_of_clips_that_are_wrong(tmp_path, spoil, says):
    spoil(tinyvirat(tmp_path) / "tiny_train.json")
    assert says in refused("tinyvirat", tmp_path)


WRONG_QUESTIONS = [
    (text("[]"), "train.json: expected a list of scenes, found []"),
    (text("{}"), "train.json: expected a list of scenes, found {}"),
    (text("[7]"), "train.json: scene 0 has no 'video_filename'"),
    (entry(3, questions=7), "train.json: scene 3 has no 'questions' of type list"),
    (entry(3, questions=[7]), "train.json: scene 3 has no 'question' of type str"),
    (entry(3, questions=[{"question": "Why?", "question_id": 0}]), "train.json: scene 3 has no 'answer'"),
    (entry(3, video_filename=12), "train.json: scene 3 has no 'video_filename' of type str"),
    (entry(3, video_filename="../a.mp4"), "video names such as video_00012.mp4 in the questions, found '../a.mp4'"),
]


@pytest.mark.parametrize("spoil, says", WRONG_QUESTIONS)
def test_questions_that_are_wrong(tmp_path, spoil, says):
    spoil(clevrer(tmp_path) / "questions/train.json")
    assert says in refused("clevrer", tmp_path)


MANY = {  # how 200 videos are written, and what is reported of one that is not there
    "tinyvirat": (
        lambda data: tinyvirat(
            data, {"train": [(f"cam/{i:05d}.mp4", ["Talking"]) for i in range(199)], "test": CLIPS["test"]}
        ),
        "videos/train/cam/{:05d}.mp4",
        "expected a video file or a folder of images, found none",
    ),
    "clevrer": (
        lambda data: clevrer(
            data,
            {"train": {i: descriptive("yes", "no") for i in range(199)}, "validation": {10_000: descriptive("no")}},
        ),
        "video_train/video_00000-01000/video_{:05d}.mp4",
        "questions ask about this video, but it is not there",
    ),
}


@pytest.mark.parametrize("name", MANY)
def test_up_to_one_percent_are_named_counted_and_left_out(tmp_path, name):
    write, file, missing = MANY[name]
    root, output = write(tmp_path), []
    gone, broken, third = (root / file.format(i) for i in (50, 100, 101))
    gone.unlink()
    cut(broken)
    store = encoded(name, tmp_path, log=output.append)
    named = [line for line in output if "left out" in line]  # once each, however many questions
    assert len(named) == 2 and f"left out: {gone}: {missing}" in named[0]
    assert f"left out: {broken}: expected a whole video file" in named[1]
    assert [Path(source).name for source in store.manifest["unreadable"]] == [gone.name, broken.name]
    assert store.manifest["sequences"] == len(store.metadata) == {"tinyvirat": 198, "clevrer": 2 * 197 + 1}[name]

    third.unlink()
    assert (
        f"{root}: 3 of 200 files cannot be read, more than 1%: fetch them again. The first: {gone}: {missing}"
        in refused(name, tmp_path)
    )


def test_a_gif_that_is_cut_short(tmp_path):
    root = tgifqa(tmp_path)
    cut(root / f"gifs/{TRAIN}.gif")
    sentence = refused("tgifqa", tmp_path)
    assert "1 of 4 files cannot be read, more than 1%: fetch them again. The first:" in sentence
    assert f"{root}/gifs/{TRAIN}.gif: expected a whole video file" in sentence


def lines(path: Path, number: int, text: str) -> None:
    """Another line `number`, counted from 1."""
    content = path.read_text().splitlines()
    lay(path, "\n".join([*content[: number - 1], text, *content[number:]]) + "\n")


GT, VIEW = "groundtruth.txt", "out_of_view.txt"
WRONG_SEQUENCE = [
    (
        lambda f: lines(f / GT, 7, "nan,1,2,3"),
        "groundtruth.txt:7: expected a box x,y,w,h in numbers, found 'nan,1,2,3'",
    ),
    (lambda f: lines(f / GT, 1, "1,2,3"), "groundtruth.txt:1: expected a box x,y,w,h in numbers, found '1,2,3'"),
    (lambda f: lay(f / GT, b"1,2,3,4\n" * 24 + b"1,2,3,\xff\xfe\n"), "groundtruth.txt:25: expected a box x,y,w,h"),
    (
        lambda f: (f / "img/00000011.jpg").unlink(),
        "expected as many images as boxes, found 24 images in img/ and 25 lines in",
    ),
    (
        lambda f: lay(f / "img/00000026.jpg", jpegs(128, 64)[0]),
        "found 26 images in img/ and 25 lines in groundtruth.txt",
    ),
    (lambda f: lay(f / "img/00000001.jpg", "text"), "00000001.jpg: expected a whole image file"),
    (lambda f: cut(f / "img/00000005.jpg"), "00000005.jpg: expected a whole image file"),
    (lambda f: shutil.rmtree(f) or lay(f / GT, ""), "groundtruth.txt: expected one box per line, found an empty file"),
    (lambda f: shutil.rmtree(f), "groundtruth.txt: expected the boxes of the sequence, found none"),
    (lambda f: lines(f / GT, 1, "0,0,0,0"), "the target is absent from frame 1, so no box can point at it"),
    (lambda f: lines(f / GT, 1, "-90,0,20,20"), "the target is absent from frame 1, so no box can point at it"),
    (
        lambda f: lay(f / "full_occlusion.txt", "0,1,x" + ",0" * 22),
        "full_occlusion.txt: expected 0 or 1 for each of the 25 boxes in groundtruth.txt, found 'x' for box 3.",
    ),
    (
        lambda f: lay(f / VIEW, ""),
        "out_of_view.txt: expected 0 or 1 for each of the 25 boxes in groundtruth.txt, found '' for box 1.",
    ),
    (
        lambda f: lay(f / VIEW, "0,0,1"),
        "out_of_view.txt: expected 0 or 1 for each of the 25 boxes in groundtruth.txt, found 3",
    ),
]


@pytest.mark.parametrize("spoil, says", WRONG_SEQUENCE)
def test_sequences_that_are_wrong(tmp_path, spoil, says):
    root = lasot(tmp_path, {"training": ["cat-1"], "testing": ["cat-3"]}, boxes=MOVING[:25])
    spoil(root / "cat/cat-3")
    sentence = refused("lasot", tmp_path)
    assert (
        "1 of 2 files cannot be read, more than 1%" in sentence
        and f"The first: {root}/cat" in sentence
        and "cat-3" in sentence
        and says in sentence
    )


@pytest.mark.parametrize(
    "line",
    [b"cat", b"cat-", b"cat-x", b"-3", b"../cat-3", b"..-3", b"cat/cat-3", b"\xff\xfec\0a\0t\0", b"<html> 404-1"],
)
def test_a_list_of_sequences_that_is_nonsense(tmp_path, line):
    lay(
        lasot(tmp_path, {"training": ["cat-1"], "testing": ["cat-3"]}, boxes=MOVING[:25]) / "testing_set.txt",
        b"cat-1\n" + line + b"\n",
    )
    assert "testing_set.txt:2: expected one sequence per line, such as airplane-1, found '" in refused(
        "lasot", tmp_path
    )


HEADER = "\t".join(COLUMNS)
WRONG_TABLE = {
    "commas": (HEADER.replace("\t", ",") + "\n", ":1: expected the tab-separated columns gif_name, question, answer"),
    "another table": ("index\tsentence\n", ":1: expected the tab-separated columns"),
    "empty": ("", ":1: expected the tab-separated columns"),
    "six fields": (
        f"{HEADER}\n{question('tumblr_1')}\n{question('tumblr_1').rpartition(chr(9))[0]}\n",
        ":3: expected 7 tab-separated fields with a GIF, a question and an answer, found 'tumblr_1",
    ),
    "eight fields": (f"{HEADER}\r\n{question('tumblr_1')}\tmore\r\n", ":2: expected 7 tab-separated fields"),
    "no answer": (
        f"{HEADER}\n{question('tumblr_1', answer=' ')}\n",
        ":2: expected 7 tab-separated fields with a GIF, a question and an answer",
    ),
    "elsewhere": (f"{HEADER}\n{question('../../tumblr_1')}\n", ":2: expected 7 tab-separated fields"),
    "latin-1": (
        f"{HEADER}\n{question('tumblr_1', 'what is a café ?')}\n".encode("latin-1"),
        f": expected text in UTF-8, found something else at byte {len(HEADER) + 1 + len('tumblr_1 what is a caf')}",
    ),
}


@pytest.mark.parametrize("content, says", WRONG_TABLE.values(), ids=WRONG_TABLE)
def test_tables_of_questions_that_are_wrong(tmp_path, content, says):
    path = lay(tgifqa(tmp_path) / "dataset/Test_frameqa_question.csv", content)
    assert f"{path}{says}" in refused("tgifqa", tmp_path)


def test_folders_without_their_lists(tmp_path):
    for folder in ("TinyVIRAT", "CLEVRER", "tgif-qa", "LaSOT"):
        (tmp_path / folder).mkdir()
    expected = {
        "tinyvirat": "tiny_train.json: expected a file of the official data set, found none",
        "clevrer": "train.json: expected a file",
        "tgifqa": "expected dataset/Train_frameqa_question.csv and its like, found none",
        "lasot": "training_set.txt: expected a file",
    }
    for name, says in expected.items():
        assert says in refused(name, tmp_path)


# ---- questions of one's own ------------------------------------------------------------------------------------------

VOCABULARIES = {"tinyvirat": ["vehicle_moving", "Talking"], "tgifqa": ["cat", "dog"]}  # others: the task's own


@pytest.fixture
def ask(command, make_run, tmp_path):
    """ask("clevrer", "--video", ...) -> exit status, standard output, standard error."""

    def predict(name, *words):
        return command("predict", make_run(name, VOCABULARIES.get(name)), *words, "--out", tmp_path / "strip.png")

    return predict


FILM, FOLDER = "street.mp4", "frames"
ANSWERED = {
    "tinyvirat": ["--video", FILM],
    "colorization": ["--video", FILM],
    "clevrer": ["--video", FILM, "--question", "What color is it?"],
    "tgifqa": ["--video", "cat.gif", "--question", "what is it ?"],
    "lasot": ["--video", FOLDER, "--box", "20,10,40,30"],
}


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """Things to ask about, in the current folder."""
    lay(tmp_path / FILM, mp4(25))
    sequence(tmp_path / "sequence", [BOX] * 20)
    (tmp_path / "sequence/img").rename(tmp_path / FOLDER)
    write_gif(tmp_path / "cat.gif", numbered(3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ANSWERED)
def test_a_video_is_answered(ask, files, name):
    status, output, complaint = ask(name, *ANSWERED[name])
    assert (status, complaint) == (0, "") and output.splitlines()[0].endswith(f"-> {files / 'strip.png'}")
    assert Pillow.open(files / "strip.png").height >= 64


@pytest.mark.parametrize("length, seen", [(40, 31), (3, 3)])  # 31, the separator and 31 are the 64 of max_frames
def test_a_tracker_generates_one_frame_per_frame_and_sees_no_more_than_it_has_room_for(make_run, length, seen):
    clip = Clip(numbered(length), [(10, 10, 30, 20), *[None] * (length - 1)])
    prediction = load(make_run("lasot")).predict(clip)
    assert len(prediction.frames) == seen and len(prediction.inputs) == seen + 1
    found = [read_box(frame) for frame in prediction.inputs[:-1]]
    assert iou(np.array([found[0].box]), np.array([(10, 10, 30, 20)])) > 0.97 and found[1:] == [None] * (seen - 1)


UNANSWERED = [  # what the command itself decides, and one example of what it passes on
    ("clevrer", ["--question", "What?"], "--question is about a video: name its file with --video."),
    ("clevrer", ["--video", FILM], "clevrer answers questions about a video: give both --video and --question."),
    ("tinyvirat", ["--video", FILM, "--question", "What?"], "tinyvirat answers no questions: leave out --question."),
    ("cifar10", ["--video", FILM], "cifar10 is not about videos: found street.mp4."),
    ("lasot", ["--box", "1,2,3,4"], "--box is about a video: name its file with --video."),
    ("lasot", ["--video", FILM, "--box", "the cat"], "The box 'the cat' is not one: expected four numbers x,y,w,h"),
    (
        "lasot",
        ["--video", FILM, "--box", "40,2,3,4"],
        "The box 40,2,3,4 has no part in the first frame of street.mp4, which is 32 x 32 pixels.",
    ),
    ("lasot", ["--video", FILM], "street.mp4: a tracker must be told what to follow: give the target's box"),
    ("tinyvirat", ["--video", "no.mp4"], "no.mp4: expected a video file or a folder of images, found none; check"),
]


@pytest.mark.parametrize("name, words, says", UNANSWERED)
def test_what_cannot_be_answered(ask, files, name, words, says):
    status, output, complaint = ask(name, *words)
    assert (status, output) == (2, "") and complaint.startswith(f"evlib: {says}") and complaint.count("\n") == 1
    assert not (files / "strip.png").exists()


# ---- real files ------------------------------------------------------------------------------------------------------


def only(root: Path, data: Path) -> Path:
    """A folder with this data set and no other."""
    (data / root.name).symlink_to(root)
    return data


def test_real_actions(official, tmp_path):
    store = encoded("tinyvirat", only(official("weizmann-actions"), tmp_path))
    table = store.metadata
    assert (
        len(table) == 36
        and store.manifest["unreadable"] == []
        and store.manifest["dataset"] == "weizmann-actions (in TinyVIRAT's layout)"
    )
    assert (
        set(table[table.split == "test"].group) == {"actor_6", "actor_7", "actor_8"}
        and (table.groupby("group").split.nunique() == 1).all()
    )
    assert set(table.split) == {"train", "validation", "test"} and Counter(table.answer) == {
        label: 9 for label in store.manifest["vocabulary"]
    }
    assert len(store.manifest["vocabulary"]) == 4 == len(store.manifest["notes"]["labels that are not TinyVIRAT's"])
    assert (table.n_in == 11).all()


def test_a_real_clip_of_tinyvirat(official):
    path = official("tinyvirat-clip") / "000000.mp4"
    with av.open(str(path)) as file:
        whole = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(whole) == 96 and whole[0].shape == (34, 34, 3)
    for name, chosen in (("tinyvirat", [i * 96 // 10 for i in range(10)]), ("colorization", range(10))):
        expected = np.stack([image_frame(whole[i]) for i in chosen])
        assert (tasks.get(name).clip(path).frames == (to_gray(expected) if name == "colorization" else expected)).all()


def test_real_tracks(official, tmp_path, monkeypatch):
    monkeypatch.setattr(lasot_module, "CLIPS", 1)  # further clips would overlap it: 24 frames each
    data = only(official("tracking"), tmp_path)
    store = encode(LaSOT(), data, log=lambda line: None)
    table = store.metadata
    assert len(table) == table.group.nunique() == 88 and store.manifest["unreadable"] == []
    assert (table.groupby("group").split.nunique() == 1).all()
    boxes = [box for answer in table.answer for box in json.loads(answer)]
    assert len(boxes) == FRAMES * len(table) and all(json.loads(answer)[0] for answer in table.answer)
    x, y, w, h = np.array([box for box in boxes if box]).T
    assert min(x.min(), y.min()) >= 0 and min(w.min(), h.min()) > 0
    assert max((x + w).max(), (y + h).max()) <= 64.01  # rounded to 0.01


def test_real_gifs(official, tmp_path):
    store = encoded("tgifqa", only(official("tgif-qa"), tmp_path))
    assert store.metadata[["split", "question", "answer"]].values.tolist() == [
        ["test", "what are the group of boys singing , dancing , and playing ?", "instruments"],
        ["test", "what is the color of the shirt ?", "white"],
    ]
    assert store.manifest["notes"] == {
        "Test: questions without their GIF": 13_691,
        "Sample: questions without their GIF": 0,
    }
