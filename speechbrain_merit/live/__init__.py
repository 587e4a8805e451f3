"""Sound as it arrives: in the terminal, on a page, as a service."""
