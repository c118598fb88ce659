import { describe, expect, test } from 'vitest'
import { type Conversation, createWorld, type World, type WorldOptions } from '../../src/sim/index.ts'

const DAY = 86_400_000
const MINUTE = 60_000
const UNTIL = Date.parse('2026-11-10T00:00:00Z')
const FROM = UNTIL - 7 * DAY

function worldOf(options: Partial<WorldOptions> = {}): World {
  return createWorld({ seed: 7, sessions: 3000, fromMs: FROM, untilMs: UNTIL, ...options })
}

const whole = (world: World): Conversation[] => [...world.at(UNTIL + 3 * DAY).between(FROM, UNTIL)]
const stepsOf = (conversation: Conversation) => [...conversation.messages, ...conversation.events]

test('the same seed makes the same world, another seed another', () => {
  expect(whole(worldOf({ sessions: 200 }))).toEqual(whole(worldOf({ sessions: 200 })))
  expect(whole(worldOf({ sessions: 200 }))).not.toEqual(whole(worldOf({ sessions: 200, seed: 8 })))
})

test('a conversation is the same whenever and in whatever order it is requested', () => {
  const [forwards, backwards] = [worldOf({ livePerMinute: 10 }), worldOf({ livePerMinute: 10 })]
  const indices = [0, 1, 17, 2999, 3000, 3100]
  const made = new Map(indices.map(index => [index, forwards.conversation(index)]))
  for (const index of indices.reverse()) expect(backwards.conversation(index)).toEqual(made.get(index))
})

test('conversations are ordered by their start, within the history, no two in the same millisecond', () => {
  const starts = whole(worldOf()).map(({ startedAtMs }) => startedAtMs)
  expect(starts).toHaveLength(3000)
  expect(starts.every((start, place) => start >= FROM && start < UNTIL && start > (starts[place - 1] ?? 0))).toBe(true)
})

test('a view finds exactly the conversations that start in a range', () => {
  const world = worldOf({ livePerMinute: 7 })
  const view = world.at(UNTIL + 30 * MINUTE)
  const all = [...view.between(0, Infinity)]
  expect(all).toHaveLength(view.count)
  for (const [from, until] of [
    [FROM, FROM + DAY],
    [UNTIL - 3 * DAY, UNTIL - DAY],
    [UNTIL - MINUTE * 20, UNTIL + MINUTE * 5],
    [UNTIL, UNTIL + MINUTE * 60],
    [all[5]?.startedAtMs ?? 0, all[9]?.startedAtMs ?? 0],
  ] as const)
    expect([...view.between(from, until)].map(({ index }) => index)).toEqual(
      all.filter(({ startedAtMs }) => startedAtMs >= from && startedAtMs < until).map(({ index }) => index),
    )
})

test('a view shows nothing of the future: no later start, message, event or close', () => {
  const world = worldOf()
  for (const nowMs of [FROM + DAY, UNTIL - DAY, UNTIL]) {
    const view = world.at(nowMs)
    for (const known of view.between(0, Infinity)) {
      const { messages, events, closedAtMs, lastAtMs, startedAtMs } = known
      const all = world.conversation(known.index)
      expect(startedAtMs).toBeLessThanOrEqual(nowMs)
      expect(messages).toEqual(all.messages.filter(({ atMs }) => atMs <= nowMs))
      expect(events).toEqual(all.events.filter(({ atMs }) => atMs <= nowMs))
      expect(closedAtMs).toBe(all.closedAtMs !== null && all.closedAtMs <= nowMs ? all.closedAtMs : null)
      expect(lastAtMs).toBe(Math.max(startedAtMs, ...stepsOf(known).map(({ atMs }) => atMs)))
    }
    expect(() => view.conversation(view.count)).toThrow(RangeError)
  }
})

test('the known part of a conversation is one object until more happens, and correct whichever moment was requested before', () => {
  const world = worldOf()
  const late = whole(world).find(each => each.closedAtMs !== null && each.events.length > 3) as Conversation
  const { index, startedAtMs, closedAtMs } = late
  const changes = [...new Set([startedAtMs, ...stepsOf(late).map(({ atMs }) => atMs), closedAtMs as number])].toSorted(
    (a, b) => a - b,
  )
  const moments = changes.flatMap((atMs, at) => (at === 0 ? [atMs] : [atMs - 1, atMs]))
  for (const nowMs of [...moments, ...moments.toReversed()]) {
    const known = world.at(nowMs).conversation(index)
    expect(known).toEqual(worldOf().at(nowMs).conversation(index))
    const next = changes.find(atMs => atMs > nowMs) ?? nowMs + 1
    expect(world.at(next - 1).conversation(index)).toBe(known)
  }
})

