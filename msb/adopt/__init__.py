"""Brings the container files of the templates to a service that is there already."""

from msb.adopt.detect import detect
from msb.adopt.found import Found, Note
from msb.adopt.render import dockerfile_of, render
from msb.adopt.write import adopt, on_terminal

__all__ = ["Found", "Note", "adopt", "detect", "dockerfile_of", "on_terminal", "render"]
