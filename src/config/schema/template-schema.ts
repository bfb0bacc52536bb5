import * as z from 'zod'

/** Keys of targets whose content can have templates. */
export const templating = {
  nulls: z
    .enum(['absent', 'kept'])
    .prefault('absent')
    .meta({
      description:
        'Whether templates see fields that are null. Ultravox sends null for what a call does not have, and most JSONata ' +
        'functions fail on null. absent: they are missing; payload still has them, as in {{payload.call.joined}}. kept: as received.',
    }),
}
