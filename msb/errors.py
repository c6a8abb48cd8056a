"""What this tool raises on purpose."""


class MsbError(Exception):
    """Something the user can fix; its text is one clear line, printed without a traceback (exit code 2)."""


class SkippedError(Exception):
    """A rule asks for what is not there; its text says what, and the rule is skipped."""
