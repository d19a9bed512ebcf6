"""What all commands share: messages, errors in one sentence, exit codes."""

from __future__ import annotations

import _thread
import functools
import logging
import os
import re
import signal
import sys
import threading
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import typer

from scatacworks._files import require_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType, TracebackType

DEBUG = "SCATACWORKS_DEBUG"
FAILED, BROKEN, HUNG_UP, INTERRUPTED, TERMINATED = 1, 70, 129, 130, 143
_STOPS = {signal.SIGTERM: TERMINATED} | ({signal.SIGHUP: HUNG_UP} if hasattr(signal, "SIGHUP") else {})  # not Windows
_SAME = (
    *("genome", "organelles", "malformed", "regions", "prior", "prior_weight", "min_cells", "device", "n_jobs"),
    *("noisy", "draw", "validation", "holdout", "resume", "overwrite", "devices", "extra", "target", "peaks"),
    "batch_size",
)
_OPTIONS = {name: f"--{name.replace('_', '-')}" for name in _SAME}
_OPTIONS |= {"groups": "--group", "n_cells": "--cells", "exclude": "--prior-exclude"}
_VALUE = r"""(?P<value>\[[^\]]*\]|'[^']*'|"[^"]*"|[\w.-]*\w)?"""
_NAME = "|".join(_OPTIONS)
_ARGUMENT = re.compile(
    rf"\b(?P<name>{_NAME})={_VALUE}|(?:^|(?<=[.;:] ))(?P<subject>{_NAME})(?= is )"
)  # not "The prior is"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and line feeds
_SAID_TWICE = re.compile(r"\b\w+=\S+ \((--[\w-]+[^()]*?)(?: on the command line)?\)")
_EXPECTED = (ValueError, TypeError, KeyError, OSError, ImportError, MemoryError)
_EXPECTED_OF_OTHERS = ("OutOfMemoryError", "MisconfigurationException")  # of torch, of Lightning


_QUIET = ContextVar("quiet", default=False)


def say(text: str) -> None:
    """Write a line of results to standard output, unless `--quiet` was given."""
    if not _QUIET.get():
        typer.echo(_printable(text))


def parse_extra(given: Sequence[str] | None) -> dict[str, Path]:
    """Return the channels of `--extra NAME=FILE`, whose files exist."""
    found = {}
    for text in given or ():
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            msg = f"--extra is {text!r}; expected NAME=FILE, such as CTCF=ctcf_motifs.bed."
            raise ValueError(msg)
        if name in found:
            msg = f"--extra names the channel {name!r} twice."
            raise ValueError(msg)
        found[name] = require_file(path, "file of an extra channel")
    return found


def parse_names(text: str) -> tuple[str, ...]:
    """Return names that are separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def note(text: str) -> None:
    """Write a line about the work to standard error, unless `--quiet` was given."""
    if not _QUIET.get():
        warn(text)


def warn(text: str) -> None:
    """Write to standard error what must be known in any case, on a line of its own while progress bars are shown."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        typer.echo(_printable(text), err=True)


def _printable(text: str) -> str:
    """Return a text whose control characters, which names in files may have, do nothing to a terminal."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """Turn errors into one sentence and an exit code; with `--debug` they pass. `quiet=True` leaves only warnings."""

    @functools.wraps(function)
    def command(*args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings(), _stoppable() as stops, _hooks(stops):
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            _QUIET.set(bool(kwargs.get("quiet", False)))
            _listen()
            try:
                function(*args, **kwargs)
            except KeyboardInterrupt:
                warn("Stopped. Files that were finished are kept; no half-written one is left.")
                raise typer.Exit(_STOPS[stops[0]] if stops else INTERRUPTED) from None
            except BrokenPipeError:
                sys.stdout = None  # whoever read has gone
                raise typer.Exit(FAILED) from None
            except Exception as error:
                if type(error).__module__.startswith(("typer", "click")):  # the end of a command, or wrong usage
                    raise
                _fail(error)

    return command


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Take SIGTERM, of schedulers and containers, and SIGHUP, of a closed terminal, like Ctrl-C; yield which came.

    What is ignored stays so, such as SIGHUP under `nohup`.
    """
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:  # a shell that is closed sends it twice; the second must not stop what cleans up
            raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()  # elsewhere Python allows no handlers
    usual = {number: signal.getsignal(number) for number in _STOPS if in_main}
    usual = {number: handler for number, handler in usual.items() if handler != signal.SIG_IGN}
    for number in usual:
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


