"""The service's configuration, from the environment: each field is set by the variable of its name in capitals."""

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
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


def _whole(value: object) -> object:
    """Read digits alone, as the health check does: 8080.0 is no port."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,10}", value):
        raise ValueError("Input should be a whole number")
    return value


def _proxies(value: str) -> str:
    """Read * or addresses and networks, separated by commas."""
    for part in value.split(",") if value != "*" else ():
        try:
            ipaddress.ip_network(part.strip())
        except ValueError:
            raise ValueError("Input should be * or addresses and networks, for example 10.0.0.0/8") from None
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Timeout = Annotated[Seconds, Field(ge=0.001)]


class ConfigurationError(Exception):
    """What is wrong with the environment, all of it in one line."""


class Settings(BaseSettings):
    """The whole configuration; times are in seconds."""

    # An empty variable means the default: compose files and CI often set what they leave open to "".
    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True)

    port: Annotated[Whole, Field(ge=1, le=65535)] = DEFAULT_PORT
    workers: Annotated[Whole, Field(ge=1, le=64)] = 1
    log_level: Annotated[Literal["debug", "info", "warn", "error"], BeforeValidator(str.lower)] = "info"
    read_timeout: Timeout = 10.0
    write_timeout: Timeout = 10.0
    # Longer than the 60 s of common load balancers: who closes first must be the one who sends.
    idle_timeout: Timeout = 75.0
    drain_delay: Annotated[Seconds, Field(ge=0)] = 0.5
    # Together with the exit itself, less than two seconds.
    shutdown_timeout: Timeout = 1.7
    max_body_bytes: Annotated[Whole, Field(ge=1, le=1 << 30)] = 64 << 10
    # Who may say by X-Forwarded-For and -Proto from where and how a request came.
    forwarded_allow_ips: Annotated[str, AfterValidator(_proxies)] = "127.0.0.1,::1"
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
    if not location:
        return message
    default = Settings.model_fields[str(location[0])].default
    example = f"{default:g}s" if isinstance(default, float) else default
    return f"{str(location[0]).upper()}: {message}" + ("" if "example" in message else f", for example {example}")
