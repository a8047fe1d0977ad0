"""``python -m fastnn``: the same as ``fastnn``."""

import sys

from fastnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
