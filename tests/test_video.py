"""Videos of every kind become exactly the frames that are asked for. Frame i is a gray for each digit of i."""

import struct
import wave
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from evlib.frames import video
from evlib.frames.video import at, count_frames, first, read_video, spread
from evlib.synthetic.video_writer import write_gif, write_mp4
from evlib.utils.errors import EvlibError, UnreadableFile


def plain(count: int, height: int = 32, width: int = 32) -> np.ndarray:
    """Frames that say their number: tens on the left, units on the right."""
    tens, units = np.divmod(np.arange(count), 10)
    frames = np.empty((count, height, width, 3), np.uint8)
    frames[:, :, : width // 2], frames[:, :, width // 2 :] = (
        20 + 22 * digit[:, None, None, None] for digit in (tens, units)
    )
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """Which frames these are, read off their grays."""
    edge = max(frames.shape[2] // 4, 1)
    tens, units = (
        np.round((half.mean(axis=(1, 2, 3)) - 20) / 22).astype(int)
        for half in (frames[:, :, :edge], frames[:, :, -edge:])
    )
    return (10 * tens + units).tolist()


def film(
    path: Path, frames=None, codec: str = "libx264", pix_fmt: str = "yuv420p", times=None, container=None, **options
) -> Path:
    """`times` are the milliseconds at which the frames are shown."""
    frames = plain(100) if frames is None else frames
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25, options={"threads": "1", **options})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pix_fmt
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def all_frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


@pytest.fixture
def decoded(monkeypatch) -> list:
    """Every frame that is decoded, noted."""
    seen, frames = [], video._frames
    monkeypatch.setattr(video, "_frames", lambda *args: (seen.append(frame.pts) or frame for frame in frames(*args)))
    return seen


# ---- which frames ----------------------------------------------------------------------------------------------------


def test_choices():
    assert spread(4)(128) == [0, 32, 64, 96]
    assert spread(5)(3) == [0, 0, 1, 1, 2]
    assert first(3)(100) == [0, 1, 2] and first(4)(2) == [0, 1, 1, 1]
    assert at(0, 7, 7, 90)(8) == [0, 7, 7, 7]


@pytest.mark.parametrize("choose", [lambda n: [n], spread(0), first(-1), at(), at(-1), at(1, 0)])
def test_a_choice_outside_the_file_is_refused(tmp_path, choose):
    write_gif(tmp_path / "a.gif", plain(3))
    with pytest.raises(EvlibError, match="a.gif: expected a choice of ascending frame numbers from 0 to 2"):
        read_video(tmp_path / "a.gif", choose)


# ---- films -----------------------------------------------------------------------------------------------------------

KINDS = {
    "a.mp4": "mpeg4",
    "b.mp4": "libx264",
    "a.avi": "mpeg4",
    "b.avi": "libx264",
    "a.mkv": "libx264",
    "a.mov": "libx264",
    "a.ts": "libx264",
    "a.mpg": "mpeg1video",
    "a.mpeg": "mpeg2video",
    "a.m2v": "mpeg2video",
    "a.webm": "libvpx",
    "a.flv": "flv",
    "a.wmv": "wmv2",
}


