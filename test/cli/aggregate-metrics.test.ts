import { expect, test } from 'vitest'
import { aggregateMetrics } from '../../src/cli/aggregate-metrics.ts'
import { createMetrics } from '../../src/metrics.ts'

test.each(['b1', '__proto__', 'constructor'])(
  'counters of bot %s begin at 0, so that the first increase is seen',
  async bot_id => {
    const metrics = createMetrics({ processMetrics: false })
    const told = aggregateMetrics(metrics)
    const labels = { vendor: 'v', account: 'a', bot_id, channel: 'web' }
    const lines = async () =>
      (await metrics.render()).body.split('\n').filter(line => /^colloquy_(sessions|messages|agent_transfers)_total\{/.test(line))
    told.known?.(labels)
    expect((await lines()).map(line => line.split(' ').at(-1))).toEqual(['0', '0', '0', '0', '0', '0'])
    told.firstSeen('message', { ...labels, sender: 'bot' }, 0, 3)
    told.firstSeen('agent_transfer', labels, 0, 1)
    told.known?.(labels)
    const risen = (await lines()).filter(line => !line.endsWith(' 0'))
    expect(risen).toHaveLength(2)
    expect(risen.join()).toContain('sender="bot"')
    expect(risen.every(line => line.includes(`bot_id="${bot_id}"`))).toBe(true)
  },
)
