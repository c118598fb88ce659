/** A child of the benchmark: Botmaker's simulator over a long history, without rate limits. Prints its config and what there is to read; asked, tells what it has served. */
import { startBotmakerSimulator, shownAs } from '../connectors/botmaker/simulator.ts'
import { createWorld } from '../src/sim/index.ts'

const DAY_MS = 86_400_000
const sessions = Number(process.argv[2])
const untilMs = Date.now() - 3 * DAY_MS
const days = Math.max(2, Math.ceil(sessions / 3000))
const fromMs = untilMs - days * DAY_MS
const world = createWorld({ seed: 1, sessions, fromMs, untilMs })
const vendor = await startBotmakerSimulator({ world, quirks: { requestsPerSecond: 0 } })

let records = 0
let messages = 0
const view = world.at(Date.now())
for (let index = 0; index < view.count; index++) {
  const conversation = view.conversation(index)
  messages += conversation.messages.length
  records += 1 + conversation.messages.length + conversation.events.filter(event => shownAs(event) !== null).length
}
process.stdout.write(`${JSON.stringify({ config: vendor.config, fromMs, untilMs, sessions: view.count, messages, records })}\n`)
process.on('message', () => process.send?.(vendor.stats()))
process.on('disconnect', () => process.exit(0))
