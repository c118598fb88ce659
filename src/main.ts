#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * The binary. The only file that reads argv and the environment.
 *
 * Nothing is imported before the version of Node is known: what an older one cannot load would end in a stack trace. So everything below must be
 * understood by older versions, too.
 */
const LEAST_NODE = 24
const { node } = process.versions

if (Number(node.split('.')[0]) < LEAST_NODE) {
  const msg = `Colloquy needs Node ${LEAST_NODE} or newer, this is v${node}: install a newer one`
  process.stderr.write(`${JSON.stringify({ level: 'error', time: new Date().toISOString(), code: 'CALL_INVALID', msg })}\n`)
  process.exit(2)
}

const { runCli } = await import('./cli/cli.ts')
process.exit(await runCli(process.argv, process.env))
