"""Weight decay: a penalty on large weights keeps a network from learning its images by heart.

The network, the 300 images and the training are those of the experiment `overfitting`. The penalty
adds half of 0.1 times the sum of the squares of all weights to the loss, so that every step also
shrinks them. The distance between training and test accuracy gets smaller; with a penalty this
strong, at the price of training accuracy. After K. Saitoh, "Deep Learning from Scratch" (2016),
section 6.4.2; A. Krogh and J. Hertz, "A Simple Weight Decay Can Improve Generalization" (1991).
"""

import numpy as np

import fastnn as fnn
from fastnn.lab.experiments.base import (
    Curves,
    Epochs,
    Options,
    Progress,
    Result,
    history_rows,
    load,
    percent,
)
from fastnn.lab.experiments.overfitting import SAMPLES, Gap, draw, fit

SUMMARY = "a penalty on the squares of the weights narrows the gap that overfitting leaves"
EPOCHS = 201
STRENGTH = 0.1


def run(options: Options, progress: Progress) -> Result:
    data = load(options, train=SAMPLES)
    fits: dict[str, Curves] = {}
    lengths = []
    for strength in (0.0, STRENGTH):
        name = f"weight decay {strength:g}"
        model = fnn.mlp(data[0][0].shape[1], [100] * 6, 10, rng=options.seed)
        fits[name] = fit(
            model,
            data,
            options.epochs_or(EPOCHS),
            options.seed,
            Epochs(progress, name, len(fits), 2),
            fnn.L2(strength) if strength else None,
        )
        weights = [view for key, view in model.params.items() if key.endswith(".w")]
        lengths.append(float(np.sqrt(sum((w.astype(float) ** 2).sum() for w in weights))))
    without, with_it = gaps = [Gap(curves) for curves in fits.values()]
    table = [
        gap.row(name) | {"length of weights": length}
        for name, gap, length in zip(fits, gaps, lengths, strict=True)
    ]
    shrinks = "shrinks" if with_it.points < without.points else "does not shrink"
    better, by = with_it.test > without.test, 100 * abs(with_it.test - without.test)
    sentence = (
        f"Weight decay of {STRENGTH:g} {shrinks} the gap between training and test accuracy: "
        f"from {without.points:.1f} points ({percent(without.train)} and {percent(without.test)}) "
        f"to {with_it.points:.1f} ({percent(with_it.train)} and {percent(with_it.test)}), with "
        f"weights {lengths[0] / lengths[1]:.1f} times shorter; the test accuracy is {by:.1f} "
        f"points {'higher' if better else 'lower'}."
    )
    title = f"{options.title}: {len(data[0][0])} training images, 7 layers"
    return Result(table, sentence, draw(fits, title), history_rows(fits))
