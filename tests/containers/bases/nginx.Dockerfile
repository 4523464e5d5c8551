FROM debian:trixie-slim
RUN groupadd --system --gid 101 nginx \
    && useradd --system --gid nginx --no-create-home --home-dir /nonexistent --shell /bin/false --uid 101 nginx \
    && mkdir -p /etc/nginx/conf.d /var/cache/nginx /var/log/nginx /docker-entrypoint.d
COPY nginx /usr/sbin/nginx
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
