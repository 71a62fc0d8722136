import { splitVersioned } from './versioned-name.ts'

export interface Browser {
  name: string | undefined
  version: number | undefined
}

/** The vocabulary of PostHog's web library, where it differs from Heap's. */
const postHogNames: ReadonlyMap<string, string> = new Map([
  ['Android', 'Android Mobile'],
  ['Chrome Mobile', 'Chrome'],
  ['Chrome Mobile WebView', 'Chrome'],
  ['Chrome Mobile iOS', 'Chrome iOS'],
  ['Chromium', 'Chrome'],
  ['DuckDuckGo Mobile', 'DuckDuckGo'],
  ['Edge', 'Microsoft Edge'],
  ['Edge Mobile', 'Microsoft Edge'],
  ['Facebook', 'Facebook Mobile'],
  ['Firefox Beta', 'Firefox'],
  ['Firefox Mobile', 'Firefox'],
  ['HeadlessChrome', 'Chrome'],
  ['IE', 'Internet Explorer'],
  ['IE Mobile', 'Internet Explorer Mobile'],
  ['Mobile Safari UI/WKWebView', 'Mobile Safari'],
  ['Opera Mobile', 'Opera'],
  ['Yandex Browser', 'Yandex'],
])

/** `$browser` and `$browser_version` for a value of Heap's `browser`; unknown families keep their name. */
export function browserOf(text: string): Browser {
  const { family, version } = splitVersioned(text)
  if (family === 'Other' || family === '') return { name: undefined, version: undefined }
  return { name: postHogNames.get(family) ?? family, version: browserVersionOf(version ?? '') }
}

/** PostHog keeps browser versions as one number, major.minor, so that they can be compared: `17.1.2` is 17.1. */
export function browserVersionOf(text: string): number | undefined {
  const number = /^\d{1,15}(?:\.\d{1,6})?(?![^.\s])/.exec(text.trim())?.[0]
  return number === undefined ? undefined : Number(number)
}
