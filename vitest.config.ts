import { defineConfig } from 'vitest/config'

const slow = 'test/**/*.slow.test.ts'

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: [slow],
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      { test: { name: 'slow', include: [slow], testTimeout: 1_800_000, hookTimeout: 120_000, fileParallelism: false } },
    ],
  },
})
