import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { builtInConnectors } from '../src/source/registry.ts'

/** The repository against itself. */
const root = fileURLToPath(new URL('..', import.meta.url))

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder)).flatMap(name => {
    const path = join(folder, name)
    return statSync(join(root, path)).isDirectory() ? filesBelow(path) : [path]
  })
}

// A connector's own test stands beside it and is no part of it.
const sources = [...filesBelow('src'), ...filesBelow('connectors')].filter(file => /(?<!\.test)\.ts$/.test(file))

/** Which rooms a room may import; files at the root of src (but main.ts) are open to all. */
const ALLOWED: Record<string, string[]> = {
  'src/source': [],
  // The suite that plugin authors run reads a vendor the whole way to topics, so it knows the way; nothing of it is part of a running product.
  'src/conformance': ['src/source', 'src/ingest', 'src/kafka'],
  'src/kafka': [],
  'src/ingest': ['src/source', 'src/kafka'],
  'src/aggregate': ['src/kafka'],
  'src/follow': ['src/kafka'],
  'src/serve': ['src/follow', 'src/kafka'],
  'src/alert': ['src/follow', 'src/kafka'],
  'src/control': ['src/ingest', 'src/source', 'src/kafka'],
  'src/stack': [],
  'src/sim': [],
  'src/cli': [
    'src/conformance',
    'src/source',
    'src/kafka',
    'src/ingest',
    'src/aggregate',
    'src/serve',
    'src/alert',
    'src/control',
    'src/stack',
    'src/sim',
  ],
  connectors: ['src/source'],
  // What the conformance suite checks: it puts connector and simulator together.
  'connectors/subject': ['src/conformance', 'src/sim', 'connectors', 'connectors/simulator'],
  'connectors/simulator': ['src/sim'],
}

/** The room of a file. A simulator is a room of its own, so that connector and simulator cannot lean on each other. */
function roomOf(file: string): string {
  const [top, second, ...rest] = file.split('/')
  if (top === 'connectors' && rest.join('/') === 'subject.ts') return 'connectors/subject'
  if (top === 'connectors') return rest.join('/').startsWith('simulator') ? 'connectors/simulator' : 'connectors'
  return rest.length === 0 ? 'src' : `${top}/${second}`
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, path]) =>
    relative(root, resolve(root, dirname(file), path ?? '')),
  )
}

test('imports follow the arrows of the design', () => {
  const wrong = sources.flatMap(file => {
    const room = roomOf(file)
    return importsOf(file)
      .filter(target => {
        const there = roomOf(target)
        if (there === room) return room === 'connectors' && target.split('/')[1] !== file.split('/')[1]
        if (there === 'src') return target === 'src/main.ts' || (room === 'connectors' && target !== 'src/errors.ts')
        if (room === 'src') return file !== 'src/main.ts' && !(there === 'src/kafka' && target === 'src/kafka/port.ts')
        return !(ALLOWED[room] ?? []).includes(there)
      })
      .map(target => `${file} → ${target}`)
  })
  expect(wrong).toEqual([])
})

test('only src/kafka and the stack know the Kafka client', () => {
  const knowing = sources.filter(file =>
    /from '(kafkajs|@kafkajs\/)|require\('kafkajs/.test(readFileSync(join(root, file), 'utf8')),
  )
  expect(knowing.filter(file => !file.startsWith('src/kafka/') && !file.startsWith('src/stack/'))).toEqual([])
})

test('only main.ts reads argv and the environment', () => {
  const reading = sources.filter(file => /process\.(argv|env)\b/.test(readFileSync(join(root, file), 'utf8')))
  expect(reading).toEqual(['src/main.ts'])
})

test('no room but the connectors names a vendor', () => {
  const vendors = readdirSync(join(root, 'connectors'))
  const naming = sources
    .filter(file => file.startsWith('src/') && !file.startsWith('src/cli/demo'))
    .filter(file => {
      const code = readFileSync(join(root, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
      return vendors.some(vendor => code.toLowerCase().includes(vendor))
    })
  expect(naming).toEqual([])
})

test('a connector neither sleeps, reads the clock, the environment, nor draws lots', () => {
  const files = sources.filter(file => roomOf(file) === 'connectors')
  const wrong = files.filter(file =>
    /Date\.now\(|new Date\(\)|setTimeout|setInterval|Math\.random|process\.env/.test(readFileSync(join(root, file), 'utf8')),
  )
  expect(files.length).toBeGreaterThan(0)
  expect(wrong).toEqual([])
})

test('every key of a connector is read somewhere: one that nothing reads is refused, not documented', async () => {
  const unread = (await builtInConnectors()).flatMap(({ manifest, config }) => {
    const files = sources.filter(file => file.startsWith(`connectors/${manifest.id}/`) && roomOf(file) === 'connectors')
    const text = files.map(file => readFileSync(join(root, file), 'utf8')).join('\n')
    // Once in the schema, and at least once more.
    return Object.keys(config.shape)
      .filter(key => [...text.matchAll(new RegExp(`\\b${key}\\b`, 'g'))].length < 2)
      .map(key => `${manifest.id} ${key}`)
  })
  expect(unread).toEqual([])
})

test('generated pages are fresh', () => {
  expect(() => execFileSync(process.execPath, ['scripts/generate.ts', '--check'], { cwd: root, stdio: 'pipe' })).not.toThrow()
})

test('dependencies are pinned exactly', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, Record<string, string>>
  const loose = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap(kind =>
    Object.entries(manifest[kind] ?? {}).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
  )
  expect(loose).toEqual([])
})

describe('documents', () => {
  test('the README prints the two commands of the contract', () => {
    const text = readFileSync(join(root, 'README.md'), 'utf8')
    expect(text).toContain('npm ci && npm run demo')
    expect(text).toContain('npm ci && npm test')
  })

  test('CI runs the test command of the README', () => {
    expect(readFileSync(join(root, '.ci/run'), 'utf8')).toMatch(/^npm ci && npm test$/m)
  })
})