@pytest.mark.parametrize("name", KINDS)
def test_every_container_gives_its_frames(tmp_path, name):
    path = film(tmp_path / name, codec=KINDS[name], **({"bf": "2"} if KINDS[name] in ("libx264", "mpeg2video") else {}))
    assert count_frames(path) == 100
    frames = read_video(path, spread(10))
    assert (frames.dtype, frames.shape) == (np.uint8, (10, 64, 64, 3))
    assert numbers(frames) == list(range(0, 100, 10))
    assert numbers(read_video(path, at(3, 3, 98, 500), size=None)) == [3, 3, 98, 99]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize(
    "options",
    [
        {"bf": "3", "g": "12"},
        {"bf": "3", "g": "25", "x264-params": "open-gop=1:b-adapt=0"},
        {"g": "1"},
        {"g": "20", "x264-params": "intra-refresh=1"},
    ],
)
def test_jumping_to_key_frames_is_exact(tmp_path, name, options, decoded):
    noise = np.random.default_rng(0).integers(-15, 16, (32, 32, 1))
    path = film(tmp_path / name, np.clip(plain(100) + noise, 0, 255).astype(np.uint8), **options)
    whole = all_frames(path)
    for i in (0, 11, 12, 13, 49, 50, 74, 75, 98, 99):
        assert (read_video(path, at(i), size=None)[0] == whole[i]).all()
    indices = [5, 30, 31, 62, 99]
    assert (read_video(path, at(*indices), size=None) == np.stack([whole[i] for i in indices])).all()
    if "g" in options and "x264-params" not in options:
        decoded.clear()
        read_video(path, at(99))
        assert len(decoded) < 20


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_are_counted_where_the_rate_varies(tmp_path, name):
    times = np.cumsum(np.random.default_rng(0).integers(7, 300, 100)).tolist()
    path = film(tmp_path / name, times=times, bf="3", g="12")
    assert count_frames(path) == 100
    assert numbers(read_video(path, spread(10))) == list(range(0, 100, 10))
    assert numbers(read_video(path, at(97, 98, 99))) == [97, 98, 99]


def test_a_jump_that_misses_is_mended(tmp_path, monkeypatch):
    path, jump = film(tmp_path / "a.mp4", g="12"), video._Film.__init__

    def shifted(self, path):
        jump(self, path)
        self.times = [time + 12 * 40 * 16 for time in self.times]  # seeks one group too far

    monkeypatch.setattr(video._Film, "__init__", shifted)
    assert numbers(read_video(path, at(2, 40, 80))) == [2, 40, 80]


@pytest.mark.parametrize(
    "codec, pix_fmt",
    [
        ("libx264", "yuv420p10le"),
        ("libx264", "yuv444p"),
        ("ffv1", "gray"),
        ("ffv1", "gray10le"),
        ("prores_ks", "yuv422p10le"),
        ("mjpeg", "yuvj420p"),
    ],
)
def test_depths_and_samplings(tmp_path, codec, pix_fmt):
    path = film(tmp_path / "a.mkv", plain(12), codec, pix_fmt)
    assert numbers(read_video(path, first(20))) == [min(i, 11) for i in range(20)]


@pytest.mark.parametrize("height, width", [(2, 2), (3, 5), (1, 7), (33, 31), (240, 6)])
def test_odd_sizes(tmp_path, height, width):
    path = film(tmp_path / "a.mkv", plain(5, height, width), "ffv1", "yuv444p")
    assert read_video(path, at(0), size=None).shape == (1, height, width, 3)
    assert read_video(path, at(0), size=20).shape == (1, 20, 20, 3)
    assert numbers(read_video(path, first(5))) == [0, 1, 2, 3, 4]


def test_a_film_of_one_frame(tmp_path):
    write_mp4(tmp_path / "one.mp4", plain(1))
    assert count_frames(tmp_path / "one.mp4") == 1
    assert numbers(read_video(tmp_path / "one.mp4", spread(3))) == [0, 0, 0]


