/** One way to send the rows of a file. */
export interface Bar {
  name: string
  /** Rows of the file, by the seconds it took. */
  rowsPerSecond: number
  cpuUsPerRow: number
  /** Of the rows. */
  delivered: number
}

const [width, labelWidth, rowHeight, barHeight, top] = [900, 310, 40, 20, 56]

/** What was measured as an SVG, on a ground of its own: it is shown in light and in dark. */
export function pictureOf(title: string, bars: readonly Bar[]): string {
  const height = top + bars.length * rowHeight + 16
  const longest = Math.max(...bars.map(({ rowsPerSecond }) => rowsPerSecond))
  const scale = (width - labelWidth - 330) / longest
  const rows = bars.map(({ name, rowsPerSecond, cpuUsPerRow, delivered }, nth) => {
    const y = top + nth * rowHeight
    const [all, taken] = [rowsPerSecond * scale, rowsPerSecond * scale * Math.min(1, delivered)]
    const isOurs = name.startsWith('heapferry')
    const facts = [
      `${Math.round(rowsPerSecond).toLocaleString('en-US')} rows/s`,
      `${Math.round(cpuUsPerRow)} µs of CPU`,
      `${Math.round(delivered * 100)} % arrived`,
    ].join(' · ')
    return [
      `<text x="${labelWidth - 12}" y="${y + 15}" text-anchor="end"${isOurs ? ' font-weight="600"' : ''}>${escaped(name)}</text>`,
      `<rect x="${labelWidth}" y="${y}" width="${all.toFixed(1)}" height="${barHeight}" rx="3" fill="#d5dae3"/>`,
      `<rect x="${labelWidth}" y="${y}" width="${taken.toFixed(1)}" height="${barHeight}" rx="3" fill="${isOurs ? '#1d6fd6' : '#8a94a6'}"/>`,
      `<text x="${(labelWidth + all + 10).toFixed(1)}" y="${y + 15}" fill="#4a5464">${escaped(facts)}</text>`,
    ].join('\n')
  })
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="14">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>`,
    `<text x="24" y="32" font-size="16" font-weight="600">${escaped(title)}</text>`,
    ...rows,
    '</svg>\n',
  ].join('\n')
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
