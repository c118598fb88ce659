/** Flink from Maven Central, as a cluster inside one process. */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Log } from '../../src/log.ts'
import { type Artifact, cacheFolder, fetchMissing } from '../../src/stack/artifacts.ts'
import { type Child, startChild, throwAwayFolder } from '../../src/stack/child.ts'
import { findJavas } from '../../src/stack/java.ts'
import { MAVEN_PLUGIN } from '../../src/stack/values.ts'

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const pom = readFileSync(here('pom.xml'), 'utf8')
/** What Flink 2.2 runs on. */
const JAVAS = [17, 21]
/** Flink and its libraries look into these packages of Java. */
const OPENED = ['java.lang', 'java.net', 'java.nio', 'java.time', 'java.util', 'java.util.concurrent', 'sun.nio.ch']
const LOG4J = `
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %m (%c{1})%n%throwable
rootLogger.level = error
rootLogger.appenderRef.console.ref = console
`

export interface Flink {
  readonly child: Child
  stop(): Promise<void>
}

/** Downloads what is missing (about 200 MB, once) and runs the statements. */
export async function startFlink(sql: string, log: Log): Promise<Flink> {
  const env = process.env
  const cache = cacheFolder(env)
  const flink: Artifact = {
    name: 'Apache Flink',
    path: join(cache, `flink-${createHash('sha256').update(pom).digest('hex').slice(0, 12)}`),
    async fetch(into, { maven }) {
      writeFileSync(join(into, 'pom.xml'), pom)
      await maven([`${MAVEN_PLUGIN}:copy-dependencies`, '-DincludeScope=runtime', `-DoutputDirectory=${join(into, 'lib')}`], into)
    },
  }
  await fetchMissing([flink], { cache, env, log, signal: new AbortController().signal })
  const java = (await findJavas(env)).find(({ major }) => JAVAS.includes(major))
  if (java === undefined) throw new Error(`Flink needs Java ${JAVAS.join(' or ')}, as a JDK`)

  const folder = throwAwayFolder(join(cache, `.flink-${process.pid}`))
  writeFileSync(join(folder.path, 'job.sql'), sql)
  writeFileSync(join(folder.path, 'log4j2.properties'), LOG4J)
  const child = startChild(
    'nice',
    [
      ...['-n', '19', java.bin],
      ...['-Xmx1g', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Djava.io.tmpdir=${folder.path}`],
      ...OPENED.map(name => `--add-opens=java.base/${name}=ALL-UNNAMED`),
      `-Dlog4j2.configurationFile=${join(folder.path, 'log4j2.properties')}`,
      ...['-cp', join(flink.path, 'lib', '*'), here('RunSql.java'), join(folder.path, 'job.sql')],
    ],
    { cwd: folder.path },
  )
  return {
    child,
    async stop() {
      await child.stop(0)
      await folder.remove()
    },
  }
}
