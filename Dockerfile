# One image for every role: producer, worker, dashboard. It carries compiled JavaScript and production dependencies.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY build.mjs tsconfig.json ./
COPY packages packages
COPY apps apps
RUN node build.mjs && npm prune --omit=dev

FROM node:20-bookworm-slim
ENV NODE_ENV=production HEAPFERRY_HOME=/var/lib/heapferry
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN mkdir -p /var/lib/heapferry /export && chown node:node /var/lib/heapferry
USER node
VOLUME /var/lib/heapferry
ENTRYPOINT ["node", "--max-semi-space-size=4", "dist/heapferry.mjs"]
CMD ["--help"]
