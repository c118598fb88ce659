import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findJavas, newestJava } from '../../src/stack/java.ts'
import { newestRegistryFor } from '../../src/stack/values.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'colloquy-java-'))
})
afterEach(() => rmSync(root, { recursive: true }))

/** A Java that only says its version, as Java does: on stderr. */
function install(file: string, version: string): string {
  return script(file, `echo 'openjdk version "${version}" 2025-01-01' >&2`)
}

function script(file: string, body: string): string {
  const path = join(root, file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

test('the newest Java decides, wherever it is found', async () => {
  install('home/bin/java', '17.0.15')
  install('path/java', '11.0.2')
  const newest = install('jvm/temurin/bin/java', '25.0.3')
  install('mac/zulu.jdk/Contents/Home/bin/java', '21.0.1')
  const env = { JAVA_HOME: join(root, 'home'), PATH: join(root, 'path') }
  const folders = [join(root, 'jvm'), join(root, 'mac')]

  expect((await findJavas(env, folders)).map(java => java.major)).toEqual([17, 11, 25, 21])
  expect(await newestJava(env, folders)).toEqual({ bin: newest, version: '25.0.3', major: 25 })
})

test('of two equally new, JAVA_HOME comes before the path', async () => {
  const home = install('home/bin/java', '21.0.1')
  install('path/java', '21.0.9')
  expect((await newestJava({ JAVA_HOME: join(root, 'home'), PATH: join(root, 'path') }, [])).bin).toBe(home)
})

test('a binary under two names is run once', async () => {
  const real = install('jvm/java-17/bin/java', '17.0.15')
  mkdirSync(join(root, 'path'))
  symlinkSync(real, join(root, 'path', 'java'))
  expect(await findJavas({ PATH: join(root, 'path') }, [join(root, 'jvm')])).toHaveLength(1)
})

test('a java that is there but does not run is passed over', async () => {
  script('path/java', 'echo "Unable to locate a Java Runtime." >&2; exit 1')
  const works = install('jvm/java-17/bin/java', '17.0.15')
  expect((await newestJava({ PATH: join(root, 'path') }, [join(root, 'jvm')])).bin).toBe(works)
})

test('no Java is one clear error, and so is one that is too old', async () => {
  await expect(newestJava({}, [join(root, 'jvm')])).rejects.toMatchObject({
    code: 'STACK_TOOL_MISSING',
    message: expect.stringMatching(/no Java was found .* install Java 17 or newer/),
  })
  install('path/java', '1.8.0_402')
  await expect(newestJava({ PATH: join(root, 'path') }, [])).rejects.toMatchObject({
    code: 'STACK_TOOL_MISSING',
    message: expect.stringContaining('the newest Java found is 1.8.0_402; install Java 17 or newer'),
  })
})

test('Java 21 or newer runs the newer registry, Java 17 to 20 the older', () => {
  const versions = [17, 20, 21, 25].map(major => newestRegistryFor({ major }).version)
  expect(versions).toEqual(['2.6.13.Final', '2.6.13.Final', '3.3.3', '3.3.3'])
})
