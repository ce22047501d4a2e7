"""Requests written by hand, one file an operation; each has a list `CASES`."""
