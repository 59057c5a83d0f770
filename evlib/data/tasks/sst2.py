"""SST-2, text to text: a film review in up to 20 word frames, then `positive` or `negative`.

GLUE's files: tab-separated without quoting, a header, and labels in train.tsv and dev.tsv only. As in the paper, dev
is the test set. Half of its reviews have more than 20 tokens; the last 20 are kept.
"""

from collections.abc import Iterator
from pathlib import Path

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.base import Item, Task, hold_out, read_lines, require
from evlib.frames.parts import Example, Text, Word
from evlib.utils.errors import EvlibError


class SST2(Task):
    name, table2_row, dataset = "sst2", "Text Classification", "SST-2"
    folders = ("SST-2",)
    inputs = (Text,)
    batch = 16
    augment = "drop"
    max_inputs = 20
    answer = WordAnswer(("negative", "positive"))  # by label, 0 and 1

    def files(self, root: Path) -> list[Path]:
        return require(root / "train.tsv", root / "dev.tsv")

    def items(self, root: Path) -> Iterator[Item]:
        for path in self.files(root):
            for number, sentence, label in _rows(path):
                split, word = "test" if path.name == "dev.tsv" else hold_out(sentence), self.answer.classes[label]
                example = Example([Text(sentence)], [Word(word)], answer=word)
                yield Item(split, lambda example=example: example, source=f"{path.name}:{number}", group=sentence)

    def subsets(self, metadata):
        return {"at most 20 tokens": metadata.n_truncated == 0}  # section 5: "increases the F1-score to 80.0"


def _rows(path: Path) -> Iterator[tuple[int, str, int]]:
    """Line number, sentence and label of every review."""
    header, *lines = (line.rstrip("\r") for line in read_lines(path))
    if header != "sentence\tlabel":
        found = f"{header[:80]!r}; this is not GLUE's file"
        raise EvlibError(f"{path}:1: expected the header 'sentence<TAB>label', found {found}.")
    for number, line in enumerate(lines, start=2):
        sentence, _, label = line.partition("\t")
        if label not in ("0", "1") or not sentence.strip():
            wanted = "a sentence, a tab and the label 0 or 1"
            raise EvlibError(f"{path}:{number}: expected {wanted}, found {line.rstrip()[:80]!r}.")
        yield number, sentence.strip(), int(label)
