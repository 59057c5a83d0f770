"""What simpler models score on the same examples. Table 2 names an LSTM and an LSTM + CNN for CLEVRER; a
bag of words and a small ConvNet are what a practitioner would try first on text and pictures."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from evlib.data import tasks
from evlib.data.store import Split, VideoStore
from evlib.frames.render import tokenize
from evlib.scoring import metrics
from evlib.training.device import environment

KEY = ["task", "data", "model", "seed"]  # of a row of baselines.csv
CLIP = 4  # clip frames before a question, as in TGIF-QA and CLEVRER
BATCH = 64


class QuestionNet(nn.Module):
    """An LSTM over the words of a question; with `frames`, after the features of a small ConvNet of each frame."""

    def __init__(self, words: int, answers: int, frames: bool, width: int = 128):
        super().__init__()
        self.embed = nn.Embedding(words, width, padding_idx=0)
        self.cnn = ConvNet(width) if frames else None
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, answers)

    def forward(self, words: Tensor, clip: Tensor) -> Tensor:
        """words (B, L) int, padded with 0 on the left; clip uint8 (B, T, 3, 64, 64) -> (B, answers)."""
        x = self.embed(words)
        if self.cnn is not None:
            x = torch.cat([self.cnn(clip.flatten(0, 1)).unflatten(0, clip.shape[:2]), x], dim=1)
        return self.head(self.lstm(x)[0][:, -1])


class ConvNet(nn.Sequential):
    """uint8 (B, 3, 64, 64) -> (B, out): four 3x3 convolutions with stride 2."""

    def __init__(self, out: int, channels: Sequence[int] = (3, 32, 64, 128, 128)):
        layers: list[nn.Module] = []
        for a, b in zip(channels, channels[1:]):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels[-1], out))

    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(frames.float() / 255)


def fit(name: str, store: VideoStore, epochs: int = 10, seed: int = 0) -> dict:
    """Trains one of BASELINES on a store's training split; the epoch that is best on validation is scored on the test
    split."""
    label, build = BASELINES[name]
    torch.manual_seed(seed)
    splits = {part: store.split(part) for part in ("train", "validation", "test")}
    started = time.perf_counter()
    predicted = build(splits, store.manifest["vocabulary"], epochs, seed)
    seconds, test = time.perf_counter() - started, splits["test"].metadata
    task = tasks.get(store.manifest["task"])
    kinds = {kind: mask.values for kind, mask in task.subsets(test).items() if mask.any()}
    predicted, true = np.array(predicted), test.answer.values
    about = {"task": task.name, "dataset": store.manifest["dataset"], "data": store.manifest["data"]}
    about |= {"model": label, "seed": seed, "n": len(test), "accuracy": metrics.accuracy(predicted, true)}
    about |= {"f1": metrics.classification(predicted, true)["f1"]}
    parts = {f"accuracy: {kind}": metrics.accuracy(predicted[mask], true[mask]) for kind, mask in kinds.items()}
    return {**about, **parts, "seconds": round(seconds, 1), "device": environment(torch.device("cpu"))["device"]}


# ---- how each is trained -------------------------------------------------------------------------------------------


def _bag_of_words(splits: dict[str, Split], vocabulary: list[str], epochs: int, seed: int) -> list[str]:
    """Logistic regression on counts of the tokens that the network sees: the last 20."""
    texts = {part: [" ".join(_tokens(split, i)) for i in range(len(split))] for part, split in splits.items()}
    counts = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", min_df=2)
    train, test = counts.fit_transform(texts["train"]), counts.transform(texts["test"])
    model = LogisticRegression(max_iter=300, C=0.5, random_state=seed).fit(train, splits["train"].metadata.answer)
    return model.predict(test).tolist()


def _tokens(split: Split, row: int) -> list[str]:
    return tokenize(split.metadata.question.values[row].lower())[split.metadata.n_truncated.values[row] :]


def _convnet(splits: dict[str, Split], vocabulary: list[str], epochs: int, seed: int) -> list[str]:
    def inputs(split: Split, rows: np.ndarray) -> tuple[Tensor]:
        frames = split.gather(rows)[:, 0]
        if split.name != "train":
            return (frames,)
        return (torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, frames.flip(-1), frames),)

    return _train(ConvNet(len(vocabulary)), inputs, splits, vocabulary, epochs, seed)


def _lstm(frames: bool) -> Callable:
    def build(splits: dict[str, Split], vocabulary: list[str], epochs: int, seed: int) -> list[str]:
        words = {part: [_tokens(split, i) for i in range(len(split))] for part, split in splits.items()}
        known = {word: i + 2 for i, word in enumerate(sorted({w for row in words["train"] for w in row}))}
        longest = max(map(len, words["train"]))

        def numbers(row: list[str]) -> list[int]:
            found = [known.get(word, 1) for word in row[-longest:]]
            return [0] * (longest - len(found)) + found

        index = {part: torch.tensor([numbers(row) for row in rows]) for part, rows in words.items()}

        def inputs(split: Split, rows: np.ndarray) -> tuple[Tensor, Tensor]:
            clip = split.frames[split.sequences[torch.as_tensor(rows), :CLIP].long()].permute(0, 1, 4, 2, 3)
            return index[split.name][torch.as_tensor(rows)], clip

        return _train(QuestionNet(len(known) + 2, len(vocabulary), frames), inputs, splits, vocabulary, epochs, seed)

    return build


def _train(
    net: nn.Module, inputs: Callable, splits: dict[str, Split], vocabulary: list[str], epochs: int, seed: int
) -> list[str]:
    """AdamW with a learning rate that falls to zero; predicts with the weights of the best validation accuracy."""
    number = {word: i for i, word in enumerate(vocabulary)}
    answers = {part: torch.tensor([number.get(a, 0) for a in split.metadata.answer]) for part, split in splits.items()}

    @torch.inference_mode()
    def predict(split: Split) -> Tensor:
        net.eval()
        rows = np.arange(len(split))
        return torch.cat([net(*inputs(split, part)).argmax(1) for part in np.array_split(rows, len(rows) // 256 + 1)])

    train, rng, best, weights = splits["train"], np.random.default_rng(seed), -1.0, None
    batches = max(1, len(train) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs * batches)
    for _ in range(epochs):
        net.train()
        for rows in np.array_split(rng.permutation(len(train)), batches):
            loss = F.cross_entropy(net(*inputs(train, rows)), answers["train"][torch.as_tensor(rows)])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = (predict(splits["validation"]) == answers["validation"]).float().mean().item()
        if score > best:
            best, weights = score, {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(weights)
    return [vocabulary[i] for i in predict(splits["test"]).tolist()]


BASELINES: dict[str, tuple[str, Callable]] = {
    "bag-of-words": ("bag of words", _bag_of_words),
    "convnet": ("small ConvNet", _convnet),
    "lstm": ("LSTM (question alone)", _lstm(frames=False)),
    "lstm-cnn": ("LSTM + CNN", _lstm(frames=True)),
}
BY_TASK = {"sst2": ("bag-of-words",)}
BY_TASK |= dict.fromkeys(("cifar10", "audiomnist", "fsdd"), ("convnet",))
BY_TASK |= dict.fromkeys(("clevrer", "tgifqa"), ("lstm", "lstm-cnn"))
