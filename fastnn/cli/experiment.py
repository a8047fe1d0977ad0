"""``fastnn experiment``."""

from typing import TYPE_CHECKING, Any

from fastnn.cli.errors import choices_of_the_user
from fastnn.lab import experiments
from fastnn.lab.demo import DATASETS

if TYPE_CHECKING:
    from argparse import Namespace


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    experiment = commands.add_parser(
        "experiment",
        help="show on data what a course on training networks teaches",
        description="Runs an experiment: prints what it found in a table and a sentence; writes a "
        "picture as PNG and the numbers as CSV. 'list' names the experiments; 'all' runs them all "
        "and writes a page of their pictures, index.html.",
        allow_abbrev=False,
    )
    experiment.add_argument("name", metavar="NAME", help="an experiment, 'list' or 'all'")
    experiment.add_argument(
        "--dataset",
        choices=tuple(DATASETS),
        default="",
        help="default: mnist where FASTNN_DATA has it, else digits",
    )
    experiment.add_argument(
        "--epochs", type=int, metavar="N", help="default: the experiment's own number"
    )
    experiment.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    experiment.add_argument(
        "--out",
        default=experiments.OUT,
        metavar="DIR",
        help="folder for the files; default: %(default)s",
    )
    experiment.set_defaults(run=_run)


def _run(arguments: "Namespace") -> None:
    name = arguments.name
    if name == "list":
        width = max(len(known) for known in experiments.NAMES)
        for known in experiments.NAMES:
            print(f"{known:{width}}  {experiments.experiment(known).SUMMARY}")
        return
    with choices_of_the_user():
        options = experiments.Options(
            arguments.dataset, arguments.epochs, arguments.seed, arguments.out
        )
        if name != "all":
            experiments.experiment(name)
    if name == "all":
        experiments.run_all(options)
    else:
        experiments.run_experiment(name, options)
