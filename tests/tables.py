"""A made-up table as people have them: text, gaps, quoted commas, and columns that say nothing."""

import csv
import io

import numpy as np

CITIES = ["Rom", "Paris, FR", "Zürich", 'the "other"']
ROWS = 400


def rows(n=ROWS, seed=0, *, noise=0.3):
    """Header and rows; "answer" and "amount" depend on age, city and income together."""
    rng = np.random.default_rng(seed)
    effect = dict(zip(CITIES, (2.0, -2.0, 1.0, -1.0), strict=True))
    yield ["id", "age", "income", "city", "note", "day", "flat", "answer", "amount"]
    for number in range(n):
        age, income, city = rng.normal(40, 12), rng.lognormal(10, 1), str(rng.choice(CITIES))
        score = (age - 40) / 6 + effect[city] + np.log(income) - 10 + noise * rng.normal()
        yield [
            number + 1,
            round(age, 1),
            "" if rng.random() < 0.15 else round(income, 2),
            "" if rng.random() < 0.1 else city,
            f"customer number {number}",
            f"2024-01-{number % 28 + 1:02}",
            "same",
            "yes" if score > 0 else "no",
            round(100 * score, 2),
        ]


def csv_bytes(table=None, separator=",", encoding="utf-8-sig", drop=()):
    """The table as a file, with a byte order mark as Excel writes it."""
    header, *body = rows() if table is None else table
    kept = [place for place, name in enumerate(header) if name not in drop]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator)
    writer.writerows([row[place] for place in kept] for row in [header, *body])
    return text.getvalue().encode(encoding)
