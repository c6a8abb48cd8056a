"""The one error that this tool raises on purpose."""


class MsbError(Exception):
    """Something the user can mend; its text is one clear line, printed without a traceback (exit code 2)."""
