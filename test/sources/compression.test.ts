import { readFileSync } from 'node:fs'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gunzipSync, gzipSync } from 'node:zlib'
import { SourceChanged } from '@heapferry/domain'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Blob } from '../../packages/sources/src/places/blob.ts'
import { blocksOf } from '../../packages/sources/src/unpacking/blocks-of.ts'
import { compressionOf } from '../../packages/sources/src/unpacking/compression-of.ts'
import { DamagedContent } from '../../packages/sources/src/unpacking/damaged-content.ts'
import { decompress } from '../../packages/sources/src/unpacking/decompress.ts'
import { UnusableFile } from '../../packages/sources/src/unusable-file.ts'
import { compressions, little, type Packed, packers, zstdFrame } from './packers.ts'
import { tries } from '../support/tries.ts'

const MiB = 1024 * 1024

const rows = gunzipSync(fixture('rows.csv.gz'))
const few = gunzipSync(fixture('few.csv.gz'))

/** What people have: files that hold `rows` or `few`, packed by the usual tools. */
const files = [
  fileOf('gzip', 'rows.csv.gz', rows),
  fileOf('gzip', 'few.csv.gz', few),
  fileOf('zstd', 'rows.csv.zst', rows),
  fileOf('zstd', 'rows-unchecked.csv.zst', rows),
  fileOf('zstd', 'few.csv.zst', few),
  fileOf('zstd', 'few-unchecked.csv.zst', few),
  fileOf('zstd', 'few-parallel.csv.zst', few),
  fileOf('bzip2', 'rows.csv.bz2', rows),
  fileOf('bzip2', 'few.csv.bz2', few),
]

describe.each(files)('$name', ({ compression, packed, content }) => {
  test('is known by its first bytes and unpacks to its content', async () => {
    expect(compressionOf(packed.subarray(0, 16))).toBe(compression)
    const { content: unpacked, fault } = await unpack(packed, compression)
    expect(fault).toBeNull()
    expect(unpacked.equals(content)).toBe(true)
  })
})

