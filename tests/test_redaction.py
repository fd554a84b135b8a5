"""Secrets are left out of command lines, errors, logs, manifests and results."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import SMALL, launch
from irm_sweeps.errors import raised
from irm_sweeps.redaction import has_user_info, redacted, redacted_words
from irm_sweeps.store.trial_log import TrialLog
from irm_sweeps.typed_commands import issued, issuing

SECRET = "S3CR3T"
TEXTS = [
    f"http://user:{SECRET}@host:5000/x",
    f"'logger.tracking_uri=http://u:{SECRET}/x@host'",
    f"https://{SECRET}@host/",
    f"HTTP://u:a'{SECRET}@[::1]:80/",
    f"postgresql+psycopg://u:a@{SECRET}@host/db",
    f"HTTPConnectionPool: http://u:{SECRET}@host timed out",
    f"a token={SECRET} b",
    f"'logger.api_key=a {SECRET} c' lam=1",
    f"WANDB_API_KEY={SECRET} python launch.py",
    f"{{'password': 'a {SECRET}', 'x': 1}}",
    f"logger={{api_key: {SECRET}}}",
    f"http://host/x?access_token={SECRET}&y=1",
    f"Authorization: Bearer {SECRET}abcdefg",
    rf"{{\"client_secret\": \"a {SECRET}\"}}",
]
PLAIN = [
    "http://host:5000/a@b",
    "file:///a/b@c",
    "dataset.tokens=100",
    "unexpected token: x",
    "git@host:x/y",
    "ID '../../etc/passwd': no trial starts with it",
    "'secret': no such sweep",
    "mail a@b.org, see http://host/x",
    "lam=1 seed=range(0,3)",
]


@pytest.mark.parametrize("text", TEXTS)
def test_secrets_are_left_out(text: str, tmp_path: Path) -> None:
    assert SECRET not in redacted(text)
    assert "***" in redacted(text)
    assert SECRET not in raised(ValueError(text))
    with issuing([text, "lam=1"]):
        assert SECRET not in issued()
        assert issued().endswith(" lam=1")
    TrialLog([tmp_path]).write(text)
    assert SECRET not in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_stays(text: str) -> None:
    assert redacted(text) == text
    assert not has_user_info(text)
    assert redacted_words([text]) == [text]


def test_of_a_word_the_whole_value_is_the_secret() -> None:
    words = [f"+logger.password=a b,{SECRET} c", f"a.uri=http://u:a {SECRET}@h/x", "lam=1"]
    assert redacted_words(words) == ["+logger.password=***", "a.uri=http://***@h/x", "lam=1"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["logger=mlflow", f"logger.tracking_uri=http://me:{SECRET}@127.0.0.1:1"],
        ["logger=mlflow", f"logger.tracking_uri='http://{SECRET}@127.0.0.1:1/x'"],
        ["logger=tensorboard", f"logger.directory=s3://me:{SECRET}@host/x"],
        ["method=irmv1", f"method.nothing=http://me:{SECRET}@host"],
        [f"device=http://me:{SECRET}@host"],
    ],
)
def test_a_uri_with_a_password_is_refused_and_stored_nowhere(tmp_path: Path, overrides: list[str]) -> None:
    results = tmp_path / "results"
    answer = launch("-m", f"results={results}", *SMALL, *overrides)
    assert SECRET not in answer.complaint + answer.out
    assert overrides[-1].partition("=")[0] in answer.complaint
    assert not results.exists()
    if "mlflow" in overrides[0]:
        assert "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in answer.complaint


def test_a_secret_among_the_words_is_left_out_of_the_manifest(tmp_path: Path) -> None:
    """Where a command line may have one: Hydra sets environment variables of its own jobs."""
    results = tmp_path / "results"
    answer = launch("-m", f"results={results}", *SMALL, f"+hydra.job.env_set.X_TOKEN={SECRET}")
    assert answer.code == 0, answer
    (manifest,) = results.glob("sweeps/*/manifest.json")
    assert "+hydra.job.env_set.X_TOKEN=***" in manifest.read_text()
    stored = [path.read_bytes() for path in results.rglob("*") if path.is_file()]
    assert SECRET.encode() not in b"".join(stored)
    assert SECRET not in answer.out + answer.err
