"""From `gatebook up` to a stack that runs, and to its end: checks, the runner's process, signals, the control socket.

Rule: whatever a user may have got wrong is looked at before the first part is started.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from gatebook import __version__, operating_system
from gatebook.errors import UserError, exit_politely
from gatebook.settings import Settings
from gatebook.stack import account as accounts
from gatebook.stack import certificate as certificates
from gatebook.stack import control, end, folder, leftovers, logs, port, postgres
from gatebook.stack.folder import Folder
from gatebook.stack.parts import Kit
from gatebook.stack.runner import Runner
from gatebook.stack.steps import Steps, show

_OPEN_TO_OTHERS = """\
Warning: whoever reaches {listen} can read all that is recorded
Try:     GATEBOOK_VIEW_PASSWORD_FILE=./password gatebook up --listen {listen}; or GATEBOOK_VIEW_ALLOW=10.0.0.0/8"""
_FOLLOW_S = 0.2
_INTERRUPTED = 130  # the shell's code for an end by Ctrl-C


def up(settings: Settings, environ: Mapping[str, str], where: Folder, detach: bool) -> None:
    """Run the stack until it is told to stop; with `detach` return when it is healthy. Raises UserError."""
    if detach:
        _in_background(lambda ready: _run(settings, environ, where, ready))
    else:
        _run(settings, environ, where, None)


def _run(settings: Settings, environ: Mapping[str, str], where: Folder, ready: Callable[[], None] | None) -> None:
    os.umask(0o077)
    operating_system.raise_open_files()
    steps = Steps()
    show(f"gatebook {__version__}, data in {where}")
    kit = _prepare(settings, environ, where, steps)
    try:
        asyncio.run(_Stack(kit, steps, ready).run())
    except UserError:
        raise
    except Exception:
        logs.note(where.log(logs.RUNNER), f"a mistake of Gatebook's:\n{traceback.format_exc()}")
        raise
    finally:
        where.unlock()


def _prepare(settings: Settings, environ: Mapping[str, str], where: Folder, steps: Steps) -> Kit:
    """Look at everything that may be wrong, and make what is missing. Raises UserError."""
    where.claim()
    if not where.lock():
        raise UserError(
            f"a stack runs on {where} already",
            f"{_command('ps', where, environ)}; for a second stack: gatebook up --data DIR --port {settings.port + 1}",
        )
    for name in leftovers.end(where):
        steps(name, "left by a runner that was killed, ended")
    address = port.check(settings.listen, settings.port, _command("up", where, environ))
    if not (settings.view_password or settings.view_allow or ip_address(address.partition("%")[0]).is_loopback):
        print(_OPEN_TO_OTHERS.format(listen=settings.listen), file=sys.stderr, flush=True)
    account = accounts.unprivileged()
    where.make(account)
    where.check_room()
    if certificate := certificates.of(settings, where, account):
        certificate.take()
    programs = postgres.binaries(where, account)
    postgres.check_version(where, programs)
    postgres.ensure_password(where, account)
    return Kit(where, settings, environ, address, programs, account, certificate)


class _Stack:
    """The runner's process: one Runner, the signals and commands that reach it."""

    def __init__(self, kit: Kit, steps: Steps, ready: Callable[[], None] | None) -> None:
        self._kit = kit
        self._ready = ready
        self._runner = Runner(kit)
        self._listeners: list[Callable[[str, str], None]] = [steps]
        self._commands: set[asyncio.Task[Any]] = set()
        self._ending = asyncio.Event()
        self._force = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._told_to_stop)
        server = await control.serve(self._kit.folder, self._answer)
        background: asyncio.Task[None] | None = None
        try:
            if not await self._unless_ending(self._runner.up(self._say)):
                raise SystemExit(_INTERRUPTED)
            self._announce()
            background = None if self._ready else asyncio.create_task(self._follow())
            await self._ending.wait()
        finally:
            if background:
                background.cancel()
            for command in self._commands:
                command.cancel()
            await self._runner.down(self._say, self._force)
            self._ended.set()
            server.close()
            await asyncio.sleep(0)
            await asyncio.gather(*self._commands, return_exceptions=True)
            self._kit.folder.control.unlink(missing_ok=True)
            self._note("stopped")
            if not self._ready:
                end.say_what_waits(self._kit.folder, self._say)

    def _announce(self) -> None:
        url = f"{self._kit.url}/"
        self._note(f"up at {url}")
        ending = _command("down", self._kit.folder, self._kit.environment) if self._ready else "Ctrl-C"
        asked = " to whoever says the password" if self._kit.settings.view_password else ""
        show(f"\n{url}  ({ending} ends it)\n{url}_/  shows what comes{asked}\n")
        if self._ready:
            self._ready()

    async def _unless_ending(self, work: Any) -> bool:
        """Whether `work` was done before we were told to stop."""
        doing = asyncio.create_task(work)
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait((doing, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if doing.done():
            doing.result()
            return True
        doing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await doing
        return False

    async def _answer(self, request: dict[str, Any], say: Callable[[str, str], None]) -> Any:
        match request:
            case {"do": "ps"}:
                return self._runner.ps()
            case {"do": "down"}:
                self._listeners.append(say)
                self._ending.set()
                return await self._ended.wait()
            case {"do": "scale", "to": int(count)}:
                return await self._command(self._runner.scale(count, say))
            case {"do": "restart", "names": list(names), "rolling": bool(rolling)}:
                return await self._command(self._runner.restart(names, rolling, say))
        raise UserError(f"the runner does not know {request!r}", "is it of another release? gatebook down, gatebook up")

    async def _command(self, work: Any) -> None:
        """Do it as a task that the end of the stack can cancel."""
        if self._ending.is_set():
            work.close()
            raise UserError("the stack is being stopped", "gatebook up starts it again")
        task = asyncio.create_task(work)
        self._commands.add(task)
        try:
            await task
        finally:
            self._commands.discard(task)

    async def _follow(self) -> None:
        """Print what the parts say from now on, as compose does."""
        reader = logs.Reader(self._kit.folder.logs)
        reader.skip()
        prefix = logs.Prefix(sys.stdout.isatty())
        while True:
            for name, line in reader.new():
                show(prefix.line(name, line))
            await asyncio.sleep(_FOLLOW_S)

    def _told_to_stop(self) -> None:
        if self._ending.is_set():
            self._force.set()
        self._ending.set()

    def _say(self, part: str, text: str) -> None:
        for listener in self._listeners:
            listener(part, text)

    def _note(self, text: str) -> None:
        logs.note(self._kit.folder.log(logs.RUNNER), text)


def _command(verb: str, where: Folder, environ: Mapping[str, str]) -> str:
    """The command line that means this stack."""
    usual = where.root == folder.default(environ)
    return f"gatebook {verb}" if usual else f"gatebook {verb} --data {shlex.quote(str(where))}"


def _in_background(run: Callable[[Callable[[], None]], None]) -> None:
    """Run it in a process that stays when we go; returns when it says that it is ready, else ends as it does."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        _become_daemon(run, writes)
    os.close(writes)
    try:
        if os.read(reads, 1):
            return
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or 1)


def _become_daemon(run: Callable[[Callable[[], None]], None], writes: int) -> None:
    code: Any = 1
    try:
        os.setsid()
        os.chdir("/")
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)

        def ready() -> None:
            sys.stdout.flush()
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            os.write(writes, b".")
            os.close(writes)

        exit_politely(lambda: run(ready))
        code = 0
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
