"""Mini-batch: the two-layer network, 10,000 iterations, the loss of every one of them.

Each step sees 100 images only, so its loss jumps; the mean over many falls steadily. Accuracy on
training and on test images rises side by side: what is learned holds for images never seen.
After K. Saitoh, "Deep Learning from Scratch" (2016), section 4.5.
"""

from typing import TYPE_CHECKING

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import (
    Epochs,
    Options,
    Part,
    Progress,
    Result,
    history_rows,
    load,
    percent,
)
from fastnn.pictures import TRAIN_COLOUR, VALIDATION_COLOUR, log_scale, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUMMARY = "the loss of each of 10,000 iterations, and the accuracy after each epoch"
HIDDEN = 50
BATCH = 100
ITERATIONS = 10_000
ROWS = 50_000  # of MNIST: twenty epochs of 500 batches
SMOOTH = 100  # iterations in the mean that is drawn over the losses


class Watch(fnn.Callback):
    """Keeps the loss of each batch, and after each epoch the accuracy on the training images.

    That of the history is the mean over the epoch, in which the network was learning all along.
    """

    def __init__(self, train: Part) -> None:
        self.train = train
        self.losses: list[float] = []
        self.accuracy: list[float] = []

    def on_batch_end(
        self, trainer: fnn.Trainer, epoch: int, batch: int, batches: int, loss: float
    ) -> None:
        self.losses.append(loss)

    def on_epoch_end(self, trainer: fnn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.accuracy.append(trainer.evaluate(*self.train)["accuracy"])


def run(options: Options, progress: Progress) -> Result:
    (x, y), test = load(options, train=options.size(ROWS, 1000))
    per_epoch = -(-len(x) // BATCH)
    epochs = options.epochs_or(options.size(round(ITERATIONS / per_epoch), 20))
    watch = Watch((x, y))
    # The textbook's network: sigmoid, initial weights of standard deviation 0.01.
    model = fnn.mlp(x.shape[1], [HIDDEN], 10, activation="sigmoid", init=0.01, rng=options.seed)
    trainer = fnn.Trainer(
        model,
        optimizer=fnn.SGD(lr=0.1),
        batch_size=BATCH,
        rng=options.seed,
        callbacks=[watch, Epochs(progress, "two-layer network")],
        verbose=False,
    )
    history = trainer.fit(x, y, epochs=epochs, validation_data=test)
    losses = np.array(watch.losses)
    jumps = float(losses[-SMOOTH:].std() / losses[-SMOOTH:].mean())
    train, held = watch.accuracy[-1], history["val_accuracy"][-1]
    apart = 100 * abs(train - held)
    together = "they rise together" if apart < 2 else "they have come apart"
    sentence = (
        f"In {len(losses):,} iterations the loss falls from {losses[0]:.2f} to "
        f"{losses[-SMOOTH:].mean():.2f} (mean of the last {SMOOTH}), jumping by "
        f"{100 * jumps:.0f} % of itself from batch to batch; after {epochs} epochs "
        f"{percent(train)} of the training and {percent(held)} of the test images are right, "
        f"{apart:.1f} points apart: {together}."
    )
    table = [
        {
            "epoch": epoch + 1,
            "iterations": (epoch + 1) * per_epoch,
            "loss": history["loss"][epoch],
            "train accuracy": watch.accuracy[epoch],
            "test accuracy": history["val_accuracy"][epoch],
        }
        for epoch in np.unique(np.linspace(0, epochs - 1, min(epochs, 10)).astype(int)).tolist()
    ]
    network = f"{x.shape[1]}-{HIDDEN}-10"
    figure = new_figure(12, 4.5, f"{options.title}: {network}, SGD, batches of {BATCH}")
    left, right = figure.subplots(1, 2)
    _draw_losses(left, losses)
    _draw_accuracy(right, watch.accuracy, history["val_accuracy"])
    return Result(table, sentence, figure, history_rows({network: history}))


def _draw_losses(axes: "Axes", losses: np.ndarray) -> None:
    iterations = np.arange(1, len(losses) + 1)
    axes.plot(iterations, losses, color=TRAIN_COLOUR, linewidth=0.5, alpha=0.35, label="each batch")
    if len(losses) >= SMOOTH:
        mean = np.convolve(losses, np.full(SMOOTH, 1 / SMOOTH), mode="valid")
        middle = iterations[SMOOTH // 2 :][: len(mean)]
        axes.plot(
            middle, mean, color=TRAIN_COLOUR, linewidth=2.2, label=f"mean of {SMOOTH} iterations"
        )
    log_scale(axes)
    axes.set(xlabel="iteration", ylabel="loss")
    axes.margins(x=0.02)
    tidy(axes)
    axes.legend(frameon=False)


def _draw_accuracy(axes: "Axes", train: list[float], test: list[float]) -> None:
    for name, values, colour, style in (
        ("training", train, TRAIN_COLOUR, "-"),
        ("test", test, VALIDATION_COLOUR, "--"),
    ):
        label = f"{name}, {percent(values[-1])} at the end"
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, style, marker="o", color=colour, markersize=4, label=label)
    axes.set(xlabel="epoch", ylabel="accuracy")
    tidy(axes, whole_x=True)
    axes.legend(frameon=False, loc="lower right")
