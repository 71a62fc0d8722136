import english from 'i18n-iso-countries/langs/en.json' with { type: 'json' }

/**
 * Names that geolocation databases have used and the list above lacks. "Congo" alone has always been the Republic of the
 * Congo (CG) in them; the other one is spelled out.
 */
const otherNames: readonly (readonly [code: string, ...names: string[]])[] = [
  ['AX', 'Åland'],
  ['BN', 'Brunei'],
  ['BQ', 'Bonaire', 'Caribbean Netherlands'],
  ['CC', 'Cocos [Keeling] Islands'],
  ['CD', 'DR Congo', 'Congo, The Democratic Republic of the', 'Congo-Kinshasa'],
  ['CG', 'Congo Republic', 'Congo-Brazzaville', 'Congo'],
  ['CI', 'Cote d’Ivoire'],
  ['CV', 'Cabo Verde'],
  ['FK', 'Falkland Islands'],
  ['FM', 'Micronesia', 'Federated States of Micronesia'],
  ['IR', 'Iran, Islamic Republic of'],
  ['JO', 'Hashemite Kingdom of Jordan'],
  ['KN', 'St Kitts and Nevis'],
  ['KP', "Korea, Democratic People's Republic of"],
  ['LA', 'Laos'],
  ['LC', 'St Lucia'],
  ['LT', 'Republic of Lithuania'],
  ['LY', 'Libyan Arab Jamahiriya'],
  ['MD', 'Moldova', 'Republic of Moldova'],
  ['MF', 'Saint Martin', 'St Martin'],
  ['MK', 'Macedonia', 'Republic of Macedonia', 'Macedonia, the Former Yugoslav Republic of'],
  ['MM', 'Burma', 'Myanmar [Burma]', 'Myanmar (Burma)'],
  ['MO', 'Macau'],
  ['PS', 'Palestinian Territory', 'Palestinian Territories', 'Palestinian Territory, Occupied'],
  ['RE', 'Réunion'],
  ['SH', 'St Helena', 'Saint Helena, Ascension and Tristan da Cunha'],
  ['ST', 'São Tomé and Príncipe'],
  ['SX', 'Sint Maarten'],
  ['SY', 'Syria'],
  ['SZ', 'Swaziland'],
  ['TL', 'East Timor', 'Democratic Republic of Timor-Leste'],
  ['TZ', 'Tanzania', 'Tanzania, United Republic of'],
  ['UM', 'U.S. Outlying Islands', 'U.S. Minor Outlying Islands'],
  ['VA', 'Vatican City', 'Vatican'],
  ['VC', 'St Vincent and Grenadines', 'Saint Vincent and Grenadines'],
  ['VG', 'British Virgin Islands'],
  ['VI', 'U.S. Virgin Islands', 'US Virgin Islands'],
  ['WF', 'Wallis and Futuna Islands'],
  ['BO', 'Bolivia, Plurinational State of'],
  ['VE', 'Venezuela, Bolivarian Republic of'],
]

const codes: ReadonlyMap<string, string> = codesByName()

/** ISO 3166-1 alpha-2 code of an English country name, whatever its accents and punctuation; undefined if unknown. */
export function countryCodeOf(name: string): string | undefined {
  return codes.get(simplified(name))
}

function codesByName(): Map<string, string> {
  const map = new Map<string, string>()
  for (const [code, names] of Object.entries(english.countries)) {
    map.set(simplified(code), code)
    for (const name of typeof names === 'string' ? [names] : names) map.set(simplified(name), code)
  }
  for (const [code, ...names] of otherNames) for (const name of names) map.set(simplified(name), code)
  return map
}

function simplified(name: string): string {
  return name
    .normalize('NFD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase()
    .replaceAll('&', ' and ')
    .replace(/[^\p{L}]+/gu, ' ')
    .trim()
    .replace(/^the /, '')
}
