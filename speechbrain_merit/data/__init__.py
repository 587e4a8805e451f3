"""Manifests, mixing and data pipelines."""
