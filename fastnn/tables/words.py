"""What came of training, in words made from the numbers."""

from collections.abc import Iterator, Mapping

import numpy as np

from fastnn.tables.errors import listed
from fastnn.tables.prepare import Prepared

# Fewer test rows than these cannot tell a good model from a lucky one.
FEW_ROWS = 100
# A class that is so rare beside the most frequent one is easily passed over.
RARE_SHARE = 0.1
# How much better, in points or hundredths of R2, training rows may be known before it is said.
GAP = 0.1

Metrics = Mapping[str, Mapping[str, float]]


def sentence(prepared: Prepared, metrics: Metrics) -> str:
    """The outcome in words."""
    rows = f"Of {len(prepared.y['test']):,} rows that it never saw"
    test, constant = metrics["test"], metrics["baseline"]
    if prepared.target.classes:
        often = prepared.target.classes[int(np.bincount(prepared.y["train"]).argmax())]
        return (
            f"{rows}, the model names the right class for {100 * test['accuracy']:.1f} %; always "
            f"answering {often!r} is right for {100 * constant['accuracy']:.1f} %."
        )
    return (
        f"{rows}, the model explains {100 * max(0.0, test['R2']):.1f} % of the variance; it is off "
        f"by {test['MAE']:.4g} on average, always answering the mean by {constant['MAE']:.4g}."
    )


def warnings(prepared: Prepared, metrics: Metrics, ran_out: bool) -> Iterator[str]:
    """What to doubt, in sentences.

    Parameters
    ----------
    ran_out : bool
        Training ended with the last epoch, not by itself.
    """
    yield from (f"{text[0].upper()}{text[1:]}." for text in prepared.odd)
    if prepared.dropped:
        rows = "1 row was" if prepared.dropped == 1 else f"{prepared.dropped:,} rows were"
        yield f"{rows} left out: the target is missing."
    tested = len(prepared.y["test"])
    if tested < FEW_ROWS:
        yield f"Only {tested} rows judge: another seed gives other numbers."
    main = "accuracy" if prepared.target.classes else "R2"
    test, constant = metrics["test"][main], metrics["baseline"][main]
    if test <= constant:
        yield "The model is no better than always giving the same answer: do the columns tell it?"
    gap = metrics["train"][main] - test
    if gap > GAP:
        yield (
            f"It knows the training rows better than others (by {gap:.2f} in {main}): more rows, "
            "more dropout or a smaller network may help."
        )
    if ran_out:
        yield "Training ended with the last epoch: more epochs may give a better model."
    if prepared.target.classes:
        counts = np.bincount(prepared.y["train"])
        rare = np.flatnonzero(counts < RARE_SHARE * counts.max())
        if len(rare):
            names = listed((repr(prepared.target.classes[number]) for number in rare), 5)
            yield f"Rare classes ({names}) count little in the accuracy: see the balanced one."
