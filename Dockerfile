# One image for every role: producer, worker, dashboard, and the stand-in for PostHog of rehearsals.
# Node.js 26 is the long-term support line from October 2026 to April 2029.
FROM node:26.13.0-trixie-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY build.mjs tsconfig.json ./
COPY packages packages
COPY apps apps
# A container cannot install what it lacks: optional peers (of warehouses, of OpenTelemetry) are in it, at the locked versions.
RUN node build.mjs --fresh \
  && node -e "const p = JSON.parse(fs.readFileSync('package.json')); for (const name in p.peerDependencies) { p.dependencies[name] = p.devDependencies[name]; delete p.devDependencies[name] } delete p.peerDependencies; fs.writeFileSync('package.json', JSON.stringify(p))" \
  && npm prune --omit=dev --omit=optional \
  && find node_modules -name '*.map' -delete

FROM node:26.13.0-trixie-slim
ENV NODE_ENV=production HEAPFERRY_HOME=/var/lib/heapferry
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN mkdir -p /var/lib/heapferry /export && chown 1000:1000 /var/lib/heapferry
# By number: Kubernetes cannot tell of a name whether it is root.
USER 1000:1000
VOLUME /var/lib/heapferry
ENTRYPOINT ["node", "--max-semi-space-size=4", "dist/heapferry.mjs"]
CMD ["--help"]
