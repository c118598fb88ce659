/**
 * Loaded in front of `src/main.ts` by the npm scripts (`--import`), in plain JavaScript: an older Node cannot even read a TypeScript file, and would say so
 * with a stack trace.
 */
const least = 24
if (Number(process.versions.node.split('.')[0]) < least) {
  const msg = `Colloquy needs Node ${least} or newer, and this is Node ${process.versions.node}: install a newer one, or run npm ci, which brings one along on Linux`
  process.stderr.write(`${JSON.stringify({ level: 'error', time: new Date().toISOString(), code: 'CALL_INVALID', msg })}\n`)
  process.exit(2)
}
