"""The values of an SQL statement, and what stands for them in its text."""


class Parameters:
    """Values in the order of $1, $2, …; those given come first. Several conditions of one statement share it."""

    def __init__(self, *values: object) -> None:
        self.values: list[object] = list(values)

    def add(self, value: object, cast: str) -> str:
        """What stands for `value` in the statement: `$3::text`."""
        self.values.append(value)
        return f"${len(self.values)}::{cast}"
