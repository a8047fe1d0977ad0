"""The contenders of ``bench/compare.py``: one file for each library, all with the same few methods.

``Network(task, **settings)`` trains from the task's initial weights:

- ``epoch()`` visits all rows once in a new random order and returns the mean loss;
- ``losses()`` does so in the order of the rows and returns the loss of every step;
- ``predictor(x)`` returns a function that computes the outputs for ``x``, which is at hand by then
  in the form the library likes best; ``scores(outputs)`` makes logits, up to a constant, of them.
"""