def test_colors_and_positions_are_right(tmp_path):
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :32, 0], picture[16:, 32:, 2] = 255, 255  # red left, blue at the bottom right
    frame = read_video(film(tmp_path / "a.mkv", np.stack([picture] * 3), "ffv1", "bgr0"), at(1))[0]
    assert frame[:, 8].tolist() == [[255, 0, 0]] * 64
    assert frame[56, 56].tolist() == [0, 0, 255] and frame[8, 56].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "matrix, turned", [((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2), ((1, 0, 0, 1), 0)]
)
def test_the_film_of_a_turned_phone_stands_upright(tmp_path, matrix, turned):
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:16, :32] = 255
    path = tmp_path / "phone.mp4"
    write_mp4(path, np.stack([picture] * 4))
    data = bytearray(path.read_bytes())
    a, b, c, d = matrix  # x' = a x + c y, y' = b x + d y, with y downwards
    position = data.index(b"tkhd") + 4 + 40
    data[position : position + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    frame = read_video(path, at(2), size=None)[0]
    assert np.abs(frame.astype(int) - np.rot90(picture, turned)).mean() < 6


def test_what_an_edit_list_cuts_away_is_not_counted(tmp_path):
    """Trimming a film on a phone leaves its first frames in the file, and a note not to show them."""
    path = film(
        tmp_path / "trimmed.mp4",
        bf="0",
        g="50",
        container={"use_editlist": "1"},
        times=[40 * i + 400 for i in range(100)],
    )
    data = bytearray(path.read_bytes())
    position = data.index(b"elst") + 8
    entries = struct.unpack(">I", data[position : position + 4])[0]
    duration, start, _ = struct.unpack(">IiI", data[position + 12 * entries - 8 : position + 12 * entries + 4])
    step = struct.unpack(">I", data[(mdhd := data.index(b"mdhd") + 16) : mdhd + 4])[0] * 40 // 1000
    struct.pack_into(">Ii", data, position + 12 * entries - 8, duration - 30 * 40, start + 30 * step)
    for position in (data.index(b"mvhd") + 20, data.index(b"tkhd") + 24):  # how long it is, in milliseconds
        struct.pack_into(">I", data, position, duration - 30 * 40)
    path.write_bytes(data)
    whole = all_frames(path)
    assert 60 < len(whole) < 75 and count_frames(path) == len(whole)
    for i in (0, 19, 20, 21, 60):
        assert (read_video(path, at(i), size=None)[0] == whole[i]).all()


def test_many_threads_read_at_once(tmp_path):
    path = film(tmp_path / "a.mp4", g="12")
    with ThreadPoolExecutor(4) as pool:
        assert all(
            numbers(frames) == [0, 25, 50, 75] for frames in pool.map(lambda _: read_video(path, spread(4)), range(12))
        )


# ---- animations and folders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.apng", "a.mp4"])
def test_animations(tmp_path, name):
    opening, *others = (Pillow.fromarray(pixels) for pixels in plain(12, 20, 30))
    kind = {"a.webp": "WEBP", "a.mp4": "GIF", "a.gif": "GIF"}.get(name, "PNG")
    opening.save(tmp_path / name, format=kind, save_all=True, append_images=others)
    assert count_frames(tmp_path / name) == 12  # the content tells what a file is, not its name
    assert numbers(read_video(tmp_path / name, at(0, 5, 11, 30))) == [0, 5, 11, 11]
    assert read_video(tmp_path / name, spread(3), size=None).shape == (3, 20, 30, 3)


def gif(path: Path, disposal: int) -> Path:
    """A red square on transparent ground, a blue one elsewhere, then a green one; each frame holds its square only."""
    palette = bytes((255, 255, 0)) + bytes((255, 0, 0)) + bytes((0, 0, 255)) + bytes((0, 255, 0))
    blocks = [b"GIF89a", struct.pack("<HHBBB", 4, 4, 0b10000001, 0, 0), palette]
    for position, color in ((0, 1), (1, 2), (2, 3)):
        codes = [4, *[code for _ in range(4) for code in (color, 4)], 5]  # LZW of 3 bits, cleared before it grows
        bits = sum(code << 3 * i for i, code in enumerate(codes))
        body = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
        blocks += [
            b"!\xf9\x04",
            struct.pack("<BHB", disposal << 2 | 1, 10, 0),
            b"\0",
            b",",
            struct.pack("<HHHHB", position, position, 2, 2, 0),
            b"\x02",
            bytes([len(body)]),
            body,
            b"\0",
        ]
    path.write_bytes(b"".join(blocks) + b";")
    return path


@pytest.mark.parametrize(
    "disposal, seen", [(1, [(0, "red"), (1, "blue"), (2, "green")]), (2, [(2, "green")]), (3, [(2, "green")])]
)
def test_partial_frames_of_a_gif(tmp_path, disposal, seen):
    """Kept, cleared, or what was before: in all cases white where nothing is."""
    expected = Pillow.new("RGB", (4, 4), "white")
    for position, color in seen:
        rgb = {"red": (255, 0, 0), "blue": (0, 0, 255), "green": (0, 255, 0)}[color]
        expected.paste(rgb, (position, position, position + 2, position + 2))
    assert (read_video(gif(tmp_path / "a.gif", disposal), at(2), size=None)[0] == np.asarray(expected)).all()


def test_a_gif_of_one_frame_is_a_clip(tmp_path):
    write_gif(tmp_path / "one.gif", plain(1))
    assert numbers(read_video(tmp_path / "one.gif", spread(4))) == [0, 0, 0, 0]


def test_a_gif_may_lack_its_trailer_only(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), dtype=np.uint8)
    write_gif(tmp_path / "whole.gif", noise)
    data = (tmp_path / "whole.gif").read_bytes()
    (tmp_path / "open.gif").write_bytes(data[:-1])
    assert (read_video(tmp_path / "open.gif", first(8)) == read_video(tmp_path / "whole.gif", first(8))).all()
    (tmp_path / "cut.gif").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableFile, match="cut.gif: expected a whole video file"):
        read_video(tmp_path / "cut.gif", at(0))


