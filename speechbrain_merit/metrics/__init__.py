"""Metrics of enhancement and emotion, their uncertainty, and the report made of them."""
