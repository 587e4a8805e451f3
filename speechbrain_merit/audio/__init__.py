"""Recordings: reading and writing them, windows, what is wrong with a file, where speech is."""
