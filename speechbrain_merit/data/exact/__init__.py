"""Sound in whole numbers: the same samples on every machine and with every library."""