@contextmanager
def _hooks(stops: list[int]) -> Iterator[None]:
    """Take care of errors that Python cannot raise, those in finalisers, while a command runs.

    A Ctrl-C, or one of the other `stops`, that falls into one (compiled modules have many) would be lost and is
    repeated. On a full disk, HDF5 says so again for each of its open objects; that is kept quiet, as the error itself
    is raised and told once.
    """
    usual, usual_print = sys.unraisablehook, sys.excepthook

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if issubclass(args.exc_type, KeyboardInterrupt):
            again = [*stops, signal.SIGINT][:1]
            stops.clear()
            threading.Timer(0.05, _thread.interrupt_main, again).start()  # not from here: a hook loses exceptions too
        elif not _repeated(args.exc_value):
            usual(args)

    def printed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not _repeated(error):
            usual_print(kind, error, trace)

    sys.unraisablehook, sys.excepthook = unraisable, printed
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = usual, usual_print


def _repeated(error: BaseException | None) -> bool:
    return isinstance(error, OSError | RuntimeError) and "file write failed" in str(error)


def _fail(error: Exception) -> None:
    if os.environ.get(DEBUG):
        raise error
    if isinstance(error, _EXPECTED) or type(error).__name__ in _EXPECTED_OF_OTHERS:  # which need not be imported
        title, code = "Error", FAILED
    else:
        title, code = "Unexpected error, please report it with what --debug shows", BROKEN
    warn(f"{title}: {sentence(error)}")
    raise typer.Exit(code) from None


def sentence(error: BaseException) -> str:
    """Return what an error says, without the quotes that `KeyError` adds, and with its notes."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        text = str(error) or "not enough memory; give --path to work on disk, fewer --group, or --regions"
    else:
        text = str(error.args[0]) if error.args else type(error).__name__
    return in_options(" ".join([text, *getattr(error, "__notes__", ())]))


def in_options(text: str) -> str:
    """Return a sentence of the library with its arguments as the options of the command line.

    Examples
    --------
    >>> in_options("n_jobs is 0")
    '--n-jobs is 0'
    >>> in_options("pass malformed='skip' to go on, groups=['B', 'NK'] or regions=None")
    'pass --malformed skip to go on, --group B,NK or no --regions'
    """
    text = _SAID_TWICE.sub(r"\1", text)
    return _ARGUMENT.sub(_option, text)


def _option(match: re.Match[str]) -> str:
    option, value = _OPTIONS[match["name"] or match["subject"]], match["value"]
    if value == "None":
        return f"no {option}"
    words = "none" if value == "[]" else "" if value in (None, "True") else re.sub(r"[\[\]'\" ]", "", value)
    return f"{option} {words}".rstrip()


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning | ImportWarning):
        warn(f"Note: {in_options(str(message))}")


class _Echo(logging.Handler):
    """Writes the library's messages to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "in_passing", False) and not logging.getLogger(record.name).isEnabledFor(logging.INFO):
            return  # --quiet
        warn(in_options(("Note: " if record.levelno >= logging.WARNING else "") + record.getMessage()))


def _listen() -> None:
    from scatacworks._logging import logger

    if not any(isinstance(handler, _Echo) for handler in logger.handlers):
        logger.addHandler(_Echo())
    logger.setLevel(logging.WARNING if _QUIET.get() else logging.INFO)
