/** What is known of one kind of fault at the end. */
interface Record {
  drawn: number
  happened: number
  noticed: number
  /** How long it took until rows moved again, or a chunk of a killed worker did. */
  recoveriesMs: number[]
  /** Those that were waited for in vain. */
  notRecovered: number
}

export interface Records {
  of(fault: string): Record
  happened(pattern: RegExp): number
  /** A line for each kind of fault, for people. */
  table(): string
}

export function createRecords(faults: readonly string[]): Records {
  const records = new Map<string, Record>(
    faults.map((name) => [name, { drawn: 0, happened: 0, noticed: 0, recoveriesMs: [], notRecovered: 0 }]),
  )
  return {
    of(fault) {
      const record = records.get(fault)
      if (!record) throw new Error(`no fault is called ${fault}`)
      return record
    },
    happened: (pattern) =>
      [...records].reduce((sum, [name, { happened }]) => (pattern.test(name) ? sum + happened : sum), 0),
    table() {
      const lines = [...records].map(([name, { happened, noticed, recoveriesMs, notRecovered }]) => {
        const { median, maximum } = spreadOf(recoveriesMs)
        const never = notRecovered > 0 ? `, ${notRecovered} not seen` : ''
        return happened === 0
          ? `| ${name} | not run | | | |`
          : `| ${name} | ${happened} | ${noticed} | ${median} | ${maximum}${never} |`
      })
      return [
        '| fault | happened | noticed | recovery, median | recovery, maximum |',
        '|---|---|---|---|---|',
        ...lines,
      ].join('\n')
    },
  }
}

/** In seconds, for people. */
export function spreadOf(durationsMs: readonly number[]): { median: string; maximum: string } {
  const sorted = durationsMs.toSorted((a, b) => a - b)
  const [lower, upper] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]]
  const median = lower === undefined || upper === undefined ? undefined : (lower + upper) / 2
  return { median: seconds(median), maximum: seconds(sorted.at(-1)) }
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? '–' : `${(ms / 1000).toFixed(1)} s`
}
