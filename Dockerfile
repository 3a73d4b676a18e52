# Two stages: build with the toolchain, run with nothing but the binary and the certificates.
#
#   docker build -t scimgate .
#   docker run --stop-timeout 30 -p 127.0.0.1:8080:8080 -v scimgate:/var/lib/scimgate \
#     -e SCIMGATE_ADMIN_TOKEN=... -e SCIMGATE_PUBLIC_URL=https://scim.example.com scimgate
#
# There is no TLS in it: publish the port to a proxy, not to the network. It needs up to 25 seconds to
# end in good order.

FROM rust:1.95-slim-bookworm AS build
# The image has the C compiler that SQLite and the TLS library are built with.
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin scimgate

FROM debian:bookworm-slim
# ca-certificates: targets are called with the certificates of the platform. curl: the health check.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates curl \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/scimgate --create-home scimgate
COPY --from=build /src/target/release/scimgate /usr/local/bin/scimgate
COPY --from=build /src/config/scimgate.toml /etc/scimgate/scimgate.toml
COPY --from=build /src/LICENSE /usr/share/doc/scimgate/LICENSE
USER scimgate
WORKDIR /var/lib/scimgate
VOLUME /var/lib/scimgate
# These beat the file, which is the commented default and listens on loopback.
ENV SCIMGATE_LISTEN=0.0.0.0:8080 \
    SCIMGATE_DATA_DIR=/var/lib/scimgate
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["curl", "--fail", "--silent", "--show-error", "--max-time", "2", "--output", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["scimgate"]
CMD ["serve", "--config", "/etc/scimgate/scimgate.toml"]
