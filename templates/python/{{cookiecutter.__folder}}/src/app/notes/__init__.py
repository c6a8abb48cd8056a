"""The example resource: short texts, kept in memory."""
