/** The seeded world, and the building blocks of vendor simulators. */
export * from './faults.ts'
export * from './model.ts'
export * from './random.ts'
export * from './server.ts'
export * from './simulators.ts'
export * from './traffic.ts'
export * from './world.ts'
export { agentsOf } from './timeline.ts'
