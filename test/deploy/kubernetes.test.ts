import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { readSetup } from '../../src/cli/setup.ts'
import { systemClock } from '../../src/clock.ts'
import { silentLog } from '../../src/log.ts'
import { createMetrics } from '../../src/metrics.ts'
import { startHttp } from '../../src/serve/http.ts'

/** The manifests of `deploy/kubernetes` against each other, and against the product that they run. */
const folder = fileURLToPath(new URL('../../deploy/kubernetes', import.meta.url))
const dockerfile = readFileSync(new URL('../../Dockerfile', import.meta.url), 'utf8')

type Labels = Record<string, string>
interface Probe {
  httpGet: { path: string; port: string }
  periodSeconds: number
  failureThreshold: number
}
interface Manifests {
  ConfigMap: { metadata: { name: string }; data: Record<string, string> }
  Secret: { metadata: { name: string }; stringData: Record<string, string> }
  Deployment: {
    spec: {
      replicas: number
      selector: { matchLabels: Labels }
      strategy: { rollingUpdate: { maxSurge: number; maxUnavailable: number } }
      template: {
        metadata: { labels: Labels; annotations: Labels }
        spec: {
          terminationGracePeriodSeconds: number
          securityContext: { runAsNonRoot: boolean }
          containers: {
            args: string[]
            ports: { name: string; containerPort: number }[]
            envFrom: { secretRef: { name: string } }[]
            startupProbe: Probe
            livenessProbe: Probe
            readinessProbe: Probe
            volumeMounts: { name: string; mountPath: string }[]
          }[]
          volumes: { name: string; configMap: { name: string } }[]
        }
      }
    }
  }
  Service: { spec: { selector: Labels; ports: { port: number; targetPort: string }[] } }
  PodDisruptionBudget: { spec: { maxUnavailable: number; selector: { matchLabels: Labels } } }
}

const documents = readdirSync(folder).flatMap(name =>
  parseAllDocuments(readFileSync(join(folder, name), 'utf8')).map(document => {
    expect(document.errors, name).toEqual([])
    return document.toJS() as { kind: keyof Manifests; apiVersion: string }
  }),
)

function manifest<K extends keyof Manifests>(kind: K): Manifests[K] {
  const found = documents.filter(each => each.kind === kind)
  expect(found, kind).toHaveLength(1)
  return found[0] as unknown as Manifests[K]
}

const deployment = manifest('Deployment').spec
const pod = deployment.template
const [container] = pod.spec.containers
const configText = manifest('ConfigMap').data['config.yaml'] ?? ''
if (container === undefined) throw new Error('the Deployment has no container')

/** The config as a worker reads it, with these values for what the Secret holds. */
async function setupWith(secrets: Record<string, string>) {
  const written = mkdtempSync(join(tmpdir(), 'colloquy-kubernetes-'))
  onTestFinished(() => rmSync(written, { recursive: true }))
  const file = join(written, 'config.yaml')
  writeFileSync(file, configText)
  const io = { stdout: () => {}, log: silentLog, signal: new AbortController().signal, env: secrets, entry: '' }
  return readSetup(file, io)
}

const secretNames = Object.keys(manifest('Secret').stringData)
const filled = Object.fromEntries(secretNames.map(name => [name, `value-of-${name}`]))

test('each manifest is there once, with the API version that serves it', () => {
  expect(Object.fromEntries(documents.map(({ kind, apiVersion }) => [kind, apiVersion]))).toEqual({
    ConfigMap: 'v1',
    Secret: 'v1',
    Service: 'v1',
    Deployment: 'apps/v1',
    PodDisruptionBudget: 'policy/v1',
  })
})

test('the config is one that the product takes, with a connector that can be spread, and the Secret has all it refers to and no more', async () => {
  const read = await setupWith(filled)
  if (!read.ok) throw new Error(JSON.stringify(read.faults))
  expect(read.setup.connectors.length).toBeGreaterThan(0)
  expect(read.setup.config.http.host).toBe('0.0.0.0')
  const references = [...configText.matchAll(/\$\{env:(\w+)\}/g)].map(([, name = '']) => name)
  expect([...new Set(references)].toSorted()).toEqual(secretNames.toSorted())
})

test('a Secret that nobody has filled in starts nothing, and is named', async () => {
  const read = await setupWith(manifest('Secret').stringData)
  expect(read.ok ? [] : read.faults.map(({ path }) => path)).toEqual(['http.token', 'connectors.acme-botmaker.access.token'])
})

test('one port everywhere: config, container, Service, scrapers', async () => {
  const read = await setupWith(filled)
  const port = read.ok ? read.setup.config.http.port : null
  expect(container.ports).toEqual([{ name: 'http', containerPort: port }])
  expect(manifest('Service').spec.ports).toMatchObject([{ port, targetPort: 'http' }])
  expect(pod.metadata.annotations['prometheus.io/port']).toBe(String(port))
  expect(dockerfile).toContain(`EXPOSE ${port}`)
})

test('what probes and scrapers ask is answered without the token, and says what it should', async () => {
  let ok = true
  const http = await startHttp({
    host: '127.0.0.1',
    port: 0,
    token: 'value-of-token',
    log: silentLog,
    metrics: createMetrics({ processMetrics: false }),
    clock: systemClock,
    version: '0',
    health: () => [{ role: 'worker', ok }],
  })
  onTestFinished(() => http.close())
  const status = async (path: string) => (await fetch(http.url + path)).status
  const { startupProbe, livenessProbe, readinessProbe } = container
  for (const probe of [startupProbe, livenessProbe, readinessProbe]) {
    expect(probe.httpGet.port).toBe('http')
    expect(await status(probe.httpGet.path)).toBe(200)
  }
  expect(await status(pod.metadata.annotations['prometheus.io/path'] ?? '')).toBe(200)
  ok = false
  expect(await status(readinessProbe.httpGet.path), 'unready').toBe(503)
  expect(await status(livenessProbe.httpGet.path), 'and not started anew for that').toBe(200)
  expect(await status(startupProbe.httpGet.path)).toBe(200)
})

test('selectors, volumes and secrets meet', () => {
  const { labels } = pod.metadata
  for (const selector of [
    deployment.selector.matchLabels,
    manifest('Service').spec.selector,
    manifest('PodDisruptionBudget').spec.selector.matchLabels,
  ])
    expect(labels).toMatchObject(selector)
  expect(container.envFrom).toEqual([{ secretRef: { name: manifest('Secret').metadata.name } }])
  expect(pod.spec.volumes).toEqual([{ name: 'config', configMap: { name: manifest('ConfigMap').metadata.name } }])
})

test('the container runs what the image runs, on the file that is mounted', () => {
  const [, words = '[]'] = /^CMD (\[.*\])$/m.exec(dockerfile) ?? []
  expect(container.args).toEqual(JSON.parse(words))
  const [mount] = container.volumeMounts
  expect(container.args.at(-1)).toBe(`${mount?.mountPath}/config.yaml`)
  expect(dockerfile).toMatch(/^USER node$/m)
  expect(pod.spec.securityContext.runAsNonRoot).toBe(true)
})

test('a rollout and a drain take one worker at a time, and each has the 10 s to leave', () => {
  expect(deployment.replicas).toBeGreaterThanOrEqual(2)
  expect(deployment.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 })
  expect(manifest('PodDisruptionBudget').spec.maxUnavailable).toBe(1)
  expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(10)
})
