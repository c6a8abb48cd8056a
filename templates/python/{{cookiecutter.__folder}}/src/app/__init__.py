"""A small HTTP service that keeps notes."""

DEFAULT_PORT = {{ cookiecutter.port }}
