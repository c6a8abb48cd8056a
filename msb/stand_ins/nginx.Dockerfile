# Stand-in for nginx:1.30-trixie: Debian's nginx, with no dynamic module, in the official image's layout.

# debian: what mmdebstrap made on the host.
FROM scratch AS debian
ADD trixie.tar /

# nginx: nginx:1.30-trixie
FROM debian AS nginx
RUN <<'RUN'
set -eu
apt-get -qq update
apt-get -qq install --no-install-recommends ca-certificates nginx >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/* /etc/nginx/conf.d /etc/nginx/modules* /etc/nginx/sites-* /etc/nginx/snippets /var/www
echo 'nginx:x:101:101:nginx:/nonexistent:/bin/false' >>/etc/passwd
echo 'nginx:x:101:' >>/etc/group
mkdir -p /etc/nginx/conf.d /usr/lib/nginx/modules /var/cache/nginx
ln -s /usr/lib/nginx/modules /etc/nginx/modules
ln -sf /dev/stdout /var/log/nginx/access.log
ln -sf /dev/stderr /var/log/nginx/error.log
mkdir -p /usr/share/nginx/html
echo '<!DOCTYPE html><title>Welcome to nginx!</title>' >/usr/share/nginx/html/index.html
cat >/etc/nginx/nginx.conf <<'CONF'
user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
CONF
cat >/etc/nginx/conf.d/default.conf <<'CONF'
server {
    listen 80;
    location / { root /usr/share/nginx/html; index index.html; }
}
CONF
nginx -t
RUN
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
