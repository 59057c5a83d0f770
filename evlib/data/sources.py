"""The official files of every data set: where they are, what is known of them, and where they go. Mostly data.

    python -m evlib download clevrer --data data     # see evlib/data/download.py

What could not be verified is None, or has an "about"; a checksum stands here only where it was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MINIATURE = "MINIATURE.json"  # the file in a data set's folder that says it was made by code


def is_miniature(root: str | Path) -> bool:
    """Whether the data set in a folder was made by code, and not fetched."""
    return (Path(root) / MINIATURE).exists()


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One official archive, or one file that is used as it is. What is not known is None, and is then not checked."""

    url: str
    filename: str  # under DIR until it is unpacked, also when fetched by hand
    md5: str | None = None
    unpacks_to: str | None  # the folder in the archive; "" where its members lie at the top; None: no archive
    rename: str | None = None  # what it becomes under DIR, where that is another path
    files: Mapping[str, str | None] = field(default_factory=dict)  # path in the folder -> md5; None: must be there
    license: str
    note: str = ""  # logged before it is fetched

    @property
    def path(self) -> str:
        """Of the folder, or of the single file, under DIR."""
        return self.rename or self.unpacks_to or self.filename

    @property
    def folder(self) -> str:
        """The data set's folder under DIR, which may hold other archives, too."""
        return self.path.partition("/")[0]


CLEVRER = "http://data.csail.mit.edu/clevrer"  # the authors give no https address
CLEVRER_VIDEOS = {  # a split's size, and some of the videos that must be there
    "train": ("about 12 GB", ["video_00000-01000/video_00000.mp4", "video_09000-10000/video_09999.mp4"]),
    "validation": ("about 6 GB", ["video_10000-11000/video_10000.mp4", "video_14000-15000/video_14999.mp4"]),
}
# As far as is known, the server of LaSOT's authors has no training set: one zip has the 280 test sequences (50 GB), one
# an extension that is not used here (63 GB). All 1,400, class by class, are where one of the authors put them.
LASOT = "https://huggingface.co/datasets/l-lt/LaSOT/resolve/a97464600e8c1ab91eb91a47332a20732830585e"
LASOT_LICENSE = "not verified; research, not commercial"
LASOT_CLASSES = (
    "airplane basketball bear bicycle bird boat book bottle bus car cat cattle chameleon coin crab crocodile cup deer "
    "dog drone electricfan elephant flag fox frog gametarget gecko giraffe goldfish gorilla guitar hand hat helmet "
    "hippo horse kangaroo kite leopard licenseplate lion lizard microphone monkey motorcycle mouse person pig pool "
    "rabbit racing robot rubicCube sepia shark sheep skateboard spider squirrel surfboard swing tank tiger train "
    "truck turtle umbrella volleyball yoyo zebra"
)

# fmt: off
TINYVIRAT = Archive(
    url="https://www.crcv.ucf.edu/datasets/ugur/TinyVIRAT.zip", filename="TinyVIRAT.zip", unpacks_to="TinyVIRAT",
    files=dict.fromkeys(["tiny_train.json", "tiny_test.json"]), license="none stated; made from VIRAT 2.0",
    note="size not verified, below 2 GB; should the server's certificate be refused, fetch it with a browser",
)

ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "sst2": (Archive(
        url="https://dl.fbaipublicfiles.com/glue/data/SST-2.zip", filename="SST-2.zip", unpacks_to="SST-2",
        md5="9f81648d4199384278b86e315dac217c", license="none stated by GLUE; research use", note="about 7.4 MB",
        files={"train.tsv": "da409a0a939379ed32a470bc0f7fe99a", "dev.tsv": "268856b487b2a31a28c0a93daaff7288",
               "test.tsv": "3230e4efec76488b87877a56ae49675a"},
    ),),
    "cifar10": (Archive(  # the binary version: the Python version is a pickle, which can run code when it is read
        url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", filename="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530", unpacks_to="cifar-10-batches-bin",
        files=dict.fromkeys([*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "batches.meta.txt"]),
        license="none stated; cite Krizhevsky 2009", note="170 MB",
    ),),
    "audiomnist": (Archive(
        url="https://github.com/soerenab/AudioMNIST/archive/refs/heads/master.zip", filename="AudioMNIST-master.zip",
        unpacks_to="AudioMNIST-master", rename="AudioMNIST", files={"data/audioMNIST_meta.txt": None},
        license="MIT", note="about 1 GB; a branch, so its checksum may change",
    ),),
    "fsdd": (Archive(
        url="https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz",
        filename="free-spoken-digit-dataset-1.0.10.tar.gz", unpacks_to="free-spoken-digit-dataset-1.0.10",
        rename="free-spoken-digit-dataset", files={"recordings/0_jackson_0.wav": None}, license="CC BY-SA 4.0",
        note="version 1.0.10: 3,000 recordings of 6 speakers",
    ),),
    "tinyvirat": (TINYVIRAT,),
    "colorization": (TINYVIRAT,),
    "clevrer": tuple(
        archive
        for split, (size, videos) in CLEVRER_VIDEOS.items()
        for archive in (
            Archive(url=f"{CLEVRER}/videos/{split}/video_{split}.zip", filename=f"CLEVRER-video_{split}.zip",
                    unpacks_to="", rename=f"CLEVRER/video_{split}", files=dict.fromkeys(videos), license="CC0",
                    note=size),
            Archive(url=f"{CLEVRER}/questions/{split}.json", filename=f"CLEVRER-{split}.json", unpacks_to=None,
                    rename=f"CLEVRER/questions/{split}.json", license="CC0",
                    note=f"the questions about the {split} videos"),
        )
    ),
    "tgifqa": (Archive(
        url="https://github.com/YunseokJANG/tgif-qa/archive/refs/heads/master.zip", filename="tgif-qa-master.zip",
        unpacks_to="tgif-qa-master", rename="tgif-qa", license="free for academic purposes only",
        files=dict.fromkeys(
            ["dataset/Train_frameqa_question.csv", "dataset/Test_frameqa_question.csv", "dataset/README.md"]
        ),
        note="the questions, without the GIFs; a branch, so its checksum may change",
    ),),
    "lasot": (
        *(Archive(url=f"{LASOT}/{name}", filename=f"LaSOT-{name}", unpacks_to=None, rename=f"LaSOT/{name}",
                  license=LASOT_LICENSE, note="a list of sequences")
          for name in ("training_set.txt", "testing_set.txt")),
        *(Archive(url=f"{LASOT}/{name}.zip", filename=f"LaSOT-{name}.zip", unpacks_to="", rename=f"LaSOT/{name}",
                  files=dict.fromkeys([f"{name}-1/groundtruth.txt", f"{name}-20/groundtruth.txt"]),
                  license=LASOT_LICENSE, note="20 sequences, about 1 to 6 GB")
          for name in LASOT_CLASSES.split()),
    ),
}
# fmt: on

# Logged before the first file is fetched, and at the end; {root} is the data set's folder.
BEFORE = {
    "clevrer": "CLEVRER: about 18 GB are to be fetched, and room for about 25 GB is needed on the way.",
    "lasot": "LaSOT: 70 zips, one per class, about 248 GB in all. Each is removed once it is unpacked: 255 GB suffice.",
}
AFTER = {
    "tgifqa": "TGIF-QA's GIFs cannot be fetched in one piece, and many links are dead: {root}/dataset/README.md says "
    "where to look. Put them at {root}/gifs/<gif_name>.gif; questions whose GIF is not there are left out and counted."
}
