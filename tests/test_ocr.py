"""What is drawn can be read: Tesseract, the matching to the vocabulary, and the template reader."""

import csv
import os
import subprocess

import numpy as np
import pytesseract
import pytest
from PIL import Image as Pillow
from PIL import ImageFilter

from evlib.data import tasks
from evlib.data.tasks.tinyvirat import LABELS
from evlib.frames.render import blank, word_frame
from evlib.scoring.ocr import BORDER, HEIGHT, TemplateReader, nearest_word, prepare, read_words, require_tesseract
from evlib.utils.errors import EvlibError

CLASSES = [word for task in tasks.TASKS.values() for word in getattr(task.answer, "classes", ())]
VOCABULARY = sorted({*" ".join(LABELS).replace("_", " ").split(), *CLASSES})


def frames_of(words: list[str]) -> np.ndarray:
    return np.stack([word_frame(word) for word in words])


def share(read: list[str], true: list[str]) -> float:
    return float(np.mean([a == b for a, b in zip(read, true, strict=True)]))


def check_readers(words: list[str]) -> None:
    frames = frames_of(words)
    read = read_words(frames)
    assert share(read, words) >= 0.98
    assert share([nearest_word(word, words) for word in read], words) >= 0.995
    assert TemplateReader(words).read(frames) == words


# ---- clean frames ----------------------------------------------------------------------------------------------------


def test_every_answer_of_our_tasks_is_read():
    assert len(VOCABULARY) == 76
    check_readers(VOCABULARY)


def test_the_answers_of_a_large_open_vocabulary_are_read(official):
    with open(official("tgif-qa/Test_frameqa_question.csv"), encoding="utf-8", newline="") as file:
        answers = {row["answer"] for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    assert len(answers) == 933
    check_readers(sorted({*VOCABULARY, *answers}))


def test_many_frames_keep_their_order():
    words = [("frog", "", "truck", "", "", "seven")[i % 6] if i % 7 else "" for i in range(600)]
    assert 250 < sum(map(bool, words)) < 260  # two calls, and blank frames in between
    assert read_words(frames_of(words)) == words


def test_no_frames_and_only_blank_frames():
    assert read_words(np.zeros((0, 64, 64, 3), np.uint8)) == []
    assert read_words(
        np.stack([blank().pixels, np.full((64, 64, 3), 255, np.uint8), np.full((64, 64, 3), 128, np.uint8)])
    ) == ["", "", ""]


def test_faint_marks_are_not_read():
    assert prepare((word_frame("frog") * 0.2).astype(np.uint8)) is None
    assert prepare(word_frame("frog")).height == HEIGHT + 2 * BORDER


# ---- frames as a network draws them ----------------------------------------------------------------------------------


def worse(word: str, how: str) -> np.ndarray:
    frame, rng = word_frame(word), np.random.default_rng(0)
    if how == "blurred":
        return np.asarray(Pillow.fromarray(frame).filter(ImageFilter.GaussianBlur(0.7)))
    if how == "noisy":
        return np.clip(frame + rng.normal(0, 12, frame.shape), 0, 255).astype(np.uint8)
    if how == "pale":
        return (frame * 0.55 + 30).astype(np.uint8)
    return 255 - frame  # black on white


@pytest.mark.parametrize("how", ["blurred", "noisy", "pale", "inverted"])
def test_imperfect_frames_are_read(how):
    words = [word for name in ("sst2", "cifar10", "fsdd") for word in tasks.get(name).answer.classes]
    frames = np.stack([worse(word, how) for word in words])
    assert share([nearest_word(word, words) for word in read_words(frames)], words) >= 0.95
    if how != "inverted":
        assert TemplateReader(words).read(frames) == words


# ---- matching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read, known, nearest",
    [
        ("positve", ["negative", "positive"], "positive"),
        ("FROG", ["dog", "frog"], "frog"),
        ("C", ["a", "c"], "c"),
        ("talking", ["Talking", "talking"], "talking"),
        ("Talking", ["talking", "Talking"], "Talking"),
        ("", ["negative", "positive"], ""),
        ("aut0mobi1e", ["airplane", "automobile"], "automobile"),
    ],
)
def test_nearest_word(read, known, nearest):
    assert nearest_word(read, known) == nearest


def test_template_distances_are_mean_squared_errors():
    words = ["cat", "dog", "frog"]
    noisy = frames_of(["dog"]).astype(int)
    noisy[0, :32] += np.where(noisy[0, :32] > 100, -10, 10)
    distances = TemplateReader(words).distances(noisy.astype(np.uint8))
    gray = frames_of(words).astype(float).mean(axis=3)
    expected = ((noisy.mean(axis=3) - gray) ** 2).mean(axis=(1, 2))
    assert distances.shape == (1, 3) and np.allclose(distances[0].numpy(), expected, rtol=1e-3)


def test_a_whole_test_set_is_compared_in_chunks(largest_tensor):
    words, rng = ["cat", "dog", "frog", "ship"], np.random.default_rng(0)
    drawn = rng.integers(len(words), size=1100)
    frames = np.clip(frames_of(words)[drawn] + rng.normal(0, 150, (1100, 64, 64, 1)), 0, 255).astype(np.uint8)
    reader = TemplateReader(words)
    at_once = reader.distances(frames).argmin(dim=1).tolist()
    with largest_tensor() as largest:
        assert reader.read(frames) == [words[i] for i in at_once]
    assert largest() == 4 * 256 * frames[0].nbytes and np.mean(at_once == drawn) > 0.9 and reader.read(frames[:0]) == []


# ---- without Tesseract -----------------------------------------------------------------------------------------------


def test_without_tesseract_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(pytesseract.pytesseract, "tesseract_cmd", "/nowhere/tesseract")
    require_tesseract.cache_clear()  # a failure is not remembered
    with pytest.raises(EvlibError, match="Tesseract is not installed.*apt-get install tesseract-ocr"):
        read_words(frames_of(["frog"]))


def test_without_its_english_data_a_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    with pytest.raises(EvlibError, match="Tesseract cannot read: .*eng.*tesseract-ocr-eng"):
        read_words(frames_of(["frog"]))


def test_only_tesseracts_own_processes_are_limited_to_one_thread(monkeypatch):
    """Else everything after the first reading would compute on one thread."""
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    limits, usual = [], subprocess.Popen

    def popen(*args, **settings):
        limits.append(settings["env"].get("OMP_THREAD_LIMIT"))
        return usual(*args, **settings)

    monkeypatch.setattr(pytesseract.pytesseract.subprocess, "Popen", popen)
    assert read_words(frames_of(["frog"])) == ["frog"]
    assert limits and set(limits) == {"1"} and "OMP_THREAD_LIMIT" not in os.environ


@pytest.mark.parametrize("answer", ["frog", "frog\fcat\fdog"])
def test_another_number_of_pages_than_was_given_is_an_error(monkeypatch, answer):
    monkeypatch.setattr(pytesseract, "image_to_string", lambda *args, **settings: answer)
    with pytest.raises(EvlibError, match=r"0\.tiff: Tesseract was given 2 pages and answered [134]"):
        read_words(frames_of(["frog", "cat"]))
