"""``fastnn train`` and ``fastnn search``: a model for the columns of a table in a file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastnn.cli.errors import choices_of_the_user
from fastnn.cli.table_options import SHARED, Places, add_table_options, given, units

if TYPE_CHECKING:
    from argparse import Namespace

    from fastnn.tables import Settings, TrainedTable
    from fastnn.tables.table import Table

TRIALS = 30


def add(commands: Any) -> None:
    """Add the commands to the parser's."""
    train = commands.add_parser(
        "train",
        help="train a network on a table of your own",
        description="Trains a network to predict a column of a table from the others: numbers, "
        "names and gaps as they are. Says what it made of each column and how good the model is; "
        "writes the model, with its preprocessing, and a report as a web page.",
        allow_abbrev=False,
    )
    add_table_options(train)
    train.add_argument(
        "--hidden", type=units, metavar="UNITS", help="of the hidden layers; default: 128,64"
    )
    train.add_argument("--lr", type=float, metavar="RATE", help="learning rate; default: 0.002")
    train.add_argument("--dropout", type=float, metavar="RATIO", help="default: 0.2")
    train.add_argument("--batch-norm", action="store_const", const=True, help="default: without")
    train.add_argument("--weight-decay", type=float, metavar="S", help="default: 0.1")
    train.set_defaults(run=_train)

    search = commands.add_parser(
        "search",
        help="train with many settings, and keep the best",
        description="Searches at random, then around the best, for the learning rate, the "
        "penalty, dropout, BatchNorm and the widths; trains a model with the best of them, and "
        "writes what 'fastnn train' writes, and the table of trials as CSV.",
        allow_abbrev=False,
    )
    add_table_options(search)
    search.add_argument(
        "--trials", type=int, default=TRIALS, metavar="N", help="default: %(default)s"
    )
    search.set_defaults(run=_search)


def _train(arguments: "Namespace") -> None:
    from fastnn.tables.fit import train_table

    names = (*SHARED, "hidden", "lr", "dropout", "batch_norm", "weight_decay")
    with choices_of_the_user():
        settings, places, table = _start(arguments, names)
    trained = train_table(table, arguments.target, settings, progress=not arguments.quiet)
    _report(trained, places)


def _search(arguments: "Namespace") -> None:
    from fastnn.tables.search import checked_trials, search_table

    with choices_of_the_user():
        trials = checked_trials(arguments.trials)
        settings, places, table = _start(arguments, SHARED)
    trained = search_table(table, arguments.target, settings, trials, progress=not arguments.quiet)
    print(trained.search, end="\n\n")
    _report(trained, places)
    if trained.search is not None and trained.search.interrupted:
        raise KeyboardInterrupt  # the best by then has been kept


def _start(arguments: "Namespace", names: Sequence[str]) -> tuple["Settings", Places, "Table"]:
    """What was chosen, checked; where files will go; the table."""
    from fastnn.tables import Settings
    from fastnn.tables.read import read_table

    settings = Settings(**given(arguments, *names))
    places = Places.of(arguments.out, arguments.data)
    return settings, places, read_table(arguments.data, encoding=arguments.encoding)


def _report(trained: "TrainedTable", places: Places) -> None:
    from fastnn.tables.text import report

    written = places.write(trained)
    print(report(trained.outcome))
    for name, path in written:
        print(f"{name:12}{path}")
