"""Pretrained folders: writing them, and loading them strictly."""
