const dayMs = 86_400_000

/** Days of UTC from a first to a last one, in days since 1970-01-01. */
export interface Stretch {
  from: number
  to: number
}

/** A column of a calendar. */
export interface Step extends Stretch {
  /** Below the `group`, which neighbours share; null where there is none. */
  label: string
  group: string | null
  /** In full. */
  name: string
}

// As many columns as a screen has room for.
const mostDays = 45
const mostMonths = 25

/** Days, months or years, so that there are not too many; clipped to the stretch. */
export function stepsOf({ from, to }: Stretch): { unit: 'day' | 'month' | 'year'; steps: Step[] } {
  if (to - from < mostDays) {
    const steps = Array.from({ length: to - from + 1 }, (_, nth): Step => {
      const day = from + nth
      const text = dayText(day)
      return { from: day, to: day, label: String(Number(text.slice(8))), group: monthName(text), name: text }
    })
    return { unit: 'day', steps }
  }
  const months = [...stretchesBy(7, { from, to })]
  if (months.length <= mostMonths) {
    const steps = months.map(({ text, ...stretch }): Step => {
      const [month = '', year = ''] = monthName(text).split(' ')
      return { ...stretch, label: month, group: year, name: monthName(text) }
    })
    return { unit: 'month', steps }
  }
  const steps = [...stretchesBy(4, { from, to })].map(({ text, ...stretch }): Step => {
    const year = text.slice(0, 4)
    return { ...stretch, label: year, group: null, name: year }
  })
  return { unit: 'year', steps }
}

/** Days whose dates begin with the same so many characters. */
function* stretchesBy(length: 4 | 7, { from, to }: Stretch): Generator<Stretch & { text: string }> {
  for (let day = from; day <= to; ) {
    const text = dayText(day)
    const date = new Date(day * dayMs)
    const next =
      length === 4
        ? Date.UTC(date.getUTCFullYear() + 1, 0, 1)
        : Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
    yield { from: day, to: Math.min(next / dayMs - 1, to), text }
    day = next / dayMs
  }
}

/** `May 2023`, of a date that begins with `2023-05`. */
function monthName(text: string): string {
  const month = new Date(`${text.slice(0, 7)}-01T00:00:00Z`)
  return month.toLocaleString('en', { month: 'short', year: 'numeric', timeZone: 'UTC' })
}

/** `2023-05-31` */
export function dayText(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10)
}

export function dayOf(text: string): number {
  return Date.parse(text) / dayMs
}
