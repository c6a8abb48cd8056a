"""The tool of the msb-templates collection."""

__version__ = "0.1.0"
HOME = "https://github.com/org/msb-templates"
"""Where the collection is."""
