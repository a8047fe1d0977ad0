"""Ensemble: networks that answer together, and dropout, which is one of very many.

Networks that began from different weights err in different places, so the mean of their
probabilities is better than one alone. Dropout trains a thinned network in every step; at test its
rule is to use all units, scaled, in one pass. That is to stand for the mean over all the thinned
ones: here it is compared with the mean over many masks (Monte-Carlo dropout), of probabilities and
of scores; the latter is the geometric mean of probabilities, which the rule equals exactly where
only an affine layer and softmax follow the dropout.
After L. K. Hansen and P. Salamon, "Neural network ensembles" (1990), N. Srivastava et al.,
"Dropout" (2014), section 7.5, and Y. Gal and Z. Ghahramani, "Dropout as a Bayesian Approximation"
(2016).
"""

from typing import TYPE_CHECKING, Any

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import Epochs, Options, Part, Progress, Result, load, percent
from fastnn.pictures import COLOURS, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUMMARY = "several networks averaged against each alone; dropout's rule against many masks"
TRAIN, TEST = 5000, 5000
MEMBERS = 10
EPOCHS = 20
MASKS = (1, 2, 5, 10, 20, 50, 100)
SUBSETS = 30  # groups of each size that are averaged in the picture
TOGETHER, ALONE, RULE = COLOURS[3], COLOURS[1], COLOURS[4]


def run(options: Options, progress: Progress) -> Result:
    train, (x, y) = load(options, options.size(TRAIN, 300), options.size(TEST, 200))
    members = options.size(MEMBERS, 3)
    progress(0, 2, f"{members} networks")
    ensemble = _ensemble(train, members, options)
    alone = [model.predict_proba(x) for model in ensemble.models]
    together = ensemble.predict_proba(x)

    model = _dropout(train, options, Epochs(progress, "dropout", 1, 2))
    rule = model.predict_proba(x)
    masks = options.size(MASKS, MASKS[:3])
    sampled = {n: fnn.mc_predict_proba(model, x, samples=n, rng=options.seed)[0] for n in masks}
    scores, _ = fnn.mc_predict(model, x, samples=masks[-1], rng=options.seed)
    geometric = _softmax(scores)
    table = [
        _row("one network, the mean of all", alone, y),
        _row("one network, the best", [max(alone, key=lambda p: _accuracy(p, y))], y),
        _row(f"{members} networks together", [together], y),
        _row("dropout, one mask", [sampled[masks[0]]], y),
        _row(f"dropout, mean of {masks[-1]} masks", [sampled[masks[-1]]], y),
        _row("dropout, their geometric mean", [geometric], y),
        _row("dropout, by its rule", [rule], y),
    ]
    figure = new_figure(14.5, 4.6, f"{options.title}: {len(train[0]):,} training images")
    left, middle, right = figure.subplots(1, 3)
    _draw_members(left, alone, y, options.seed)
    _draw_masks(middle, sampled, rule, y)
    _draw_rule(right, sampled[masks[0]], geometric, rule, y)
    return Result(table, _sentence(table, len(alone), sampled, geometric, rule), figure)


def _ensemble(train: Part, members: int, options: Options) -> fnn.Ensemble:
    def build(seed: int) -> fnn.Trainer:
        model = fnn.mlp(train[0].shape[1], [100] * 3, 10, rng=seed)
        return fnn.Trainer(model, optimizer=fnn.Adam(3e-3), batch_size=50, rng=seed)

    epochs = options.epochs_or(EPOCHS)
    return fnn.fit_ensemble(build, members, *train, rng=options.seed, epochs=epochs)


def _dropout(train: Part, options: Options, watch: fnn.Callback) -> fnn.Sequential:
    model = fnn.mlp(train[0].shape[1], [200, 200], 10, dropout=0.5, rng=options.seed)
    trainer = fnn.Trainer(model, rng=options.seed, callbacks=[watch], verbose=False)
    trainer.fit(*train, epochs=options.epochs_or(EPOCHS))
    return model


def _accuracy(probabilities: np.ndarray, y: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == y).mean())


def _loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    return float(-np.log(probabilities[np.arange(len(y)), y] + 1e-12).mean())


def _softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _row(name: str, answers: list[np.ndarray], y: np.ndarray) -> dict[str, Any]:
    """Means over answers of the same kind."""
    return {
        "who answers": name,
        "test accuracy": float(np.mean([_accuracy(each, y) for each in answers])),
        "test loss": float(np.mean([_loss(each, y) for each in answers])),
    }


