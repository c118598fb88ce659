/**
 * Three brokers that are controllers too, processes that can be killed, stopped and started again; and a registry, which stays (see `gate.ts` for how it
 * goes away).
 * Clients come by TLS and SASL/SCRAM; the brokers talk to each other without, on a listener that only the harness uses beside them.
 */
import { randomBytes } from 'node:crypto'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectKafka } from '../../src/kafka/client.ts'
import type { Kafka, KafkaOptions } from '../../src/kafka/port.ts'
import { silentLog } from '../../src/log.ts'
import { cacheFolder, fetchMissing, kafkaArtifact, registryArtifact } from '../../src/stack/artifacts.ts'
import { type Child, startChild, throwAwayFolder } from '../../src/stack/child.ts'
import { clusterId } from '../../src/stack/data-folder.ts'
import { newestJava } from '../../src/stack/java.ts'
import { freePorts } from '../../src/stack/ports.ts'
import { javaEnv, registryAnswers, registryArgs } from '../../src/stack/stack.ts'
import {
  brokerProperties,
  JAVA_FLAGS,
  KAFKA_LOG4J,
  newestRegistryFor,
  REGISTRY_PATH,
  renderProperties,
} from '../../src/stack/values.ts'
import { makeCertificates } from './certificates.ts'

const START_MS = 90_000
const USER = 'colloquy'
const NODES = [1, 2, 3] as const
const HEAP = ['-Xms96m', '-Xmx256m'] as const

export type NodeId = (typeof NODES)[number]

export interface Broker {
  readonly id: NodeId
  /** Whether its process is there and runs. */
  readonly up: () => boolean
  kill(): Promise<void>
  /** SIGSTOP: it holds its connections and answers nothing. */
  freeze(): void
  thaw(): void
  /** Starts it again; resolves when it serves again. */
  start(): Promise<void>
}

export interface Cluster {
  readonly brokers: readonly Broker[]
  /** What a config file must say to reach it. */
  readonly config: { readonly brokers: readonly string[]; readonly ssl: { readonly ca: string }; readonly sasl: Login }
  readonly user: string
  /** The same user by each mechanism that the brokers take. */
  readonly logins: readonly Login[]
  /** For librdkafka. */
  readonly librdkafka: Readonly<Record<string, string>>
  /** The registry's own address; ends in `/apis/ccompat/v7`. */
  readonly registry: string
  /** `host:port` of a broker that is up, without TLS: for administrators' requests. */
  adminAddress(): string
  /** How many brokers say of themselves that they serve. */
  serving(): Promise<number>
  /** The last lines of each process, for a report. */
  lastLines(): Record<string, readonly string[]>
  stop(): Promise<void>
}

export interface Login {
  readonly mechanism: 'scram-sha-512' | 'scram-sha-256' | 'plain'
  readonly username: string
  readonly password: string
}

/**
 * @param of.env The harness' own; Java, Maven and the cache are looked up in it.
 * @param of.registry A registry that is there already. Absent: one is started.
 */
