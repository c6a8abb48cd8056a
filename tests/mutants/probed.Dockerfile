# --- Of stacks whose image has a health check ---

# No health check.
FROM runtime AS msb304-none
HEALTHCHECK NONE

# A health check that always succeeds.
FROM scripted AS msb606-always
HEALTHCHECK CMD ["/busybox/true"]

# A health check that never succeeds.
FROM scripted AS msb606-never
HEALTHCHECK CMD ["/busybox/false"]
