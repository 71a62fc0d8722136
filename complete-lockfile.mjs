// Run after `npm install`. npm leaves optional packages of other platforms out of package-lock.json when it cannot see
// them, and `npm ci` on such a platform then fails or installs half of a tool. This puts them back, at the versions
// that their parents name, with the checksums that npm's registry has of them.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

const file = new URL('package-lock.json', import.meta.url)
const lock = JSON.parse(readFileSync(file, 'utf8'))

for (const [path, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const known = [`${path}/node_modules/${name}`, `node_modules/${name}`].some((place) => lock.packages[place])
    const platform = platformOf(name)
    if (known || !platform) continue
    lock.packages[`node_modules/${name}`] = { version, ...(dev && { dev }), optional: true, ...platform }
  }
}
for (const [path, entry] of Object.entries(lock.packages)) {
  if (path === '' || entry.link || entry.integrity) continue
  const { version, ...rest } = entry
  lock.packages[path] = { version, integrity: integrityOf(path.split('node_modules/').at(-1), version), ...rest }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)

function integrityOf(name, version) {
  const integrity = execFileSync('npm', ['view', `${name}@${version}`, 'dist.integrity'], { encoding: 'utf8' }).trim()
  if (!/^sha512-[\w+/]{86}==$/.test(integrity))
    throw new Error(`npm has no checksum of ${name}@${version}: ${integrity}`)
  return integrity
}

/** What such a package runs on, by its name: `@scope/tool-linux-arm64-musl`. */
function platformOf(name) {
  const words = name.split(/[-/]/)
  const of = (list) => list.find((word) => words.includes(word))
  const os = of(['android', 'darwin', 'freebsd', 'linux', 'openbsd', 'netbsd', 'sunos', 'aix', 'win32', 'openharmony'])
  const cpu = of(['arm64', 'x64', 'ia32', 'ppc64', 'ppc64le', 'riscv64', 's390x', 'loong64', 'mips64el', 'arm'])
  if (!os || !cpu) return undefined
  const libc = words.some((word) => word.startsWith('musl'))
    ? ['musl']
    : words.some((word) => word.startsWith('gnu'))
      ? ['glibc']
      : undefined
  return { os: [os], cpu: [cpu === 'ppc64le' ? 'ppc64' : cpu], ...(libc && { libc }) }
}