describe.each(compressions)('%s', (compression) => {
  const parts = files.filter((file) => file.compression === compression)
  const [large, small] = [rows, few].map((content) => parts.find((file) => file.content === content)?.packed)
  if (!large || !small) throw new Error(`no fixtures of ${compression}`)

  test('files that were put one behind the other are read to the end, whatever the blocks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...parts), { maxLength: 5 }),
        fc.integer({ min: 1, max: 500 }),
        async (chosen, blocks) => {
          const packed = Buffer.concat(chosen.map((file) => file.packed))
          const blockBytes = Math.ceil(packed.length / blocks) || 1
          const { content, fault } = await unpack(packed, compression, { blockBytes })
          expect(fault).toBeNull()
          expect(content.equals(Buffer.concat(chosen.map((file) => file.content)))).toBe(true)
        },
      ),
      { numRuns: tries(40) },
    )
  })

  test('a file that is cut off anywhere gives the beginning of its content, and says where it was cut', async () => {
    const twice = Buffer.concat([small, small])
    const expected = Buffer.concat([few, few])
    let longest = 0
    for (let size = 1; size < twice.length; size++) {
      const { content, fault } = await unpack(twice.subarray(0, size), compression)
      expect(expected.subarray(0, content.length).equals(content)).toBe(true)
      expect(content.length).toBeGreaterThanOrEqual(longest)
      longest = content.length
      // Between the two it is a whole file.
      if (size === small.length) {
        expect({ content, fault }).toEqual({ content: few, fault: null })
      } else {
        expect(fault).toBeInstanceOf(DamagedContent)
        expect(fault?.message).toBe(`the ${compression} data ends in the middle, at byte ${size} of the file`)
      }
    }
  })

  test('a flipped bit gives the right content or is noticed, where the file has a checksum', async () => {
    let noticed = 0
    const bits = small.length * 8
    const tried = tries(bits)
    for (let turn = 0; turn < tried; turn++) {
      const bit = Math.floor((turn * bits) / tried)
      const { content, fault } = await unpack(flipped(small, bit), compression)
      if (fault === null) {
        expect(content, `bit ${bit}`).toEqual(few)
        continue
      }
      noticed++
      // The header of a zstd frame may then ask for what cannot be read here.
      const isRefused = compression === 'zstd' && fault instanceof UnusableFile
      if (!isRefused) expect(fault, `bit ${bit}`).toBeInstanceOf(DamagedContent)
    }
    expect(noticed).toBeGreaterThan((tried * 7) / 8)
  })

  test('what comes before damage is the same on every reading, however slow it is and however it is divided', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...parts),
        fc.constantFrom('flip', 'cut'),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 0, max: 5 }),
        async ({ packed }, kind, place, blocks, turns) => {
          const at = place * packed.length
          const hurt = kind === 'cut' ? packed.subarray(0, Math.floor(at)) : flipped(packed, Math.floor(at * 8))
          const once = await unpack(hurt, compression)
          const blockBytes = Math.ceil(hurt.length / blocks) || 1
          const again = await unpack(hurt, compression, { blockBytes, turns })
          expect(again.content.equals(once.content)).toBe(true)
          expect(again.fault?.message).toBe(once.fault?.message)
        },
      ),
      { numRuns: tries(100) },
    )
  })

  test('something else behind the data is damage, and costs none of the content', async () => {
    const { content, fault } = await unpack(Buffer.concat([small, Buffer.from('something else')]), compression)
    expect(content).toEqual(few)
    expect(fault).toBeInstanceOf(DamagedContent)
    const at = Number(fault?.message.match(/^the \w+ data is damaged at byte (\d+) of the file: /)?.[1])
    // The magic number of gzip has two bytes.
    expect(at - small.length).toBeOneOf(compression === 'gzip' ? [0, 1] : [0])
  })

  test('an empty file has no content', async () => {
    expect(await unpack(Buffer.alloc(0), compression)).toEqual({ content: Buffer.alloc(0), fault: null })
  })

  test('a file that changes while it is read is not taken for a damaged one', async () => {
    const failure = new SourceChanged('the file has changed', 'Put the original file back.')
    const { fault } = await unpack(large, compression, { blockBytes: 10_000, failAt: 10_000, failure })
    expect(fault).toBe(failure)
  })

  test('who stops early leaves no read under way, and no error that nobody gets', async () => {
    const packed = repeated(large, 100)
    // More than bzip2 reads for its first block.
    const blockBytes = Math.floor(packed.length * 0.9)
    const source = inMemory(packed, { turns: 5, failAt: blockBytes, failure: new Error('behind what was asked for') })
    const contents = decompress(source.blob, compression, { blockBytes })
    expect(await contents.next()).toMatchObject({ done: false })
    await contents.return(undefined)
    expect(source.underWay()).toBe(0)
    // Node tells of an error that nobody gets in a later turn, and vitest fails on it.
    await setImmediate()
  })

  test('what a file unpacks to never lies in memory as a whole', async () => {
    const { packed, bytes } = bombs[compression]()
    const before = bytesInUse()
    let unpackedBytes = 0
    let largestBytes = 0
    let peakBytes = 0
    let looks = 0
    for await (const content of decompress(inMemory(packed).blob, compression)) {
      unpackedBytes += content.length
      largestBytes = Math.max(largestBytes, content.length)
      if (unpackedBytes < (looks * bytes) / 10) continue
      looks++
      peakBytes = Math.max(peakBytes, bytesInUse() - before)
    }
    expect(looks).toBeGreaterThanOrEqual(10)
    expect(unpackedBytes).toBe(bytes)
    expect(largestBytes).toBeLessThanOrEqual(128 * 1024)
    expect(peakBytes).toBeLessThan(bytes / 2)
  })
})

test('at most one block is read ahead, and none before the second is asked for', async () => {
  const source = inMemory(Buffer.alloc(95))
  const filled: number[] = []
  for await (const block of blocksOf(source.blob, 10)) {
    await setImmediate()
    filled.push(source.filledBytes())
    expect(block.length).toBe(filled.length < 10 ? 10 : 5)
  }
  expect(filled).toEqual([10, 30, 40, 50, 60, 70, 80, 90, 95, 95])
})

test('zeros behind gzip data are padding, whatever their number', async () => {
  for (const zeros of [1, 511, 300_000]) {
    expect(await unpack(Buffer.concat([gzipSync(few), Buffer.alloc(zeros)]), 'gzip')).toEqual({
      content: few,
      fault: null,
    })
  }
})

