"""Tools for those who train networks, and experiments, made of the public parts of fastnn."""

from fastnn.lab import experiments, plots
from fastnn.lab.diagnose import diagnose
from fastnn.lab.images import features, reconstructions
from fastnn.lab.judgements import calibration, confusion, roc
from fastnn.lab.lr_find import LearningRates, lr_find
from fastnn.lab.monitors import ActivationMonitor, GradientMonitor, Monitor, WeightMonitor
from fastnn.lab.reports import Finding, Report
from fastnn.lab.sanity import sanity_check
from fastnn.lab.search import coarse_to_fine, grid_search, random_search
from fastnn.lab.search_result import SearchResult, Trial

__all__ = [
    "ActivationMonitor",
    "Finding",
    "GradientMonitor",
    "LearningRates",
    "Monitor",
    "Report",
    "SearchResult",
    "Trial",
    "WeightMonitor",
    "calibration",
    "coarse_to_fine",
    "confusion",
    "diagnose",
    "experiments",
    "features",
    "grid_search",
    "lr_find",
    "plots",
    "random_search",
    "reconstructions",
    "roc",
    "sanity_check",
]
