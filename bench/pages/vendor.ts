/**
 * The page server in a process of its own: `node bench/pages/vendor.ts ROWS [PORT]`. Its last row began an hour ago. Prints where it is and when row 0 began;
 * asked by its parent, tells what it has served. Ends with its parent, or with SIGINT.
 */
import { STEP_MS } from './rows.ts'
import { startPageServer } from './server.ts'

const HOUR_MS = 3_600_000

const [rows = 0, port = 0] = process.argv.slice(2).map(Number)
const fromMs = Date.now() - HOUR_MS - rows * STEP_MS
const server = await startPageServer({ rows, fromMs, port })
process.stdout.write(`${JSON.stringify({ url: server.url, fromMs })}\n`)
process.on('message', () => process.send?.(server.stats()))
process.on('disconnect', () => process.exit(0))
