# --- Of stacks whose image has no health check ---

# A health check, where stacks.toml says why there is none.
FROM scripted AS msb304-contradicts
HEALTHCHECK CMD ["/busybox/true"]

# A statement on which Compose's --wait fails.
FROM runtime AS msb304-stated
HEALTHCHECK NONE
