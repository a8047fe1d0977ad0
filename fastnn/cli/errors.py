"""Errors that a user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """What was asked for cannot be done; the message says why, and what to do."""


@contextmanager
def choices_of_the_user() -> Iterator[None]:
    """Here a ValueError or TypeError is about an option or a variable; later it would be a bug."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(str(error)) from error
