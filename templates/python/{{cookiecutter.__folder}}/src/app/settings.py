"""The service's configuration, from the environment: each field is set by the variable of its name in capitals."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app import DEFAULT_PORT

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def _seconds(value: object) -> object:
    """Read a duration such as 500ms, 1.5s or 2m."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)", value)
    if match is None:
        raise ValueError("Input should be a duration, for example 500ms, 1.5s or 2m")
    return float(match[1]) * _UNITS[match[2]]


Seconds = Annotated[float, BeforeValidator(_seconds)]
Timeout = Annotated[Seconds, Field(ge=0.001)]


class ConfigurationError(Exception):
    """What is wrong with the environment, all of it in one line."""


class Settings(BaseSettings):
    """The whole configuration; times are in seconds."""

    # An empty variable means the default: compose files and CI often set what they leave open to "".
    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    port: Annotated[int, Field(ge=1, le=65535)] = DEFAULT_PORT
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    read_timeout: Timeout = 10.0
    write_timeout: Timeout = 10.0
    # Longer than the 60 s of common load balancers: who closes first must be the one who sends.
    idle_timeout: Timeout = 75.0
    drain_delay: Annotated[Seconds, Field(ge=0)] = 0.5
    # Together with the exit itself, less than two seconds.
    shutdown_timeout: Timeout = 1.7
    max_body_bytes: Annotated[int, Field(ge=1, le=1 << 30)] = 64 << 10
    service_version: str = "0.0.0-dev"
    service_revision: str = "unknown"

    @model_validator(mode="after")
    def _drains_before_the_end(self) -> Self:
        if self.drain_delay >= self.shutdown_timeout:
            raise ValueError("DRAIN_DELAY must be shorter than SHUTDOWN_TIMEOUT")
        return self


def load() -> Settings:
    """Read the environment; raise ConfigurationError, which names each bad variable but never shows its value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [_problem(detail["loc"], detail["msg"]) for detail in error.errors(include_url=False)]
        raise ConfigurationError("; ".join(problems)) from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{str(location[0]).upper()}: {message}" if location else message
