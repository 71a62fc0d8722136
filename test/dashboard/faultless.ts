import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'
import { expect } from 'vitest'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** Nothing that axe finds: all of its rules in the dark, and in the light those of colours, which alone are others there. */
export async function faultless(page: Page, name: string): Promise<void> {
  for (const colorScheme of ['dark', 'light'] as const) {
    await page.emulateMedia({ colorScheme })
    // Evaluated by the browser's tools, which the page's policy for scripts does not concern.
    const { violations, passed }: { violations: { id: string; nodes: { html: string }[] }[]; passed: number } =
      await page.evaluate(
        `${axe}; axe.run(${colorScheme === 'light' ? "{ runOnly: ['color-contrast'] }" : ''}).then(({ violations, passes }) => ({ violations, passed: passes.length }))`,
      )
    expect(passed).toBeGreaterThan(colorScheme === 'dark' ? 10 : 0)
    const faults = violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)
    expect([name, colorScheme, faults]).toEqual([name, colorScheme, []])
  }
}
