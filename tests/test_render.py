"""Frames: pixel for pixel as they were when the networks were trained."""

import hashlib
import string
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from evlib.frames import render as renderer
from evlib.frames.boxes import render_box
from evlib.frames.parts import Audio, Clip, Example, Image, Text
from evlib.frames.render import (
    blank,
    fingerprint,
    font_file,
    keyed,
    render,
    render_example,
    separator,
    tokenize,
    word_frame,
)
from evlib.utils.errors import EvlibError


def sha(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


# ---- golden frames ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "word, golden",
    [
        ("positive", "33d119089ca676aa22cf74d1c4b5b9361b80dcb846080e9e13a7428de70e25c0"),
        ("a", "75194e1d74757c7a908570b84425bfed78116a11b105f491a6050eeb92aa9b32"),
        ("|", "ae0fd26268205e5578cca09c1467d01facf70d655c4f624744cc360769ba164f"),
        ("specialized", "7f2a69050b34961a5b3e37a2f79c3279a75968880b5f41e2eceb699e2a176964"),
        ("", "f3cc103136423a57975750907ebc1d367e2985ac6338976d4d5a439f50323f4a"),
    ],
)
def test_word_frames_never_change(word, golden):
    frame = word_frame(word)
    assert (frame.dtype, frame.shape) == (np.uint8, (64, 64, 3))
    assert sha(frame) == golden


def test_image_frame_never_changes():
    picture = (np.arange(32 * 32 * 3).reshape(32, 32, 3) * 7 % 256).astype(np.uint8)
    [frame] = render(Image(picture))
    assert sha(frame.pixels) == "651e171ef90e72023a0b9f0d47d6fe0a7bd34784cfee5dcb93d91cd06468639b"


def test_font_is_the_one_the_networks_know(monkeypatch):
    golden = "602ec86b8948cfcd956482fe64f94c36c867770149ef2f791d4613f443bcecb3"
    assert hashlib.sha256(font_file().read_bytes()).hexdigest() == golden
    monkeypatch.setattr(renderer, "FONT_SHA256", "0" * 64)
    with pytest.raises(EvlibError, match="DejaVuSansMono.ttf is another version of the font.*environment.yml"):
        font_file.__wrapped__()


def test_fingerprint_names_how_frames_look(monkeypatch):
    assert fingerprint() == "19af8f000c54"
    for setting, value in (("INK", 254), ("OVERLAY", ((254, 0, 0), 2, 1, "mixed")), ("SPECTROGRAM", ())):
        with monkeypatch.context() as patch:
            patch.setattr(renderer, setting, value)
            assert fingerprint.__wrapped__() != "19af8f000c54"


# ---- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, words",
    [
        ("it 's a charming journey .", ["it", "'", "s", "a", "charming", "journey", "."]),
        ("top-notch", ["top", "-", "notch"]),
        ("warm, bright,and funny", ["warm", ",", "bright", ",", "and", "funny"]),
        ("don't!", ["don", "'", "t", "!"]),
        ("What is the shape of the object?", ["What", "is", "the", "shape", "of", "the", "object", "?"]),
        ("naïve 3.5", ["naïve", "3", ".", "5"]),
        (" \t\n ", []),
    ],
)
def test_tokenize(text, words):
    assert tokenize(text) == words


@pytest.mark.parametrize("length", range(1, 17))
def test_words_lie_inside_the_frame_and_fill_it(length):
    font = renderer._font(length)
    assert font.getlength("0" * length) <= 64
    if font.size < renderer.TALLEST:  # a quarter of a pixel more would not fit
        assert font.font_variant(size=font.size + 0.25).getlength("0" * length) > 64
    canvas = Pillow.new("L", (128, 128))  # with room around, nothing more is to be seen
    for letter in string.ascii_letters + string.digits:
        word = letter * length
        canvas.paste(0, (0, 0, 128, 128))
        ImageDraw.Draw(canvas).text((64, 64), word, fill=255, font=font, anchor="mm")
        wide = np.asarray(canvas).astype(int)
        assert (wide[32:96, 32:96] == word_frame(word)[..., 0]).all()
        assert wide.sum() - wide[32:96, 32:96].sum() < 255  # less than one pixel of ink at the edge of a "w"


def test_longer_words_are_rendered_smaller_but_rendered():
    heights = [np.ptp(np.nonzero(word_frame("x" * n).any(axis=(1, 2)))[0]) + 1 for n in (1, 2, 4, 8, 16, 32)]
    assert heights == sorted(heights, reverse=True) and heights[0] > 25 and heights[-1] >= 1


def test_a_character_the_font_lacks_is_named():
    with pytest.raises(EvlibError, match="no glyph for '中' .U.4E2D. in '中文'"):
        word_frame("中文")


