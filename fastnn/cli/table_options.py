"""Options that the commands on tables share, and the places they write to."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn.backend import BACKENDS
from fastnn.cli.errors import UserError

if TYPE_CHECKING:
    from argparse import Namespace

    from fastnn.tables import TrainedTable

MODEL_SUFFIX = ".fnn"


def units(text: str) -> tuple[int, ...]:
    """Units of the hidden layers as they are written: "128,64"; empty for none."""
    from argparse import ArgumentTypeError

    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ArgumentTypeError(f"must be whole numbers, such as 128,64; got {text!r}") from None


def add_table_options(parser: Any) -> None:
    """What is learned from, and how: the same for one training and for a search."""
    parser.add_argument("data", metavar="DATA", help="a CSV file, Parquet or NPZ")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="default: inferred from the target, and said",
    )
    parser.add_argument(
        "--drop", nargs="+", action="extend", default=[], metavar="COLUMN", help="to leave out"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the files, or the model's file, *.fnn; default: fastnn-DATA",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="at most; default: by the rows")
    parser.add_argument("--batch-size", type=int, metavar="N", help="default: by the rows")
    parser.add_argument(
        "--validation-share",
        type=float,
        metavar="SHARE",
        help="of the rows, to decide when to stop; default: 0.15",
    )
    parser.add_argument(
        "--test-share", type=float, metavar="SHARE", help="of the rows, to judge; default: 0.15"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="default: 0")
    parser.add_argument("--threads", type=int, metavar="T", help="default: by the amount of work")
    parser.add_argument("--backend", choices=BACKENDS, help="default: the first that is there")
    add_encoding(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")


def add_encoding(parser: Any) -> None:
    """How a CSV file is to be read."""
    parser.add_argument("--encoding", help="of a CSV file, such as cp1252; default: utf-8")


def given(arguments: "Namespace", *names: str) -> dict[str, Any]:
    """Options that were given: the defaults are those of `fastnn.tables.Settings`."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


SHARED = (
    *("task", "drop", "epochs", "batch_size", "validation_share", "test_share", "seed", "threads"),
    "backend",
)


@dataclass(frozen=True)
class Places:
    """Where the files of a training go.

    Attributes
    ----------
    model, report, trials : Path
    """

    model: Path
    report: Path
    trials: Path

    @classmethod
    def of(cls, out: str | None, data: str) -> "Places":
        """The places that ``--out`` names; no folder is made yet.

        Raises
        ------
        UserError
            Files cannot be written there.
        """
        stem = Path(data).name.partition(".")[0] or "table"
        path = Path(f"fastnn-{stem}" if out is None else out)
        if path.suffix == MODEL_SUFFIX and not path.is_dir():
            places = cls(path, path.with_suffix(".html"), path.with_name(f"{path.stem}-trials.csv"))
        else:
            places = cls(path / f"model{MODEL_SUFFIX}", path / "report.html", path / "trials.csv")
        _check_writable(places.model.parent)
        return places

    def write(self, trained: "TrainedTable") -> list[tuple[str, Path]]:
        """Write the files, each at once or not at all; what was written, with a word on it."""
        self.model.parent.mkdir(parents=True, exist_ok=True)
        written = [("model", self.model), ("report", self.report)]
        trained.model.save(self.model)
        trained.write_report(self.report)
        if trained.search is not None:
            trained.search.to_csv(self.trials)
            written.append(("trials", self.trials))
        return written


def _check_writable(folder: Path) -> None:
    """Refuse a folder before hours are spent on what could not be written there."""
    there = folder.absolute()
    while not there.exists() and there.parent != there:
        there = there.parent
    reason = ""
    if not there.is_dir():
        reason = f"{there} is a file"
    elif not os.access(there, os.W_OK | os.X_OK):
        reason = "permission denied"
    if reason:
        raise UserError(f"--out must be where files can be written; {folder} is not ({reason})")


def check_output(path: str | None, *inputs: str | Path) -> None:
    """Refuse a file that could not be written, before the work is done.

    Raises
    ------
    UserError
        It is a folder, or lies in none, or in one that is not writable; or it is one of `inputs`,
        which would be lost.
    """
    if path is None:
        return
    for given in inputs:
        if Path(path).exists() and Path(given).exists() and os.path.samefile(path, given):
            raise UserError(f"--out must be another file than {given}, which it would replace")
    if Path(path).is_dir():
        raise UserError(f"--out must be a file; {path} is a folder")
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"--out must lie in a folder that is there; {Path(path).parent} is not")
    _check_writable(Path(path).parent)


def model_file(path: str) -> Path:
    """The file of a model that was named itself, or by the folder that training wrote."""
    found = Path(path)
    return found / f"model{MODEL_SUFFIX}" if found.is_dir() else found
