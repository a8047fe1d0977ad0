"""``fastnn predict``: what a model says to new rows."""

import csv
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fastnn.cli.errors import UserError, choices_of_the_user
from fastnn.cli.table_options import MODEL_SUFFIX, add_encoding, check_output, model_file
from fastnn.files import replace_file

# Names under which others, and fastnn itself, would not look for CSV.
OTHER_FORMATS = (".parquet", ".pq", ".npz", ".gz", ".xlsx", MODEL_SUFFIX)

if TYPE_CHECKING:
    from argparse import Namespace

    from numpy import ndarray


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    predict = commands.add_parser(
        "predict",
        help="predict with a model that 'train' wrote",
        description="Predicts the target for each row of a table, which has the columns that the "
        "model was trained on, in any order. Writes CSV: a line for each row, in their order.",
        allow_abbrev=False,
    )
    predict.add_argument("model", metavar="MODEL", help="a model's file, or its folder")
    predict.add_argument(
        "data",
        metavar="DATA",
        help="a CSV file (or Parquet, or NPZ); - for CSV from standard input",
    )
    predict.add_argument("--out", metavar="FILE", help="default: standard output")
    predict.add_argument("--proba", action="store_true", help="add the probability of each class")
    predict.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="columns of DATA to write beside the predictions, such as an identifier",
    )
    add_encoding(predict)
    predict.set_defaults(run=_run)


def _source(data: str) -> "str | BinaryIO":
    """What to read: the file, or for "-" what is piped in."""
    if data != "-":
        return data
    if sys.stdin is None:
        raise UserError("- is standard input, and there is none")
    return sys.stdin.buffer


def _run(arguments: "Namespace") -> None:
    from fastnn.tables import load
    from fastnn.tables.errors import listed, no_column

    path = model_file(arguments.model)
    check_output(arguments.out, path, arguments.data)
    if Path(arguments.out or "").suffix.lower() in OTHER_FORMATS:
        raise UserError(f"--out is written as CSV; {arguments.out} has the name of another format")
    model = load(path)
    if arguments.proba and not model.classes:
        raise UserError(f"--proba needs a model of classes; {model.target.name!r} is a number")
    with choices_of_the_user():
        table = model.read(_source(arguments.data), arguments.encoding)
    for name in arguments.keep:
        if name not in table.frame.columns:
            raise no_column(name, table.frame.columns, table.source)
    outputs, odd = model.outputs(table)
    # As text, in which a gap is nothing, not "nan".
    kept = table.frame[arguments.keep].astype(object).where(table.frame[arguments.keep].notna(), "")
    columns: dict[str, ndarray] = {name: kept[name].to_numpy() for name in arguments.keep}
    columns[f"predicted {model.target.name}"] = model.decode(outputs)
    if arguments.proba:
        for number, name in enumerate(model.classes):
            columns[f"probability {name}"] = outputs[:, number].astype(float).round(6)

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    if arguments.out is None:
        sys.stdout.write(text.getvalue())
    else:
        replace_file(arguments.out, [text.getvalue().encode()])
        print(f"{len(outputs):,} predictions in {arguments.out}")
    ignored = set(table.frame.columns) - {*model.columns.names, model.target.name, *arguments.keep}
    if ignored:
        odd.append(f"columns that the model does not read: {listed(sorted(ignored))}")
    for words in [*table.notes, *odd]:
        if sys.stderr is not None:
            print(f"fastnn: note: {words}", file=sys.stderr)