def _sentence(
    table: list[dict[str, Any]],
    members: int,
    sampled: dict[int, np.ndarray],
    geometric: np.ndarray,
    rule: np.ndarray,
) -> str:
    accuracy = [row["test accuracy"] for row in table]
    mean, best, together = accuracy[:3]
    masks = max(sampled)
    same = float((sampled[masks].argmax(axis=1) == rule.argmax(axis=1)).mean())
    distances = [
        float(np.abs(each - rule).mean())
        for each in (sampled[min(sampled)], sampled[masks], geometric)
    ]
    one, arithmetic, nearest = distances
    stands = same > 0.98 and nearest < one / 2
    return (
        f"{members} networks are right on {percent(mean)} of the test images one by one (the best "
        f"of them on {percent(best)}), and on {percent(together)} together: averaging "
        f"{'beats even the best' if together > best else 'does not beat the best'}. "
        f"Dropout's rule, one pass, gives the same class as the mean over {masks} masks for "
        f"{percent(same)} of the images, {percent(accuracy[-1])} right against "
        f"{percent(accuracy[4])}; its probabilities lie {nearest:.4f} from the masks' geometric "
        f"mean, {arithmetic:.4f} from their arithmetic one, {one:.4f} from those of a single mask: "
        f"the rule {'stands' if stands else 'does not stand'} for averaging."
    )


# -- pictures --------------------------------------------------------------------------------------


def _draw_members(axes: "Axes", alone: list[np.ndarray], y: np.ndarray, seed: int) -> None:
    draws = np.random.default_rng(seed)
    sizes = range(1, len(alone) + 1)
    means, lows, highs = [], [], []
    for size in sizes:
        groups = [draws.permutation(len(alone))[:size] for _ in range(SUBSETS)]
        if size == 1:
            groups = [np.array([member]) for member in range(len(alone))]
        found = [_accuracy(np.mean([alone[i] for i in group], axis=0), y) for group in groups]
        means.append(np.mean(found))
        lows.append(min(found))
        highs.append(max(found))
    singles = [_accuracy(each, y) for each in alone]
    axes.plot(np.ones(len(singles)), singles, "o", color=ALONE, alpha=0.7, label="each alone")
    axes.fill_between(
        sizes, lows, highs, color=TOGETHER, alpha=0.13, lw=0, label=f"{SUBSETS} groups"
    )
    axes.plot(sizes, means, "o-", color=TOGETHER, linewidth=2, label="mean of the groups")
    axes.set(xlabel="networks that answer together", ylabel="test accuracy")
    axes.legend(frameon=False, loc="lower right")
    tidy(axes, whole_x=True)


def _draw_masks(
    axes: "Axes", sampled: dict[int, np.ndarray], rule: np.ndarray, y: np.ndarray
) -> None:
    counts = list(sampled)
    accuracies = [_accuracy(each, y) for each in sampled.values()]
    axes.axhline(
        _accuracy(rule, y), color=RULE, linestyle="--", linewidth=2, label="dropout's rule"
    )
    axes.plot(counts, accuracies, "o-", color=TOGETHER, linewidth=2, label="mean over masks")
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set(xlabel="masks averaged", ylabel="test accuracy")
    axes.legend(frameon=False, loc="lower right")
    tidy(axes)


def _draw_rule(
    axes: "Axes", single: np.ndarray, geometric: np.ndarray, rule: np.ndarray, y: np.ndarray
) -> None:
    rows = np.arange(min(len(y), 1500))
    style: dict[str, Any] = {"markersize": 5, "linewidth": 0}
    for label, answer, colour, alpha in (
        ("one mask", single, ALONE, 0.35),
        ("geometric mean of all", geometric, TOGETHER, 0.5),
    ):
        x, over = rule[rows, y[rows]], answer[rows, y[rows]]
        axes.plot(x, over, ".", color=colour, alpha=alpha, label=label, **style)
    axes.plot([0, 1], [0, 1], color="0.4", linewidth=1)
    axes.set(xlabel="by dropout's rule", ylabel="over masks")
    axes.set_title("probability of the right class", fontsize="medium")
    axes.set_aspect("equal")
    axes.legend(frameon=False, markerscale=2, loc="upper left")
    tidy(axes)
