"""The command line `mmec`: thin over the Python API."""
