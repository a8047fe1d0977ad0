"""The command line: a module for each command or family of them."""

from fastnn.cli.run import main

__all__ = ["main"]
