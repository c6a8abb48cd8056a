"""The collection's own tool: engine, bases, contract and report for the templates in this repository."""
