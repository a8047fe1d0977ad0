"""What experiments say: the effect where it is there, and that it is not where it is not."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn.lab import experiments, sheets
from fastnn.lab.experiments import Options
from fastnn.pictures import new_figure

pytest.importorskip("sklearn", reason="the digits come from scikit-learn: extra demo")
pytest.importorskip("matplotlib", reason="pictures are drawn by matplotlib: extra plot")


def run(name, quick=True, **options):
    options = Options("digits", quick=quick, **options)
    return experiments.experiment(name).run(options, lambda *what: None)


def sentence_of(name):
    return experiments.experiment(name)._sentence


def test_sanity_finds_the_planted_mistakes():
    result = run("sanity", quick=False, epochs=50)
    found = {row["network"]: row["sanity_check finds wrong"] for row in result.table}
    assert found["as it should be"] == "nothing"
    assert "initial loss" in found["weights of std 1"]
    assert "by heart" in found["weights all zero"]
    assert "shuffled labels" in found["labels shuffled"]
    assert abs(result.table[0]["first loss"] - np.log(10)) < 1
    assert "close to -log(1/10) = 2.303" in result.sentence
    assert "finds what is wrong with each" in result.sentence


def test_a_mistake_that_sanity_overlooks_is_named():
    row = {"first loss": 9.0, "with L2(0.001)": 8.0, "20 by heart": 0.5}
    table = [row | {"network": name, "sanity_check finds wrong": "nothing"} for name in ("a", "b")]
    sentence = sentence_of("sanity")(table)
    assert "not close to" in sentence
    assert "does not raise" in sentence
    assert "overlooks b" in sentence


def test_the_planted_gradient_is_found_below_the_mistake():
    result = run("gradient-check", quick=False)
    wrong = [row["parameter"] for row in result.table if row["mistake in tanh2"] > 1e-3]
    assert wrong == ["affine1.w", "affine1.b", "affine2.w", "affine2.b"]
    assert max(row["right"] for row in result.table) < 1e-5
    errors = [row["right"] for row in result.rows]
    best = int(np.argmin(errors))
    assert 1e-7 < result.rows[best]["h"] < 1e-3, "the valley lies in between"
    assert errors[0] > 1e3 * errors[best] < errors[-1]
    assert "the forgotten square is found" in result.sentence


def test_the_noise_of_the_gradient_falls_with_the_square_root():
    result = run("batch-size", quick=False, epochs=1)
    sizes = [row["batch size"] for row in result.table]
    noise = [row["gradient noise"] for row in result.table]
    assert sizes == [10, 40, 100, 400, 1000]
    expected = noise[0] * np.sqrt(sizes[0] / np.array(sizes))
    np.testing.assert_allclose(noise, expected, rtol=0.25)
    assert "about the -0.5" in result.sentence


def test_ensembles_say_whether_averaging_helps():
    def found(together, same):
        accuracies = (0.9, 0.93, together, 0.8, 0.94, 0.94, 0.94)
        table = [{"who answers": "", "test accuracy": share} for share in accuracies]
        rule = np.array([[0.9, 0.1], [0.2, 0.8]])
        single = np.array([[0.5, 0.5], [0.6, 0.4]])
        many = rule if same else rule[:, ::-1]
        return sentence_of("ensemble")(table, 3, {1: single, 50: many}, many, rule)

    assert "beats even the best" in found(0.95, same=True)
    assert "does not beat the best" in found(0.92, same=True)
    assert "the rule stands for" in found(0.95, same=True)
    assert "the rule does not stand for" in found(0.95, same=False)


def test_autoencoders_say_where_they_beat_components():
    def found(*pairs):
        return sentence_of("autoencoder")(
            [
                {"code size": 2**i, "principal components": a, "autoencoder": b, "ratio": b / a}
                for i, (a, b) in enumerate(pairs)
            ]
        )

    assert "for every code size" in found((0.4, 0.3), (0.2, 0.1))
    assert "for codes of 2 only" in found((0.4, 0.5), (0.2, 0.1))
    assert "for no code size" in found((0.4, 0.5), (0.2, 0.3))
    assert "does not rise" in found((0.4, 0.1), (0.2, 0.3))


def test_pretraining_that_does_not_help_is_said_so():
    def found(*won):
        return sentence_of("stacked-autoencoder")(
            [
                {"labels": n, "pretrained": 0.5 + p / 100, "random weights": 0.5, "points won": p}
                for n, p in zip((100, 300), won, strict=True)
            ]
        )

    assert "helps whatever" in found(5, 1)
    assert "helps with 100 labels" in found(5, -1)
    assert "does not help here: the accuracy on test images changes by -2.0 to -1.0" in found(
        -1, -2
    )


@pytest.mark.parametrize(
    ("scratch", "words"),
    [
        ((0.1, 0.1, 0.1), "it pays for every number of labels"),
        ((0.1, 0.9, 0.9), "it pays with 10 labels and not with more"),
        ((0.9, 0.1, 0.9), "it pays with 20 labels only"),
        ((0.9, 0.9, 0.9), "it pays for no number of labels"),
    ],
)
def test_transfer_says_where_it_pays(scratch, words):
    ways = {"head only": 0.3, "last layers": 0.4, "everything": 0.5}
    table = [
        {"labels": n} | ways | {"from scratch": share}
        for n, share in zip((10, 20, 30), scratch, strict=True)
    ]
    assert words in sentence_of("transfer")(table, 0.99)


def test_transfer_trains_what_it_says():
    transfer = experiments.experiment("transfer")
    body = fnn.mlp(64, transfer.HIDDEN, 5, rng=0)

    def trained(way):
        model = transfer.WAYS[way](body, 1)
        return {each.name: each.lr_scale for each in model.layers if each.trainable and each.n_in
                and each.param_names}  # fmt: skip

    assert trained("head only") == {"affine4": 1.0}
    assert trained("last layers") == {"affine3": 0.3, "affine4": 1.0}
    slower = dict.fromkeys(("affine1", "affine2", "affine3"), 0.3)
    assert trained("everything") == slower | {"affine4": 1.0}
    assert set(trained("from scratch").values()) == {1.0}


def test_sheets_draw_every_image_in_its_place():
    axes = new_figure(3, 3).subplots()
    images = np.array([np.zeros(4), np.ones(4), np.full(4, 2.0)])
    sheets.draw_images(axes, images, columns=2, title="three")
    sheet = np.asarray(axes.images[0].get_array().filled(np.nan))
    assert sheet.shape == (5, 5)
    assert (sheet[:2, :2] == 0).all()
    assert (sheet[:2, 3:] == 1).all()
    assert (sheet[3:, :2] == 1).all(), "beyond 1 is white"
    assert np.isnan(sheet[3:, 3:]).all()
    assert axes.get_title(loc="left") == "three"


def test_sheets_of_features_have_zero_in_the_middle():
    axes = new_figure(3, 3).subplots()
    w = np.array([[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    sheets.draw_features(axes, w, columns=2, count=2)
    sheet = np.asarray(axes.images[0].get_array().filled(np.nan))
    assert sheet[:2, :2].tolist() == [[1.0, 0.25], [0.5, 0.75]]
    assert (sheet[:2, 3:] == 0.5).all(), "a unit without weights is grey all over"


def test_the_numbers_over_the_bowls_are_explained():
    """Each is what the function has come to, and the heading says so."""
    module = experiments.experiment("optimizers")
    figure = run("optimizers", epochs=1).figure
    left, right = figure.subfigs
    assert "x^2/20 + y^2" in left.get_suptitle()
    assert "where $f$ ends" in left.get_suptitle()
    assert "hidden layers" in right.get_suptitle()
    for axes, (name, (_, optimizer)) in zip(left.axes, module.OPTIMIZERS.items(), strict=True):
        end = module.bowl(*module.walk(optimizer)[-1])
        assert axes.get_title() == f"{name}: $f$ = {end:.1g}"