@pytest.mark.parametrize("form, plain", [("ﬆop", "stop"), ("Ａ", "A"), ("①", "1"), ("Ⅻ", "XII")])
def test_a_compatibility_form_is_rendered_plain(form, plain):
    assert (word_frame(form) == word_frame(plain)).all()


def test_a_ligature_is_rendered():
    assert word_frame("ﬁlm").max() == 255


def test_word_frames_are_shared_and_so_read_only():
    assert word_frame("shared") is word_frame("shared")
    with pytest.raises(ValueError, match="read-only"):
        word_frame("shared")[0] = 1


# ---- examples --------------------------------------------------------------------------------------------------------


def test_render_puts_the_separator_last_among_the_inputs():
    rendered = render_example(Example([Text("a charming journey")], [Text("positive")]))
    assert [frame.key for frame in rendered.inputs] == ["a", "charming", "journey", "|"]
    assert [frame.key for frame in rendered.outputs] == ["positive"]
    assert rendered.n_truncated == 0
    assert (rendered.inputs[-1].pixels == separator().pixels).all() and not blank().pixels.any()


def test_over_long_text_loses_its_first_words():
    words = [f"w{i}" for i in range(27)]
    rendered = render_example(Example([Text(" ".join(words))], [Text("positive")]), max_inputs=20)
    assert [frame.key for frame in rendered.inputs] == [*words[7:], "|"]
    assert rendered.n_truncated == 7
    assert render_example(Example([Text(" ".join(words[:20]))], []), max_inputs=20).n_truncated == 0


def test_only_text_is_truncated():
    clip = Clip(np.zeros((4, 8, 8, 3), np.uint8))
    rendered = render_example(Example([clip, Text("what color is it ?")], []), max_inputs=6)
    assert [frame.key for frame in rendered.inputs[4:]] == ["it", "?", "|"] and rendered.n_truncated == 3
    rendered = render_example(Example([clip, Text("what color")], []), max_inputs=2)
    assert len(rendered.inputs) == 5 and rendered.n_truncated == 2


def test_a_clip_is_one_frame_per_frame_and_a_sound_is_one_frame():
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    assert [f.pixels.shape for f in render(Clip(frames))] == [(64, 64, 3)] * 3
    [sound] = render(Audio(np.sin(np.arange(4000) / 3).astype(np.float32), 8000))
    assert (sound.pixels[..., 0] == sound.pixels[..., 2]).all() and sound.pixels.max() == 255


def test_boxes_are_rendered_on_the_frames_of_a_clip():
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    plain, box = render(Clip(frames)), (10, 20, 30, 12)
    boxed = render(Clip(frames, [box, None, box]))
    assert (boxed[0].pixels == render_box(plain[0].pixels, box)).all()  # in pixels of the frame: resized first
    assert boxed[0].pixels[20, 25].tolist() == [255, 0, 0] and boxed[0].key != plain[0].key
    assert boxed[1].key == plain[1].key and (boxed[1].pixels == plain[1].pixels).all()
    assert boxed[2].key == keyed(render_box(plain[2].pixels, box)).key


def test_a_box_frame_never_changes():
    picture = (np.arange(32 * 32 * 3).reshape(32, 32, 3) * 7 % 256).astype(np.uint8)
    [frame] = render(Clip(picture[None], [(20.5, 12, 17.25, 24)]))
    assert sha(frame.pixels) == "f0fea8be3db086c73025f5e9a0046695d69148d1da6b2dbd7890140d0ab0c19b"


@pytest.mark.parametrize("boxes", [[], [None], [None] * 3])
def test_boxes_that_are_not_one_per_frame_are_refused(boxes):
    with pytest.raises(EvlibError, match=f"boxes must be one per frame.*found {len(boxes)} for 2 frames"):
        render(Clip(np.zeros((2, 8, 8, 3), np.uint8), boxes))


def test_equal_keys_mean_equal_pixels():
    one, two = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    assert keyed(one).key == keyed(two).key
    two[5, 5, 1] = 1
    assert keyed(one).key != keyed(two).key
    assert keyed(one).key != blank().key  # an image is never taken for a word


def test_a_new_modality_registers_its_own_render_function():
    @dataclass(frozen=True)
    class Color:
        rgb: tuple[int, int, int]

    with pytest.raises(EvlibError, match="No way to render a Color.*render.register"):
        render_example(Example([Color((255, 0, 0))], []))

    @render.register
    def _(part: Color):
        return [keyed(np.full((64, 64, 3), part.rgb, np.uint8))]

    rendered = render_example(Example([Color((255, 0, 0)), Text("which ?")], [Text("red")]))
    assert len(rendered.inputs) == 4 and rendered.inputs[0].pixels[10, 10].tolist() == [255, 0, 0]
