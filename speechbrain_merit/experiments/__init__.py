"""Systems side by side: many runs from one file, and what they say about each other."""
