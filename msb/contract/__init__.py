"""The contract: what every runtime image promises, one function a rule, one module a family."""

from msb.contract import behaviour, building, credentials, metadata, programs, size, tools, users
from msb.contract.page import PLANNED, reference
from msb.contract.rules import RULES, Finding, Need, Result, Rule, Sees, Status, Subject, Verdict, check

FAMILIES = (tools, users, metadata, credentials, size, behaviour, building, programs)
"""The modules of the families 1xx to 8xx, in order."""

__all__ = [
    "FAMILIES",
    "PLANNED",
    "RULES",
    "Finding",
    "Need",
    "Result",
    "Rule",
    "Sees",
    "Status",
    "Subject",
    "Verdict",
    "check",
    "reference",
]
