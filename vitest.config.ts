import { defineConfig } from 'vitest/config'

const slow = 'test/**/*.slow.test.ts'
/** They need programs that others have written, installed by `npm run test:emulators`. */
const emulators = 'test/emulators/**/*.test.ts'

export default defineConfig({
  resolve: { tsconfigPaths: true },
  test: {
    globalSetup: ['test/support/make-ready.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [slow, emulators] },
      },
      {
        extends: true,
        test: {
          name: 'emulators',
          include: [emulators],
          globalSetup: ['test/emulators/install-moto.ts'],
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      { extends: true, test: { name: 'slow', include: [slow], testTimeout: 1_800_000, fileParallelism: false } },
    ],
  },
})
