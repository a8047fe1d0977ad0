"""What the tools of the lab answer: findings in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, Literal

import fastnn as fnn

Verdict = Literal["right", "wrong", "note", "skipped"]

WIDTH = 96


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        What: "initial loss", "overfitting".
    verdict : {"right", "wrong", "note", "skipped"}
        A note is worth a look, and may be as it should be.
    words : str
        What was seen, with its numbers.
    advice : str
        What to do; empty where nothing is to be done.
    numbers : dict of str to float
        What the verdict was made from.
    """

    name: str
    verdict: Verdict
    words: str
    advice: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


class Report:
    """Findings, in words when printed.

    Parameters
    ----------
    findings : sequence of Finding
    summary : str
        A line about all of them, above the others.

    Examples
    --------
    >>> Report([Finding("labels", "wrong", "they are 1..10", "Subtract 1.")], "Not ready to train.")
    Not ready to train.
    WRONG    labels: they are 1..10
             -> Subtract 1.
    """

    def __init__(self, findings: Sequence[Finding], summary: str = "") -> None:
        self.findings = tuple(findings)
        self.summary = summary

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; notes are not counted."""
        return not self.wrong

    @property
    def wrong(self) -> list[str]:
        """Names of what is wrong."""
        return [finding.name for finding in self.findings if finding.verdict == "wrong"]

    def __getitem__(self, name: str) -> Finding:
        """The first finding of this name.

        Raises
        ------
        KeyError
            There is none; the message lists those there are.
        """
        for finding in self.findings:
            if finding.name == name:
                return finding
        known = ", ".join(dict.fromkeys(f.name for f in self.findings)) or "none"
        raise KeyError(f"no finding {name!r}; there are: {known}")

    def __contains__(self, name: object) -> bool:
        return any(finding.name == name for finding in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        lines = [self.summary] if self.summary else []
        for finding in self.findings:
            verdict = finding.verdict.upper() if finding.verdict == "wrong" else finding.verdict
            lines += _wrapped(f"{verdict:9}", f"{finding.name}: {finding.words}")
            if finding.advice:
                lines += _wrapped(" " * 9 + "-> ", finding.advice)
        return "\n".join(lines)

    __repr__ = __str__


def _wrapped(head: str, text: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def as_trainer(subject: Any, settings: dict[str, Any]) -> "fnn.Trainer":
    """The trainer that a tool works with: the one given, or one made for a model.

    Parameters
    ----------
    subject : Trainer or Sequential
    settings : dict
        Arguments of `Trainer`, for a model.

    Raises
    ------
    TypeError
        Neither; or settings for a trainer, which has its own.
    """
    if isinstance(subject, fnn.Sequential):
        return fnn.Trainer(subject, **{"verbose": False} | settings)
    if not isinstance(subject, fnn.Trainer):
        raise TypeError(f"trainer must be a Trainer or a model; got {type(subject).__name__}")
    if settings:
        raise TypeError(
            f"{', '.join(settings)} cannot be given along with a Trainer, which has its own"
        )
    return subject
