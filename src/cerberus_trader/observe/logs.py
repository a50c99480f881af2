"""Structured logs: one JSON object per line, or a readable form for a terminal.

Every line has time, level, event and what the context carries: `bound(trace_id=…)` at the edges
puts one correlation id on all lines of a trade's life. A `CerberusError` is written as its fields.
Secrets do not appear: values of type `Secret` anywhere, and values under telling names.
structlog is imported at the first use, not with this module.
"""

import hmac
import sys
import traceback
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import msgspec

from cerberus_trader.domain.errors import CerberusError
from cerberus_trader.domain.secret_names import HIDDEN, is_secret_name

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["json", "console"]
Line = MutableMapping[str, Any]

LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FRAMES_MAX = 3
DEPTH_MAX = 6

_context: ContextVar[dict[str, Any]] = ContextVar("cerberus_log_context")


class Secret:
    """Hold a secret text that is neither printed, encoded nor pickled; `reveal` gives it.

    Not a `str`: an encoder would write a subclass of it in plain.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._text.encode(), other._text.encode()
        )

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._text)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a secret is not stored")

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
        return self._text


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Put fields on every line logged inside, in this task and those that it starts."""
    token = _context.set({**_context.get({}), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def context() -> Mapping[str, Any]:
    """Return the fields that are bound here."""
    return _context.get({})


def configure(level: Level = "info", form: Form = "json", stream: TextIO | None = None) -> None:
    """Set level, form and stream (standard error by default) of all loggers of this process."""
    import structlog

    target = stream if stream is not None else sys.stderr
    colours = form == "console" and target.isatty()
    last = structlog.dev.ConsoleRenderer(colors=colours) if form == "console" else _render_json
    structlog.configure(
        processors=[
            _add_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _spell_errors,
            _redact,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> "FilteringBoundLogger":
    """Return the logger of a module; `configure` decides where its lines go."""
    import structlog

    log: FilteringBoundLogger = structlog.get_logger().bind(logger=name)
    return log


def error_fields(error: BaseException) -> dict[str, Any]:
    """Turn an error into fields: those of a `CerberusError`; type, text and place of any other."""
    if not isinstance(error, CerberusError):
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
        place = " > ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames)
        found = {"error": type(error).__name__, "message": str(error), "place": place}
        return {key: value for key, value in found.items() if value}
    fields = {
        "error": type(error).__name__,
        "code": error.code,
        "category": error.category.value,
        "severity": error.severity.value,
        "message": error.message,
        "place": error.place,
        "fix": error.fix,
        "recovery": error.recovery,
        "should_alert": error.should_alert,
    }
    return {key: value for key, value in fields.items() if value != ""}


def redact(value: Any, depth: int = 0) -> Any:
    """Return a copy without secrets: by type everywhere, by name in mappings and Structs."""
    if isinstance(value, Secret):
        return HIDDEN
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if depth >= DEPTH_MAX:
        return "…"
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {
            str(key): HIDDEN if is_secret_name(str(key)) else redact(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth + 1) for item in value]
    return value


def _add_context(_: object, __: str, line: Line) -> Line:
    return {**_context.get({}), **line}


def _spell_errors(_: object, __: str, line: Line) -> Line:
    """Replace exceptions by their fields; `exc_info=True` means the one being handled."""
    given = line.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given
    for key in [key for key, value in line.items() if isinstance(value, BaseException)]:
        error = line.pop(key)
    if isinstance(error, BaseException):
        line["error"] = error_fields(error)
    return line


def _redact(_: object, __: str, line: Line) -> Line:
    cleaned: Line = redact(dict(line))
    return cleaned


def _render_json(_: object, __: str, line: Line) -> str:
    return msgspec.json.encode(line, enc_hook=str).decode()
