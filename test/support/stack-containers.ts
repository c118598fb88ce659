import type { Stack } from '../../src/stack/stack.ts'
import {
  brokerProperties,
  KAFKA_IMAGE,
  KAFKA_VERSION,
  kafkaImageVariable,
  REGISTRY_IMAGE,
  REGISTRY_PATH,
} from '../../src/stack/values.ts'
import { REGISTRY_PROPERTIES, REGISTRY_RELEASES, registryImageVariable } from '../../src/stack/values.ts'
import { freePorts } from '../../src/stack/ports.ts'

/**
 * Kafka and registry in containers, for machines with an engine and without Java. Rejects within milliseconds where no engine answers.
 * testcontainers' own reaper removes the containers when we are killed.
 */
export async function startContainers(): Promise<Stack> {
  const { GenericContainer, Wait } = await import('testcontainers')
  // The broker tells clients its own address, so the port outside must be known before it starts.
  const [port = 0] = await freePorts(1)
  const kafka = await new GenericContainer(KAFKA_IMAGE)
    .withExposedPorts({ container: 9092, host: port })
    .withEnvironment({
      ...asVariables(brokerProperties('test'), kafkaImageVariable),
      KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
      KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
      KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
      KAFKA_LOG_DIRS: '/tmp/kafka-logs',
    })
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .start()
  try {
    const registry = await new GenericContainer(REGISTRY_IMAGE)
      .withExposedPorts(8080)
      .withEnvironment(asVariables(REGISTRY_PROPERTIES, registryImageVariable))
      .withWaitStrategy(Wait.forHttp(`${REGISTRY_PATH}/subjects`, 8080))
      .start()
    return {
      brokers: `127.0.0.1:${port}`,
      registry: `http://127.0.0.1:${registry.getMappedPort(8080)}${REGISTRY_PATH}`,
      info: { kafkaVersion: KAFKA_VERSION, registryVersion: REGISTRY_RELEASES[0].version, java: null, how: 'container' },
      failed: new Promise(() => {}),
      stop: async () => {
        await Promise.all([registry.stop(), kafka.stop()])
      },
    }
  } catch (thrown) {
    await kafka.stop()
    throw thrown
  }
}

function asVariables(properties: Readonly<Record<string, string>>, name: (property: string) => string): Record<string, string> {
  return Object.fromEntries(Object.entries(properties).map(([property, value]) => [name(property), value]))
}