export async function startCluster(of: {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly registry?: string
  readonly say: (line: string) => void
}): Promise<Cluster> {
  const { env, say, registry: given } = of
  const signal = AbortSignal.timeout(10 * 60_000)
  const java = await newestJava(env)
  const release = newestRegistryFor(java)
  const cache = cacheFolder(env)
  const [kafka, apicurio] = [kafkaArtifact(cache), registryArtifact(cache, release)]
  await fetchMissing([kafka, apicurio], { cache, env, log: silentLog, signal })

  const scratch = throwAwayFolder(join(tmpdir(), `colloquy-kill-${process.pid}-${randomBytes(4).toString('hex')}`))
  const ports = await freePorts(11)
  const port = (index: number) => ports[index] as number
  const [registryPort, managementPort] = [port(9), port(10)]
  const registry = given ?? `http://127.0.0.1:${registryPort}${REGISTRY_PATH}`
  const login: Login = { mechanism: 'scram-sha-512', username: USER, password: randomBytes(12).toString('hex') }
  const children = new Map<string, Child>()
  let stopping = false

  const startJava = (name: string, args: readonly string[]): Child => {
    const child = startChild(java.bin, [...JAVA_FLAGS, `-Djava.io.tmpdir=${scratch.path}`, ...args], {
      cwd: scratch.path,
      env: javaEnv(env),
    })
    children.set(name, child)
    return child
  }
  const log4j = join(scratch.path, 'log4j2.properties')
  writeFileSync(log4j, KAFKA_LOG4J)
  const onKafka = ['-cp', join(kafka.path, 'lib', '*'), `-Dlog4j2.configurationFile=${log4j}`]

  const listenersOf = (id: NodeId) => {
    const [client, inside, controller] = [port(id * 3 - 3), port(id * 3 - 2), port(id * 3 - 1)]
    return { client: `127.0.0.1:${client}`, inside: `127.0.0.1:${inside}`, controller: `127.0.0.1:${controller}` }
  }
  const voters = NODES.map(id => `${id}@${listenersOf(id).controller}`).join(',')
  const caFile = join(scratch.path, 'ca.pem')
  const keystore = join(scratch.path, 'broker.pem')
  const folderOf = (id: NodeId) => join(scratch.path, `node-${id}`)
  const propertiesFile = (id: NodeId) => join(scratch.path, `server-${id}.properties`)

  function writeProperties(id: NodeId): void {
    const at = listenersOf(id)
    const properties = {
      ...brokerProperties('test'),
      ...REPLICATED,
      'node.id': String(id),
      'controller.quorum.voters': voters,
      listeners: `CLIENT://${at.client},INSIDE://${at.inside},CONTROLLER://${at.controller}`,
      'advertised.listeners': `CLIENT://${at.client},INSIDE://${at.inside}`,
      'listener.security.protocol.map': 'CLIENT:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT',
      'inter.broker.listener.name': 'INSIDE',
      'sasl.enabled.mechanisms': 'SCRAM-SHA-512,SCRAM-SHA-256,PLAIN',
      'listener.name.client.scram-sha-512.sasl.jaas.config': SCRAM_LOGIN,
      'listener.name.client.scram-sha-256.sasl.jaas.config': SCRAM_LOGIN,
      'listener.name.client.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required user_${login.username}="${login.password}";`,
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.location': keystore,
      'log.dirs': folderOf(id),
    }
    writeFileSync(propertiesFile(id), renderProperties(properties))
  }

  async function format(id: NodeId, cluster: string): Promise<void> {
    const scram = ['SCRAM-SHA-512', 'SCRAM-SHA-256'].flatMap(mechanism => [
      '--add-scram',
      `${mechanism}=[name=${login.username},password=${login.password}]`,
    ])
    const format = ['-Xmx128m', ...onKafka, 'kafka.tools.StorageTool', 'format', '-t', cluster, '-c', propertiesFile(id)]
    const tool = startJava(`format ${id}`, [...format, ...scram])
    if ((await tool.exited) !== 0)
      throw new Error(`Kafka's storage could not be formatted: ${tool.lastLines().slice(-5).join(' | ')}`)
    children.delete(`format ${id}`)
  }

  const launch = (id: NodeId) => {
    const child = startJava(`broker ${id}`, [...HEAP, ...onKafka, 'kafka.Kafka', propertiesFile(id)])
    void child.exited.then(code => {
      if (!stopping && code !== 137) say(`broker ${id} ended with ${code}: ${child.lastLines().slice(-3).join(' | ')}`)
    })
  }

  const options = (id: NodeId): KafkaOptions => ({
    brokers: [listenersOf(id).client],
    clientId: 'kill',
    ssl: { ca: ca ?? '' },
    sasl: login,
    log: silentLog,
  })
  let ca: string | null = null

  /** Brokers that are registered and serve, as one of them knows it; 0 when it does not answer. */
  async function servingAsKnownBy(id: NodeId): Promise<number> {
    const client: Kafka = connectKafka(options(id))
    try {
      return (await within(2_000, client.describe())).brokers
    } catch {
      return 0
    } finally {
      void client.close()
    }
  }

  async function answers(id: NodeId): Promise<void> {
    const untilMs = Date.now() + START_MS
    for (;;) {
      const child = children.get(`broker ${id}`)
      if (child?.gone() === true) throw new Error(`broker ${id} did not start: ${child.lastLines().slice(-5).join(' | ')}`)
      if ((await listens(listenersOf(id).client)) && (await servingAsKnownBy(id)) > 0) return
      if (Date.now() > untilMs) throw new Error(`broker ${id} is not ready after ${START_MS / 1000} s`)
      await pause(200)
    }
  }

  const frozen = new Set<NodeId>()
  const childOf = (id: NodeId) => children.get(`broker ${id}`) as Child
  const brokerOf = (id: NodeId): Broker => ({
    id,
    up: () => !frozen.has(id) && !childOf(id).gone(),
    kill: async () => {
      frozen.delete(id)
      await childOf(id).stop(0)
    },
    freeze: () => {
      frozen.add(id)
      childOf(id).signal('STOP')
    },
    thaw: () => {
      frozen.delete(id)
      childOf(id).signal('CONT')
    },
    start: async () => {
      launch(id)
      await answers(id)
    },
  })

  async function stop(): Promise<void> {
    stopping = true
    await Promise.all([...children.values()].map(child => child.stop(0)))
    await scratch.remove()
  }

  try {
    if (given === undefined) startJava('registry', registryArgs({ release, folder: apicurio.path, registryPort, managementPort }))
    const certificates = await makeCertificates()
    ca = certificates.ca
    writeFileSync(caFile, ca)
    writeFileSync(keystore, `${certificates.key.trim()}\n${certificates.chain}`, { mode: 0o600 })
    const id = clusterId()
    for (const node of NODES) writeProperties(node)
    await format(NODES[0], id)
    for (const node of NODES.slice(1)) copyFormat(folderOf(NODES[0]), folderOf(node), node)
    for (const node of NODES) launch(node)
    await Promise.all(NODES.map(answers))
    if (given === undefined) await registryAnswers(registry, release, AbortSignal.timeout(START_MS))
    return {
      brokers: NODES.map(brokerOf),
      config: { brokers: NODES.map(node => listenersOf(node).client), ssl: { ca: caFile }, sasl: login },
      user: USER,
      logins: [login, { ...login, mechanism: 'scram-sha-256' }, { ...login, mechanism: 'plain' }],
      librdkafka: {
        'security.protocol': 'SASL_SSL',
        'ssl.ca.location': caFile,
        'sasl.mechanism': 'SCRAM-SHA-512',
        'sasl.username': login.username,
        'sasl.password': login.password,
      },
      registry,
      adminAddress: () => listenersOf(NODES.find(node => brokerOf(node).up()) ?? 1).inside,
      serving: async () => Math.min(...(await Promise.all(NODES.map(servingAsKnownBy)))),
      lastLines: () => Object.fromEntries([...children].map(([name, child]) => [name, child.lastLines().slice(-15)])),
      stop,
    }
  } catch (thrown) {
    await stop()
    throw thrown
  }
}

