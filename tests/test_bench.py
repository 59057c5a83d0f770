"""The benchmark at tiny sizes: that it measures what it says, and keeps what it measured. No second is asserted."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from evlib.bench import GPU, MISSING, bench, clock, ends, growth, joined, network, peers, picture
from evlib.config import ModelConfig, preset
from evlib.data.encode import encode
from evlib.data.store import Split, VideoStore
from evlib.data.tasks import get
from evlib.generate import generate
from evlib.model import NextFrame
from evlib.paper import cost
from evlib.training.train import train
from evlib.utils.errors import EvlibError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = preset("demo").override(width=32, heads=1, global_blocks=1, batch=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(clock, "SQUARE", {"cpu": 64, "cuda": 64})


def quiet(line: str) -> None:
    pass


# ------------------------------------------------------------------------------------ the clock


def test_works_take_turns():
    order = []
    seconds = clock.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, CPU, repeats=3)
    assert "".join(order) == "ab" * 4  # the first turn is not counted
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_patience_ends_the_repeats_but_not_before_three():
    assert len(clock.in_turns({"a": lambda: None}, CPU, repeats=50, patience=0)["a"]) == 3


def test_a_cpus_seconds_are_those_it_worked():
    """Waiting costs nothing, and programs that are started count: on a busy machine the clock favours short work."""
    assert clock.once(lambda: time.sleep(0.2), CPU) < 0.1
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    assert clock.once(lambda: subprocess.run([sys.executable, "-c", busy], check=True), CPU) >= 0.2


def test_the_yardstick_is_counted_right():
    work, flop = clock.product(torch.float32, CPU)
    assert work().shape == (64, 64) and flop == 2 * 64**3


def test_what_is_kept_for_the_backward_pass_is_counted():
    layer = torch.nn.Linear(8, 4)
    x = torch.rand(16, 8)
    assert (
        clock.kept_bytes(layer, lambda: layer(x).relu()) == 16 * 8 * 4 + 16 * 4 * 4
    )  # the input, and relu's output; not the weight


def test_the_peak_of_memory_is_that_of_a_second_step(monkeypatch):
    """In the first one the optimiser's own tensors are not there yet while gradients are computed."""
    happened = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: happened.append("reset"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: happened.append("read") or 5e6)
    assert clock.peak_of_a_repeat(lambda: happened.append("step"), torch.device("cuda")) == 5
    assert happened == ["step", "reset", "step", "read"]


# ------------------------------------------------------------------------------------ the network


def test_shapes_are_those_of_table_1():
    assert {(2, 1, 128), (21, 1, 16), (11, 1, 16), (11, 10, 16), (21, 20, 8)} == set(network.SHAPES.values())


def test_a_row_of_the_network():
    row = network.utilisation("training step", SMALL, 3, 1, "cpu")
    flop = cost.step_flops(SMALL.model, 3, 1, 2, "muon").total
    assert (
        row["gflop"] == round(flop / 1e9, 3) and row["batch"] == 2 and row["threads"] == 1 and row["dtype"] == "float32"
    )
    assert row["frames_per_second"] == pytest.approx(2 * 4 / row["seconds"], rel=0.01)
    assert row["utilisation"] == pytest.approx(flop / 1e9 / row["seconds"] / row["matmul_gflop_per_second"], rel=0.05)
    assert 50 < row["peak_megabytes"] < 20_000


def test_the_step_is_the_loops():
    """The weights move, and differently every time: the next batch of the schedule."""
    torch.manual_seed(0)
    net = NextFrame(SMALL.model)
    before = {name: p.clone() for name, p in net.named_parameters()}
    network.training_step(net, SMALL, network.random_split(2, 1, 8, CPU))()
    moved = [name for name, p in net.named_parameters() if not torch.equal(p, before[name])]
    assert "bias" in moved and "head.weight" in moved


def test_a_random_split_is_a_split():
    split = network.random_split(4, 3, 5, CPU, frames=7)
    assert (
        split.gather([0, 4]).shape == (2, 7, 3, 64, 64)
        and split.shapes().keys() == {(4, 3)}
        and split.sequences.max() < 7
    )


# ------------------------------------------------------------------------------------ peers


def test_generation_without_a_cache_draws_the_same():
    torch.manual_seed(0)
    net = NextFrame(ModelConfig(width=32, heads=1, local_blocks=1, global_blocks=1, max_frames=8))
    frames = torch.rand(1, 3, 3, 64, 64)
    assert (peers.generate_again(net.eval(), frames, 4) - generate(net, frames, 4)).abs().max() < 1e-5


def test_the_other_library_does_the_same_work():
    pytest.importorskip("timesformer_pytorch")
    network_ = peers.timesformer(SMALL.model, patch=16, frames=3)
    assert network_(torch.rand(2, 3, 3, 64, 64)).shape == (2, 10)
    assert len(network_.layers) == 1 and network_.layers[0][0].fn.to_qkv.in_features == 32
    pair, note = peers.step_pair(SMALL.model, 16, 3, 2, CPU)
    row = peers.compared("a step", "ours", "theirs", pair, CPU, note, repeats=1)
    assert (
        row["ratio"] == pytest.approx(row["peer_seconds"] / row["ours_seconds"], abs=0.02) and "times as much" in note
    )


