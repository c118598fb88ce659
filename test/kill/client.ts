/** The Kafka client of a process under test: the product's, with named points in the lives of writers, readers to the end and group members. */
import { connectKafka as connect } from '../../src/kafka/client.ts'
import type { Kafka, KafkaOptions, Writer } from '../../src/kafka/port.ts'
import { type KafkaPoint, reach } from './points.ts'

const at = (point: KafkaPoint) => reach(point)

export function connectKafka(options: KafkaOptions): Kafka {
  const kafka = connect(options)
  return {
    ...kafka,
    openWriter: writerOptions => pointed(kafka.openWriter(writerOptions)),
    readToEnd: async (place, onRecord, signal) => {
      at('in restore')
      const next = await kafka.readToEnd(
        place,
        record => {
          at('in restore')
          onRecord(record)
        },
        signal,
      )
      at('after restore')
      return next
    },
    joinGroup: groupOptions =>
      kafka.joinGroup({
        ...groupOptions,
        onAssigned: partitions => {
          at('assigned')
          return groupOptions.onAssigned(partitions)
        },
        onRevoked: partitions => {
          at('revoked')
          return groupOptions.onRevoked(partitions)
        },
      }),
    joinMembers: async memberOptions => {
      const membership = await kafka.joinMembers({
        ...memberOptions,
        onAssignment: (data, of) => {
          at('assigned')
          memberOptions.onAssignment(data, of)
        },
      })
      return {
        ...membership,
        // What it no longer has was stopped.
        rejoin: () => {
          at('revoked')
          membership.rejoin()
        },
      }
    },
  }
}

function pointed(writer: Writer): Writer {
  return {
    transactionalId: writer.transactionalId,
    fence: async () => {
      at('before fence')
      await writer.fence()
      at('after fence')
    },
    transact: async work => {
      const result = await writer.transact(async tx => {
        const done = await work({
          write: async batches => {
            at('before send')
            const written = await tx.write(batches)
            at('after send')
            return written
          },
          commitGroupOffsets: (groupId, offsets) => tx.commitGroupOffsets(groupId, offsets),
        })
        at('in commit')
        return done
      })
      at('after commit')
      return result
    },
    close: async () => {
      at('in close')
      await writer.close()
    },
  }
}
