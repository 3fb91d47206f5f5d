"""What the user can put right: printed as one line, never as a traceback."""


class AnalysisError(Exception):
    """Something about the run or the report that the user can act on; the text says what to do next."""