def test_without_the_other_library_a_row_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "timesformer_pytorch", None)
    rows = list(peers.steps(CPU))
    assert len(rows) == 7 and all("pip install" in row["note"] and "ratio" not in row for row in rows)


def test_a_sample_from_files_is_the_stores(data, tmp_path):
    task = get("fsdd")
    split = encode(task, data, tmp_path / "store", log=quiet).split("train")
    samples = peers.FromFiles(task, data)
    assert len(samples) == len(split) == 3 * 2  # of ten recordings a digit, two are for training
    for i in (0, len(split) - 1):
        assert torch.equal(samples[i].permute(0, 3, 1, 2), split.gather([i])[0])


def test_seconds_are_for_one_of_many_things(monkeypatch):
    monkeypatch.setattr(
        peers, "in_turns", lambda pair, device, repeats: {"ours": [2.0, 1.0, 3.0], "peer": [4.0, 8.0, 6.0]}
    )
    row = peers.compared("reading", "a", "b", {}, CPU, each={"ours": 100, "peer": 10})
    assert (row["ours_seconds"], row["peer_seconds"], row["ratio"], row["repeats"]) == (0.02, 0.6, 30.0, 3)


# ------------------------------------------------------------------------------------ growth


def test_slopes():
    assert growth.slope([1, 10, 100], [3, 300, 30_000]) == pytest.approx(2)
    group = pd.DataFrame(
        {"axis": "frames", "value": [1, 2, 4], "seconds": [1.0, 2.0, 8.0], "megabytes": [5.0, 5.0, 5.0]}
    )
    assert (
        growth.slopes(group)
        == "seconds ~ frames^1.50 (2.00 in the last step); bytes ~ frames^0.00 (0.00 in the last step)"
    )


def test_growth_of_tiny_sizes(monkeypatch):
    monkeypatch.setattr(growth, "FIXED", {"frames": 2, "width": 32, "batch": 1})
    table = growth.measure(CPU, quiet, frames=(2, 4), widths=(32, 64), batches=(1, 2), sequences=(100, 200))
    assert table.columns.tolist() == growth.COLUMNS
    steps = table[table.what == "training step"]
    assert list(zip(steps.axis, steps.value)) == [
        ("frames", 2),
        ("frames", 4),
        ("width", 32),
        ("width", 64),
        ("batch", 1),
        ("batch", 2),
    ]
    assert np.allclose(steps.megabytes, steps.formula_megabytes, rtol=0.05)
    stores = table[table.axis == "sequences"]
    assert set(stores.what) == {"store opened", "split to the device", "epoch shuffled", "batch gathered"}
    assert (stores.megabytes == (stores.value * growth.LENGTH * 4 / 1e6).round(3)).all()  # 4 bytes a frame shown


def test_the_synthetic_store_is_a_store(tmp_path):
    growth.write_store(tmp_path, 50)
    store = VideoStore.open(tmp_path)
    split = store.split("train")
    assert len(split) == 50 and split.shapes().keys() == {(10, 1), (11, 1)}
    assert split.gather([0]).shape == (1, 11, 3, 64, 64) and split.gather([1]).shape == (1, 12, 3, 64, 64)


# ------------------------------------------------------------------------------------ tables, picture, command


def rows(device: str, seconds: float, preset: str = "demo") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "what": ["forward", "generation"],
            "shape": "video",
            "n_in": 11,
            "n_out": 1,
            "preset": preset,
            "seconds": seconds,
            "device": device,
            "note": "",
        }
    )


def test_a_gpus_rows_wait_until_there_is_one(tmp_path):
    path = tmp_path / "network.csv"
    table = joined(rows("CPU, 1 thread", 2.0), path, host=("generation",))
    assert table.device.tolist() == ["CPU, 1 thread"] * 2 + [GPU] and table.what.iloc[2] == "forward"
    assert pd.isna(table.seconds.iloc[2]) and table.note.iloc[2] == MISSING and table.n_in.iloc[2] == 11
    table.to_csv(path, index=False)

    table = joined(rows("NVIDIA A100", 0.1), path)
    assert table.device.tolist() == ["CPU, 1 thread"] * 2 + ["NVIDIA A100"] * 2
    table.to_csv(path, index=False)

    table = joined(rows("CPU, 2 threads", 1.5), path)  # again on a CPU: the GPU's rows stay
    assert list(zip(table.device, table.seconds)) == [("CPU, 2 threads", 1.5)] * 2 + [("NVIDIA A100", 0.1)] * 2
    table.to_csv(path, index=False)

    table = joined(rows("CPU, 2 threads", 9.0, preset="paper"), path)  # and so do those of another preset
    assert sorted(table.seconds.dropna()) == [0.1, 0.1, 1.5, 1.5, 9.0, 9.0] and (table.device == GPU).sum() == 2


def test_other_columns_are_replaced(tmp_path):
    rows("NVIDIA A100", 0.1).rename(columns={"seconds": "time"}).to_csv(tmp_path / "network.csv", index=False)
    assert set(joined(rows("CPU, 1 thread", 2.0), tmp_path / "network.csv").device) == {"CPU, 1 thread", GPU}


