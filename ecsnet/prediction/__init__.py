"""Prediction: a client runs ahead of its server with what its player owns."""
