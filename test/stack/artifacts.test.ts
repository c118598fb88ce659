import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLog, silentLog } from '../../src/log.ts'
import { cacheFolder, fetchMissing, kafkaArtifact, Progress } from '../../src/stack/artifacts.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'colloquy-cache-'))
})
afterEach(() => rmSync(root, { recursive: true }))

/** A Maven that does what the script says; `$out` is the folder it was told to fill. */
function maven(script: string): Record<string, string> {
  const bin = join(root, 'bin')
  mkdirSync(bin, { recursive: true })
  const find = `for word in "$@"; do case "$word" in -DoutputDirectory=*) out=\${word#*=};; esac; done`
  writeFileSync(join(bin, 'mvn'), `#!/bin/sh\n${find}\n${script}\n`)
  chmodSync(join(bin, 'mvn'), 0o755)
  return { PATH: `${bin}:/usr/bin:/bin` }
}

const cache = () => join(root, 'cache')
const fetchKafka = (env: Record<string, string>, signal = new AbortController().signal) =>
  fetchMissing([kafkaArtifact(cache())], { cache: cache(), env, log: silentLog, signal })

test('a fetched artifact is not fetched again, and needs no Maven then', async () => {
  await fetchKafka(maven('mkdir -p "$out"; echo jar > "$out/kafka.jar"'))
  await fetchKafka({ PATH: '' })
  expect(readFileSync(join(kafkaArtifact(cache()).path, 'lib', 'kafka.jar'), 'utf8')).toBe('jar\n')
  expect(readdirSync(cache())).toHaveLength(1)
})

test('two that fetch at once both end with the whole', async () => {
  const env = maven('mkdir -p "$out"; echo a > "$out/a.jar"; echo b > "$out/b.jar"')
  await Promise.all([fetchKafka(env), fetchKafka(env), fetchKafka(env)])
  expect(readdirSync(join(kafkaArtifact(cache()).path, 'lib'))).toEqual(['a.jar', 'b.jar'])
  expect(readdirSync(cache())).toHaveLength(1)
})

test('a failed download leaves nothing, and reports the message of Maven', async () => {
  const env = maven('mkdir -p "$out"; echo half > "$out/half.jar"; echo "[ERROR] no route to host"; exit 1')
  await expect(fetchKafka(env)).rejects.toMatchObject({
    code: 'STACK_FAILED',
    message: expect.stringContaining('no route to host'),
  })
  expect(readdirSync(cache())).toEqual([])
})

test('a download that is stopped ends Maven and leaves nothing', async () => {
  const stop = new AbortController()
  const fetching = fetchKafka(maven(`mkdir -p "$out"; echo $$ > ${join(root, 'pid')}; exec sleep 1000`), stop.signal)
  const failure = fetching.catch((thrown: unknown) => thrown)
  await expect.poll(() => existsSync(join(root, 'pid')) && readFileSync(join(root, 'pid'), 'utf8').trim()).toMatch(/\d/)
  stop.abort()
  expect(await failure).toBe(stop.signal.reason)
  const pid = Number(readFileSync(join(root, 'pid'), 'utf8'))
  expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  expect(readdirSync(cache())).toEqual([])
})

test('without Maven the error says what it is for, and nothing is created', async () => {
  await expect(fetchKafka({ PATH: '' })).rejects.toMatchObject({
    code: 'STACK_TOOL_MISSING',
    message: expect.stringMatching(/Maven \(mvn\) is not on the path, and Apache Kafka 4\.3\.1 must be fetched with it/),
  })
  expect(existsSync(cache())).toBe(false)
})

test('the cache is at COLLOQUY_CACHE, else in the cache folder of the user', () => {
  expect(cacheFolder({ COLLOQUY_CACHE: '/c', HOME: '/h' })).toBe('/c')
  expect(cacheFolder({ HOME: '/h' })).toBe('/h/.cache/colloquy/stack')
})

test('who listens hears how much has come instead of the log, several times a second', async () => {
  const heard: object[] = []
  const lines: string[] = []
  const script = 'echo "Progress (1): 40/158 MB"; sleep 0.5; mkdir -p "$out"; echo jar > "$out/kafka.jar"'
  const options = { cache: cache(), env: maven(script), log: createLog('debug', line => lines.push(line)) }
  const { signal } = new AbortController()
  await fetchMissing([kafkaArtifact(cache())], { ...options, signal, onProgress: progress => heard.push(progress) })
  expect(heard.length).toBeGreaterThanOrEqual(2)
  expect(heard[0]).toEqual({ what: 'Apache Kafka 4.3.1', megabytes: 0 })
  expect(heard.at(-1)).toEqual({ what: 'Apache Kafka 4.3.1', megabytes: 40 })
  expect(lines).toEqual([])
})

test('progress adds up finished and running downloads', () => {
  const progress = new Progress()
  progress.read('Progress (2): 1.5/3 MB | 500 kB')
  expect(progress.megabytes()).toBe(2)
  progress.read('Downloaded from central: https://example.org/a.jar (3.0 MB at 10 MB/s)')
  expect(progress.megabytes()).toBe(3)
  progress.read('Progress (1): 40/158 MB')
  expect(progress.megabytes()).toBe(43)
})
