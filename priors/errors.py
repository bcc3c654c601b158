"""The error for input that the user can correct."""


class InputError(ValueError):
    """Bad input: one line naming the value, the rule and the way out. The command line exits with 2."""