test('gzip data behind padding is damage: it is neither content nor overlooked', async () => {
  const packed = gzipSync(few)
  for (const zeros of [1, 511, 300_000]) {
    const { content, fault } = await unpack(Buffer.concat([packed, Buffer.alloc(zeros), packed]), 'gzip')
    expect(content).toEqual(few)
    expect(fault?.message).toBe(
      `the gzip data is damaged at byte ${packed.length + zeros} of the file: there is something else behind zeros`,
    )
  }
})

test('any content in any number of gzip members comes back', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.uint8Array({ maxLength: 2000 }), runs()), { maxLength: 6 }),
      fc.integer({ min: 1, max: 1000 }),
      async (contents, blockBytes) => {
        const packed = Buffer.concat(contents.map((content) => gzipSync(content)))
        const { content, fault } = await unpack(packed, 'gzip', { blockBytes })
        expect(fault).toBeNull()
        expect(content.equals(Buffer.concat(contents))).toBe(true)
      },
    ),
    { numRuns: tries(200) },
  )
})

test('any content in any number of zstd frames comes back, with and without sizes and checksums', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(zstdFrames(), fc.uint8Array({ maxLength: 300 }).map(skippableFrame)), { maxLength: 6 }),
      fc.integer({ min: 1, max: 1000 }),
      async (frames, blockBytes) => {
        const { content, fault } = await unpack(Buffer.concat(frames.map(({ packed }) => packed)), 'zstd', {
          blockBytes,
        })
        expect(fault).toBeNull()
        expect(content.equals(Buffer.concat(frames.map((frame) => frame.content)))).toBe(true)
      },
    ),
    { numRuns: tries(300) },
  )
})

test('any content comes back from what these tests pack themselves', async () => {
  const texts = fc.string({ unit: fc.constantFrom('a', 'aaaa', 'ab', 'é', '\n'), maxLength: 2000 })
  const content = fc.oneof(texts, fc.uint8Array({ maxLength: 2000 }), runs()).map((bytes) => Buffer.from(bytes))
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...compressions), content, async (compression, bytes) => {
      const packed = packers[compression](bytes)
      expect(compressionOf(packed.subarray(0, 16))).toBe(compression)
      const { content: unpacked, fault } = await unpack(packed, compression)
      expect(fault).toBeNull()
      expect(unpacked.equals(bytes)).toBe(true)
    }),
    { numRuns: tries(150) },
  )
})

test('a zstd frame with another size than it says is damaged', async () => {
  const { packed, content } = zstdFrame({ blocks: [{ kind: 'raw', bytes: few }], size: 'long', hasChecksum: false })
  packed.writeBigUInt64LE(BigInt(few.length + 1), 6)
  const { content: unpacked, fault } = await unpack(packed, 'zstd')
  expect(unpacked).toEqual(content)
  expect(fault).toBeInstanceOf(DamagedContent)
  expect(fault?.message).toContain(`${few.length} bytes unpacked, the frame says ${few.length + 1}`)
})

test('zstd data with a window that would not be read rightly is refused, with the way out', async () => {
  const { packed } = zstdFrame({ blocks: [{ kind: 'raw', bytes: few }], size: 'none', hasChecksum: false })
  packed.writeUInt8((17 << 3) + 1, 5)
  const { content, fault } = await unpack(packed, 'zstd')
  expect(content).toHaveLength(0)
  expect(fault).toBeInstanceOf(UnusableFile)
  expect(fault?.message).toBe('its zstd data asks for a window of 144 MiB; up to 32 MiB can be read here')
  expect(fault).toHaveProperty('hint', expect.stringContaining('zstd -d --long=31 FILE'))
})

test('zstd data that needs a dictionary is refused, with the way out', async () => {
  const packed = Buffer.from('28b52ffd0150070100004869', 'hex')
  const { fault } = await unpack(packed, 'zstd')
  expect(fault).toBeInstanceOf(UnusableFile)
  expect(fault).toHaveProperty('hint', expect.stringContaining('zstd -d -D DICTIONARY FILE'))
})

