import { defineConfig } from 'vitest/config'

const slow = 'test/**/*.slow.test.ts'
/** They need programs that others have written, installed by `npm run test:emulators`. */
const emulators = 'test/emulators/**/*.test.ts'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: [slow, emulators],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'emulators',
          include: [emulators],
          globalSetup: 'test/emulators/install-moto.ts',
          testTimeout: 120_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      { test: { name: 'slow', include: [slow], testTimeout: 1_800_000, hookTimeout: 120_000, fileParallelism: false } },
    ],
  },
})
