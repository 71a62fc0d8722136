import type { Pace, PaceReason, Phase } from '@heapferry/domain'

/** `1,234,567`: the same for every reader, whatever the server's locale. */
export function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 row`, `2 rows`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`
}

/** Rounded down: 100% is only what has nothing left. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '0%' : `${Math.floor((100 * Math.min(part, whole)) / whole)}%`
}

export function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  if (seconds < 60) return `${Math.ceil(seconds)} s`
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** What a phase brings to PostHog. */
export const phaseTexts: Readonly<Record<Phase, string>> = { identities: 'people and identities', events: 'events' }

export function paceText(pace: Pace): string {
  return pace === null ? 'no limit' : `${grouped(pace)} events/s`
}

/** Why events go slower than the limit says. */
export function paceReasonText(reason: PaceReason): string {
  switch (reason.kind) {
    case 'retry_after':
      return `PostHog wants no request for another ${duration(reason.leftMs / 1000)}`
    case 'lowered':
      return `PostHog answered ${reason.status}`
    case 'busy_id':
      return 'one distinct_id has more than 5,000 events a minute'
  }
}
