"""Scoring: from a trained system to a row for each utterance, metrics and a report."""
