"""Networks made of the parts."""

from fastnn.zoo.autoencoders import Autoencoder, DenoisingAutoencoder, StackedAutoencoder
from fastnn.zoo.ensemble import Ensemble, fit_ensemble, mc_predict, mc_predict_proba
from fastnn.zoo.mlp import mlp

__all__ = [
    "Autoencoder",
    "DenoisingAutoencoder",
    "Ensemble",
    "StackedAutoencoder",
    "fit_ensemble",
    "mc_predict",
    "mc_predict_proba",
    "mlp",
]
