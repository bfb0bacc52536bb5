import type { Status } from '../documents/status.ts'

/** What `--exit-code` makes of a status: 0 healthy, 1 something needs an operator, 4 no relay is running. */
export interface Health {
  readonly exitCode: 0 | 1 | 4
  /** One short sentence each; empty where all is well. */
  readonly problems: readonly string[]
}

export function healthOf({ outbox, daemon, config, hold }: Status): Health {
  const problems = [
    ...(daemon?.running === true ? [] : ['no relay is running']),
    ...(daemon?.reloadProblem == null ? [] : ['the last reload was rejected']),
    ...(hold === null ? [] : ['the clock of this machine is in doubt']),
    ...outbox.targets.flatMap(({ target, dead, held, pending, breaker }) => [
      ...(target in config.targets || pending === 0
        ? []
        : [`${pending} deliveries wait for ${target}, which is not configured`]),
      ...(dead === 0 ? [] : [`${dead} ${dead === 1 ? 'delivery' : 'deliveries'} to ${target} dead`]),
      ...(held === 0 ? [] : [`${held} ${held === 1 ? 'delivery' : 'deliveries'} to ${target} held`]),
      ...(breaker === null ? [] : [`the circuit of ${target} is open`]),
    ]),
  ]
  if (daemon?.running !== true) return { exitCode: 4, problems }
  return { exitCode: problems.length === 0 ? 0 : 1, problems }
}
