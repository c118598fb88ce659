import { expect, onTestFinished, test } from 'vitest'
import { findSimulators } from '../../src/sim/index.ts'
import { querySeries, start, until } from '../support/product.ts'

test('the demo shows addresses that answer, rising numbers, and the incident that is to come; Ctrl-C ends it with 0 and leaves no port', async () => {
  const demo = start(['demo'])
  onTestFinished(() => void demo.kill('SIGKILL'))
  const totals = () =>
    demo.stdout.filter(line => line.startsWith('all ')).map(line => Number(line.split(/\s+/)[1]?.replaceAll(',', '')))
  await until('sessions rise', async () => (new Set(totals().filter(total => total > 0)).size >= 2 ? true : undefined))
  expect(totals()).toEqual(totals().toSorted((a, b) => a - b))

  expect(demo.stdout[0], 'addresses first').toMatch(/^http:.*\/ui\/ /)
  const heads = demo.stdout.find(line => line.startsWith('vendor '))
  expect(heads).toMatch(/ sessions +transfers +alerts .*messages +events$/)
  const announced = demo.stdout.find(line => line.startsWith('incident '))
  expect(announced).toMatch(/on whatsapp.*ask for an agent.*alerts are expected by \d\d:\d\d/)
  const page = demo.stdout.find(line => line.includes('/ui/'))?.split(' ')[0] ?? ''
  const base = page.replace('/ui/', '')
  expect((await fetch(page)).headers.get('content-type')).toContain('text/html')
  expect((await fetch(`${base}/metrics`)).status).toBe(200)
  const vendors = [...(await findSimulators()).keys()]
  await until('every vendor has sessions, by channel', async () => {
    const from = new Date(Date.now() - 8 * 86_400_000).toISOString()
    const { data } = await querySeries(base, { measure: 'sessions', bucket: '1d', group_by: 'vendor,channel', from })
    const told = data.series.filter(({ sum, labels }) => (sum ?? 0) > 0 && labels['channel'] !== '')
    const seen = new Set(told.map(({ labels }) => labels['vendor']))
    return vendors.every(vendor => seen.has(vendor)) ? true : undefined
  })
  expect(vendors).toEqual(expect.arrayContaining(['botmaker', 'chatlayer', 'koreai', 'syntphony', 'wolkvox']))
  await until(
    'a transfer of every vendor has just happened, and is told',
    async () => {
      const metrics = await (await fetch(`${base}/metrics`)).text()
      const told = (vendor: string) =>
        new RegExp(`transfer_delay_seconds_count\\{connector="demo-${vendor}"\\} [1-9]`).test(metrics)
      const { data } = await querySeries(base, { measure: 'agent_transfers', bucket: '1h', group_by: 'vendor', from: 'now-1h' })
      const counted = new Set(data.series.filter(({ sum }) => (sum ?? 0) > 0).map(({ labels }) => labels['vendor']))
      return vendors.every(vendor => told(vendor) && counted.has(vendor)) ? true : undefined
    },
    500,
    180_000,
  )
  const kafka = demo.stdout.find(line => line.startsWith('Kafka '))?.split(/\s+/)[1] ?? ''

  const ended = await demo.kill('SIGINT')
  expect(ended.code).toBe(0)
  for (const place of [base, `http://${kafka}`]) await expect(fetch(place)).rejects.toThrow('fetch failed')
  expect(ended.log.filter(line => line.level === 'error')).toEqual([])
}, 300_000)
