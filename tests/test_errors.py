import pickle

import pytest

from fastnn import errors


@pytest.mark.parametrize("name", ["DivergenceError", "CorruptFileError", "NotBuiltError"])
def test_every_error_is_a_fastnn_error(name):
    assert issubclass(getattr(errors, name), errors.FastnnError)


def test_divergence_error_carries_and_says_what_happened():
    error = errors.DivergenceError(12, float("inf"), 1e10)
    assert (error.step, error.loss, error.lr) == (12, float("inf"), 1e10)
    message = str(error)
    assert "step 12" in message
    assert "loss is inf" in message
    assert "learning rate 1e+10" in message
    for hint in ("Lower the learning rate", "NaN", "clip"):
        assert hint in message


def test_divergence_error_says_how_parameters_grew():
    error = errors.DivergenceError(4, 0.5, 1e10, 3e9)
    assert error.growth == 3e9
    assert "the parameters have grown 3e+09 times, and the loss is 0.5" in str(error)
    assert "grown" not in str(errors.DivergenceError(4, 0.5, 1e10))


def test_what_diverges_at_the_first_step_is_first_of_all_the_data():
    message = str(errors.DivergenceError(1, float("nan"), 1e-3))
    assert message.index("check the data for NaN") < message.index("lower the learning rate")


@pytest.mark.parametrize("growth", [None, 3e9])
def test_divergence_error_survives_pickling(growth):
    error = pickle.loads(pickle.dumps(errors.DivergenceError(3, float("-inf"), 0.5, growth)))
    assert (error.step, error.loss, error.lr, error.growth) == (3, float("-inf"), 0.5, growth)
    assert str(error) == str(errors.DivergenceError(3, float("-inf"), 0.5, growth))


def test_missing_extra_names_package_and_extra():
    error = errors.missing_extra("scikit-learn", "demo")
    assert isinstance(error, ImportError)
    assert error.name == "scikit-learn"
    assert "scikit-learn is not installed" in str(error)
    assert 'pip install "fastnn[demo]"' in str(error)
    assert str(errors.missing_extra("a", "b", alternative="Or do c.")).endswith("Or do c.")