test('a conversation grows as time goes by, closes late, and turns out otherwise than it began', () => {
  const world = worldOf()
  const late = whole(world).find(each => each.course === 'transferred' && (each.closedAtMs ?? 0) - each.startedAtMs > DAY)
  const { index, startedAtMs, closedAtMs } = late as Conversation
  const seen = [0, MINUTE, 10 * MINUTE, 20 * 60 * MINUTE, 2 * DAY].map(ms => world.at(startedAtMs + ms).conversation(index))
  const lengths = seen.map(each => stepsOf(each).length)
  expect(lengths).toEqual(lengths.toSorted((a, b) => a - b))
  expect(new Set(lengths).size).toBeGreaterThan(2)
  expect(seen.map(each => each.closedAtMs)).toEqual([null, null, null, null, closedAtMs])
  expect(seen[0]?.messages).toHaveLength(1)
  expect(seen.map(each => each.events.some(event => event.kind === 'transferred'))).toContain(false)
  expect(seen.at(-1)?.events.some(event => event.kind === 'transferred')).toBe(true)
})

test('steps come in the order of time and have ids of their own', () => {
  const ids = new Set<string>()
  let count = 0
  for (const { messages, events, id } of whole(worldOf())) {
    ids.add(id)
    count++
    for (const steps of [messages, events])
      for (const [place, step] of steps.entries()) {
        expect(step.atMs).toBeGreaterThanOrEqual(steps[place - 1]?.atMs ?? 0)
        ids.add(step.id)
        count++
      }
  }
  expect(ids.size).toBe(count)
})

describe('like in the field', () => {
  const all = whole(worldOf({ sessions: 20_000 }))
  const closed = all.filter(({ closedAtMs }) => closedAtMs !== null)

  test('98.8 % of the closes come within a day of the start, all within two, and some conversations never close', () => {
    const delays = closed.map(({ closedAtMs, startedAtMs }) => (closedAtMs as number) - startedAtMs)
    expect(delays.filter(ms => ms <= DAY).length / delays.length).toBeCloseTo(0.988, 2)
    expect(delays.filter(ms => ms > DAY).length).toBeGreaterThan(100)
    expect(Math.max(...delays)).toBeLessThan(2 * DAY)
    expect(1 - closed.length / all.length).toBeCloseTo(0.14, 1)
  })

  test('a conversation is complete within two days of its start, sometimes after its close', () => {
    expect(Math.max(...all.map(({ lastAtMs, startedAtMs }) => lastAtMs - startedAtMs))).toBeLessThan(2 * DAY)
    const after = closed.filter(({ lastAtMs, closedAtMs }) => lastAtMs > (closedAtMs as number))
    expect(after.length / closed.length).toBeGreaterThan(0.005)
    expect(after.length / closed.length).toBeLessThan(0.03)
  })

  test('a conversation has about fourteen messages, from users, bots and agents, some with a file', () => {
    const messages = all.flatMap(conversation => conversation.messages)
    expect(messages.length / all.length).toBeGreaterThan(12)
    expect(messages.length / all.length).toBeLessThan(16)
    expect(new Set(messages.map(({ sender }) => sender))).toEqual(new Set(['user', 'bot', 'agent']))
    expect(messages.some(({ attachment }) => attachment !== null)).toBe(true)
  })

  test('every course, channel and kind of event occurs', () => {
    expect(new Set(all.map(({ course }) => course)).size).toBe(5)
    expect(new Set(all.map(({ channel }) => channel))).toEqual(new Set(['web', 'whatsapp', 'messenger', 'instagram', 'telegram']))
    expect(new Set(all.map(({ language }) => language))).toEqual(new Set(['es', 'pt', 'en', 'de', 'fr']))
    expect(new Set(all.flatMap(({ events }) => events.map(({ kind }) => kind))).size).toBe(10)
    expect(all.filter(({ person }) => person.isTest).length / all.length).toBeCloseTo(0.015, 2)
  })

  test('the afternoon is busier than the night', () => {
    const at = (hour: number) => all.filter(({ startedAtMs }) => new Date(startedAtMs).getUTCHours() === hour).length
    expect(at(16)).toBeGreaterThan(4 * at(4))
  })

  test('an incident brings more calls for a person on its channel', () => {
    const [incident] = worldOf().options.incidents
    const within = all.filter(
      ({ startedAtMs, channel }) =>
        channel === 'whatsapp' && startedAtMs >= (incident?.fromMs ?? 0) && startedAtMs < (incident?.untilMs ?? 0),
    )
    const share = (some: Conversation[]) => some.filter(({ course }) => course === 'transferred').length / some.length
    expect(within.length).toBeGreaterThan(50)
    expect(share(within)).toBeGreaterThan(2 * share(all))
  })

  test('people come back, on the same bot and channel, and nobody is somebody', () => {
    const people = Map.groupBy(all, ({ person }) => person.id)
    expect(people.size).toBeLessThan(0.6 * all.length)
    for (const visits of people.values()) {
      expect(new Set(visits.map(({ bot, channel }) => `${bot.id}/${channel}`)).size).toBe(1)
      expect(visits.every(({ person, startedAtMs }) => person.createdAtMs <= startedAtMs)).toBe(true)
      expect(visits[0]?.person.email).toMatch(/@example\.com$/)
    }
  })
})

