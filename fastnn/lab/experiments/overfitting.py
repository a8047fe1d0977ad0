"""Overfitting: a large network learns 300 images by heart, and knows others far less well.

Seven layers of weights, six of them hidden layers of 100 units, have far more parameters than 300
images can determine. Trained for 201 epochs by plain SGD, the network gets all of them right, while
its accuracy on images it has not seen stops rising early: the distance is what overfitting means.
After K. Saitoh, "Deep Learning from Scratch" (2016), section 6.4.1.
"""

from typing import TYPE_CHECKING

import fastnn as fnn
from fastnn.lab.experiments.base import (
    Curves,
    Epochs,
    Options,
    Part,
    Progress,
    Result,
    history_rows,
    load,
    percent,
)
from fastnn.pictures import TRAIN_COLOUR, VALIDATION_COLOUR, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUMMARY = "seven layers learn 300 images by heart, and know others far less well"
EPOCHS = 201
SAMPLES = 300


def run(options: Options, progress: Progress) -> Result:
    data = load(options, train=SAMPLES)
    n, n_test = len(data[0][0]), len(data[1][0])
    model = fnn.mlp(data[0][0].shape[1], [100] * 6, 10, rng=options.seed)
    watch = Epochs(progress, f"{n} images")
    found = fit(model, data, options.epochs_or(EPOCHS), options.seed, watch)
    gap = Gap(found)
    learned = "learned by heart" if gap.train > 0.99 else "not yet learned by heart"
    far = "far below" if gap.points > 10 else "not far below"
    sentence = (
        f"After {len(found['loss'])} epochs the {n} training images are {learned} "
        f"({percent(gap.train)} right), but of {n_test:,} others {percent(gap.test)} are "
        f"right, {far}: a gap of {gap.points:.1f} points."
    )
    figure = draw({"": found}, f"{options.title}: {n} training images, 7 layers")
    return Result([gap.row("plain")], sentence, figure, history_rows({"plain": found}))


class TrainAccuracy(fnn.Callback):
    """Accuracy on the training images after each epoch, in inference mode as for the test images.

    What a fit reports is measured while it trains, with units dropped.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.values: list[float] = []

    def on_epoch_end(self, trainer: fnn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.values.append(trainer.evaluate(*self.part)["accuracy"])


def fit(
    model: fnn.Sequential,
    data: tuple[Part, Part],
    epochs: int,
    seed: int,
    watch: fnn.Callback,
    regularizer: fnn.Regularizer | None = None,
) -> Curves:
    """Train as the textbook does: SGD with learning rate 0.01, batches of 100."""
    accuracy = TrainAccuracy(data[0])
    trainer = fnn.Trainer(
        model,
        optimizer=fnn.SGD(lr=0.01),
        regularizer=regularizer,
        batch_size=100,
        rng=seed,
        callbacks=[watch, accuracy],
        verbose=False,
    )
    history = trainer.fit(*data[0], epochs=epochs, validation_data=data[1])
    return {name: history[name] for name in history} | {"accuracy": accuracy.values}


class Gap:
    """Accuracy in the last epoch, on training and on test images.

    Parameters
    ----------
    curves : mapping of str to list of float
        As `fit` returns them.
    """

    def __init__(self, curves: Curves) -> None:
        self.train = curves["accuracy"][-1]
        self.test = curves["val_accuracy"][-1]
        self.points = 100 * (self.train - self.test)

    def row(self, name: str) -> dict[str, float | str]:
        """A row of the table."""
        return {
            "network": name,
            "train accuracy": self.train,
            "test accuracy": self.test,
            "gap, points": self.points,
        }


def draw(fits: dict[str, Curves], title: str) -> "Figure":
    """A panel for each fit: accuracy on training and test images, and the gap between them."""
    figure = new_figure(7.5 if len(fits) == 1 else 5.2 * len(fits), 4.4, title)
    panels = figure.subplots(1, len(fits), sharey=True, squeeze=False)[0]
    for axes, (name, curves) in zip(panels, fits.items(), strict=True):
        _panel(axes, name, curves)
    panels[0].set_ylabel("accuracy")
    return figure


def _panel(axes: "Axes", name: str, curves: Curves) -> None:
    train, test = curves["accuracy"], curves["val_accuracy"]
    epochs = range(1, len(train) + 1)
    axes.fill_between(epochs, train, test, color="0.5", alpha=0.13, lw=0)
    for values, colour in ((train, TRAIN_COLOUR), (test, VALIDATION_COLOUR)):
        axes.plot(epochs, values, color=colour, linewidth=1.9)
    # Beside the ends of the curves, and apart from each other where these are not.
    middle, apart = (train[-1] + test[-1]) / 2, max(abs(train[-1] - test[-1]), 0.14)
    sign = 1 if train[-1] >= test[-1] else -1
    for values, colour, label, side in (
        (train, TRAIN_COLOUR, "training", sign),
        (test, VALIDATION_COLOUR, "test", -sign),
    ):
        axes.annotate(
            f" {label}\n {100 * values[-1]:.1f} %",
            (epochs[-1], middle + side * apart / 2),
            color=colour,
            weight="bold",
            va="center",
            annotation_clip=False,
        )
    axes.set_title(name, fontsize="medium")
    axes.set_xlabel("epoch")
    axes.set_ylim(0, 1.03)
    axes.margins(x=0.02)
    tidy(axes, whole_x=True)
