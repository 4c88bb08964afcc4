"""What can stop a start, told to the person at the terminal."""


class StartError(Exception):
    """The stack cannot start; the message says why and what to do about it, in one or two sentences."""
