"""The tool of the msb-templates collection."""

__version__ = "0.1.0"
