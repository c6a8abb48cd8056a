# --- Of stacks whose image has no health check ---

# A health check, where stacks.toml says why there is none.
# says: health check: is CMD /busybox/true, where stacks.toml says why there is none: drop HEALTHCHECK
FROM scripted AS msb304-contradicts
HEALTHCHECK CMD ["/busybox/true"]

# A statement on which Compose's --wait fails.
# says: health check: is NONE, where stacks.toml says why there is none: drop HEALTHCHECK
FROM runtime AS msb304-stated
HEALTHCHECK NONE
