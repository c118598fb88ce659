import { createServer } from 'node:net'
import { FlowError } from '../errors.ts'

const HOST = '127.0.0.1'

/** Free ports of loopback, all different. Nothing reserves them: another process may have taken one by the time it is bound. */
export async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(Array.from({ length: count }, () => hold(0)))
  const ports = held.map(({ port }) => port)
  await Promise.all(held.map(({ release }) => release()))
  return ports
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1)
  return port
}

/** @throws FlowError `PORT_TAKEN` that names the port and its purpose. */
export async function requireFree(port: number, what: string): Promise<void> {
  try {
    await (await hold(port)).release()
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
    const hint =
      code === 'EACCES'
        ? `port ${port} for ${what} may not be opened by this user; choose one above 1023`
        : `port ${port}, wanted for ${what}, is in use; stop what listens there, or choose another`
    throw new FlowError('PORT_TAKEN', { port, hint }, thrown)
  }
}

function hold(port: number): Promise<{ port: number; release: () => Promise<void> }> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ port, host: HOST, exclusive: true }, () => {
      const address = server.address()
      resolve({
        port: typeof address === 'object' && address !== null ? address.port : port,
        release: () => new Promise(done => server.close(() => done())),
      })
    })
  })
}
