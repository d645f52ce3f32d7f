"""Measurements of what is built: `make bench`. Read the ratios; milliseconds are the machine's."""
