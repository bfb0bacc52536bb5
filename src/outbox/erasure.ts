/** Erasing what is on record of a call, as somebody may have a right to. */
export interface Eraser {
  /** What there is of a call that can be erased. */
  findErasable(callId: string): Promise<Erasable>

  /**
   * Erases it, in short transactions so that a running daemon need not wait. Unfinished deliveries are cancelled where `cancel`
   * says so; else, if there are any, nothing is erased and `usage` is thrown. The identities of its events stay, and when and
   * how often they were sent. What is erased is overwritten; `logEmptied` is false where an older copy may still be in the WAL,
   * since another program is reading it: calling it again, later, does the rest.
   */
  erase(callId: string, cancel: boolean, now: number): Promise<Erasable & { readonly logEmptied: boolean }>
}

export interface Erasable {
  /** Of the call, and the relay's own about its deliveries, with or without their bodies. */
  readonly eventIds: readonly string[]
  readonly bodies: number
  /** Attempts with what the target said. */
  readonly answers: number
  readonly attachments: number
  /** Kept requests of the call that were refused. */
  readonly rejections: number
  /** Deliveries that need a body that would be erased. */
  readonly unfinished: number
}
