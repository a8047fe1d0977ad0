"""A search on one core and on two, of the classic network: the same results, in what share of time?

python bench/search.py            60 trials, 784-100x6-10, 1 epoch of 6000 images of MNIST
python bench/search.py --trials 6 --backend loky
"""

import argparse
from time import perf_counter

import joblib

import fastnn as fnn

SPACE = {"lr": (1e-4, 1e-1), "weight_decay": (1e-6, 1e-2), "dropout": (0.0, 0.4)}


def build(params, seed):
    model = fnn.mlp(784, [100] * 6, 10, batch_norm=True, dropout=params["dropout"], rng=seed)
    return fnn.Trainer(
        model,
        optimizer=fnn.Adam(params["lr"]),
        regularizer=fnn.L2(params["weight_decay"]),
        batch_size=100,
        rng=seed,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--backend", default="threading", help="any backend of joblib")
    arguments = parser.parse_args()
    (x, y), _ = fnn.data.load_mnist()
    x, y = x[: arguments.rows], y[: arguments.rows]

    seconds, found = {}, {}
    for jobs in (1, arguments.jobs):
        start = perf_counter()
        with joblib.parallel_config(backend=arguments.backend):
            result = fnn.lab.random_search(
                build, SPACE, x, y, arguments.trials, arguments.epochs,
                n_jobs=jobs, rng=0, verbose=False,
            )  # fmt: skip
        seconds[jobs] = perf_counter() - start
        found[jobs] = [(trial.number, trial.score) for trial in result.trials]
        print(f"{jobs} at a time: {seconds[jobs]:.2f} s, best {result.best.score:.4f}", flush=True)
    same = "the same results" if found[1] == found[arguments.jobs] else "OTHER RESULTS"
    print(f"{seconds[arguments.jobs] / seconds[1]:.2f} of the time, {same}")


if __name__ == "__main__":
    main()
