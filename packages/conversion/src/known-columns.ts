import { browserOf, browserVersionOf } from './browser.ts'
import { countryCodeOf } from './country-code.ts'
import { platformOf } from './platform.ts'
import type { Properties } from './properties.ts'
import { remembered } from './remembered.ts'

/** Puts what one cell means into an event's or a person's properties. */
export type Setter = (properties: Properties, value: string) => void

/** Sets the property to the text of the cell. */
export function asIs(name: string): Setter {
  return (properties, value) => {
    properties.set(name, value)
  }
}

/**
 * What Heap's columns about device, place and origin become, in the order of setting. `nameOf` turns the name of an event
 * property into the one wanted: `$os` into `$initial_os` for the first values of a person.
 */
export function knownColumns(nameOf: (name: string) => string): ReadonlyMap<string, Setter> {
  const platforms = remembered(platformOf)
  const browsers = remembered(browserOf)
  const countries = remembered((name) => ({ code: countryCodeOf(name) }))
  const referrers = remembered((address) => ({ domain: domainOf(address) }))
  const os = nameOf('$os')
  const osVersion = nameOf('$os_version')
  const heapPlatform = nameOf('heap_platform')
  const browser = nameOf('$browser')
  const browserVersion = nameOf('$browser_version')
  const heapBrowser = nameOf('heap_browser')
  const heapBrowserVersion = nameOf('heap_browser_version')
  const country = nameOf('$geoip_country_name')
  const countryCode = nameOf('$geoip_country_code')
  const referrer = nameOf('$referrer')
  const referringDomain = nameOf('$referring_domain')
  const screenWidth = nameOf('$screen_width')
  const screenHeight = nameOf('$screen_height')
  const screenDimensions = nameOf('screen_dimensions')
  const setAs = (name: string): Setter => asIs(nameOf(name))
  return new Map<string, Setter>([
    [
      'platform',
      (properties, value) => {
        const platform = platforms(value)
        if (platform.os !== undefined) properties.set(os, platform.os)
        if (platform.osVersion !== undefined) properties.set(osVersion, platform.osVersion)
        properties.set(heapPlatform, value)
      },
    ],
    [
      'browser',
      (properties, value) => {
        const { name, version } = browsers(value)
        if (name !== undefined) properties.set(browser, name)
        if (version !== undefined) properties.set(browserVersion, version)
        properties.set(heapBrowser, value)
      },
    ],
    [
      'browser_version',
      (properties, value) => {
        const version = browserVersionOf(value)
        properties.set(version === undefined ? heapBrowserVersion : browserVersion, version ?? value)
      },
    ],
    ['device_type', setAs('$device_type')],
    // The older name of `device`.
    ['phone_model', setAs('$device')],
    ['device', setAs('$device')],
    ['carrier', setAs('$network_carrier')],
    ['user_agent', setAs('$raw_user_agent')],
    ['city', setAs('$geoip_city_name')],
    ['region', setAs('$geoip_subdivision_1_name')],
    [
      'country',
      (properties, value) => {
        const { code } = countries(value)
        properties.set(country, value)
        if (code !== undefined) properties.set(countryCode, code)
      },
    ],
    [
      'referrer',
      (properties, value) => {
        const { domain } = referrers(value)
        properties.set(referrer, value)
        if (domain !== undefined) properties.set(referringDomain, domain)
      },
    ],
    ['app_name', setAs('$app_name')],
    ['app_version', setAs('$app_version')],
    [
      'screen_dimensions',
      (properties, value) => {
        const [, width, height] = /^(\d{1,6}) ?[xX×] ?(\d{1,6})$/.exec(value.trim()) ?? []
        if (width === undefined || height === undefined) {
          properties.set(screenDimensions, value)
        } else {
          properties.set(screenWidth, Number(width))
          properties.set(screenHeight, Number(height))
        }
      },
    ],
  ])
}

/** `www.google.com` of `https://www.google.com/search?q=1`; also where the scheme is missing. */
function domainOf(address: string): string | undefined {
  const [, host] = /^(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?\/\/(?:[^/?#]*@)?([^/?#\s]+)/.exec(address) ?? []
  if (host !== undefined) return host.toLowerCase()
  return /^([a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+)(?:[/?#:]|$)/.exec(address)?.[1]?.toLowerCase()
}
