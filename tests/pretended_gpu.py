"""A CUDA device that is not there. Imported before anything else, in a process of its own, it lets FakeTensorMode place
tensors on "cuda" with a CPU build of torch: shapes, types and devices are followed, nothing is computed. So a step that
waits for the GPU (`.item()`), mixes devices or copies between them fails here, too.

    python tests/pretended_gpu.py    # one line per case; exit status 1 if one fails
"""

import ctypes
import importlib.util
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

LIBRARY = r"""
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
using c10::Device, c10::DeviceIndex, c10::DeviceType, c10::EventFlag, c10::Stream;
static const Device gpu(DeviceType::CUDA, 0);
struct Guard final : c10::impl::NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device getDevice() const override { return gpu; }
  Device exchangeDevice(Device) const override { return gpu; }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, gpu); }
  Stream exchangeStream(Stream) const noexcept override { return Stream(Stream::DEFAULT, gpu); }
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
};
struct CUDAHooks final : at::CUDAHooksInterface {  // torch looks for this name
  CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
};
namespace at { REGISTER_CUDA_HOOKS(CUDAHooks); }
static bool ready = (c10::impl::device_guard_impl_registry[(size_t)DeviceType::CUDA].store(new Guard()), true);
"""


def pretend() -> None:
    """Before torch is imported. Raises CalledProcessError or FileNotFoundError without a C++ compiler."""
    torch = Path(importlib.util.find_spec("torch").origin).parent
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "gpu.cpp", Path(folder) / "gpu.so"
        source.write_text(LIBRARY)
        include, lib = f"-I{torch / 'include'}", f"-L{torch / 'lib'}"
        options = ["-std=c++20", "-O0", "-fPIC", "-shared", include, lib, "-lc10", "-ltorch_cpu"]
        subprocess.run(["g++", str(source), "-o", str(library), *options], check=True, capture_output=True)
        ctypes.CDLL(str(torch / "lib" / "libtorch_cpu.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))


if __name__ == "__main__":
    pretend()

from unittest import mock  # noqa: E402

import pandas as pd  # noqa: E402
import torch  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map_only  # noqa: E402

from evlib.config import preset  # noqa: E402
from evlib.data.batches import Batch, Batches, Schedule  # noqa: E402
from evlib.data.store import Split  # noqa: E402
from evlib.generation import generate  # noqa: E402
from evlib.model import NextFrame  # noqa: E402
from evlib.training import checkpoint  # noqa: E402
from evlib.training import train as training  # noqa: E402
from evlib.training.checkpoint import State, load_weights, resume, save_checkpoint  # noqa: E402
from evlib.training.distributed import Distributed  # noqa: E402
from evlib.training.learner import Learner  # noqa: E402

CASES = [  # preset, frames of a question, of an answer, other settings, and how many kernels a step may have
    ("demo", 11, 10, {"stem": 16, "copy": True}, 1700),
    ("fast", 2, 1, {"ema_decay": 0.99, "loss_power": 0.5}, 3000),
    ("paper", 21, 1, {}, 2700),
]
AT_MOST = 1350  # kernels a step of preset demo, with the gathering of its batch
SPOILT = {
    "the host reads the loss": lambda loss, video: loss.item(),
    "the host branches on it": lambda loss, video: bool(loss > 0),
    "frames go to the host": lambda loss, video: video.cpu(),
    "a mask, whose size the host must know": lambda loss, video: video[video > 0],
    "an index that lies on the host": lambda loss, video: video[torch.zeros(2, dtype=torch.long, device="cpu")],
    "two devices in one sum": lambda loss, video: video + torch.zeros(3, 1, 1, device="cpu"),
}


class Watch(TorchDispatchMode):
    """Counts kernels, and refuses those that cross devices, which FakeTensorMode lets pass."""

    kernels = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor) and t.dim()]
        crossing = len({t.device.type for t in tensors}) > 1 and func.namespace == "aten"
        assert not crossing, f"{func} has tensors on several devices"
        is_view = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        self.kernels += func.namespace == "aten" and not is_view
        return out


def check(name: str, n_in: int, n_out: int, spoil=None, **changes) -> int:
    """A step after a first one, and a generated answer, on the device that is not there. Returns the step's kernels."""
    config = preset(name).override(**changes)
    # trunc_normal_ asks the device until no value is outside.
    no_loop = mock.patch("torch.nn.init.trunc_normal_", lambda weight, **_: weight)
    with FakeTensorMode(), torch.device("cuda"), no_loop:
        learner = Learner(config, NextFrame(config.model))
        assert learner.dtype == torch.bfloat16 and learner.optimizers[-1].param_groups[0]["fused"]
        video = torch.empty((8, n_in + n_out, 3, 64, 64), dtype=torch.uint8)
        learner.step(Batch(video, n_in, n_out))
        with Watch() as watch:
            loss = learner.step(Batch(video, n_in, n_out), 0.5)
            if spoil is not None:
                spoil(loss, video)
        assert loss.device.type == "cuda"
        answer = generate(learner.eval_model, video[:, :n_in], n_out)
        assert answer.device.type == "cuda" and answer.shape == (8, n_out, 3, 64, 64)
    return watch.kernels


