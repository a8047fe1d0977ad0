"""Random networks out of everything the library has, for what must take them all."""

import numpy as np

import fastnn as fnn
from fastnn.data import PCA, Center, MinMax, Pipeline, Standardize, Whiten

SEEDS = range(100)

# Layers that may follow any other, with settings off their defaults.
_BETWEEN = [
    lambda draws: fnn.BatchNorm(eps=10 ** draws.uniform(-6, -2)),
    lambda draws: fnn.Dropout(0.3),
    lambda draws: fnn.GaussianNoise(0.2),
    lambda draws: fnn.MaskingNoise(0.2),
    lambda draws: fnn.ReLU(),
    lambda draws: fnn.LeakyReLU(draws.uniform(-0.2, 0.4)),
    lambda draws: fnn.PReLU(),
    lambda draws: fnn.ELU(draws.uniform(0, 2)),
    lambda draws: fnn.Softplus(),
    lambda draws: fnn.GELU(),
    lambda draws: fnn.SiLU(),
    lambda draws: fnn.Sigmoid(),
    lambda draws: fnn.Tanh(),
    lambda draws: fnn.Softmax(),
]

# Preprocessing by the number of axes of a sample.
_OF_ROWS = [
    lambda: Center(),
    lambda: Standardize(),
    lambda: MinMax(-1, 2),
    lambda: Standardize("image"),
    lambda: PCA(),
    lambda: Pipeline([Standardize(), PCA(3)]),
    lambda: Pipeline([Center(), Whiten("pca", 4, 1e-3), MinMax()]),
    lambda: Whiten("zca", eps=1e-2),
]
_OF_IMAGES = [
    *_OF_ROWS,
    lambda: Center("image"),
    lambda: MinMax(0.1, 0.7, per="image"),
    lambda: Center("channel"),
    lambda: MinMax(-3, -1, per="channel"),
    lambda: Pipeline([Standardize("channel"), Whiten("zca", eps=1e-2), Center("image")]),
]


def random_layers(draws, depth, n_in):
    """Layers that fit each other; TiedAffine and Maxout where they can be."""
    layers, width, open_affines = [], n_in, []
    for _ in range(depth):
        choice = draws.integers(8)
        if choice < 3:
            units = int(draws.integers(1, 13))
            layers.append(fnn.Affine(units, init="xavier", bias_init=0.1))
            open_affines.append((width, units))
            width = units
        elif choice == 3 and open_affines and open_affines[-1][1] == width:
            layers.append(fnn.TiedAffine())
            width = open_affines.pop()[0]
        elif choice == 4:
            pieces = int(draws.integers(2, 5))
            layers += [fnn.Affine(3 * pieces, init="xavier"), fnn.Maxout(pieces)]
            open_affines.append((width, 3 * pieces))
            width = 3
        else:
            layers.append(_BETWEEN[draws.integers(len(_BETWEEN))](draws))
    return layers


def random_model(seed):
    """A model with random weights and statistics, and raw samples for it, (N, ...).

    Of three models, two bring preprocessing; of two, one computes in float64.
    """
    draws = np.random.default_rng(seed)
    shape = (2, 3, 3) if draws.integers(2) else (int(draws.integers(5, 12)),)
    raw = 3 * draws.standard_normal((40, *shape)) + draws.uniform(-2, 2, shape)
    preprocessing = None
    if seed % 3:
        kinds = _OF_IMAGES if len(shape) == 3 else _OF_ROWS
        preprocessing = kinds[draws.integers(len(kinds))]().fit(raw)
        shape = preprocessing.transform(raw).shape[1:]
    n_in = int(np.prod(shape))
    model = fnn.Sequential(
        random_layers(draws, int(draws.integers(1, 9)), n_in),
        shape,
        rng=seed,
        dtype="float64" if seed % 2 else "float32",
    )
    model.preprocessing = preprocessing
    for name, view in (model.params | model.state).items():
        noise = draws.standard_normal(view.shape)
        view += np.abs(noise) if name.endswith("running_var") else 0.3 * noise
    return model, raw.astype(model.dtype)


def expected(model, raw, probabilities=False):
    """What fastnn makes of raw samples."""
    rows = raw if model.preprocessing is None else model.preprocessing.transform(raw)
    return model.predict_proba(rows) if probabilities else model.predict(rows)


def kinds_of(seeds):
    """Kinds of layers and of preprocessors that the models of these seeds have."""
    found = set()
    for seed in seeds:
        model, _ = random_model(seed)
        found |= {layer.kind for layer in model.layers}
        what = model.preprocessing
        steps = [] if what is None else getattr(what, "steps", [what])
        found |= {step.kind for step in steps}
        found |= {(step.kind, step.per) for step in steps if hasattr(step, "per")}
    return found
