"""Makers for tests: they can sign, so they can also lie."""
