"""Measure what README.md states: `make bench` prints the table of its section Figures."""
