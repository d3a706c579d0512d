"""What delivery has done since it was last reported."""


class Counts:
    """What was done since it was last reported."""

    def __init__(self) -> None:
        self.requests = 0
        self.retries = 0
        self.wire_bytes = 0

    def taken(self) -> "Counts":
        """The counts so far, which begin anew."""
        taken, fresh = Counts(), Counts()
        vars(taken).update(vars(self))
        vars(self).update(vars(fresh))
        return taken
