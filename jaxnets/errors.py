"""The one exception for what a user can put right; the command line shows it as one line and exits with 2."""


class UserError(ValueError):
    """What was asked for is wrong: its message is one sentence that says what, where and what would be right."""
