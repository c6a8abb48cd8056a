# --- The sites' own ---

# Node itself.
# says: usr/local/bin/node: build tool in the runtime image
FROM runtime AS msb101-node
COPY --from=builder /usr/local/bin/node /usr/local/bin/node

# Node under a name that a part of nginx could have.
# says: usr/sbin/nginx-helper: is node under another name
FROM runtime AS msb105-node
COPY --from=builder /usr/local/bin/node /usr/sbin/nginx-helper

# A module that nginx loads, which comes from no package.
# says: usr/lib/nginx/modules/ngx_http_extra_module.so: belongs to no package and is in no record of the build
FROM runtime AS msb104-module
COPY --from=compilers /usr/bin/true /usr/lib/nginx/modules/ngx_http_extra_module.so

# npm without its command.
# says: usr/local/lib/node_modules: only a developer needs this
FROM runtime AS msb107-npm
COPY --from=builder /usr/local/lib/node_modules/ /usr/local/lib/node_modules/

# npm's cache.
# says: home/nonroot/.npm: only a developer needs this
FROM runtime AS msb107-cache
COPY <<'EOT' /home/nonroot/.npm/_cacache/index-v5/00/00/entry
{"key":"make-fetch-happen:request-cache"}
EOT

# A source map beside what it explains.
# says: srv/assets/index.js.map: only a developer needs this
FROM runtime AS msb107-map
COPY <<'EOT' /srv/assets/index.js.map
{"version":3,"sources":["../../src/main.ts"]}
EOT

# Settings of a developer's machine in the site.
# says: srv/.env: only a developer needs this
FROM runtime AS msb107-env
COPY <<'EOT' /srv/.env
API=https://staging.example.com
EOT

# nginx as root, whose other processes give that up.
# says: process 1: runs with uid 0
FROM runtime AS msb202-root
USER 0:0
ENTRYPOINT ["/usr/sbin/nginx", "-e", "stderr", "-g", "daemon off; user nonroot nonroot;"]

# A site that nginx itself can rewrite.
# says: srv/api: belongs to uid 65532, not to root
FROM runtime AS msb207-webroot
COPY --from=runtime --chown=65532:65532 /srv/ /srv/

# A configuration that the service can rewrite.
# says: etc/nginx/nginx.conf: can be written by others than root (666)
FROM runtime AS msb207-configuration
COPY --from=runtime --chmod=666 /etc/nginx/nginx.conf /etc/nginx/nginx.conf

# A stop signal that ends nginx at once, which takes no new connection after any signal.
# says: exit code: is 137
# says: in-flight request: got no whole answer
FROM runtime AS msb604-abrupt
STOPSIGNAL SIGKILL

# The stop signal that nginx takes as an order to drop its requests.
# says: in-flight request: got no whole answer
FROM runtime AS msb604-fast
STOPSIGNAL SIGTERM

# A health path that answers with an error.
# says: GET /healthz: answers 503 while the service runs
FROM runtime AS msb606-error
COPY <<'EOT' /etc/nginx/nginx.conf
pid /tmp/nginx.pid;
events {}
http {
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    access_log /dev/stdout;
    server {
        listen 8080;
        return 503;
    }
}
EOT
