"""``fastnn demo``."""

from typing import TYPE_CHECKING, Any

from fastnn.backend import BACKENDS
from fastnn.cli.errors import choices_of_the_user
from fastnn.lab.demo import DATASETS, OUT, Demo

if TYPE_CHECKING:
    from argparse import Namespace


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    demo = commands.add_parser(
        "demo",
        help="train the classic network, with and without BatchNorm, dropout and weight decay",
        description="Trains a network with six hidden layers of 100 units on handwritten digits, "
        "with and without BatchNorm, dropout and weight decay. Prints how well and how fast; "
        "writes the curves of accuracy and loss as PNG and the numbers as CSV.",
        allow_abbrev=False,
    )
    epochs = ", ".join(f"{dataset.epochs} for {name}" for name, dataset in DATASETS.items())
    demo.add_argument(
        "--dataset", choices=tuple(DATASETS), default="digits", help="default: %(default)s"
    )
    demo.add_argument("--epochs", type=int, metavar="N", help=f"default: {epochs}")
    demo.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    demo.add_argument(
        "--out", default=OUT, metavar="DIR", help="folder for the files; default: %(default)s"
    )
    demo.add_argument(
        "--backend", choices=BACKENDS, help="which kernels; default: the first that is there"
    )
    demo.add_argument("--threads", type=int, metavar="T", help="default: by the amount of work")
    demo.add_argument("--quiet", action="store_true", help="show no progress bar")
    demo.set_defaults(run=_run)


def _run(arguments: "Namespace") -> None:
    with choices_of_the_user():
        demo = Demo(
            arguments.dataset,
            arguments.epochs,
            arguments.seed,
            arguments.out,
            arguments.backend,
            arguments.threads,
            progress=not arguments.quiet,
        )
    demo.run()
