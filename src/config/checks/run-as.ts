import { findGroup, findUser } from '../accounts.ts'
import type { Draft } from '../draft.ts'
import type { Finding } from '../finding.ts'

/** Users and groups for programs that are not there, or cannot be changed to. */
export function* checkRunAs({ targets }: Draft): Iterable<Finding> {
  for (const [name, target] of targets) {
    if (target.type !== 'exec') continue
    for (const finding of runAsFindings(target)) yield { ...finding, path: ['targets', name, ...finding.path] }
  }
}

function* runAsFindings({ user, group }: { user?: string | undefined; group?: string | undefined }): Iterable<Finding> {
  if (user === undefined && group === undefined) return
  if (process.getuid?.() !== 0) {
    const message =
      'can only be changed to where the relay is started as root: remove it, or run all of it as this user'
    yield { path: [user === undefined ? 'group' : 'user'], message, at: 'key' }
    return
  }
  if (user === undefined) {
    yield { path: ['group'], message: 'alone leaves the program with the rights of root: write user too', at: 'key' }
  } else {
    const found = findUser(user)
    if (found === undefined) yield { path: ['user'], message: noSuch('user') }
    else if (found.gid === null && group === undefined) {
      yield { path: ['user'], message: 'has no entry that tells its group: write group too' }
    }
  }
  if (group !== undefined && findGroup(group) === undefined) yield { path: ['group'], message: noSuch('group') }
}

function noSuch(kind: string): string {
  return `there is no ${kind} of this name on this machine: create it, or write another name or a number`
}
