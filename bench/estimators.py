"""fastnn's estimators beside scikit-learn's, on data that scikit-learn brings or makes.

python bench/estimators.py              ten data sets, 150 to 100,000 rows: a table, about a minute
python bench/estimators.py --quick      the smallest, once, with few epochs
python bench/estimators.py --json FILE
python bench/estimators.py --output FILE      the table alone, for docs/performance/

Both get the same rows and the same settings, their own defaults where nothing is said below, and
take turns. Of each the median time to train is taken, and the mean score on rows held out, with the
standard deviation over seeds.
"""

import argparse
import json
import math
import statistics
import warnings
from pathlib import Path
from time import perf_counter

import numpy as np
import sklearn
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastnn as fnn
import fastnn.sklearn


def friedman(rows):
    return datasets.make_friedman1(rows, noise=1.0, random_state=0)


def classes(rows, features, n_classes):
    return datasets.make_classification(
        rows, features, n_informative=features // 2, n_classes=n_classes, random_state=0
    )


def moons(rows):
    return datasets.make_moons(rows, noise=0.2, random_state=0)


# name: estimator, data, settings besides the defaults
WORK = {
    "iris": ("MLPClassifier", lambda: datasets.load_iris(return_X_y=True), {}),
    "wine": ("MLPClassifier", lambda: datasets.load_wine(return_X_y=True), {}),
    "diabetes": (
        "MLPRegressor",
        lambda: datasets.load_diabetes(return_X_y=True, scaled=False),
        {"learning_rate_init": 0.01},
    ),
    "breast cancer": ("MLPClassifier", lambda: datasets.load_breast_cancer(return_X_y=True), {}),
    "digits": ("MLPClassifier", lambda: datasets.load_digits(return_X_y=True), {}),
    "friedman": ("MLPRegressor", lambda: friedman(5_000), {"max_iter": 50}),
    "moons": ("MLPClassifier", lambda: moons(10_000), {"max_iter": 20}),
    "3 classes": (
        "MLPClassifier",
        lambda: classes(20_000, 20, 3),
        {"early_stopping": True, "max_iter": 10},
    ),
    "friedman, large": ("MLPRegressor", lambda: friedman(50_000), {"max_iter": 6}),
    "10 classes": (
        "MLPClassifier",
        lambda: classes(100_000, 40, 10),
        {"hidden_layer_sizes": (100, 100), "max_iter": 3},
    ),
}
LIBRARIES = {"fastnn": fastnn.sklearn, "scikit-learn": neural_network}


def measure(name, rounds, max_iter):
    """Seconds and scores of both, in turns, a seed for each round."""
    kind, load, settings = WORK[name]
    if max_iter:
        settings = settings | {"max_iter": max_iter}
    x, y = load()
    rows, held, y, y_held = train_test_split(x, y, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(rows)
    rows, held = scaler.transform(rows), scaler.transform(held)
    seconds, scores, epochs = ({library: [] for library in LIBRARIES} for _ in range(3))
    for seed in range(rounds):
        # Who comes first changes, so that neither has the warmer processor.
        for library in sorted(LIBRARIES, reverse=seed % 2 == 1):
            estimator = getattr(LIBRARIES[library], kind)(random_state=seed, **settings)
            start = perf_counter()
            estimator.fit(rows, y)
            seconds[library].append(perf_counter() - start)
            scores[library].append(estimator.score(held, y_held))
            epochs[library].append(estimator.n_iter_)
    return {
        "data": name,
        "rows": len(x),
        "features": x.shape[1],
        "estimator": kind,
        "settings": {key: str(value) for key, value in settings.items()},
        "seconds": {k: statistics.median(v) for k, v in seconds.items()},
        "scores": scores,
        "epochs": {k: statistics.mean(v) for k, v in epochs.items()},
    }


def same_score(result):
    """Whether the mean scores differ by no more than chance over seeds explains, or by 0.01."""
    ours, theirs = (np.array(result["scores"][library]) for library in LIBRARIES)
    spread = math.hypot(ours.std(), theirs.std()) / math.sqrt(len(ours))
    return bool(abs(ours.mean() - theirs.mean()) <= max(3 * spread, 0.01))


def speedup(result):
    """How many times as long scikit-learn takes."""
    return result["seconds"]["scikit-learn"] / result["seconds"]["fastnn"]


def table(results):
    """The results in Markdown."""
    lines = [
        "| data | rows | estimator | fastnn, s | scikit-learn, s | times as fast | fastnn, score |"
        " scikit-learn, score |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        shown = [
            f"{statistics.mean(scores):.3f} ± {statistics.pstdev(scores):.3f}"
            for scores in (result["scores"][library] for library in LIBRARIES)
        ]
        seconds = result["seconds"]
        note = "" if same_score(result) else " (!)"
        lines.append(
            f"| {result['data']} | {result['rows']:,} | {result['estimator']} | "
            f"{seconds['fastnn']:.4f} | {seconds['scikit-learn']:.4f} | {speedup(result):.1f} | "
            f"{shown[0]} | {shown[1]}{note} |"
        )
    mean = statistics.geometric_mean(speedup(result) for result in results)
    least = min(speedup(result) for result in results)
    lines += ["", f"Geometric mean: {mean:.1f} times as fast; the least: {least:.1f} times."]
    return "\n".join(lines)


def page(results, rounds):
    """The table, and on what it was measured."""
    info = fnn.info()
    return f"""{table(results)}

Medians of {rounds} fits each, in turns; scores are means over as many seeds. {info["processor"]},
{info["threads"]} cores; fastnn {info["fastnn"]}, scikit-learn {sklearn.__version__}.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three small sets, once, 5 epochs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="where to write the results")
    parser.add_argument("--output", type=Path, help="where to write the table, in Markdown")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    names = ["iris", "diabetes", "breast cancer"] if arguments.quick else list(WORK)
    rounds, max_iter = (1, 5) if arguments.quick else (arguments.rounds, None)
    for kind in ("MLPClassifier", "MLPRegressor"):  # what is loaded at first use is loaded now
        x, y = datasets.load_iris(return_X_y=True)
        getattr(fastnn.sklearn, kind)(max_iter=2).fit(x, y)
        getattr(neural_network, kind)(max_iter=2).fit(x, y)
    results = [measure(name, rounds, max_iter) for name in names]
    print(table(results))
    if arguments.output:
        arguments.output.write_text(page(results, rounds), encoding="utf-8")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
