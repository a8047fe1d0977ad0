"""One model asked in several threads at once: each gets the answer to its own question."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from networks import blobs, every_layer, numbers, trainer_of

import fastnn as fnn
from fastnn.backend import get_backend

X, Y = blobs(400)

ASKED = {
    "predict": lambda model, x: model.predict(x),
    "predict_proba": lambda model, x: model.predict_proba(x),
    "forward": lambda model, x: model.forward(x),
    "activations": lambda model, x: model.activations(x, until=3),
    "mc_predict": lambda model, x: fnn.mc_predict(model, x, samples=3, rng=0)[0],
}


@pytest.mark.parametrize("what", ASKED)
def test_answers_do_not_mix(what, backend):
    model = every_layer(backend)
    ask = ASKED[what]
    questions = [X[start : start + 100] for start in (0, 100, 200, 300)]
    expected = [ask(model, x) for x in questions]
    begin = threading.Barrier(len(questions))

    def answers(number):
        begin.wait(60)
        return [ask(model, questions[number]) for _ in range(30)]

    with ThreadPoolExecutor(len(questions)) as pool:
        for right, found in zip(expected, pool.map(answers, range(4)), strict=True):
            for answer in found:
                np.testing.assert_array_equal(answer, right)


@pytest.mark.skipif(
    "cython" not in fnn.available_backends() or get_backend("cython").program is None,
    reason="the native program was not built",
)
def test_questions_do_not_disturb_native_training():
    """The program has memory of its own; eager training is for one thread."""
    alone = trainer_of(every_layer("cython"), engine="native")
    alone.fit(X, Y, epochs=3)

    model = every_layer("cython")
    trainer = trainer_of(model, engine="native")
    done = threading.Event()

    def ask():
        while not done.is_set():
            model.predict(X[:50])
            model.forward(X[:30])

    other = threading.Thread(target=ask)
    other.start()
    try:
        history = trainer.fit(X, Y, epochs=3)
    finally:
        done.set()
        other.join()
    assert numbers(model) == numbers(alone.model)
    assert history["accuracy"] == alone.history["accuracy"]
