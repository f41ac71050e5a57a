# The image: dist/ and production dependencies on node:24-slim, as a user without rights, on a root that may be read-only.
FROM node:24-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# The base image has Node 24: the install scripts (the pinned `node` binary for checkouts) are not needed here.
RUN npm ci --ignore-scripts --no-fund --no-audit
COPY scripts ./scripts
COPY src ./src
RUN node scripts/build.mjs && npm prune --omit=dev --ignore-scripts --no-fund --no-audit

FROM node:24-slim
# One arena of malloc is enough for these threads; by default there may be eight for each core, and each keeps what it once had.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1
WORKDIR /opt/plumbline
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY LICENSE ./
COPY config ./config
COPY config/agent.yaml /etc/plumbline/agent.yaml
COPY config/contracts /etc/plumbline/contracts
# One start as the image's user fills the cache of compiled code, which later starts read and then nobody can change. `timeout` says 124.
RUN mkdir -p node_modules/.cache/plumbline && chown 1000:1000 node_modules/.cache/plumbline
USER 1000:1000
RUN cd "$(mktemp -d)" \
  && { timeout -s TERM 15 node --max-semi-space-size=4 --initial-old-space-size=20 --heap-growing-percent=40 --external-memory-accounted-in-global-limit --max-inlined-bytecode-size=1000 --max-inlined-bytecode-size-cumulative=3000 /opt/plumbline/dist/main.js run --config /etc/plumbline/agent.yaml || [ $? -eq 124 ]; } \
  && rm -rf "$PWD"
USER root
RUN chown -R root:root node_modules/.cache && chmod -R a+rX node_modules/.cache
# A volume takes the owner of the directory that it covers: made before VOLUME, or the agent could not write there.
RUN mkdir -p /var/lib/plumbline && chown 1000:1000 /var/lib/plumbline
# Relative paths in agent.yaml (./data) are relative to the working directory: everything that is written lies in the volume.
WORKDIR /var/lib/plumbline
VOLUME /var/lib/plumbline
# By number, so that runAsNonRoot can be checked; it is the image's user `node`.
USER 1000:1000
EXPOSE 4318 8888
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8888/health/live').then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=4", "--initial-old-space-size=20", "--heap-growing-percent=40", "--external-memory-accounted-in-global-limit", "--max-inlined-bytecode-size=1000", "--max-inlined-bytecode-size-cumulative=3000", "/opt/plumbline/dist/main.js"]
# In a container loopback is the container itself: who may reach port 4318 is decided by what publishes it.
CMD ["run", "--config", "/etc/plumbline/agent.yaml", "--set", "ingest.http.endpoint=0.0.0.0:4318", "--set", "ingest.http.insecure=true"]
