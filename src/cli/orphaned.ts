import type { Reload } from '../operations/reload.ts'
import { counted } from './printing.ts'

/** Says what is left of a target that is not configured, such as `is not configured, and 2 deliveries wait for it`. */
export function orphanedText({ pending, dead }: Omit<Reload['orphaned'][number], 'target'>): string {
  const waiting =
    pending === 0 ? '' : `, and ${counted(pending, 'delivery')} ${pending === 1 ? 'waits' : 'wait'} for it`
  return `is not configured${waiting}${dead === 0 ? '' : `, ${dead} dead`}`
}

/** The commands that end it. */
export function orphanedAdvice(target: string): string {
  return `deliveries move --target ${target} --to NEW, or: deliveries cancel --target ${target}`
}
