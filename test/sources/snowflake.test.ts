import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { openWarehouse } from '@heapferry/sources'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NoAnswer, readAnswer } from '../../packages/sources/src/warehouse/snowflake/read-answer.ts'
import { parseSnowflakeAddress } from '../../packages/sources/src/warehouse/snowflake/snowflake-address.ts'
import {
  cellText,
  selectListOf,
  snowflakeColumn,
} from '../../packages/sources/src/warehouse/snowflake/snowflake-columns.ts'
import { snowflakeToken } from '../../packages/sources/src/warehouse/snowflake/snowflake-token.ts'
import { tries } from '../support/tries.ts'

test('an address is one text, however it is typed', () => {
  const typed = [
    'snowflake://Acme-Main/heap_main_production/heap',
    'SNOWFLAKE://acme-main.snowflakecomputing.com/HEAP_MAIN_PRODUCTION/Heap/',
    'snowflake://acme_main/"HEAP_MAIN_PRODUCTION"/%22HEAP%22',
  ]
  for (const one of typed)
    expect(parseSnowflakeAddress(one).text).toBe('snowflake://acme-main/HEAP_MAIN_PRODUCTION/HEAP')
  const quoted = parseSnowflakeAddress('snowflake://xy12345.eu-west-1/%22my db%22/%22a%2Fb%22%22%22')
  expect(quoted).toMatchObject({ account: 'xy12345.eu-west-1', database: 'my db', schema: 'a/b"' })
  expect(parseSnowflakeAddress(quoted.text)).toEqual(quoted)
})

test.each([
  'snowflake://ann:s3cret@acme/heap/main',
  'snowflake://ann@acme/heap/main#s3cret',
  'snowflake://acme/heap/main?password=s3cret',
  'snowflake:ann:s3cret@acme/heap/main',
  'snowflake://acme:s3cret/heap/main',
])('an address with anything but names is refused, and not repeated: %#', async (address) => {
  const options = { passwordFor: () => '', tls: undefined, timeoutMs: 1 }
  const refused = await openWarehouse(address, options).catch((error: unknown) => error)
  expect(refused).toMatchObject({
    name: 'OperatorError',
    message: expect.stringContaining('holds no user, no password'),
    hint: expect.stringContaining('SNOWFLAKE_PRIVATE_KEY_FILE'),
  })
  expect(JSON.stringify([String(refused), refused])).not.toContain('s3cret')
})

test.each(['snowflake://acme/heap', 'snowflake:///heap/main', 'snowflake://acme/a/b/c', 'snowflake://acme/%zz/b'])(
  'an address that lacks something is refused with its form: %s',
  (address) => {
    expect(() => parseSnowflakeAddress(address)).toThrow(/is no address of a Snowflake/)
  },
)

test('columns are read so that text and Parquet say the same, under the names that they have in files', () => {
  const columns = [
    ['USER_ID', 'NUMBER', '0'],
    ['PRICE', 'NUMBER', '2'],
    ['Plan "Name"', 'TEXT', null],
    ['AT', 'TIMESTAMP_LTZ', null],
    ['WHAT', 'VARIANT', null],
    ['RAW', 'BINARY', null],
  ].flatMap(([name = '', type = '', scale = null]) => snowflakeColumn(String(name), String(type), scale) ?? [])
  expect(selectListOf({ name: 'T', columns })).toBe(
    `"USER_ID" AS "user_id", TO_VARCHAR("PRICE") AS "price", "Plan ""Name""" AS "plan ""name""", CONVERT_TIMEZONE('UTC', "AT")::TIMESTAMP_NTZ AS "at", TO_JSON("WHAT") AS "what", HEX_ENCODE("RAW") AS "raw"`,
  )
  expect(snowflakeColumn('WHERE', 'GEOGRAPHY', null)).toBe(null)
})

test.each([
  ['TIMESTAMP_NTZ', '1672628645.678000000', '2023-01-02 03:04:05.678'],
  ['TIMESTAMP_NTZ', '1672628645.000000001', '2023-01-02 03:04:05.000000001'],
  ['TIMESTAMP_NTZ', '1672628645.000000000', '2023-01-02 03:04:05'],
  ['TIMESTAMP_NTZ', '-0.000001000', '1969-12-31 23:59:59.999999'],
  ['TIMESTAMP_NTZ', '-62135596800.000000000', '0001-01-01 00:00:00'],
  ['TIMESTAMP_TZ', '253402300799.999999999', '9999-12-31 23:59:59.999999999'],
  ['DATE', '-1', '1969-12-31'],
  ['TIME', '3723.500000000', '01:02:03.5'],
  ['NUMBER', '12345678901234567890123456789012345678', '12345678901234567890123456789012345678'],
  ['FLOAT', 'inf', 'Infinity'],
  ['FLOAT', 'NaN', 'NaN'],
  ['FLOAT', '1e-07', '1e-07'],
  ['TEXT', 'inf', 'inf'],
])('a %s that the SQL API writes as %s is %s', (type, said, text) => {
  const column = snowflakeColumn('C', type, '0')
  expect(column && cellText(column, said)).toBe(text)
})

