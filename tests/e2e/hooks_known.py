"""What hooks.py takes as it is: bodies, each with the reason."""

# Rows of others' programs to be tried first.
ROWS = {
    "libaio/io_submit": "fio/libaio-r*",
}

SILENT = {}
UNSEEN = {}
