import { describe, expect, test } from 'vitest'
import { binOf, createDurations, eachBin, GAMMA, valueOf, ZERO_BIN } from '../src/duration-sketch.ts'
import { random } from './aggregate/make.ts'

function sketchOf(durationsMs: readonly number[]) {
  const sketch = createDurations()
  for (const ms of durationsMs) sketch.add(binOf(ms), 1)
  return sketch
}

function binsOf(bytes: Buffer): Map<number, number> {
  const bins = new Map<number, number>()
  eachBin(bytes, (bin, count) => bins.set(bin, (bins.get(bin) ?? 0) + count))
  return bins
}

/** From milliseconds to years, spread evenly over their logarithms. */
const anyDuration = (r: ReturnType<typeof random>) => Math.floor(Math.exp((r.int(1e6) / 1e6) * 25))

test('every quantile is within 1 % of the duration of that rank', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const r = random(seed)
    const durations = Array.from({ length: 1 + r.int(500) }, () => (r.chance(0.1) ? 0 : anyDuration(r)))
    const sorted = durations.toSorted((a, b) => a - b)
    const sketch = sketchOf(durations)
    for (const q of [0, 0.01, 0.5, 0.9, 0.95, 0.99, 1]) {
      const exact = sorted[Math.floor(q * (sorted.length - 1))] as number
      expect(Math.abs((sketch.quantiles([q])[0] ?? NaN) - exact), `${q} of seed ${seed}`).toBeLessThanOrEqual(exact * 0.01 + 1e-9)
    }
  }
})

test('quantiles that are asked for together are those that are asked for one by one', () => {
  const r = random(9)
  const sketch = sketchOf(Array.from({ length: 200 }, () => (r.chance(0.3) ? 0 : anyDuration(r))))
  const qs = [0, 0.2, 0.5, 0.5, 0.9, 0.99, 1]
  expect(sketch.quantiles(qs)).toEqual(qs.flatMap(q => sketch.quantiles([q])))
})

test('of nothing there is no quantile, and of what lasted no time it is 0', () => {
  expect(sketchOf([]).quantiles([0.5, 1])).toEqual([null, null])
  expect([sketchOf([0, 0, 1000]).quantiles([0, 0.5]), sketchOf([0, -5]).quantiles([1])]).toEqual([[0, 0], [0]])
})

test('a bin begins at its power of gamma, and a duration that no session can have goes to the last', () => {
  expect([binOf(1), binOf(2), binOf(1_000), binOf(3_600_000)]).toEqual([0, 34, 345, 754])
  expect(binOf(Number.MAX_SAFE_INTEGER)).toBe(1535)
  for (const bin of [1, 34, 345, 754]) {
    expect(binOf(GAMMA ** bin * 0.999)).toBe(bin - 1)
    expect(binOf(GAMMA ** bin * 1.001)).toBe(bin)
    expect(valueOf(bin) / GAMMA ** bin).toBeCloseTo(1.01, 12)
  }
})

test('what is taken away leaves the bytes of a sketch that never had it', () => {
  const r = random(3)
  const [stays, goes] = [1, 2].map(() => Array.from({ length: 300 }, () => anyDuration(r)))
  const sketch = sketchOf([...(stays ?? []), ...(goes ?? [])])
  for (const ms of goes ?? []) sketch.add(binOf(ms), -1)
  expect(sketch.count).toBe(300)
  expect(sketch.encode().equals(sketchOf((stays ?? []).toReversed()).encode())).toBe(true)
  sketch.clear()
  expect(sketch.encode().equals(sketchOf([]).encode())).toBe(true)
})

describe('the bytes', () => {
  test('are the message DDSketch of ddsketch.proto', () => {
    const mapping = '0a0909fd4a815abf52f03f'
    expect(sketchOf([]).encode().toString('hex')).toBe(`${mapping}1200`)
    // A run of one double from sint32 345 on; then two durations of no time.
    expect(sketchOf([1_000, 0, 0]).encode().toString('hex')).toBe(`${mapping}120d1208000000000000f03f18b205210000000000000040`)
    // Bins far from each other are entries of a map.
    expect(sketchOf([1_000, 3_600_000, 3_600_000]).encode().toString('hex')).toBe(
      `${mapping}121c0a0c08b20511000000000000f03f0a0c08e40b110000000000000040`,
    )
  })

  test('hold what was added, in either form', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const r = random(seed)
      const spread = r.pick([3, 100, 1e12])
      const durations = Array.from({ length: r.int(400) }, () => Math.min(anyDuration(r), spread + r.int(50)))
      const plain = new Map<number, number>()
      for (const ms of durations) plain.set(binOf(ms), (plain.get(binOf(ms)) ?? 0) + 1)
      expect(binsOf(sketchOf(durations).encode()), `seed ${seed}`).toEqual(plain)
    }
  })

  test('of a million sessions take no more than 13 kB', () => {
    const r = random(5)
    const sketch = createDurations()
    for (let i = 0; i < 1e6; i++) sketch.add(binOf(anyDuration(r)), 1)
    expect(sketch.encode().length).toBeLessThan(13_000)
    expect(sketchOf([60_000]).encode().length).toBeLessThan(30)
  })
})

describe('is refused:', () => {
  const right = sketchOf([1_000, 0]).encode().toString('hex')
  test.each([
    ['nothing', ''],
    ['a sketch that breaks off', right.slice(0, -2)],
    ['another accuracy', right.replace('fd4a815abf52f03f', '7b14ae47e17af03f')],
    ['shifted bins', right.replace('0a0909fd4a815abf52f03f', '0a1209fd4a815abf52f03f11000000000000f03f')],
    ['an interpolated mapping', right.replace('0a0909fd4a815abf52f03f', '0a0b09fd4a815abf52f03f1801')],
    ['a count below zero', right.replace('f03f18', 'f0bf18')],
    ['durations below zero', `${right}1a0d1208000000000000f03f18b205`],
    ['what is no message', 'ffffffffffffff'],
  ])('%s', (_, hex) => {
    expect(() => eachBin(Buffer.from(hex, 'hex'), () => {})).toThrow(expect.objectContaining({ code: 'CODEC_INVALID' }))
  })

  test('but not what is written with a field that this version does not know', () => {
    expect(binsOf(Buffer.from(`${right}f80101`, 'hex'))).toEqual(
      new Map([
        [345, 1],
        [ZERO_BIN, 1],
      ]),
    )
  })
})
