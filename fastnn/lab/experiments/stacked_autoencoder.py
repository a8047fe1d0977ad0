"""Stacked autoencoder: layers pretrained one after another, where labels are few.

A deep network of sigmoid units is hard to train from random weights: the gradient of its first
layers is next to nothing. Autoencoders need no labels, so each layer can be trained first to give
back the codes of the one below; the encoders, stacked, with a layer for the classes on top, are
then fine-tuned on the labels there are. Both networks get the same labels, epochs and optimizer.
After Y. Bengio et al., "Greedy layer-wise training of deep networks" (2006), and D. Erhan et al.,
"Why does unsupervised pre-training help deep learning?" (2010).
"""

from typing import Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Part, Progress, Result, load, percent
from fastnn.lab.plots import draw_by_epoch, draw_by_labels
from fastnn.lab.sheets import draw_features
from fastnn.pictures import COLOURS, new_figure

SUMMARY = "layers pretrained without labels against random weights, where labels are few"
HIDDEN = [200] * 4
UNLABELLED = 20_000
LABELS = (100, 300, 1000, 3000)
REPEATS = 3
EPOCHS = 10  # of each layer's pretraining
STEPS = 600  # of fine-tuning, at least
BATCH = 50
WAYS = {"pretrained": {"color": COLOURS[3]}, "random weights": {"color": COLOURS[4]}}


def run(options: Options, progress: Progress) -> Result:
    (x, y), test = load(options, options.size(UNLABELLED, 300))
    labels = [n for n in options.size(LABELS, LABELS[:1]) if n <= len(x)]
    repeats = options.size(REPEATS, 1)
    fits = 1 + 2 * len(labels) * repeats
    stacked = _pretrain(x, options, Epochs(progress, "pretraining without labels", 0, fits))
    rows: list[dict[str, Any]] = []
    curves: dict[str, fnn.History] = {}
    for n in labels:
        for repeat in range(repeats):
            seed = options.seed + repeat
            some = np.random.default_rng(seed).permutation(len(x))[:n]
            for way in WAYS:
                watch = Epochs(progress, f"{n} labels, {way}", 1 + len(rows), fits)
                model = _network(way, stacked, x.shape[1], seed)
                seen = test if n == labels[-1] and not repeat else None
                trainer = _fine_tune(model, (x[some], y[some]), seen, seed, options, watch)
                accuracy = trainer.evaluate(*test)["accuracy"]
                rows.append(
                    {"labels": n, "repeat": repeat + 1, "weights": way, "accuracy": accuracy}
                )
                if seen:
                    curves[way] = trainer.history
    table = [_row(n, rows) for n in labels]
    figure = new_figure(14.5, 4.8, f"{options.title}: four layers of {HIDDEN[0]} sigmoid units")
    left, middle, right = figure.subplots(1, 3)
    draw_by_labels(left, table, WAYS)
    draw_by_epoch(middle, curves, WAYS, f"with {labels[-1]:,} labels")
    middle.set(xlabel="epoch of fine-tuning", ylim=(0, 1))
    title = "features of the first layer, pretrained without any label"
    draw_features(right, stacked.model.params["affine1.w"], 8, 64, title)
    return Result(table, _sentence(table), figure, rows)


def _pretrain(x: np.ndarray, options: Options, watch: Epochs) -> fnn.StackedAutoencoder:
    epochs = options.size(EPOCHS, 1)
    stacked = fnn.StackedAutoencoder(
        x.shape[1], HIDDEN, "sigmoid", output="sigmoid", rng=options.seed, callbacks=[watch],
        verbose=False,
    )  # fmt: skip
    stacked.fit(x, epochs=epochs)
    return stacked


def _network(way: str, stacked: fnn.StackedAutoencoder, n_in: int, seed: int) -> fnn.Sequential:
    if way == "pretrained":
        return stacked.to_classifier(10, rng=seed)
    return fnn.mlp(n_in, HIDDEN, 10, activation="sigmoid", init="xavier", rng=seed)


def _fine_tune(
    model: fnn.Sequential,
    labelled: Part,
    test: Part | None,
    seed: int,
    options: Options,
    watch: fnn.Callback,
) -> fnn.Trainer:
    trainer = fnn.Trainer(
        model,
        optimizer=fnn.Adam(lr=1e-3),
        batch_size=BATCH,
        rng=seed,
        callbacks=[watch],
        verbose=False,
    )
    steps = options.size(STEPS, 5)
    epochs = options.epochs_or(max(options.size(20, 1), steps * BATCH // len(labelled[0])))
    trainer.fit(*labelled, epochs=epochs, validation_data=test)
    return trainer


def _row(n: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"labels": n}
    for way in WAYS:
        accuracies = [r["accuracy"] for r in rows if (r["labels"], r["weights"]) == (n, way)]
        row |= {way: float(np.mean(accuracies)), f"std, {way}": float(np.std(accuracies))}
    return row | {"points won": 100 * (row["pretrained"] - row["random weights"])}


def _sentence(table: list[dict[str, Any]]) -> str:
    helped = [str(row["labels"]) for row in table if row["points won"] > 0]
    most = max(table, key=lambda row: row["points won"])
    least = min(table, key=lambda row: row["points won"])
    if not helped:
        return (
            "Pretraining does not help here: the accuracy on test images changes by "
            f"{least['points won']:+.1f} to {most['points won']:+.1f} points."
        )
    where = "whatever the number of labels" if len(helped) == len(table) else (
        f"with {', '.join(helped)} labels"
    )  # fmt: skip
    sentence = (
        f"Pretraining without labels helps {where}: most with {most['labels']} labels, where "
        f"{percent(most['pretrained'])} of the test images are right instead of "
        f"{percent(most['random weights'])}"
    )
    if least is not most:
        sentence += (
            f"; with {least['labels']} it is {percent(least['pretrained'])} instead of "
            f"{percent(least['random weights'])}"
        )
    return sentence + "."