def check_run(run: Path) -> int:
    """A run that a CPU began goes on to its end: its checkpoint is loaded, the store becomes resident, the plan is
    uploaded, and the loop gathers, trains, validates and saves. The host may wait for the device where a number is
    reported, three times at each validation, and nowhere else. Returns a step's kernels."""
    config = preset("demo").override(compile="off", optimizer="muon", batch=16, steps=9, validations=2)
    begun, video = Learner(config, NextFrame(config.model)), torch.zeros(16, 4, 3, 64, 64, dtype=torch.uint8)
    save_checkpoint(run, begun, State(step=1, losses=[begun.step(Batch(video, 3, 1))]))
    frames, sequences = torch.zeros(50, 64, 64, 3, dtype=torch.uint8), torch.arange(800, dtype=torch.int32) % 50
    split = Split("train", frames, sequences.view(200, 4), pd.DataFrame({"n_in": [3] * 200, "n_out": [1] * 200}))
    gpu, waits, kernels = torch.device("cuda"), [], []
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, reads_files(mode):
        batches, validation = Batches(split, Schedule(split, 16, seed=0), slice(0, 16), gpu), split.to(gpu)
        assert batches.resident and batches.split.frames.device.type == "cuda"
        with gpu:
            learner, state = Learner(config, NextFrame(config.model)), State()
        assert resume(run, learner, state) == "cpu" and state.step == 1

        class Watched:
            def __getitem__(self, step: int) -> Batch:
                with Watch() as watch:
                    batch = batches[step]
                kernels.append(watch.kernels)
                return batch

        def counted(batch: Batch, progress: float) -> torch.Tensor:
            with Watch() as watch:
                loss = step(batch, progress)
            kernels[-1] += watch.kernels
            return loss

        _ = batches[state.step]  # uploads the epoch's plan
        step, learner.step = learner.step, counted
        wait = mock.patch("torch.Tensor.item", lambda tensor: waits.append(state.step) or 0.5)
        with wait, mock.patch.object(training, "REPORT", 3600):
            one = Distributed(0, 1, gpu)
            training.loop(config, learner, state, Watched(), validation, run, one, lambda line: None)
        assert state.step == 9 and state.validated == 2
        assert waits == [5] * 3 + [9] * 3, f"the host waited after the steps {waits}"
    assert load_weights(run) and resume(run, begun, State()) == "cuda"
    return kernels[-1]


@contextmanager
def reads_files(mode: FakeTensorMode):
    """Within the block, what comes from files and from NumPy is read as ever, and only then becomes fake. Fake tensors
    are written as zeros."""

    def outside(function):
        def called(*args, **kwargs):
            with unset_fake_temporarily():
                return function(*args, **kwargs)

        return called

    def real(tree):
        return tree_map_only(torch.Tensor, lambda fake: torch.zeros(fake.shape, dtype=fake.dtype), tree)

    def compact(split: Split, device: torch.device) -> Split:
        part = compact_on_cpu(split, "cpu")
        frames, sequences = (mode.from_tensor(part).to(device) for part in (part.frames, part.sequences))
        return replace(part, frames=frames, sequences=sequences)

    compact_on_cpu, from_numpy = outside(Split.compact), outside(torch.from_numpy)
    with (
        mock.patch("torch.nn.init.trunc_normal_", lambda weight, **_: weight),
        mock.patch("torch.load", outside(torch.load)),
        mock.patch("torch.save", outside(lambda state, file, save=torch.save: save(real(state), file))),
        mock.patch.object(checkpoint, "save", outside(lambda tensors, save=checkpoint.save: save(real(tensors)))),
        mock.patch("torch.from_numpy", lambda array: mode.from_tensor(from_numpy(array))),
        mock.patch("torch.Tensor.pin_memory", lambda tensor: tensor),
        mock.patch("torch.Generator", lambda device, make=torch.Generator: make("cpu")),
        mock.patch("torch.cuda.mem_get_info", lambda device: (80 * 10**9, 80 * 10**9)),
        mock.patch.object(Split, "compact", compact),
    ):
        yield


def main() -> int:
    FakeTensorMode.__deepcopy__ = lambda self, memo: self  # the averaged network is a copy
    FakeTensorMode.__copy__ = lambda self: self
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False
    torch.cuda.is_bf16_supported = lambda: True
    failed = 0
    cases = {
        f"{name} {changes}": (partial(check, name, n_in, n_out, compile="off", **changes), at_most)
        for name, n_in, n_out, changes, at_most in CASES
    }
    folder = tempfile.TemporaryDirectory()  # removed when the process ends
    cases["a run that a CPU began"] = (partial(check_run, Path(folder.name)), AT_MOST)
    for what, (count, at_most) in cases.items():
        try:
            kernels = count()
            print(f"{'ok' if kernels <= at_most else 'TOO MANY'}: {what}: {kernels:,} kernels a step")
            failed += kernels > at_most
        except Exception as error:
            print(f"FAILED: {what}: {type(error).__name__}: {error}")
            failed += 1
    for what, spoil in SPOILT.items():
        try:
            check("demo", 2, 1, spoil)
            print(f"NOT SEEN: {what}")
            failed += 1
        except Exception as error:
            print(f"ok: {what} is seen: {type(error).__name__}")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
