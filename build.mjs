// Compiles the command into dist/heapferry.mjs and pieces beside it. Dependencies stay in node_modules.
import { cpSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

rmSync('dist', { recursive: true, force: true })

await build({
  entryPoints: { heapferry: 'apps/cli/src/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  // A piece for each part that a command loads when it is called.
  splitting: true,
  bundle: true,
  platform: 'node',
  target: 'node20.20',
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

// What browsers get stays as it is.
cpSync('apps/dashboard/src/browser', 'dist/browser', { recursive: true, filter: (path) => !path.endsWith('.json') })