/** What the storage tool does takes a Java of its own each time; of the three, the results differ in the two ids of a node alone. */
function copyFormat(from: string, to: string, id: NodeId): void {
  cpSync(from, to, { recursive: true })
  const file = join(to, 'meta.properties')
  const own = { 'node.id': String(id), 'directory.id': randomBytes(16).toString('base64url') }
  const lines = readFileSync(file, 'utf8').split('\n')
  const changed = lines.map(line => {
    const name = line.split('=')[0] ?? ''
    return name in own ? `${name}=${own[name as keyof typeof own]}` : line
  })
  writeFileSync(file, changed.join('\n'))
}

/** A client's connections are dear to a broker that has just begun: it is only asked when it listens. */
function listens(address: string): Promise<boolean> {
  const [host = '', port = ''] = address.split(':')
  return new Promise(resolve => {
    const socket = connect(Number(port), host)
    const done = (is: boolean) => () => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', done(true)).once('error', done(false))
  })
}
const SCRAM_LOGIN = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'

/** Everything on all three, and dead or silent brokers noticed within seconds, so that a round can be short. */
const REPLICATED: Readonly<Record<string, string>> = {
  'offsets.topic.replication.factor': '3',
  'transaction.state.log.replication.factor': '3',
  'transaction.state.log.min.isr': '2',
  'share.coordinator.state.topic.replication.factor': '3',
  'share.coordinator.state.topic.min.isr': '2',
  'default.replication.factor': '3',
  'min.insync.replicas': '2',
  'broker.session.timeout.ms': '3000',
  'broker.heartbeat.interval.ms': '500',
  'auto.leader.rebalance.enable': 'false',
  'replica.lag.time.max.ms': '5000',
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, ms)
  })
}

/** The work's result, or a failure when it takes longer. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  work.catch(() => {})
  return Promise.race([
    work,
    pause(ms).then(() => {
      throw new Error(`no answer within ${ms} ms`)
    }),
  ])
}
