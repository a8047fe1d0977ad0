"""Transfer: a network that knows the digits 0 to 4 learns the digits 5 to 9.

Its body can be used as it is, with a new head; its last layers can learn along, more slowly; or
everything can. Whether that is better than to begin from scratch is a matter of how many labels
there are, and of how much the two tasks have in common.
After J. Yosinski et al., "How transferable are features in deep neural networks?" (2014).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Part, Progress, Result, load, percent
from fastnn.lab.plots import draw_by_epoch, draw_by_labels
from fastnn.pictures import COLOURS, new_figure

SUMMARY = "from the digits 0-4 to 5-9: head only, last layers, everything, from scratch"
HIDDEN = [200, 200, 200]
LABELS = (10, 30, 100, 300, 1000, 3000)
REPEATS = 3
SOURCE_EPOCHS = 5
STEPS = 600
SLOWER = 0.3  # learning rate of layers that have learned before, in that of the new head
CURVES = 300  # labels of the fits whose curves are shown


def head_only(body: fnn.Sequential, seed: int) -> fnn.Sequential:
    """The body as it is, and a new head."""
    model = body.replace_head(5, rng=seed)
    model.freeze(until=-2)
    return model


def last_layers(body: fnn.Sequential, seed: int) -> fnn.Sequential:
    """As `head_only`, and the last hidden layer learns along, slower."""
    model = head_only(body, seed)
    model.unfreeze(since="affine3", until=-2, lr_scale=SLOWER)
    return model


def everything(body: fnn.Sequential, seed: int) -> fnn.Sequential:
    """All layers learn, slower than the head."""
    model = body.replace_head(5, rng=seed)
    model.unfreeze(until=-2, lr_scale=SLOWER)
    return model


def from_scratch(body: fnn.Sequential, seed: int) -> fnn.Sequential:
    """The same network, that knows nothing."""
    return fnn.mlp(body.input_shape, HIDDEN, 5, rng=seed)


WAYS: dict[str, Callable[[fnn.Sequential, int], fnn.Sequential]] = {
    "head only": head_only,
    "last layers": last_layers,
    "everything": everything,
    "from scratch": from_scratch,
}
STYLES: dict[str, dict[str, Any]] = {
    "head only": {"color": COLOURS[1]},
    "last layers": {"color": COLOURS[2]},
    "everything": {"color": COLOURS[3]},
    "from scratch": {"color": COLOURS[0], "linestyle": "--"},
}


def run(options: Options, progress: Progress) -> Result:
    (x, y), (x_test, y_test) = load(options, options.size(None, 500))
    known, known_test = (x[y < 5], y[y < 5]), (x_test[y_test < 5], y_test[y_test < 5])
    new, new_test = (x[y >= 5], y[y >= 5] - 5), (x_test[y_test >= 5], y_test[y_test >= 5] - 5)
    labels = [n for n in options.size(LABELS, LABELS[:2]) if n <= len(new[0])]
    repeats = options.size(REPEATS, 1)
    fits = 1 + len(labels) * repeats * len(WAYS)
    body, source = _learn_known(known, known_test, options, Epochs(progress, "0 to 4", 0, fits))
    rows: list[dict[str, Any]] = []
    curves: dict[str, fnn.History] = {}
    for n in labels:
        for repeat in range(repeats):
            seed = options.seed + repeat
            some = np.random.default_rng(seed).permutation(len(new[0]))[:n]
            labelled = (new[0][some], new[1][some])
            for way, make in WAYS.items():
                watch = Epochs(progress, f"{n} labels, {way}", 1 + len(rows), fits)
                seen = new_test if n == min(CURVES, labels[-1]) and not repeat else None
                trainer = _fit(make(body, seed), labelled, seen, seed, options, watch)
                accuracy = trainer.evaluate(*new_test)["accuracy"]
                rows.append({"labels": n, "repeat": repeat + 1, "way": way, "accuracy": accuracy})
                if seen:
                    curves[way] = trainer.history
    table = [_row(n, rows) for n in labels]
    figure = new_figure(12, 4.8, f"{options.title}: from the digits 0 to 4 to the digits 5 to 9")
    left, right = figure.subplots(1, 2)
    draw_by_labels(left, table, STYLES)
    left.set_xlabel("labels of the digits 5 to 9")
    draw_by_epoch(right, curves, STYLES, f"with {min(CURVES, labels[-1]):,} labels")
    return Result(table, _sentence(table, source), figure, rows)


def _learn_known(
    known: Part, known_test: Part, options: Options, watch: fnn.Callback
) -> tuple[fnn.Sequential, float]:
    """The network that knows 0 to 4, and how well."""
    body = fnn.mlp(known[0].shape[1], HIDDEN, 5, rng=options.seed)
    optimizer = fnn.Adam(fnn.CosineDecay(2e-3, SOURCE_EPOCHS))
    trainer = fnn.Trainer(
        body, optimizer=optimizer, rng=options.seed, callbacks=[watch], verbose=False
    )
    trainer.fit(*known, epochs=SOURCE_EPOCHS)
    return body, trainer.evaluate(*known_test)["accuracy"]


def _fit(
    model: fnn.Sequential,
    labelled: Part,
    test: Part | None,
    seed: int,
    options: Options,
    watch: fnn.Callback,
) -> fnn.Trainer:
    n = len(labelled[0])
    batch = min(50, max(5, n // 10))
    epochs = options.epochs_or(max(10, options.size(STEPS, 5) * batch // n))
    trainer = fnn.Trainer(
        model,
        optimizer=fnn.Adam(fnn.CosineDecay(1e-3, epochs)),
        batch_size=batch,
        rng=seed,
        callbacks=[watch],
        verbose=False,
    )
    trainer.fit(*labelled, epochs=epochs, validation_data=test)
    return trainer


def _row(n: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"labels": n} | {
        way: float(np.mean([r["accuracy"] for r in rows if (r["labels"], r["way"]) == (n, way)]))
        for way in WAYS
    }


def _best_transfer(row: dict[str, Any]) -> str:
    return max((way for way in WAYS if way != "from scratch"), key=row.__getitem__)


def _sentence(table: list[dict[str, Any]], source: float) -> str:
    best = {row["labels"]: _best_transfer(row) for row in table}
    won = [row[best[row["labels"]]] > row["from scratch"] for row in table]
    numbers = "; ".join(
        f"with {row['labels']:,} labels, {percent(row[best[row['labels']]])} for the best transfer "
        f"({best[row['labels']]}), {percent(row['head only'])} for the head only and "
        f"{percent(row['from scratch'])} from scratch"
        for row in (table[0], table[-1])
    )
    pays = [f"{row['labels']:,}" for row, yes in zip(table, won, strict=True) if yes]
    verdict = (
        f"it pays with {', '.join(pays)} labels and not with more"
        if any(won) and won == sorted(won, reverse=True) and not all(won)
        else "it pays for every number of labels"
        if all(won)
        else f"it pays with {', '.join(pays)} labels only"
        if any(won)
        else "it pays for no number of labels: what this network learned of 0 to 4 is of little "
        "use for 5 to 9"
    )
    return (
        f"A network that knows the digits 0 to 4 ({percent(source)} right) is taught 5 to 9: "
        f"{numbers}. Compared with a fresh network, {verdict}."
    )
