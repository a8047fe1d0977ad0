"""Pictures of reconstructions and of first-layer features."""

import numpy as np
import pytest

import fastnn as fnn

pytest.importorskip("matplotlib")

from fastnn.lab.images import features, reconstructions
from fastnn.lab.plots import png_bytes


def autoencoder(n_in=9, noise=None):
    return fnn.Autoencoder(n_in, 5, activation=None, noise=noise, rng=0, verbose=False)


def picture(axes):
    return np.asarray(axes.images[0].get_array().filled(np.nan))


def test_reconstructions_show_images_side_by_side():
    one = autoencoder((1, 2, 3))
    x = np.random.default_rng(0).random((7, 1, 2, 3)).astype(np.float32)
    figure = reconstructions(one, x, count=4, title="Six pixels")
    above, below = figure.axes
    assert [above.get_title("left"), below.get_title("left")] == ["input", "reconstruction"]
    assert figure.get_suptitle() == "Six pixels"
    low, high = x[:4].min(), x[:4].max()
    sheet = picture(above)
    assert sheet.shape == (2, 4 * 4 - 1)
    assert np.isnan(sheet[:, 3::4]).all()
    out = np.clip((one.reconstruct(x[:4]) - low) / (high - low), 0, 1)
    for number in range(4):
        at = slice(4 * number, 4 * number + 3)
        np.testing.assert_allclose(sheet[:, at], (x[number, 0] - low) / (high - low), rtol=1e-5)
        np.testing.assert_allclose(picture(below)[:, at], out[number].reshape(2, 3), rtol=1e-5)
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_what_denoises_shows_what_it_sees():
    one = autoencoder(noise=fnn.Dropout(0.5))
    x = 1 + np.random.default_rng(0).random((6, 9)).astype(np.float32)
    figure = reconstructions(one, x)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["input", "corrupted", "reconstruction"]
    assert (picture(figure.axes[1])[:, :3].ravel() == 0)[one.corrupt(x)[0] == 0].all()
    np.testing.assert_array_equal(picture(figure.axes[0])[:, 3::4], np.nan)


def test_features_are_the_columns_of_w():
    one = autoencoder()
    w = one.model.params["affine1.w"]
    w[:, 3] *= 10
    w[:, 1] = 0
    (axes,) = features(one).axes
    sheet = picture(axes)
    assert sheet.shape == (2 * 4 - 1, 3 * 4 - 1)
    for unit in range(5):
        top, left = 4 * (unit // 3), 4 * (unit % 3)
        expected = 0.5 + 0.5 * w[:, unit] / (np.abs(w[:, unit]).max() or 1)
        np.testing.assert_allclose(
            sheet[top : top + 3, left : left + 3], expected.reshape(3, 3), rtol=1e-6
        )
    assert np.isnan(sheet[4:7, 8:]).all()  # a sixth unit there is not
    (axes,) = features(one.model, count=1).axes
    np.testing.assert_array_equal(picture(axes), sheet[4:7, :3])


def test_images_in_colour_and_of_a_given_shape():
    (axes,) = features(autoencoder((3, 2, 2))).axes
    assert picture(axes).shape == (5, 8, 3)
    (axes,) = features(autoencoder(6), image_shape=(2, 3)).axes
    assert picture(axes).shape == (5, 11)


@pytest.mark.parametrize(
    ("error", "message", "draw"),
    [
        (ValueError, r"of 6 numbers in all; got \(6,\)", lambda: features(autoencoder(6))),
        (ValueError, "1 or 3 channels", lambda: features(autoencoder(8), 3, (2, 2, 2))),
        (ValueError, "of 9 numbers", lambda: features(autoencoder(), image_shape=(3, 4))),
        (TypeError, "image_shape must be a sequence", lambda: features(autoencoder(), 3, 9)),
        (ValueError, "count must be at least 1", lambda: features(autoencoder(), count=0)),
        (TypeError, "model must be a Sequential", lambda: features([1])),
        (ValueError, "must have an Affine as its first",
         lambda: features(fnn.Sequential([fnn.BatchNorm(), fnn.Affine(2)], 9))),
        (TypeError, "autoencoder must be an Autoencoder",
         lambda: reconstructions(fnn.mlp(9, [], 9), np.ones((2, 9)))),
        (ValueError, "x must have shape", lambda: reconstructions(autoencoder(), np.ones((2, 8)))),
        (ValueError, "count must be at least 1",
         lambda: reconstructions(autoencoder(), np.ones((2, 9)), count=0)),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn(error, message, draw):
    with pytest.raises(error, match=message):
        draw()
