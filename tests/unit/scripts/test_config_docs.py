"""The generated pages are current and complete."""

from pathlib import Path

import pytest

from cerberus_trader.config import load_settings
from cerberus_trader.config_schema import fields
from cerberus_trader.domain.settings import Settings
from scripts import config_docs


def test_the_committed_page_is_current(project_root: Path) -> None:
    text = (project_root / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert text == config_docs.page(), "run make docs"
    for field in fields(Settings):
        assert f"| `{field.key}` |" in text


@pytest.mark.req("P-01.5", "T-01.3")
def test_the_template_of_the_environment_names_every_setting_and_loads(project_root: Path) -> None:
    text = (project_root / ".env.example").read_text(encoding="utf-8")
    assert text == config_docs.env_example(), "run make docs"
    pairs = [line[2:].split("=", 1) for line in text.splitlines() if line.startswith("# CERBERUS")]
    assert len(pairs) == len(list(fields(Settings)))
    environ = {pair[0]: pair[1] for pair in pairs}
    settings = load_settings(environ=environ, folder=Path("/nonexistent")).settings
    assert settings.risk == Settings().risk and settings.sizing == Settings().sizing


def test_every_setting_has_a_meaning_or_speaks_for_itself() -> None:
    bare = [f.key for f in fields(Settings) if not f.meaning and f.kind not in ("choice", "flag")]
    assert len(bare) <= 6, bare
