"""Experiments made of the public parts of fastnn."""
