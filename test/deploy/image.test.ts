/** The replay of Dockerfile and docker-compose.yml refuses what it does not know, and reads what they say as Docker does. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Addresses, inOrder, readCompose } from '../support/compose.ts'
import { buildImage, ignoredBy, instructionsOf, pathIn } from '../support/image.ts'

const FROM = `FROM node:${process.versions.node.split('.')[0]}.0.0-slim`

function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'colloquy-context-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}

test('instructions go on after a backslash, and comments are left out, also between continued lines', () => {
  expect(instructionsOf('# first\nFROM a\nHEALTHCHECK --retries=3 \\\n# between\n  CMD ["x"]\n\nrun y\n')).toEqual([
    { name: 'FROM', text: 'a' },
    { name: 'HEALTHCHECK', text: '--retries=3    CMD ["x"]' },
    { name: 'RUN', text: 'y' },
  ])
})

test('the last pattern of .dockerignore that matches a path or a folder above it decides', () => {
  const isIgnored = ignoredBy('# all\n*\n!src\n!scripts/scaffold/\nsrc/**/*.log\n')
  const paths = ['README.md', 'src/a/b.ts', 'src/a/b.log', 'scripts/a.ts', 'scripts/scaffold/a/b.ts', 'srcs/a.ts']
  expect(paths.filter(path => !isIgnored(path))).toEqual(['src/a/b.ts', 'scripts/scaffold/a/b.ts'])
})

test('an image holds what its last stage was given, and says how it is started', async () => {
  const dockerfile = `${FROM} AS build
WORKDIR /app
COPY a.txt b.txt ./
COPY src ./src
RUN rm a.txt && rm -rf /app/src/x
${FROM}
ENV MODE=x
WORKDIR /srv
COPY --from=build /app ./all
COPY a.txt other.txt
USER node
EXPOSE 1
HEALTHCHECK --interval=1s CMD ["check"]
ENTRYPOINT ["node", "/srv/all/b.txt"]
CMD ["run"]
`
  const files = { 'a.txt': 'a', 'b.txt': 'b', 'src/c.ts': 'c', 'src/d.log': '', 'src/x/y.ts': '', 'src/deep/e.ts': 'e' }
  const image = await buildImage(folderWith({ ...files, Dockerfile: dockerfile, '.dockerignore': 'src/*.log\nDockerfile' }))
  onTestFinished(() => image.remove())
  const held = readdirSync(image.root, { recursive: true, withFileTypes: true }).filter(each => each.isFile())
  expect(held.map(({ name }) => name).sort()).toEqual(['b.txt', 'c.ts', 'e.ts', 'other.txt'])
  expect(readFileSync(pathIn(image, 'all/src/deep/e.ts'), 'utf8')).toBe('e')
  expect(image).toMatchObject({
    workdir: '/srv',
    entrypoint: ['node', '/srv/all/b.txt'],
    command: ['run'],
    healthcheck: ['check'],
  })
  expect(image.environment).toMatchObject({ MODE: 'x' })
})

test.each([
  ['ARG X=1', 'instruction ARG is not known'],
  ['COPY missing.txt ./', 'missing.txt is missing'],
  ['COPY secret.txt ./', '.dockerignore keeps it out'],
  ['COPY logs ./logs', '.dockerignore keeps all of logs out'],
  ['COPY --chown=node a.txt ./', 'are known'],
  ['COPY --from=other /a ./', 'there is no stage other'],
  ['RUN apt-get install x', 'not known here: apt-get'],
  ['RUN npm ci && curl x', 'not known here: curl'],
  ['RUN rm ../x', 'not known here: its quotes or paths'],
  ['RUN rm gone.txt', 'ended with 1'],
  ['CMD run', 'a list of words is known'],
  ['HEALTHCHECK NONE', 'CMD with a list are known'],
  ['FROM debian:12', 'here runs Node'],
])('%s is refused', async (line, why) => {
  const files = {
    'a.txt': '',
    'secret.txt': '',
    'logs/a.log': '',
    '.dockerignore': 'secret.txt\nlogs/*',
    Dockerfile: `${FROM}\n${line}`,
  }
  await expect(buildImage(folderWith(files))).rejects.toThrow(why)
})

const compose = (services: string, env = '') =>
  readCompose(folderWith({ 'docker-compose.yml': `name: x\nservices:\n${services}\nvolumes: {}`, '.env': env }))

test('.env sets what compose starts and mounts; without it the value after the dash holds', () => {
  const services = "  a: { image: a, profiles: [extra] }\n  b: { image: b, volumes: ['${FILE:-./one}:/x:ro'] }"
  expect([...compose(services).entries()]).toEqual([['b', expect.objectContaining({ volumes: ['./one:/x:ro'] })]])
  const all = compose(services, '# no\nCOMPOSE_PROFILES=extra\nFILE=./two')
  expect([...all.keys()]).toEqual(['a', 'b'])
  expect(all.get('b')?.volumes).toEqual(['./two:/x:ro'])
})

test('keys and forms of compose that are not replayed are refused', () => {
  expect(() => compose('  a: { image: a, network_mode: host }')).toThrow('network_mode')
  expect(() => compose("  a: { image: '${NAME:?}' }")).toThrow('in this form is not known')
})

test('services start after those that they wait for', () => {
  const waits = (name: string) => `{ image: x, depends_on: { ${name}: { condition: service_healthy } } }`
  expect(inOrder(compose(`  a: ${waits('b')}\n  b: ${waits('c')}\n  c: { image: x }`))).toEqual(['c', 'b', 'a'])
  expect(() => inOrder(compose(`  a: ${waits('b')}\n  b: ${waits('a')}`))).toThrow('does not start')
  expect(() => inOrder(compose(`  a: ${waits('gone')}`))).toThrow('a waits for gone')
})

test('addresses are rewritten by the service that names them, and one where nothing listens is an error', () => {
  const addresses = new Addresses()
  addresses.set('web', 80, '127.0.0.1:1080')
  addresses.set('db', 80, '127.0.0.1:2080')
  expect(addresses.rewrite('http://web:80/x db:80 localhost:80 my-web:80 web:sum:80', 'db')).toBe(
    'http://127.0.0.1:1080/x 127.0.0.1:2080 127.0.0.1:2080 my-web:80 web:sum:80',
  )
  expect(() => addresses.rewrite('http://web:81', 'db')).toThrow('nothing listens at web:81')
})
