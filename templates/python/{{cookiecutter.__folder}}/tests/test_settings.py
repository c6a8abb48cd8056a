"""Is the environment read, and is what is wrong with it told in one line?"""

import pytest

from app.settings import ConfigurationError, Settings, load


def test_an_empty_environment_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PORT", "")
    settings = load()
    assert settings.port == {{ cookiecutter.port }}
    assert (settings.workers, settings.log_level, settings.max_body_bytes) == (1, "info", 65536)
    assert (settings.read_timeout, settings.write_timeout, settings.idle_timeout) == (10, 10, 75)
    assert (settings.drain_delay, settings.shutdown_timeout) == (0.5, 1.7)
    assert (settings.service_version, settings.service_revision) == ("0.0.0-dev", "unknown")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "9999", 9999),
        ("WORKERS", "4", 4),
        ("LOG_LEVEL", "debug", "debug"),
        ("LOG_LEVEL", "INFO", "info"),
        ("READ_TIMEOUT", "250ms", 0.25),
        ("WRITE_TIMEOUT", "1.5s", 1.5),
        ("IDLE_TIMEOUT", "2m", 120),
        ("DRAIN_DELAY", "0s", 0),
        ("SHUTDOWN_TIMEOUT", "4s", 4),
        ("MAX_BODY_BYTES", "5", 5),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8, ::1", "10.0.0.0/8, ::1"),
        ("FORWARDED_ALLOW_IPS", "*", "*"),
        ("SERVICE_VERSION", "1.2.3", "1.2.3"),
        ("SERVICE_REVISION", "abc", "abc"),
    ],
)
def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: object) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load(), name.lower()) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "80 80"),
        ("PORT", "8080.0"),
        ("PORT", "+8080"),
        ("PORT", " 8080"),
        ("PORT", "8_080"),
        ("PORT", "\uff18\uff10\uff18\uff10"),
        ("WORKERS", "2.0"),
        ("FORWARDED_ALLOW_IPS", "localhost"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8,"),
        ("WORKERS", "0"),
        ("LOG_LEVEL", "loud"),
        ("READ_TIMEOUT", "10"),
        ("READ_TIMEOUT", "0s"),
        ("WRITE_TIMEOUT", "-1s"),
        ("IDLE_TIMEOUT", "soon"),
        ("DRAIN_DELAY", "-1s"),
        ("SHUTDOWN_TIMEOUT", "never"),
        ("MAX_BODY_BYTES", "0"),
        ("MAX_BODY_BYTES", "1MB"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{name}: Input should be .*, for example ") as refusal:
        load()
    assert value not in str(refusal.value).partition(", for example ")[0]


def test_a_drain_as_long_as_the_shutdown_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAIN_DELAY", "2s")
    monkeypatch.setenv("SHUTDOWN_TIMEOUT", "2s")
    with pytest.raises(ConfigurationError, match=r"^DRAIN_DELAY must be shorter than SHUTDOWN_TIMEOUT$"):
        load()


def test_all_that_is_wrong_comes_in_one_line_without_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "s3cret")
    monkeypatch.setenv("IDLE_TIMEOUT", "s3cret")
    with pytest.raises(ConfigurationError) as refusal:
        load()
    message = str(refusal.value)
    assert "PORT: Input should be a whole number, for example {{ cookiecutter.port }}" in message
    assert "; IDLE_TIMEOUT: Input should be a duration, for example 500ms, 1.5s or 2m" in message
    assert "\n" not in message
    assert "s3cret" not in message
