"""Open implementation of the SCONE trust plane: CLI, CAS, LAS and launcher."""

__version__ = "0.1.0"
