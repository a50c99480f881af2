"""Signal lines: one JSON object per line, read strictly, written canonically."""

from cerberus_trader.heads.lines.files import read_signals
from cerberus_trader.heads.lines.parse import parse_signal
from cerberus_trader.heads.lines.write import derived_id, format_signal

__all__ = ["derived_id", "format_signal", "parse_signal", "read_signals"]
