/**
 * The one place for the values of the local stack: versions, broker properties, memory, images. `startStack` reads it, and a test compares `docker-compose.yml`
 * with it, so that the two cannot drift.
 */
import { createHash } from 'node:crypto'

export const KAFKA_VERSION = '4.3.1'
export const KAFKA_IMAGE = `apache/kafka:${KAFKA_VERSION}`
/** Kafka 4 brokers need it; so does the older of the two registries. */
export const OLDEST_JAVA = 17

export const MAVEN_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1'

/** Where in a registry URL the Confluent-compatible API begins. */
export const REGISTRY_PATH = '/apis/ccompat/v7'

/** `test`: small, short-lived, quick to notice timed-out transactions. `demo`: more memory, partition counts of Kafka's own, data may be kept. */
export type Profile = 'test' | 'demo'

export interface RegistryRelease {
  readonly version: string
  readonly oldestJava: number
  /** File inside the unpacked archive that `java -jar` starts. */
  readonly jar: string
  /** System property that sets the address of the H2 database; absent, the data is in memory. */
  readonly databaseProperty: string
  /** Whether it applies the system property for global compatibility. If not, it is set over HTTP once the registry answers (measured). */
  readonly heedsCompatibility: boolean
}

/** Newest first. The only two that can be fetched completely from Maven Central (tried November 2026). */
export const REGISTRY_RELEASES: readonly [RegistryRelease, RegistryRelease] = [
  {
    version: '3.3.3',
    oldestJava: 21,
    jar: 'quarkus-run.jar',
    databaseProperty: 'apicurio.datasource.url',
    heedsCompatibility: true,
  },
  {
    version: '2.6.13.Final',
    oldestJava: 17,
    jar: 'apicurio-registry-app-2.6.13.Final-runner.jar',
    databaseProperty: 'REGISTRY_DATASOURCE_URL',
    heedsCompatibility: false,
  },
]

/** The newest registry that this Java can run; the caller has checked that Java is not older than `OLDEST_JAVA`. */
export function newestRegistryFor(java: { readonly major: number }): RegistryRelease {
  return REGISTRY_RELEASES.find(release => release.oldestJava <= java.major) ?? REGISTRY_RELEASES[1]
}

export const REGISTRY_IMAGE = `apicurio/apicurio-registry:${REGISTRY_RELEASES[0].version}`

export const KAFKA_HEAP_MB: Readonly<Record<Profile, number>> = { test: 256, demo: 512 }
export const REGISTRY_HEAP_MB = 384

/** For every Java process of ours: short-lived or idle most of the time, so start fast and stay small. */
export const JAVA_FLAGS: readonly string[] = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.awt.headless=true']

/** System properties of the registry that are the same wherever it runs; as environment variables for the image. */
export const REGISTRY_PROPERTIES: Readonly<Record<string, string>> = {
  'apicurio.rules.global.compatibility': 'BACKWARD',
  // The pool's minimum size is 20 by default, for one user. The two releases name it differently, and ignore the other's name.
  'apicurio.datasource.jdbc.initial-size': '2',
  'apicurio.datasource.jdbc.min-size': '2',
  'quarkus.datasource.jdbc.initial-size': '2',
  'quarkus.datasource.jdbc.min-size': '2',
  'quarkus.http.access-log.enabled': 'false',
}

/** One node, so every internal topic at one replica; the rest makes it quick and small. */
const BROKER_PROPERTIES: Readonly<Record<string, string>> = {
  'process.roles': 'broker,controller',
  'node.id': '1',
  'controller.listener.names': 'CONTROLLER',
  'inter.broker.listener.name': 'PLAINTEXT',
  'offsets.topic.replication.factor': '1',
  'transaction.state.log.replication.factor': '1',
  'transaction.state.log.min.isr': '1',
  'share.coordinator.state.topic.replication.factor': '1',
  'share.coordinator.state.topic.min.isr': '1',
  'default.replication.factor': '1',
  'min.insync.replicas': '1',
  // Three seconds by default, a delay for every first join of a group.
  'group.initial.rebalance.delay.ms': '0',
  'group.min.session.timeout.ms': '1000',
  // A 128 MB buffer of the heap by default; must stay above 1 MB per cleaner thread.
  'log.cleaner.dedupe.buffer.size': '4194304',
  'log.index.size.max.bytes': '1048576',
  'num.network.threads': '2',
  'num.io.threads': '4',
  'auto.create.topics.enable': 'false',
}

const TEST_PROPERTIES: Readonly<Record<string, string>> = {
  'offsets.topic.num.partitions': '3',
  'transaction.state.log.num.partitions': '3',
  'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
}

/** Broker properties independent of its addresses. */
export function brokerProperties(profile: Profile): Record<string, string> {
  return profile === 'test' ? { ...BROKER_PROPERTIES, ...TEST_PROPERTIES } : { ...BROKER_PROPERTIES }
}

/** The whole of `server.properties` for a broker on loopback. */
export function serverProperties(
  profile: Profile,
  at: { port: number; controllerPort: number; logDir: string },
): Record<string, string> {
  return {
    ...brokerProperties(profile),
    'controller.quorum.voters': `1@127.0.0.1:${at.controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${at.port},CONTROLLER://127.0.0.1:${at.controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${at.port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': at.logDir,
  }
}

/** Java's properties format. A backslash would begin an escape there, so it is doubled; line breaks cannot occur in our values. */
export function renderProperties(properties: Readonly<Record<string, string>>): string {
  return `${Object.entries(properties)
    .map(([key, value]) => `${key}=${value.replaceAll('\\', '\\\\')}`)
    .join('\n')}\n`
}

/** The name under which Kafka's image takes a broker property. */
export function kafkaImageVariable(property: string): string {
  return `KAFKA_${property.replaceAll('_', '__').replaceAll('-', '___').replaceAll('.', '_').toUpperCase()}`
}

/** The name under which Quarkus, and so the registry's image, takes a system property. */
export function registryImageVariable(property: string): string {
  return property.replaceAll(/[^A-Za-z0-9]/g, '_').toUpperCase()
}

/**
 * What Maven collects into Kafka's lib folder. Kafka's own POM leaves its logging out, although the broker uses log4j's classes; a direct slf4j overrides the
 * older transitive one, so that the slf4j 2 binding is right.
 */
export const KAFKA_POM = `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>colloquy</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
${[
  ['org.apache.kafka', 'kafka_2.13', KAFKA_VERSION],
  ['org.slf4j', 'slf4j-api', '2.0.17'],
  ['org.apache.logging.log4j', 'log4j-api', '2.25.3'],
  ['org.apache.logging.log4j', 'log4j-core', '2.25.3'],
  ['org.apache.logging.log4j', 'log4j-slf4j2-impl', '2.25.3'],
]
  .map(([group, artifact, version]) =>
    [
      '    <dependency>',
      `      <groupId>${group}</groupId>`,
      `      <artifactId>${artifact}</artifactId>`,
      `      <version>${version}</version>`,
      '    </dependency>',
    ].join('\n'),
  )
  .join('\n')}
  </dependencies>
</project>
`

/** Name of the cache folder of Kafka: the version, and a digest of everything that decides its content. */
export const KAFKA_FOLDER = `kafka-${KAFKA_VERSION}-${createHash('sha256').update(KAFKA_POM).digest('hex').slice(0, 12)}`

export const KAFKA_LOG4J = `status=warn
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%p %m (%c{1})%n%throwable{3}
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
`
