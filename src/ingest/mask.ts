/**
 * What leaves of personal data. Until a connector's `pii.rules` are read here, records go out as the vendor gives them; the stage stands so that
 * nothing published can pass by it: every record, and every row that goes to rejects.
 */
import type { Draft } from '../source/contract.ts'

export interface Mask {
  record(draft: Draft): Draft
  /** A vendor's row on its way to rejects. Never changes the row itself. */
  row(raw: unknown): unknown
}

export const asGiven: Mask = { record: draft => draft, row: raw => raw }