test('a time that is none is not made one', () => {
  const column = snowflakeColumn('C', 'TIMESTAMP_NTZ', null)
  expect(() => column && cellText(column, '2023-01-02')).toThrow('"2023-01-02" is no number of seconds')
})

test('a key pair signs a token for the account without its region and the user in upper case, good for less than an hour', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'p' },
  })
  const login = { kind: 'key' as const, user: 'ann', pem: privateKey, passphrase: 'p' }
  const { type, text } = snowflakeToken('xy12345.eu-west-1', login)
  const [header = '', claims = '', signature = ''] = text.split('.')
  expect(type).toBe('KEYPAIR_JWT')
  expect(verify('sha256', Buffer.from(`${header}.${claims}`), publicKey, Buffer.from(signature, 'base64url'))).toBe(
    true,
  )
  const der = createPublicKey(publicKey).export({ type: 'spki', format: 'der' })
  const said = JSON.parse(Buffer.from(claims, 'base64url').toString())
  expect(said).toMatchObject({
    sub: 'XY12345.ANN',
    iss: `XY12345.ANN.SHA256:${createHash('sha256').update(der).digest('base64')}`,
  })
  expect(said.exp - said.iat).toBe(3540)
  expect(() => snowflakeToken('a', { ...login, passphrase: 'q' })).toThrow(/cannot be used/)
})

test('a key of another kind than RSA is refused with how to make one', () => {
  const { privateKey } = generateKeyPairSync('ed25519', {
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const login = { kind: 'key' as const, user: 'ann', pem: privateKey, passphrase: undefined }
  expect(() => snowflakeToken('a', login)).toThrow(/of the kind ed25519/)
})

const cells = fc.option(
  fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', 'null', '],["', '\\', '"data":[', '🎉', 'a\tb"c\n')),
)
const answers = fc.record({
  statement: fc.constantFrom('', '"data":[[', '{"data": ['),
  about: fc.array(fc.record({ name: fc.constantFrom('data', ']', '\\"'), data: fc.constant([['a']]) }), {
    maxLength: 1,
  }),
  data: fc.oneof(fc.array(fc.array(cells, { maxLength: 4 }), { maxLength: 8 }), fc.constant(null)),
  indent: fc.constantFrom('', ' ', '\n'),
})
type Said = typeof answers extends fc.Arbitrary<infer T> ? T : never

function textOf({ indent, ...answer }: Said): Buffer {
  return Buffer.from(JSON.stringify(answer, null, indent))
}

/** What is read of an answer that comes in pieces of so many bytes. */
async function read(bytes: Buffer, pieceBytes: number): Promise<unknown> {
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
  }
  const rows: unknown[] = []
  const rest = await readAnswer(pieces(), async (more) => void rows.push(...more))
  return { rest, rows }
}

/** The same by JSON.parse; null where it is none. */
function parsed(bytes: Buffer): unknown {
  try {
    const answer = JSON.parse(bytes.toString('utf8'))
    const isList = Array.isArray(answer.data)
    return { rest: isList ? { ...answer, data: [] } : answer, rows: isList ? answer.data : [] }
  } catch {
    return null
  }
}

test('an answer that comes in pieces, cut anywhere, has the rows and the rest that it has as a whole', async () => {
  await fc.assert(
    fc.asyncProperty(answers, fc.integer({ min: 1, max: 60 }), async (answer, pieceBytes) => {
      const bytes = textOf(answer)
      expect(await read(bytes, pieceBytes)).toEqual(parsed(bytes))
    }),
    { numRuns: tries(500) },
  )
})

test('an answer with a sign too few or another one in it is refused, or is what JSON says that it is', async () => {
  await fc.assert(
    fc.asyncProperty(
      answers,
      fc.nat(),
      fc.constantFrom('', ...',[]{}"\\n \n1'.split('')),
      async (answer, where, sign) => {
        const bytes = textOf(answer)
        const signs = [...bytes.keys()].filter((index) => ',[]"\\'.includes(String.fromCharCode(bytes[index] ?? 0)))
        const at = signs[where % signs.length] ?? 0
        const harmed = Buffer.concat([bytes.subarray(0, at), Buffer.from(sign), bytes.subarray(at + 1)])
        const seen = await read(harmed, 7).catch((error: unknown) => {
          expect(error).toBeInstanceOf(NoAnswer)
          return 'refused'
        })
        if (seen !== 'refused') expect(seen).toEqual(parsed(harmed))
        for (const end of [at, bytes.length - 1])
          await expect(read(bytes.subarray(0, end), 7)).rejects.toThrow(NoAnswer)
      },
    ),
    { numRuns: tries(4000) },
  )
})