def test_the_still_picture_before_an_apng_is_no_frame(tmp_path):
    pictures = [Pillow.fromarray(pixels) for pixels in plain(4)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], default_image=True)
    assert count_frames(tmp_path / "a.png") == 3
    assert numbers(read_video(tmp_path / "a.png", first(3))) == [1, 2, 3]


def test_a_folder_of_images_in_the_order_people_count(tmp_path):
    for i, pixels in enumerate(plain(12, 10, 14), 1):
        Pillow.fromarray(pixels).save(tmp_path / f"img{i}.{'jpg' if i % 2 else 'PNG'}")
    (tmp_path / "groundtruth.txt").write_text("1,2,3,4\n")
    (tmp_path / "._img1.jpg").write_bytes(b"what another system left")
    assert count_frames(tmp_path) == 12
    assert numbers(read_video(tmp_path, first(12))) == list(range(12))
    (tmp_path / "img3.jpg").write_bytes(b"no picture")
    assert numbers(read_video(tmp_path, at(0, 1, 3))) == [0, 1, 3]  # only chosen images are opened
    with pytest.raises(UnreadableFile, match="img3.jpg: expected a whole image file"):
        read_video(tmp_path, at(2))


def test_images_of_several_sizes_need_one(tmp_path):
    for i, size in enumerate((10, 12)):
        Pillow.fromarray(plain(1, size, size)[0]).save(tmp_path / f"{i}.png")
    assert read_video(tmp_path, first(2)).shape == (2, 64, 64, 3)
    with pytest.raises(UnreadableFile, match="frames of one size"):
        read_video(tmp_path, first(2), size=None)


# ---- files that cannot be read ---------------------------------------------------------------------------------------


def noisy(count: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["end.mp4", "start.mp4", "a.mkv", "a.avi", "a.flv"])
def test_files_cut_short(tmp_path, name, capfd):
    path = film(tmp_path / name, noisy(), container={"movflags": "faststart"} if name == "start.mp4" else {})
    capfd.readouterr()
    data = path.read_bytes()
    for share in (0.01, 0.3, 0.6, 0.8):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableFile, match=f"{name}: expected"):
            read_video(path, first(2))
    assert capfd.readouterr() == ("", "")  # FFmpeg's own lines stay away


