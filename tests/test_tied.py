"""TiedAffine: the weights of another layer, and the gradient of both places."""

import numpy as np
import pytest
from networks import numbers, trainer_of
from test_gradients import check

import fastnn as fnn


def layers(**settings):
    """5 features to 4 to 3, and back."""
    return [
        fnn.Affine(4, init="xavier", **settings),
        fnn.Tanh(),
        fnn.Affine(3, init="xavier"),
        fnn.Sigmoid(),
        fnn.TiedAffine(),
        fnn.Tanh(),
        fnn.TiedAffine(),
    ]


def network(backend=None, dtype="float64", **settings):
    model = fnn.Sequential(layers(**settings), 5, rng=0, dtype=dtype, backend=backend)
    draws = np.random.default_rng(0)
    for name, view in model.params.items():
        if name.endswith(".b"):
            view[:] = 0.3 * draws.standard_normal(view.shape)
    return model


@pytest.fixture
def x():
    return np.random.default_rng(1).standard_normal((6, 5))


def test_pairs_close_like_brackets():
    first, _, second, _, mirrors_second, _, mirrors_first = model_layers = network().layers
    assert mirrors_second.source is second
    assert mirrors_first.source is first
    assert [layer.n_out for layer in model_layers] == [4, 4, 3, 3, 4, 4, 5]
    assert list(network().params) == [
        *("affine1.w", "affine1.b", "affine2.w", "affine2.b", "tied_affine1.b", "tied_affine2.b")
    ]


def test_a_pair_within_a_pair_and_one_after_it():
    chain = [fnn.Affine(4), fnn.Affine(3), fnn.TiedAffine(), fnn.Affine(2), fnn.TiedAffine()]
    model = fnn.Sequential([*chain, fnn.TiedAffine()], 5, rng=0)
    own = model.layers
    assert (own[2].source, own[4].source, own[5].source) == (own[1], own[3], own[0])


def test_the_output_is_that_of_the_transposed_weights(x, backend, dtype):
    model = network(backend, dtype)
    p = model.params
    code = model.activations(x, until="sigmoid1")
    hidden = np.tanh(code @ p["affine2.w"].T + p["tied_affine1.b"])
    expected = hidden @ p["affine1.w"].T + p["tied_affine2.b"]
    np.testing.assert_allclose(
        model.predict(x), expected, atol=1e-6 if dtype == "float32" else 1e-14
    )


def test_gradients_are_those_of_differences(x, backend):
    grads = check(network(backend), x, x, "mean_squared_error", regularizer=fnn.L2(0.1))
    assert min(np.abs(gradient).max() for gradient in grads.values()) > 1e-3


def test_the_gradient_is_the_sum_of_both_places(x):
    """An untied model of the same numbers has two gradients for each w."""
    tied = network()
    untied = fnn.Sequential(
        [
            *(fnn.Affine(4), fnn.Tanh(), fnn.Affine(3), fnn.Sigmoid()),
            *(fnn.Affine(4), fnn.Tanh(), fnn.Affine(5)),
        ],
        5,
        dtype="float64",
    )
    p, q = tied.params, untied.params
    for key in ("affine1.w", "affine1.b", "affine2.w", "affine2.b"):
        q[key][:] = p[key]
    q["affine3.w"][:], q["affine4.w"][:] = p["affine2.w"].T, p["affine1.w"].T
    q["affine3.b"][:], q["affine4.b"][:] = p["tied_affine1.b"], p["tied_affine2.b"]
    loss, g = trainer_of(tied, loss="mean_squared_error").gradients(x, x)
    same, h = trainer_of(untied, loss="mean_squared_error").gradients(x, x)
    assert loss == pytest.approx(same, rel=1e-13)
    for key, twin in (("affine1.w", "affine4.w"), ("affine2.w", "affine3.w")):
        np.testing.assert_allclose(g[key], h[key] + h[twin].T, rtol=1e-11)
    np.testing.assert_allclose(g["tied_affine2.b"], h["affine4.b"], rtol=1e-11)


def test_frozen_parts(x):
    """w rests with its Affine; b with the TiedAffine; and each trains without the other."""
    _, free = trainer_of(network(), loss="mean_squared_error").gradients(x, x)
    for frozen in [(0,), (2,), (6,), (4, 6), (0, 2), (0, 2, 4), (0, 6)]:
        model = network()
        for index in frozen:
            model.layers[index].trainable = False
        trainer = trainer_of(model, loss="mean_squared_error")
        _, grads = trainer.gradients(x, x)
        for name, gradient in grads.items():
            np.testing.assert_array_equal(gradient, free[name])
        before = numbers(model)
        trainer.fit(x, x, epochs=1)
        still = {f"{model.layers[i].name}.{key}" for i in frozen for key in ("w", "b")}
        for name, array in numbers(model).items():
            assert (array == before[name]) == (name in still), name


def test_penalties_count_the_shared_weights_once(x):
    model = network()
    trainer = trainer_of(model, loss="mean_squared_error", regularizer=fnn.L2(2.0))
    plain = trainer_of(model, loss="mean_squared_error").gradients(x, x)[0]
    squares = sum((model.params[f"affine{i}.w"] ** 2).sum() for i in (1, 2))
    assert trainer.gradients(x, x)[0] - plain == pytest.approx(squares)


def test_it_has_no_native_form_and_says_so(x):
    trainer = trainer_of(network(), loss="mean_squared_error")
    assert trainer.engine == "eager"
    if trainer_of().engine == "native":
        assert "tied_affine1 (TiedAffine) has no native form" in trainer.engine_reason


def test_files_and_copies_pair_again(tmp_path, x):
    model = network()
    model.save(tmp_path / "model.fnn")
    longer = fnn.Sequential.from_layers([fnn.Affine(5), *model.layers], 5, dtype="float64")
    for twin in (fnn.load(tmp_path / "model.fnn"), longer):
        own = twin.layers[-7:]
        assert (own[4].source, own[6].source) == (own[2], own[0])
        np.testing.assert_array_equal(twin.activations(x, since=own[0]), model.predict(x))
    assert longer.layers[-1].source.name == "affine2"


def test_a_file_without_the_pair_is_refused(tmp_path):
    from fastnn.storage import read_file, write_file

    path = tmp_path / "model.fnn"
    network().save(path)
    arrays, config = read_file(path)
    write_file(path, arrays, config | {"layers": config["layers"][4:]})
    with pytest.raises(fnn.CorruptFileError, match="an Affine before each TiedAffine"):
        fnn.load(path)


class Narrow(fnn.Layer):
    kind = "narrow"

    def output_size(self, n_in):
        return n_in - 1


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ([fnn.TiedAffine()], "must hold an Affine before each TiedAffine"),
        ([fnn.Affine(3), fnn.TiedAffine(), fnn.TiedAffine()], "an Affine before each TiedAffine"),
        ([fnn.Affine(3), Narrow(), fnn.TiedAffine()], "takes the 3 features that .* got 2"),
    ],
)
def test_what_cannot_be_paired(chain, message):
    with pytest.raises(ValueError, match=message):
        fnn.Sequential(chain, 5)
