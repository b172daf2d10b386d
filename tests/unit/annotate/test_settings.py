"""annotate/settings.py: the token."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perflens.annotate.settings import GrafanaSettings, token_from
from perflens.errors import ConfigError


def test_the_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" glsa_file \n")
    file.chmod(0o600)
    assert token_from({}) == ""
    assert token_from({"GRAFANA_TOKEN": " glsa_env\n"}) == "glsa_env"
    assert token_from({"GRAFANA_TOKEN": "glsa_env"}, str(file)) == "glsa_file"


@pytest.mark.parametrize(("content", "mode"), [("", 0o600), ("two words", 0o600), ("x" * 5_000, 0o600), ("é", 0o600), ("fine", 0o644)])
def test_a_file_without_a_proper_token_is_refused(tmp_path: Path, content: str, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        token_from({}, str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert not content or content not in str(caught.value)


def test_a_token_that_is_none_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        token_from({"GRAFANA_TOKEN": "se cret"})
    assert str(caught.value) == "GRAFANA_TOKEN: holds no token; use the token of a Grafana service account with the role Editor"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        token_from({}, str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"is no plain file|Is a directory"):
        token_from({}, str(tmp_path))


def test_settings_do_not_show_the_token() -> None:
    assert "secret" not in repr(GrafanaSettings("http://g", "secret", "web1"))


def test_the_client_is_imported_by_the_first_request_alone() -> None:
    code = "import sys, perflens.annotate.sink; sys.exit('aiohttp' in sys.modules)"
    folder = Path(sys.modules["perflens"].__path__[0]).parent
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0
