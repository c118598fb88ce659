/** A group member in its own process, to be killed: `member.ts BROKERS GROUP TOPIC SESSION_TIMEOUT_MS`. Prints its assignments. */
import { connectKafka } from '../../src/kafka/client.ts'
import { silentLog } from '../../src/log.ts'

const [brokers = '', groupId = '', topic = '', sessionTimeoutMs = ''] = process.argv.slice(2)
await connectKafka({ brokers: [brokers], clientId: 'member', log: silentLog }).joinGroup({
  groupId,
  topics: [topic],
  sessionTimeoutMs: Number(sessionTimeoutMs),
  onAssigned: async numbers => {
    process.stdout.write(`${JSON.stringify(numbers)}\n`)
  },
  onRevoked: async () => {},
  onLost: error => {
    process.stderr.write(`${error.message}\n`)
  },
})
