"""Neural building blocks: no file, metric or corpus is known here."""
