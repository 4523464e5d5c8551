"""A process's place in the spool folder: where it appends, and what it has to drain."""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gatebook.errors import UserError
from gatebook.spool.file import File, Spooled, SpoolError, is_full
from gatebook.spool.folder import adopt, folder_bytes, identify, let_go, own


class Spool:
    """This process's place in the folder: one file of its own, made at need, and those that it has taken over."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._own: File | None = None
        self._adopted: list[File] = []
        self.identity = ""  # the folder's, from the first `append` on

    @property
    def rows(self) -> int:
        """How many records this process holds."""
        return sum(file.rows for file in self._held())

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self._held())

    def prepare(self) -> None:
        """See that the folder can be used; raises UserError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error.strerror) from None
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise self._unusable("this user may not write in it")

    def append(self, replica: str, records: Sequence[Sequence[Any]]) -> None:
        """Keep `records` until they are drained; returns when they are synced to disk. Raises SpoolError."""
        try:
            if (size := folder_bytes(self._folder)) >= self._limit:
                raise SpoolError(f"the spool is full: {size} bytes, GATEBOOK_SPOOL_LIMIT is {self._limit}")
            self.identity = self.identity or identify(self._folder)
            self._own = self._own or own(self._folder)
            self._own.append(replica, records)
        except (sqlite3.Error, OSError) as error:
            self._distrust(error)
            raise SpoolError(f"the spool cannot be written: {error}") from None

    def next_batch(self, most_rows: int, most_bytes: int) -> tuple[File, list[Spooled]] | None:
        """What to drain next, and out of which file: what others have left comes first. Raises SpoolError."""
        trouble: Exception | None = None
        try:
            if left := adopt(self._folder):
                self._adopted.append(left)
        except (sqlite3.Error, OSError) as error:
            trouble = error
        for file in self._held():
            try:
                if batch := file.oldest(most_rows, most_bytes):
                    return file, batch
                if file.clear() and file is not self._own:
                    self._drop(file)
            except (sqlite3.Error, OSError, SpoolError) as error:
                self._drop(file)  # whoever takes it over next counts anew
                trouble = error
        if trouble:
            raise SpoolError(f"a spool in {self._folder} cannot be read: {trouble}")
        return None

    def close(self) -> None:
        """Leave what is there to whoever comes next."""
        for file in self._held():
            let_go(file)
        self._own, self._adopted = None, []

    def _distrust(self, error: Exception) -> None:
        """After anything but a full disk nothing more goes into this file. What is in it will be taken over."""
        if self._own and not is_full(error):
            self._drop(self._own)

    def _drop(self, file: File) -> None:
        let_go(file)
        self._adopted = [each for each in self._adopted if each is not file]
        self._own = None if file is self._own else self._own

    def _held(self) -> list[File]:
        return [*self._adopted, *([self._own] if self._own else [])]

    def _unusable(self, why: str | None) -> UserError:
        return UserError(
            f"the spool folder {self._folder} cannot be used: {why}",
            "set GATEBOOK_SPOOL to a folder that this user can write in",
        )
