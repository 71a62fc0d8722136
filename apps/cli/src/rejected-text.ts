import { visible } from '@heapferry/domain'
import { counted, grouped, type RejectedGroup } from '@heapferry/migration'
import { shortened } from './status-text.ts'

const width = 80
const shownGroups = 40

/** Groups of rejected rows for a terminal of 80 columns, and what can be done about them. */
export function rejectedText(run: string, groups: readonly RejectedGroup[]): string {
  if (groups.length === 0) return noneText(run)
  const rows = groups.reduce((sum, group) => sum + group.rows, 0)
  const digits = grouped(groups[0]?.rows ?? 0).length
  const indent = ' '.repeat(digits + 4)
  const more = groups.length - shownGroups
  return [
    `${run}: ${counted(rows, 'rejected row')}, ${counted(groups.length, 'kind')}`,
    '',
    ...groups.slice(0, shownGroups).flatMap((group) => {
      const { file, row, byte } = group.first
      return [
        `  ${grouped(group.rows).padStart(digits)}  ${visible(`${group.table} · ${group.reason}`)}`,
        `${indent}${shortened(group.shape, width - indent.length)}`,
        `${indent}first: ${visible(file)}, row ${grouped(row)} (byte ${grouped(byte)})`,
        ...(group.example === group.shape ? [] : [`${indent}${shortened(group.example, width - indent.length)}`]),
      ]
    }),
    ...(more > 0 ? [`  and ${grouped(more)} more kinds: narrow them down with --table or --reason`] : []),
    '',
    `Every row:        heapferry rejected ${run} --all`,
    `To look at them:  heapferry rejected ${run} --out rows.csv`,
    `After a fix:      heapferry retry ${run}`,
  ].join('\n')
}

export function noneText(run: string): string {
  return `${run} has no rejected rows, or none for that table and reason.`
}
