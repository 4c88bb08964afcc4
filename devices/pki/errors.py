"""What can be wrong with the authority."""


class PkiError(Exception):
    """The authority is missing, damaged or at its end; the message says what to do."""
