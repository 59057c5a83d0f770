"""The benchmark at tiny sizes: that it measures what it says, and writes what it measured. No second is asserted."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from evlib.bench import bench, ends, growth, network, peers, plot, timing, variants
from evlib.config import preset
from evlib.data.encode import encode
from evlib.data.store import Split
from evlib.data.tasks import TASKS, get
from evlib.model import NextFrame
from evlib.paper import cost, table1
from evlib.training.train import train
from evlib.utils.errors import EvlibError

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
SMALL = preset("demo").override(width=32, heads=1, global_blocks=1, batch=2, precision="float32")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(timing, "SQUARE", {"cpu": 64, "cuda": 64})


def quiet(line: str) -> None:
    pass


# ------------------------------------------------------------------------------------ timing


def test_works_take_turns():
    order = []
    timings = timing.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, CPU, repeats=3)
    assert "".join(order) == "ab" * 4  # the first turn is not counted
    assert {name: timed.repeats for name, timed in timings.items()} == {"a": 3, "b": 3}


def test_the_median_is_what_counts(monkeypatch):
    ticks = iter([0, 3, 10, 11, 20, 22])  # the counter before and after each of three repeats
    monkeypatch.setattr(timing, "now", lambda device: next(ticks))
    assert timing.in_turns({"a": lambda: None}, CPU, repeats=3) == {"a": (2, 3)}


def test_patience_ends_the_repeats_but_not_before_three():
    assert timing.in_turns({"a": lambda: None}, CPU, repeats=50, patience=0)["a"].repeats == 3


def test_a_cpus_seconds_are_those_it_worked():
    """Waiting costs nothing, and programs that are started count: on a busy machine the clock favors short work."""
    started = timing.now(CPU)
    time.sleep(0.2)
    assert timing.now(CPU) - started < 0.1
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.2: pass"], check=True)
    assert timing.now(CPU) - started >= 0.2


def test_the_yardstick_is_counted_right():
    work, flop = timing.product(torch.float32, CPU)
    assert work().shape == (64, 64) and flop == 2 * 64**3


def test_what_is_saved_for_the_backward_pass_is_counted():
    layer = torch.nn.Linear(8, 4)
    x = torch.rand(16, 8)
    assert (
        timing.saved_bytes(layer, lambda: layer(x).relu()) == 16 * 8 * 4 + 16 * 4 * 4
    )  # the input, and relu's output; not the weight


@pytest.mark.parametrize("platform, unit", [("darwin", 1), ("linux", 1024)])
def test_memory_is_in_the_systems_own_unit(data, monkeypatch, platform, unit):
    """getrusage counts bytes on macOS and KiB on Linux: two gigabytes are two in every note."""
    usage = timing.resource.getrusage(timing.resource.RUSAGE_SELF)
    held = SimpleNamespace(ru_maxrss=2_000_000_000 // unit, ru_utime=usage.ru_utime, ru_stime=usage.ru_stime)
    monkeypatch.setattr("resource.getrusage", lambda who: held)
    monkeypatch.setattr(sys, "platform", platform)
    assert timing.peak_megabytes(CPU) == pytest.approx(2000, rel=1e-3)
    row = ends.encoding_cifar10(data)
    assert row["note"] == "peak memory 2.00 GB" and row["count"] == 120


# ------------------------------------------------------------------------------------ the network


def test_shapes_are_those_of_table_1():
    assert {(2, 1, 128), (21, 1, 16), (11, 1, 16), (11, 10, 16), (21, 20, 8)} == set(network.SHAPES.values())
    assert network.SHAPES["Image Classification, Audio Classification"].batch == 128
    assert {task.table2_row: task.batch for task in TASKS.values()} == {
        name: shape.batch for name, shape in table1.SHAPES.items()
    }


def test_a_row_of_the_network():
    row = network.utilization("training step", SMALL, 3, 1, CPU)
    flop = cost.step_flops(SMALL.model, 3, 1, 2, "muon")
    assert row["gflop"] == flop / 1e9 and row["batch"] == 2 and row["dtype"] == "float32"
    assert row["frames_per_second"] == pytest.approx(2 * 4 / row["seconds"], rel=0.01)
    assert row["utilization"] == pytest.approx(flop / 1e9 / row["seconds"] / row["matmul_gflop_per_second"], rel=0.05)


def test_the_step_is_the_loops():
    """The weights move, and differently every time: the next batch of the schedule."""
    torch.manual_seed(0)
    net = NextFrame(SMALL.model)
    before = {name: p.clone() for name, p in net.named_parameters()}
    network.training_step(net, SMALL, network.random_split(2, 1, 8, CPU))()
    moved = [name for name, p in net.named_parameters() if not torch.equal(p, before[name])]
    assert "output_bias" in moved and "head.weight" in moved


def test_a_random_split_is_a_split():
    split = network.random_split(4, 3, 5, CPU)
    assert (
        split.gather([0, 4]).shape == (2, 7, 3, 64, 64)
        and split.shapes().keys() == {(4, 3)}
        and split.sequences.max() < 256
    )


# ------------------------------------------------------------------------------------ variants


def test_variants_of_a_tiny_step(monkeypatch):
    monkeypatch.setattr(variants, "SHAPES", ((2, 1), (3, 2)))
    table = variants.measure(CPU, quiet, SMALL, repeats=1)
    assert list(zip(table.n_in, table.precision, table.last_block, table.stem)) == [
        (2, "float32", "all frames", 0),
        (2, "float32", "answer frames", 0),
        (2, "bfloat16", "all frames", 0),
        (2, "bfloat16", "answer frames", 0),
        (2, "float32", "answer frames", 16),
        (3, "float32", "all frames", 0),
        (3, "float32", "answer frames", 0),
        (3, "bfloat16", "all frames", 0),
        (3, "bfloat16", "answer frames", 0),
    ]
    assert table.speedup[0] == table.speedup[5] == 1
    assert np.allclose(table.speedup, table.seconds[[0] * 5 + [5] * 4].values / table.seconds)


# ------------------------------------------------------------------------------------ peers


def test_the_other_library_does_the_same_work():
    pytest.importorskip("timesformer_pytorch")
    network_ = peers.timesformer(SMALL.model, patch=16, frames=3)
    assert network_(torch.rand(2, 3, 3, 64, 64)).shape == (2, 10)
    assert len(network_.layers) == 1 and network_.layers[0][0].fn.to_qkv.in_features == 32
    row = peers.compared(peers.step_pair(SMALL.model, 16, 3, 2, CPU), CPU, repeats=1)
    assert row["slowdown"] == pytest.approx(row["peer_seconds"] / row["ours_seconds"])
    assert "times as much" in row["note"]


def test_without_the_other_library_a_row_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "timesformer_pytorch", None)
    monkeypatch.setattr(peers, "generation_pair", lambda n_in, device: peers.Pair(int, int))
    monkeypatch.setattr(peers, "reading_pair", lambda: peers.Pair(int, int))
    monkeypatch.setattr(peers, "FILES", ())
    table = peers.measure(Path("data"), CPU, quiet)
    assert table.columns.tolist() == peers.COLUMNS.split() and len(table) == 10
    assert table.note[:7].str.contains("not measured: .*pip install").all() and table.slowdown.isna().sum() == 7


def test_a_sample_from_files_is_the_stores(data, tmp_path):
    task = get("fsdd")
    split = encode(task, data, tmp_path / "store", log=quiet).split("train")
    items = [item for item in task.items(task.root(data)) if item.split == "train"]
    assert len(items) == len(split) == 3 * 2  # of ten recordings a digit, two are for training
    assert torch.equal(peers.from_files(task, items), split.gather(range(6)))


def test_seconds_are_for_one_of_many_things(monkeypatch):
    timings = {"ours": timing.Timing(2.0, 3), "peer": timing.Timing(6.0, 3)}
    monkeypatch.setattr(peers, "in_turns", lambda pair, device, repeats: timings)
    row = peers.compared(peers.Pair(int, int, counts=(100, 10)), CPU)
    assert (row["ours_seconds"], row["peer_seconds"], row["slowdown"], row["repeats"]) == (0.02, 0.6, 30.0, 3)


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
    monkeypatch.setattr(growth, "SIZES", {"frames": (2, 4), "width": (32, 64), "batch": (1, 2)})
    table = growth.measure(CPU, quiet)
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


def test_a_run_replaces_the_rows_of_its_kind_of_device(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "plot", quiet)

    def rerun(device: str, seconds: float) -> list[tuple]:
        monkeypatch.setattr("evlib.bench.find_device", lambda name: torch.device("cpu" if "CPU" in device else "cuda"))
        monkeypatch.setattr(growth, "measure", lambda *_: rows(device, seconds).assign(n=torch.get_num_threads()))
        table = bench(tmp_path, tmp_path / "out", ["growth"], log=quiet)["growth"]
        assert pd.read_csv(tmp_path / "out/growth.csv").device.tolist() == table.device.tolist()
        assert "CPU" not in device or table.n[0] == 1
        return list(zip(table.device, table.seconds))[::2]  # two rows a run

    assert rerun("CPU, 1 thread", 2.0) == [("CPU, 1 thread", 2.0)]
    assert rerun("NVIDIA A100", 0.1) == [("NVIDIA A100", 0.1), ("CPU, 1 thread", 2.0)]
    assert rerun("CPU, 1 thread", 2.5) == [("CPU, 1 thread", 2.5), ("NVIDIA A100", 0.1)]
    assert rerun("NVIDIA H100", 0.05) == [("NVIDIA H100", 0.05), ("CPU, 1 thread", 2.5)]


def test_a_gpus_rows_are_plotted_if_there_are_any(tmp_path):
    path = tmp_path / "network.csv"
    rows("CPU, 1 thread", 2.0).to_csv(path, index=False)
    assert plot.measured(path).device.unique().tolist() == ["CPU, 1 thread"]
    pd.concat([rows(device, 2.0) for device in ("CPU, 1 thread", "NVIDIA A100")]).to_csv(path, index=False)
    assert plot.measured(path).device.unique().tolist() == ["NVIDIA A100"]
    assert plot.measured(tmp_path / "peers.csv") is None and plot.plot(tmp_path / "nothing") is None


@pytest.mark.parametrize("names", [["network"], ["growth"], ["peers", "network", "growth"]])
def test_the_picture(tmp_path, names):
    stored = Path(__file__).parents[1] / "results" / "bench"
    for name in names:
        (tmp_path / f"{name}.csv").write_text((stored / f"{name}.csv").read_text())
    pixels = np.asarray(Image.open(plot.plot(tmp_path)).convert("RGB"))
    assert pixels.shape[1] == 1760 and pixels.std() > 10  # 16 inches at 110 dots


def test_the_command(command, data, tmp_path, monkeypatch):
    """Only what is asked for is measured and written."""
    monkeypatch.setattr(network, "SHAPES", {"video": (3, 1, 2)})
    monkeypatch.setattr(network, "ON_CPU", {"demo": 1, "paper": 1})
    options = ["--only", "network", "--device", "cpu", "--out", tmp_path / "out"]
    status, printed, _ = command("bench", "--data", data, *options)
    assert status == 0 and "demo training step, 3 -> 1, batch 1" in printed
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["bench.png", "network.csv"]
    table = pd.read_csv(tmp_path / "out" / "network.csv")
    assert table.what.tolist() == 2 * list(network.WORKS) and table.notna().all(axis=None)


def test_bad_arguments_are_sentences(tmp_path):
    with pytest.raises(EvlibError, match="expected a folder"):
        bench(tmp_path, tmp_path / "ends.csv", ["ends"])


def test_ends_without_data_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ends, "CLIPS", 2)
    monkeypatch.setattr(ends, "SOUNDS", 120)
    monkeypatch.setattr(ends, "READ_FRAMES", 20)
    monkeypatch.setattr("evlib.bench.ends.cores", lambda: 2)
    table = ends.measure(tmp_path, quiet)
    assert table.columns.tolist() == ends.COLUMNS.split() and len(table) == 5
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
    gather = Split.gather

    def first_batch(self, *arguments):
        listening[0] = True
        return gather(self, *arguments)

    monkeypatch.setattr(Split, "gather", first_batch)
    train(config, store, tmp_path / "run", "cpu", quiet)
    listening[0] = False
    assert json.loads((tmp_path / "run" / "env.json").read_text())["steps"] == 6
    own = [
        path for path in opened if path.startswith(str(tmp_path / "run")) or path.isdigit()
    ]  # a number is an open folder
    assert len(own) > 3 and sorted(set(opened) - set(own)) == []
