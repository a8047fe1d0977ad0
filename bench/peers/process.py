"""Processes of contenders, and asking them."""

import json
import os
import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from peers.contenders import Contender

BENCH = Path(__file__).resolve().parents[1]
# Seconds; compiling a wide network for the first time takes a minute or two.
PATIENCE = 900


class Process:
    """A contender's process; leave its ``with`` block and it is gone.

    `ask` returns ``{"error": ...}`` where the contender failed, or died.
    """

    def __init__(self, contender: Contender) -> None:
        description = {"module": contender.module, "settings": contender.settings}
        paths = [str(BENCH), os.environ.get("PYTHONPATH", "")]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed by __exit__)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peers.worker", json.dumps(description)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ
            | contender.environment
            | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return {"error": f"the process ended: {self._last_words()}"}
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        if not ready:
            self.process.kill()
            return {"error": f"no answer within {PATIENCE} s"}
        line = self.process.stdout.readline()
        if not line:
            return {"error": f"the process ended: {self._last_words()}"}
        return json.loads(line)

    def _last_words(self) -> str:
        self.process.wait()
        self.log.seek(0)
        lines = self.log.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {self.process.returncode}"

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.process.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()  # the end of its loop
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
