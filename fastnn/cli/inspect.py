"""``fastnn inspect``: what a model's file holds."""

from typing import TYPE_CHECKING, Any

from fastnn import storage
from fastnn.cli.table_options import model_file
from fastnn.model import Sequential

if TYPE_CHECKING:
    from argparse import Namespace

    from fastnn.tables import TableModel

SHOWN_CATEGORIES = 8


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    inspect = commands.add_parser(
        "inspect",
        help="say what a model's file holds",
        description="Says what a model's file holds: its layers, its preprocessing, and for a "
        "model of a table its columns and what it predicts. Runs nothing of it.",
        allow_abbrev=False,
    )
    inspect.add_argument("model", metavar="MODEL", help="a model's file, or its folder")
    inspect.set_defaults(run=_run)


def _run(arguments: "Namespace") -> None:
    path = model_file(arguments.model)
    _, description = storage.read_file(path)
    if description.get("model") != "table":
        print(Sequential.load(path).summary())
        return
    from fastnn.tables import load

    model = load(path)
    print(_table(model))
    print(model.network.summary())


def _table(model: "TableModel") -> str:
    from fastnn.tables.errors import listed, one_line

    target = model.target
    lines = [f"predicts  {one_line(target.name)}, {target.task}"]
    if target.classes:
        lines.append(f"classes   {listed(target.classes, len(target.classes))}")
    else:
        lines.append(f"scale     {target.mean:.6g} + {target.scale:.6g} * the network's output")
    lines += ["", "columns"]
    width = max(len(one_line(name)) for name in model.columns.names)
    for entry in model.columns.config():
        if entry["kind"] == "numeric":
            made = f"(value - {entry['mean']:.6g}) / {entry['scale']:.6g}; missing is "
            made += f"{entry['median']:.6g}"
        else:
            made = listed(entry["categories"], SHOWN_CATEGORIES)
        marked = "; missing is marked" if entry["marks_missing"] else ""
        lines.append(f"  {one_line(entry['name']):{width}}  {entry['kind']:11}  {made}{marked}")
    return "\n".join([*lines, ""])
