# --- Of stacks whose image states that it has no health check ---

# A health check that works, and contradicts the statement.
FROM scripted AS msb304-contradicts
HEALTHCHECK CMD ["/busybox/true"]

# A statement on which Compose's --wait fails.
FROM runtime AS msb304-stated
HEALTHCHECK NONE
