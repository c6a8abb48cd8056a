# Stand-in for postgres:17-trixie: Debian's PostgreSQL with as much of the official image's entrypoint as recipes use.

# debian: what mmdebstrap made on the host.
FROM scratch AS debian
ADD trixie.tar /

# postgres: postgres:17-trixie
FROM debian AS postgres
RUN <<'RUN'
set -eu
apt-get -qq update
mkdir -p /etc/postgresql-common
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
apt-get -qq install --no-install-recommends postgresql-17 >/dev/null
apt-get clean
rm -rf /var/lib/apt/lists/*
install -d -o postgres -g postgres -m 3777 /var/run/postgresql
install -d -o postgres -g postgres -m 700 /var/lib/postgresql/data
cat >/usr/local/bin/docker-entrypoint.sh <<'SH'
#!/bin/sh
# Makes the database cluster at the first start: POSTGRES_USER with POSTGRES_PASSWORD owns POSTGRES_DB.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  echo "${POSTGRES_PASSWORD:?must be set}" >/tmp/password
  initdb --username="${POSTGRES_USER:=postgres}" --pwfile=/tmp/password --auth-host=scram-sha-256 >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  if [ "${POSTGRES_DB:=$POSTGRES_USER}" != postgres ]; then
    echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$PGDATA" postgres >/dev/null
  fi
fi
exec "$@"
SH
chmod 755 /usr/local/bin/docker-entrypoint.sh
RUN
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
USER postgres
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres", "-c", "listen_addresses=*"]
