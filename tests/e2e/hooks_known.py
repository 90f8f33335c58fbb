"""What hooks.py takes as it is: bodies, each with the reason."""

SILENT = {}
UNSEEN = {}
