"""Tools for those who train networks, and experiments, made of the public parts of fastnn."""

from fastnn.lab import plots
from fastnn.lab.search import coarse_to_fine, grid_search, random_search
from fastnn.lab.search_result import SearchResult, Trial

__all__ = [
    "SearchResult",
    "Trial",
    "coarse_to_fine",
    "grid_search",
    "plots",
    "random_search",
]
