"""Where the process stands between its start and its end."""

from dataclasses import dataclass


@dataclass
class Lifecycle:
    """draining: new work should go elsewhere; closing: each answer is its connection's last."""

    draining: bool = False
    closing: bool = False
