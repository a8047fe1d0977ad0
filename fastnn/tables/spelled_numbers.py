"""Numbers out of text, as people and spreadsheets write them."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastnn.tables.errors import listed
from fastnn.tables.table import require_pandas

if TYPE_CHECKING:
    from pandas import Series

# A column of text is one of numbers if so many of its values are, and the rest are few words; or so
# many, if the numbers are too many to be names.
NUMBERS_SHARE, MOST_WORDS = 0.9, 5
LEAST_SHARE, MOST_NAMES = 0.5, 20

# Numbers as people write them, by their decimal sign: with or without signs between thousands.
_NUMBER = {
    decimal: re.compile(
        rf"[+-]?(?=\{decimal}?\d)"
        rf"(\d*|\d{{1,3}}(\{other}\d{{3}})+|[1-9]\d{{0,2}}([ \u00a0\u202f'\u2019]\d{{3}})+)"
        rf"(\{decimal}\d*)?([eE][+-]?\d+)?"
    )
    for decimal, other in ((",", "."), (".", ","))
}
_BETWEEN_THOUSANDS = str.maketrans("", "", " \u00a0\u202f'\u2019")
_POINTED = re.compile(r"0|[+-]?[1-9]\d{0,2}(\.\d{3})*")
_UNIT = re.compile(r"[%$€£¥]")


def mostly_numbers(numbers: int, present: int, different: int, words: int) -> bool:
    """Whether a column is one of numbers in spite of words in it.

    Parameters
    ----------
    numbers, present : int
        How many of its values are numbers, and how many there are.
    different, words : int
        How many different numbers, and how many different words.
    """
    share = numbers / present
    many = share >= LEAST_SHARE and different > MOST_NAMES
    return share == 1 or (words <= MOST_WORDS and (share >= NUMBERS_SHARE or many))


def spelled_numbers(
    column: "Series", known: bool, commas_first: bool
) -> tuple["Series", list[str]] | None:
    """Numbers out of text such as "1.234,5", "1,234.5", "12 %" or "€ 5", and words on how.

    None for other text, and for numbers that need no more than pandas. `known`: that the column is
    one of numbers is known already; then any number of words may be among them, which are gaps.
    `commas_first`: where a comma or point might be either, the comma is the decimal one.
    """
    pd = require_pandas()
    counts = column.value_counts()
    decimals = ",." if commas_first else ".,"
    found = [_plain_numbers(counts.index, decimal, known) for decimal in decimals]
    plain = max(found, key=len)  # the first of two alike
    if not plain or all(text == number for text, number in plain.items()):
        return None
    words = [text for text in counts.index if text not in plain]
    are = int(counts[[*plain]].sum())
    if not known and not mostly_numbers(are, int(counts.sum()), len(plain), len(words)):
        return None
    how = []
    if plain is found[decimals.index(",")]:
        how += ["decimal commas"] if any("," in text for text in plain) else []
    elif any("," in text for text in plain):
        how.append("commas between thousands")
    units = sorted({unit for text in plain for unit in _UNIT.findall(text)})
    how += [f"numbers with {unit}, read without it" for unit in units]
    if words:
        how.append(f"words among the numbers, read as missing ({listed(words, 3)})")
    return pd.to_numeric(column.map(plain)), how or ["signs between thousands"]


def unpointed(column: "Series") -> "Series | None":
    """Numbers such as "1.234" and "987", with points between thousands; None if there are others.

    In a file of decimal commas: pandas takes the first for 1.234.
    """
    texts = column.str.strip().dropna().unique()
    if any("." in text for text in texts) and all(map(_POINTED.fullmatch, texts)):
        return require_pandas().to_numeric(column.str.replace(".", "", regex=False))
    return None


def _plain_numbers(texts: Iterable[str], decimal: str, known: bool) -> dict[str, str]:
    """Those texts that are numbers, as Python writes them; few words end the search unless `known`.

    Units stand before or behind, the same one wherever there is any.
    """
    plain: dict[str, str] = {}
    units: set[str] = set()
    words = 0
    for text in texts:
        own = _UNIT.findall(text)
        bare = _UNIT.sub("", text, count=1).strip() if own else text
        bare = re.sub(r"^([+-])\s+", r"\1", bare)
        units |= {*own}
        if _NUMBER[decimal].fullmatch(bare):
            bare = bare.translate(_BETWEEN_THOUSANDS)
            plain[text] = bare.replace("." if decimal == "," else ",", "").replace(decimal, ".")
        else:
            words += 1
        if len(units) > 1 or (words > MOST_WORDS and not known):
            return {}
    return plain