test('the state of a person accumulates over their conversations, up to now', () => {
  const world = worldOf()
  const [key, visits] = [...Map.groupBy(whole(world), ({ person }) => person.key)].find(([, list]) => list.length > 3) as [
    number,
    Conversation[],
  ]
  const [first, second] = visits as [Conversation, Conversation]
  const early = world.at(second.startedAtMs - 1)
  expect(early.conversationsOf(key)).toEqual([first.index])
  expect(early.person(key)).toMatchObject({ conversations: 1, lastStartedAtMs: first.startedAtMs })
  const late = world.at(UNTIL + 3 * DAY).person(key)
  expect(late.conversations).toBe(visits.length)
  expect(new Set(late.tags)).toEqual(
    new Set(visits.flatMap(({ events }) => events.flatMap(event => (event.kind === 'tag' ? [event.name] : [])))),
  )
  expect(early.personChangesAtMs(key)).toBe(
    Math.min(
      ...stepsOf(first)
        .map(({ atMs }) => atMs)
        .filter(ms => ms >= second.startedAtMs),
      Infinity,
    ),
  )
})

describe('live', () => {
  const world = worldOf({ sessions: 100, livePerMinute: 20, liveFromMs: UNTIL + 10 * MINUTE })

  test('conversations keep starting at the requested rate, from the requested time', () => {
    expect(world.at(UNTIL + 10 * MINUTE - 1).count).toBe(100)
    expect(world.at(UNTIL + 40 * MINUTE).count).toBeCloseTo(100 + 30 * 20, -1)
    expect([...world.at(UNTIL + DAY).between(UNTIL + 20 * MINUTE, UNTIL + 21 * MINUTE)].length).toBeCloseTo(20, -1)
  })

  test('each is over within five minutes and lasts half a minute or more', () => {
    const lengths = [...world.at(UNTIL + DAY).between(UNTIL, UNTIL + 60 * MINUTE)]
      .filter(({ closedAtMs }) => closedAtMs !== null)
      .map(({ lastAtMs, startedAtMs }) => lastAtMs - startedAtMs)
    expect(lengths.length).toBeGreaterThan(500)
    expect(Math.min(...lengths)).toBeGreaterThanOrEqual(30_000)
    expect(Math.max(...lengths)).toBeLessThanOrEqual(300_000)
  })

  test('without a rate nothing starts after the history', () => {
    expect(worldOf({ sessions: 100 }).at(UNTIL + DAY).count).toBe(100)
  })
})

test('a short history has the requested number of conversations, and rejects what cannot fit', () => {
  const packed = createWorld({ seed: 1, sessions: 500, fromMs: UNTIL - 2000, untilMs: UNTIL })
  const starts = [...packed.at(UNTIL + 3 * DAY).between(UNTIL - 2000, UNTIL)].map(({ startedAtMs }) => startedAtMs)
  expect(starts).toHaveLength(500)
  expect(new Set(starts).size).toBe(500)
  expect(() => createWorld({ seed: 1, sessions: 5000, fromMs: UNTIL - 2000, untilMs: UNTIL })).toThrow(RangeError)
})
