"""CIFAR-10, image to text: one image, then the name of its class.

Read from the binary version (cifar-10-batches-bin: records of one label byte and 3,072 pixel bytes). The Python version
is a pickle; it is read by an unpickler that builds arrays, numbers and strings, and refuses to call anything else.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.base import Item, Task, hold_out, require
from evlib.frames.parts import Example, Image, Word
from evlib.utils.errors import EvlibError

RECORD = 1 + 3 * 32 * 32  # bytes


class CIFAR10(Task):
    name, table2_row, dataset = "cifar10", "Image Classification", "CIFAR-10"
    folders = ("cifar-10-batches-bin", "cifar-10-batches-py")
    inputs = (Image,)
    batch = 128
    augment = "flip"
    fast = {"augment": "flip"}  # better answers after 24 epochs of 2,000 images (results/recipe/cifar10.csv)
    # By label, 0 to 9.
    answer = WordAnswer(("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"))

    def files(self, root: Path) -> list[Path]:
        ending = "" if root.name.endswith("-py") else ".bin"
        return require(
            *(root / f"{name}{ending}" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"))
        )

    def items(self, root: Path) -> Iterator[Item]:
        for path in self.files(root):
            labels, pixels = (_read_binary if path.suffix == ".bin" else _read_pickled)(path)
            for i, label in enumerate(labels):
                if not 0 <= label < len(self.answer.classes):
                    found = f"record {i} has the label {label}, expected 0 to 9"
                    raise EvlibError(f"{path}: {found}; fetch the file again.")
                source = f"{path.stem}:{i}"  # without the extension: both versions of the data have the same splits
                split = "test" if path.stem == "test_batch" else hold_out(source)
                example = Example([Image(pixels[i])], [Word(self.answer.classes[label])], self.answer.classes[label])
                yield Item(split, lambda example=example: example, source)


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint8 (N,) and pixels uint8 (N, 32, 32, 3)."""
    raw = np.fromfile(path, dtype=np.uint8)
    if len(raw) % RECORD:
        found = f"{len(raw)} bytes; the file is cut short or not the binary version of CIFAR-10"
        raise EvlibError(f"{path}: expected records of {RECORD} bytes, found {found}.")
    raw = raw.reshape(-1, RECORD)
    return raw[:, 0], _interleave(raw[:, 1:])


def _read_pickled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with open(path, "rb") as file:
            batch = ArraysOnly(file, path).load()
        labels, data = np.asarray(batch["labels"], dtype=np.int64), np.asarray(batch["data"], dtype=np.uint8)
        return labels, _interleave(data.reshape(len(labels), 3072))
    except EvlibError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise EvlibError(
            f"{path}: expected a batch of the Python version of CIFAR-10, found something unreadable "
            f"({type(error).__name__}); fetch it again, or use the binary version."
        ) from None


def _interleave(planes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


class ArraysOnly(pickle.Unpickler):
    """Unpickles arrays and nothing else: any other class or function is refused before it is imported."""

    ALLOWED = {
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        # how Python 3 writes the bytes of an array for Python 2
        ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
    }

    def __init__(self, file, path: Path):
        super().__init__(file, encoding="latin1")
        self.path = path

    def find_class(self, module: str, name: str):
        if (module, name) not in self.ALLOWED:
            raise EvlibError(
                f"{self.path} wants to call {module}.{name}, which no data file needs; it was not run. "
                "Delete the file and fetch the binary version of CIFAR-10."
            )
        return self.ALLOWED[module, name]
