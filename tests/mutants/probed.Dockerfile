# --- Of stacks whose image has a health check ---

# No health check.
# says: health check: is not set: write HEALTHCHECK CMD ["/app/server", "healthcheck"]
FROM runtime AS msb304-none
HEALTHCHECK NONE

# A health check that always succeeds.
# says: health check: stays healthy while the service is frozen: let it ask the service
FROM scripted AS msb606-always
HEALTHCHECK CMD ["/busybox/true"]

# A health check that never succeeds.
# says: health check: does not become healthy: the check exits with 1 and says nothing
FROM scripted AS msb606-never
HEALTHCHECK CMD ["/busybox/false"]
