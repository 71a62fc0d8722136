import { splitVersioned } from './versioned-name.ts'

export interface Platform {
  os: string | undefined
  osVersion: string | undefined
}

/** PostHog's names where they differ from Heap's. Its web library knows no distributions. */
const postHogNames: ReadonlyMap<string, string> = new Map([
  ['macOS', 'Mac OS X'],
  ['WatchOS', 'watchOS'],
  ['BlackBerry OS', 'BlackBerry'],
  ['BlackBerry Tablet OS', 'BlackBerry'],
])

const linuxDistributions: ReadonlySet<string> = new Set([
  'Arch Linux',
  'CentOS',
  'Debian',
  'Fedora',
  'Gentoo',
  'Kubuntu',
  'Linux Mint',
  'Lubuntu',
  'Mandriva',
  'Mageia',
  'PCLinuxOS',
  'Puppy',
  'Red Hat',
  'SUSE',
  'Slackware',
  'Ubuntu',
  'Xubuntu',
  'openSUSE',
])

/** `$os` and `$os_version` for a value of Heap's `platform`, in PostHog's vocabulary; unknown families keep their name. */
export function platformOf(text: string): Platform {
  const { family, version } = splitVersioned(text)
  if (family === 'Other' || family === '') return { os: undefined, osVersion: undefined }
  // A distribution's number is no version of Linux.
  if (linuxDistributions.has(family)) return { os: 'Linux', osVersion: undefined }
  return { os: postHogNames.get(family) ?? family, osVersion: version }
}
