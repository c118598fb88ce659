import { expect, onTestFinished, test } from 'vitest'
import { start, until } from '../support/product.ts'

const MINUTE_MS = 60_000

test(
  'the incident of the demo fires an alert, which its table shows',
  async () => {
    const demo = start(['demo'])
    onTestFinished(() => void demo.kill('SIGKILL'))
    const line = await until(
      'an alert is shown',
      async () => demo.stdout.find(each => each.startsWith('ALERT ')),
      500,
      9 * MINUTE_MS,
    )
    expect(line).toMatch(/^ALERT {2}\w+ \/ demo.*: \d+ where [\d.]+ would be usual/)

    const page = demo.stdout.find(each => each.includes('/ui/'))?.split(' ')[0] ?? ''
    const answer = await fetch(page.replace('/ui/', '/v1/alerts'))
    const { data } = (await answer.json()) as { data: { state: string; observed: number; expected: number }[] }
    const [alert] = data
    expect(alert?.observed).toBeGreaterThan(1.5 * (alert?.expected ?? Infinity))
    expect((await demo.kill('SIGINT')).code).toBe(0)
  },
  12 * MINUTE_MS,
)
