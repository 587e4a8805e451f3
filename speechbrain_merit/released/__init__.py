"""The authors' released checkpoints: their files, their keys, and what they hold."""
