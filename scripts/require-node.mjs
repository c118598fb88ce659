/**
 * Loaded in front of TypeScript files by the npm scripts (`--import`), in plain JavaScript: an older Node cannot even read a TypeScript file, and would say so
 * with a stack trace.
 */
const least = 24
const { node } = process.versions
if (Number(node.split('.')[0]) < least) {
  const msg = `Colloquy needs Node ${least} or newer, this is v${node}: install a newer one, or run npm ci, which brings one along on Linux`
  process.stderr.write(`${JSON.stringify({ level: 'error', time: new Date().toISOString(), code: 'CALL_INVALID', msg })}\n`)
  process.exit(2)
}