def test_a_gpus_rows_are_what_is_drawn(tmp_path):
    pd.concat([rows("CPU, 1 thread", 2.0), rows("NVIDIA A100", 0.1)]).to_csv(tmp_path / "network.csv", index=False)
    assert picture.measured(tmp_path / "network.csv").device.unique().tolist() == ["NVIDIA A100"]
    assert picture.measured(tmp_path / "peers.csv") is None and picture.draw(tmp_path / "nothing") is None


@pytest.mark.parametrize("names", [["network"], ["growth"], ["peers", "network", "growth"]])
def test_the_picture(tmp_path, names):
    kept = Path(__file__).parents[1] / "results" / "bench"
    for name in names:
        (tmp_path / f"{name}.csv").write_text((kept / f"{name}.csv").read_text())
    pixels = np.asarray(plt_read(picture.draw(tmp_path)))
    assert pixels.shape[1] == 1210 and pixels.std() > 20  # 11 inches at 110 dots


def plt_read(path: Path):
    from PIL import Image

    return Image.open(path).convert("RGB")


def test_the_command(command, data, tmp_path, monkeypatch):
    """Only what is asked for is measured and written."""
    monkeypatch.setattr(network, "SHAPES", {"video": (3, 1, 2)})
    monkeypatch.setattr(network, "ON_CPU", {"demo": 1, "paper": 1})
    monkeypatch.setattr(network.measure, "__defaults__", (("video",),))
    monkeypatch.setattr(network, "in_a_process", lambda device, work, *arguments: work(*arguments))
    status, said, _ = command(
        "bench", "--data", data, "--only", "network", "--preset", "demo", "--device", "cpu", "--out", tmp_path / "out"
    )
    assert status == 0 and "demo training step, video 3 -> 1, batch 1" in said
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["bench.png", "network.csv"]
    table = pd.read_csv(tmp_path / "out" / "network.csv")
    assert table.columns.tolist() == network.COLUMNS
    assert table.what.tolist() == ["matrix product"] * 2 + 2 * list(network.WORKS) and table.seconds.notna().sum() == 5


@pytest.mark.parametrize("preset", ["demo", "paper", "fast"])
def test_every_preset_may_be_asked_for(command, tmp_path, monkeypatch, preset):
    asked = []
    monkeypatch.setattr("evlib.bench.bench", lambda *arguments: asked.append(arguments))
    assert command("bench", "--preset", preset, "--only", "network", "--out", tmp_path)[0] == 0
    assert asked == [(Path("data"), tmp_path, ("network",), None, preset)]


def test_a_process_of_its_own_measures_its_own_peak():
    assert clock.in_a_process(CPU, pow, 2, 5) == 32


def test_bad_arguments_are_sentences(tmp_path):
    with pytest.raises(EvlibError, match="bench measures ends, network, peers, growth; found 'nets'"):
        bench(tmp_path, tmp_path, ["nets"])
    with pytest.raises(EvlibError, match="expected a folder"):
        bench(tmp_path, tmp_path / "ends.csv", ["ends"])
    with pytest.raises(EvlibError, match="presets demo, paper, fast; found 'big'"):
        bench(tmp_path, tmp_path, ["network"], preset="big")


def test_ends_without_data_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ends, "CLIPS", 2)
    monkeypatch.setattr(ends, "SOUNDS", 120)
    monkeypatch.setattr(ends, "READ_FRAMES", 20)
    monkeypatch.setattr(ends, "READ_SINGLY", 1)
    table = ends.measure(tmp_path, quiet)
    assert table.columns.tolist() == ["what", "count", "seconds", "per_second", "note", "device"] and len(table) == 5
    assert "not measured" in table.note[0] and "SST-2 is not under" in table.note[0]
    assert table["count"].tolist()[3:] == [2, 20]


# ------------------------------------------------------------------------------------ no file is read while training


def test_training_opens_no_file_but_its_own(data, tmp_path, monkeypatch):
    """From the first batch to the end, the only files that are opened are those of the run's folder."""
    store = encode(get("sst2"), data, tmp_path / "store", log=quiet)
    config = get("sst2").config("demo", width=32, heads=1, global_blocks=1, batch=4, steps=6)
    train(config, store, tmp_path / "first", "cpu", quiet)  # what Python imports when it is first needed
    opened, listening = [], [False]
    sys.addaudithook(
        lambda event, arguments: opened.append(str(arguments[0])) if listening[0] and event == "open" else None
    )
    videos = Split.videos

    def first_batch(self, *arguments):
        listening[0] = True
        return videos(self, *arguments)

    monkeypatch.setattr(Split, "videos", first_batch)
    train(config, store, tmp_path / "run", "cpu", quiet)
    listening[0] = False
    assert json.loads((tmp_path / "run" / "env.json").read_text())["steps"] == 6
    own = [
        path for path in opened if path.startswith(str(tmp_path / "run")) or path.isdigit()
    ]  # a number is an open folder
    assert len(own) > 3 and sorted(set(opened) - set(own)) == []