def damaged(path: Path, last: int, count: int) -> Path:
    """`count` packets, of which number `last` is the last whole one, are overwritten."""
    film(path, noisy(), bf="0")
    with av.open(str(path)) as file:
        packets = [(packet.pos, packet.size) for packet in file.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[last + 1 : last + 1 + count]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    return path


def test_two_lost_frames_are_replaced_by_the_last_whole_one(tmp_path):
    path = damaged(tmp_path / "a.mp4", last=57, count=2)
    frames = read_video(path, at(56, 57, 58, 59), size=None)
    assert (frames[1] == frames[2]).all() and (frames[1] == frames[3]).all() and not (frames[0] == frames[1]).all()


def test_more_lost_frames_are_a_broken_file(tmp_path):
    path = damaged(tmp_path / "a.mp4", last=29, count=30)
    assert read_video(path, at(29)).shape == (1, 64, 64, 3)
    with pytest.raises(UnreadableFile, match="decoding ends after 30 of 60 frames"):
        read_video(path, spread(10))


def test_files_that_are_no_films(tmp_path):
    picture = Pillow.fromarray(noisy(1)[0])
    stills = {"still.mp4": "PNG", "photo.mp4": "JPEG", "still.webp": "WEBP", "plain.ppm": "PPM", "plain.avif": "AVIF"}
    for name, kind in stills.items():
        picture.save(tmp_path / name, format=kind)
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("this is no film\n" * 100)
    (tmp_path / "text.txt").write_text("this is no film\n" * 100)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile photo.mp4\n")
    (tmp_path / "zeros.avi").write_bytes(bytes(5000))
    (tmp_path / "folder.mp4").mkdir()
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(8000))
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    for name, found in {
        **dict.fromkeys(stills, "a still one"),
        "empty.mp4": "an empty one",
        "missing.mp4": "found none",
        "text.mp4": "cannot be read",
        "text.txt": "text",
        "list.mp4": "text",
        "zeros.avi": "cannot be read",
        "folder.mp4": "found none in it",
        "sound.wav": "no more than audio",
        "sound.mp4": "no more than audio",
    }.items():
        for use in (count_frames, lambda path: read_video(path, spread(2))):
            with pytest.raises(UnreadableFile) as error:
                use(tmp_path / name)
            sentence = str(error.value)
            assert sentence.startswith(str(tmp_path / name)) and found in sentence and "\n" not in sentence


def test_a_film_without_frames(tmp_path):
    with av.open(str(tmp_path / "none.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.open()
        file.start_encoding()
    with pytest.raises(UnreadableFile, match="none.mkv: expected a whole video file"):
        count_frames(tmp_path / "none.mkv")


def test_an_unknown_codec_is_named(tmp_path):
    path = film(tmp_path / "a.mp4", plain(5))
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(UnreadableFile, match="a.mp4: expected a whole video file"):
        read_video(path, first(1))


def test_names_that_look_like_addresses(tmp_path):
    write_mp4(tmp_path / "http:a%d?.mp4", plain(5))
    assert numbers(read_video(tmp_path / "http:a%d?.mp4", first(2))) == [0, 1]


# ---- real files ------------------------------------------------------------------------------------------------------


def test_real_films_agree_with_decoding_them_whole(official):
    for path in sorted(official("weizmann-actions").glob("videos/*/*/*.mp4")):
        whole = all_frames(path)
        assert count_frames(path) == len(whole)
        frames = read_video(path, spread(10), size=None)
        assert all((frame == whole[i]).all() for frame, i in zip(frames, spread(10)(len(whole))))


def test_a_real_tiny_clip(official):
    path = official("tinyvirat-clip") / "000000.mp4"
    assert count_frames(path) == 96
    assert read_video(path, at(0), size=None).shape == (1, 34, 34, 3)


def test_real_gifs_agree_with_ffmpeg(official):
    for name, count in (("frameqa_1.gif", 20), ("frameqa_2.gif", 28)):
        path = official("tgif-qa") / "gifs" / name
        assert (read_video(path, first(count), size=None) == np.stack(all_frames(path))).all()
        assert count_frames(path) == count