test('text is not taken for packed, whatever it begins with', () => {
  for (const text of [
    '',
    'B',
    'BZh',
    'BZh9,user_id,time\n',
    'event_id,time\n',
    '\ufeffevent_id',
    '(x',
    'P*',
    '\x1f',
    '\x1fa',
  ])
    expect(compressionOf(Buffer.from(text)), JSON.stringify(text)).toBe('none')
})

test('a packed file that is cut off behind its magic number is still known', () => {
  for (const { compression, packed } of files) {
    for (let size = 4; size <= 16; size++) expect(compressionOf(packed.subarray(0, size))).toBe(compression)
  }
})

/** Far more than what the garbage collector leaves lying. */
const bombTimes = Math.max(3, tries(8))

const bombs: Record<Packed, () => { packed: Buffer; bytes: number }> = {
  gzip: () => ({ packed: repeated(gzipSync(Buffer.alloc(64 * MiB)), bombTimes), bytes: bombTimes * 64 * MiB }),
  zstd: () => {
    const blocks = Array.from({ length: 512 }, () => ({ kind: 'run' as const, byte: 0, bytes: 128 * 1024 }))
    const { packed } = zstdFrame({ blocks, size: 'none', hasChecksum: false })
    return { packed: repeated(packed, bombTimes), bytes: bombTimes * 64 * MiB }
  },
  bzip2: () => ({ packed: repeated(fixture('zeros.bz2'), 2), bytes: 368_000_000 }),
}

function repeated(bytes: Buffer, times: number): Buffer {
  return Buffer.concat(Array.from({ length: times }, () => bytes))
}

function fixture(name: string): Buffer {
  return readFileSync(path.join(import.meta.dirname, 'fixtures/compression', name))
}

function fileOf(compression: Packed, name: string, content: Buffer) {
  return { compression, name, packed: fixture(name), content }
}

interface Reading {
  blockBytes?: number
  /** How many turns of the event loop a read takes. */
  turns?: number
  /** Reads of this byte fail. */
  failAt?: number
  failure?: Error
}

async function unpack(
  packed: Buffer,
  compression: Packed,
  { blockBytes = MiB, ...reading }: Reading = {},
): Promise<{ content: Buffer; fault: Error | null }> {
  const contents: Buffer[] = []
  let fault: Error | null = null
  try {
    for await (const content of decompress(inMemory(packed, reading).blob, compression, { blockBytes }))
      contents.push(content)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    fault = error
  }
  return { content: Buffer.concat(contents), fault }
}

function inMemory(bytes: Buffer, { turns = 0, failAt = Number.POSITIVE_INFINITY, failure }: Reading = {}) {
  let underWay = 0
  let filledBytes = 0
  const blob: Blob = {
    version: { sizeBytes: bytes.length, mark: '' },
    async fill(target, at) {
      underWay++
      for (let turn = 0; turn < turns; turn++) await setImmediate()
      underWay--
      if (at + target.length > failAt) throw failure
      bytes.copy(target, 0, at)
      filledBytes += target.length
    },
    close: async () => {},
  }
  return { blob, underWay: () => underWay, filledBytes: () => filledBytes }
}

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes)
  copy.writeUInt8(copy.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
  return copy
}

function skippableFrame(bytes: Uint8Array): { packed: Buffer; content: Buffer } {
  return {
    packed: Buffer.concat([Buffer.from('5e2a4d18', 'hex'), little(bytes.length, 4), bytes]),
    content: Buffer.alloc(0),
  }
}

function zstdFrames(): fc.Arbitrary<{ packed: Buffer; content: Buffer }> {
  const block = fc.oneof(
    fc.record({ kind: fc.constant('raw' as const), bytes: fc.uint8Array({ maxLength: 600 }) }),
    fc.record({ kind: fc.constant('run' as const), byte: fc.nat(255), bytes: fc.nat(3000) }),
  )
  return fc
    .record({
      blocks: fc.array(block, { minLength: 1, maxLength: 6 }),
      size: fc.constantFrom('none' as const, 'long' as const, 'one_segment' as const),
      hasChecksum: fc.boolean(),
    })
    .map(zstdFrame)
}

function runs(): fc.Arbitrary<Uint8Array> {
  return fc.tuple(fc.nat(255), fc.nat(200_000)).map(([byte, length]) => new Uint8Array(length).fill(byte))
}

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

/** Of buffers, without those that nobody holds any more. */
function bytesInUse(): number {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}
