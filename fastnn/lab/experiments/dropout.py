"""Dropout: units that cannot rely on each other overfit less.

In each step of training every hidden unit is left out with probability 0.2, at random, so that no
unit can count on a particular other one. The network and the 300 images are those of the experiment
`overfitting`; it is trained three times as long, since training accuracy rises more slowly with
dropout. By then both networks know their images, and the distance to the test accuracy is mostly
smaller with it, by a point or two: 300 images are few, whatever is done. After a third of the
epochs the distance would be less still, but for a poor reason: the network with dropout does not
know its own images yet, and others worse than the one without. All is measured with all units at
work. After K. Saitoh, "Deep Learning from Scratch" (2016), section 6.4.3; N. Srivastava et al.,
"Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).
"""

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

SUMMARY = "leaving out a fifth of the units at random narrows the gap that overfitting leaves"
EPOCHS = 601
TESTS = 5000
RATIO = 0.2


def run(options: Options, progress: Progress) -> Result:
    data = load(options, SAMPLES, TESTS)
    fits: dict[str, Curves] = {}
    for ratio in (0.0, RATIO):
        name = f"dropout {ratio:g}"
        fits[name] = fit(
            fnn.mlp(data[0][0].shape[1], [100] * 6, 10, dropout=ratio, rng=options.seed),
            data,
            options.epochs_or(EPOCHS),
            options.seed,
            Epochs(progress, name, len(fits), 2),
        )
    without, with_it = gaps = [Gap(curves) for curves in fits.values()]
    closed = (without.points - with_it.points) / without.points if without.points > 0 else 0.0
    narrows = f"closes {100 * closed:.0f} % of" if closed > 0 else "does not close"
    by = 100 * (with_it.test - without.test)
    sentence = (
        f"Dropout of {RATIO:g} {narrows} the gap between training and test accuracy: "
        f"{without.points:.1f} points without it ({percent(without.train)} and "
        f"{percent(without.test)}), {with_it.points:.1f} with it ({percent(with_it.train)} and "
        f"{percent(with_it.test)}); the test accuracy is {abs(by):.1f} points "
        f"{'higher' if by > 0 else 'lower'}."
    )
    table = [gap.row(name) for name, gap in zip(fits, gaps, strict=True)]
    title = f"{options.title}: {len(data[0][0])} training images, 7 layers"
    return Result(table, sentence, draw(fits, title), history_rows(fits))
