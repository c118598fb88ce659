/** The queries of the dashboard, by Prometheus itself: all can be read, and those whose values have a range stay in it. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { programOf } from '../support/alertmanager.ts'
import { dashboardQueries } from '../support/dashboard.ts'

const run = promisify(execFile)
const queries = dashboardQueries({ rateInterval: '5m', range: '10m' })

/** promtool's own words about a file of this content; it ends with 1 and says why where something is wrong. */
async function promtool(command: readonly string[], content: object): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-dashboard-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'file.yml')
  writeFileSync(file, stringify(content))
  return (await run(programOf('promtool'), [...command, file])).stdout
}

test('promtool reads every query', async () => {
  const rules = queries.map(({ expr }, number) => ({ record: `query_${number}`, expr }))
  expect(rules.length).toBeGreaterThan(30)
  expect(await promtool(['check', 'rules'], { groups: [{ name: 'queries', rules }] })).toContain(`${rules.length} rules found`)
})

/** Values of the queries with this title at ten minutes, rounded to thousandths, as promtool compares them. */
async function expectValues(title: string, series: Record<string, string>, expected: readonly Record<string, number>[]) {
  const ofTitle = queries.filter(query => query.title === title)
  expect(ofTitle.length).toBe(expected.length)
  const tests = ofTitle.map(({ expr }, number) => ({
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [
      {
        expr: `round(${expr}, 0.001)`,
        eval_time: '10m',
        exp_samples: Object.entries(expected[number] ?? {}).map(([labels, value]) => ({ labels, value })),
      },
    ],
  }))
  expect(await promtool(['test', 'rules'], { tests })).toContain('SUCCESS')
}

test('the quota is a share, however many wait at once', async () => {
  await expectValues(
    'Quota: share of waiting',
    {
      // Eleven wait all the time, and one request is under way.
      'colloquy_quota_wait_seconds_total{connector="waits"}': '0+660x10',
      'colloquy_vendor_request_seconds_sum{connector="waits"}': '0+60x10',
      'colloquy_quota_wait_seconds_total{connector="never"}': '0+0x10',
      'colloquy_vendor_request_seconds_sum{connector="never"}': '0+6x10',
      'colloquy_quota_wait_seconds_total{connector="idle"}': '0+0x10',
      'colloquy_vendor_request_seconds_sum{connector="idle"}': '0+0x10',
    },
    [{ '{connector="waits"}': 0.917, '{connector="never"}': 0 }],
  )
})

test('rejects are 0 where there are none, also where nothing is read', async () => {
  await expectValues('Rejects a minute', {}, [{ '{}': 0 }, {}])
  await expectValues('Rejects', {}, [{ '{}': 0 }])
  const labels = (reason: string) => `connector="a",reason="${reason}"`
  await expectValues(
    'Rejects a minute',
    {
      [`colloquy_ingest_rejects_total{stream="s",${labels('ROW_INVALID')}}`]: '0+3x10',
      [`colloquy_ingest_rejects_total{stream="s",${labels('ROW_UNMAPPABLE')}}`]: '0+0x10',
    },
    [{ '{}': 3 }, { [`{${labels('ROW_INVALID')}}`]: 3 }],
  )
})

test('containment is between 0 and 1, and empty where there were no sessions', async () => {
  const series = (channel: string) => `{vendor="v",account="a",bot_id="b",channel="${channel}"}`
  const input = {
    [`colloquy_sessions_total${series('web')}`]: '0+10x10',
    [`colloquy_agent_transfers_total${series('web')}`]: '0+2x10',
    [`colloquy_sessions_total${series('voice')}`]: '0+1x10',
    [`colloquy_agent_transfers_total${series('voice')}`]: '0+2x10',
    [`colloquy_sessions_total${series('sms')}`]: '0+0x10',
    [`colloquy_agent_transfers_total${series('sms')}`]: '0+0x10',
  }
  await expectValues('Containment', input, [{ '{}': 0.636 }, { '{channel="web"}': 0.8, '{channel="voice"}': 0 }])
})
