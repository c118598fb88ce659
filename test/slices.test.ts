import { expect, test } from 'vitest'
import { createSlices, finish, sortSteps, type Steps } from '../src/slices.ts'
import { seeded } from './serve/points.ts'

/** Work of so many steps that each take the time given. */
function* spin(steps: number, stepMs: number, onStep: (step: number) => void = () => {}): Steps<string> {
  for (let step = 0; step < steps; step++) {
    for (const endsMs = performance.now() + stepMs; performance.now() < endsMs; );
    onStep(step)
    yield
  }
  return 'done'
}

test('long work leaves the event loop to timers and sockets between its slices', async () => {
  let turns = 0
  const timer = setInterval(() => turns++, 0)
  await expect(createSlices(2).run(spin(100, 1))).resolves.toBe('done')
  clearInterval(timer)
  expect(turns).toBeGreaterThan(10)
})

test('works take turns: a short one is not kept waiting by a long one', async () => {
  const slices = createSlices(1)
  const order: string[] = []
  await Promise.all([
    slices.run(spin(50, 1)).then(() => order.push('long')),
    slices.run(spin(2, 0)).then(() => order.push('short')),
  ])
  expect(order).toEqual(['short', 'long'])
})

test('work that nobody waits for any more ends, and the others go on', async () => {
  const slices = createSlices(1)
  const gone = new AbortController()
  const seen: number[] = []
  const work = slices.run(
    spin(1000, 1, step => {
      seen.push(step)
      if (step === 3) gone.abort()
    }),
    gone.signal,
  )
  await expect(work).rejects.toMatchObject({ code: 'STOPPED' })
  expect(seen.length).toBeLessThan(10)
  await expect(slices.run(spin(1, 0))).resolves.toBe('done')
})

test('a fault of the work is the fault of its run alone', async () => {
  const slices = createSlices()
  const broken = function* (): Steps<void> {
    yield
    throw new Error('broken')
  }
  await expect(Promise.allSettled([slices.run(broken()), slices.run(spin(3, 0))])).resolves.toMatchObject([
    { status: 'rejected', reason: { message: 'broken' } },
    { status: 'fulfilled', value: 'done' },
  ])
})

test('sorting in steps sorts, and keeps the order of equals', () => {
  const random = seeded(4)
  const items = Array.from({ length: 5000 }, (_, place) => ({ key: Math.floor(random() * 50), place }))
  const compare = (a: { key: number }, b: { key: number }) => a.key - b.key
  expect(finish(sortSteps(items, compare))).toEqual(items.toSorted(compare))
})
