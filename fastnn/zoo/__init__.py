"""Networks made of the parts."""

from fastnn.zoo.autoencoders import Autoencoder, DenoisingAutoencoder, StackedAutoencoder
from fastnn.zoo.mlp import mlp

__all__ = ["Autoencoder", "DenoisingAutoencoder", "StackedAutoencoder", "mlp"]
