"""The threads in which a broker asks the registry who may come in."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from django.db import connections

from messaging.authorization import PASSWORD, Identity, Refusal
from messaging.broker.takeovers import Shared
from messaging.services.broker_access import admit_connection, report_shared

# Admission is a short database look-up; more threads would only mean more database connections.
THREADS = 4
PASSWORD_THREADS = 2


class AdmissionThreads:
    """Two pools: whoever comes with a password has proven nothing, and must not stand before those with a certificate."""

    def __init__(self, threads: int = THREADS, password_threads: int = PASSWORD_THREADS) -> None:
        self._proven = ThreadPoolExecutor(threads, thread_name_prefix="admission")
        self._passwords = ThreadPoolExecutor(password_threads, thread_name_prefix="password admission")
        self._sizes = {self._proven: threads, self._passwords: password_threads}

    async def admit(self, common_name: str, fingerprint: str, client_id: str) -> Identity | Refusal:
        """Do what `admit_connection` does, raising what it raises."""
        pool = self._passwords if fingerprint.startswith(PASSWORD) else self._proven
        return await asyncio.get_running_loop().run_in_executor(pool, admit_connection, common_name, fingerprint, client_id)

    async def tell_shared(self, shared: Shared) -> None:
        """Do what `report_shared` does, raising what it raises."""
        await asyncio.get_running_loop().run_in_executor(self._proven, report_shared, shared)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Wait for what is being asked, and close the threads' connections to the database."""
        for pool, size in self._sizes.items():
            for closed in [pool.submit(connections.close_all) for _ in range(size)]:
                closed.result(30)
            pool.shutdown()
