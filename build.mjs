// Compiles the command into one file, dist/heapferry.mjs, with the dependencies beside it in node_modules.
import { build } from 'esbuild'

await build({
  entryPoints: ['apps/cli/src/main.ts'],
  outfile: 'dist/heapferry.mjs',
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: true,
  banner: { js: '#!/usr/bin/env node' },
  plugins: [
    {
      // Our own workspaces are compiled in; every library stays as it was published.
      name: 'libraries-stay-outside',
      setup({ onResolve }) {
        onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
          kind === 'entry-point' || path.startsWith('@heapferry/') ? undefined : { external: true },
        )
      },
    },
  ],
})
