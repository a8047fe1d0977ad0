"""Experiments made of the public parts of fastnn, and the search for hyperparameters."""

from fastnn.lab.search import coarse_to_fine, grid_search, random_search
from fastnn.lab.search_result import SearchResult, Trial

__all__ = ["SearchResult", "Trial", "coarse_to_fine", "grid_search", "random_search"]
