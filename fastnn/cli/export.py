"""``fastnn export``: a model for programs that do not know fastnn."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastnn import storage
from fastnn.cli.errors import choices_of_the_user
from fastnn.cli.table_options import check_output, model_file
from fastnn.model import Sequential

if TYPE_CHECKING:
    from argparse import Namespace

SUFFIXES = {"onnx": ".onnx", "numpy": ".py"}


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    export = commands.add_parser(
        "export",
        help="write a model as ONNX, or as a Python file that needs NumPy alone",
        description="Writes a model, with its preprocessing, for programs that do not know "
        "fastnn: as ONNX, or as one Python file that needs NumPy alone.",
        allow_abbrev=False,
    )
    export.add_argument("model", metavar="MODEL", help="a model's file, or its folder")
    export.add_argument("--to", required=True, choices=tuple(SUFFIXES), help="the format")
    export.add_argument(
        "--out", metavar="FILE", help="default: beside the model, with the ending .onnx or .py"
    )
    export.set_defaults(run=_run)


def _run(arguments: "Namespace") -> None:
    path = model_file(arguments.model)
    out = path.with_suffix(SUFFIXES[arguments.to]) if arguments.out is None else arguments.out
    check_output(str(out), path)
    _, description = storage.read_file(path)
    if description.get("model") == "table":
        how = _export_table(path, Path(out), arguments.to)
    else:
        how = _export_network(path, Path(out), arguments.to)
    print(f"{how}\nwritten to {out}")


def _export_network(path: Path, out: Path, to: str) -> str:
    from fastnn import io

    model = Sequential.load(path)
    with choices_of_the_user():
        (io.export_onnx if to == "onnx" else io.export_numpy)(model, out)
    if to == "onnx":
        return "input: 'input', rows of numbers; output: 'output'"
    return "predict(x) takes rows of numbers"


def _export_table(path: Path, out: Path, to: str) -> str:
    from fastnn.tables import export_numpy, export_onnx, load

    model = load(path)
    if to == "numpy":
        export_numpy(model, out)
        return "predict(columns) takes a dict: name of a column to its values"
    export_onnx(model, out)
    gives = "'label', 'probabilities'" if model.classes else "'prediction'"
    return f"inputs: a column each, (N, 1), numbers as double; outputs: {gives}"
