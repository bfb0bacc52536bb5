import { isDeepStrictEqual } from 'node:util'
import { Secret } from '../domain/secret.ts'
import type { Config, TargetConfig } from './config.ts'

/** Keys that are written otherwise in `relay.yaml`, besides those that only lack their unit there. */
const WRITTEN: Readonly<Record<string, string>> = { holdOnDead: 'onDead', runAs: 'user' }

/** Repeats what the other keys of a target hold. */
const DERIVED = 'referenced'

/** Whether two pieces of configuration are the same, their secrets included. */
export function sameConfig(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(revealed(a), revealed(b))
}

/**
 * What another configuration changes, by name and without any value: `targets.ops added`,
 * `targets.crm changed: timeout, headers`, `routes changed`.
 */
export function differences(before: Config, after: Config): string[] {
  return [
    ...changedIn('server', before.server, after.server),
    ...changedIn('outbox', before.outbox, after.outbox),
    ...changedIn('delivery', before.delivery, after.delivery),
    ...membersOf('sources', before.sources, after.sources),
    ...membersOf('targets', before.targets, after.targets),
    ...(sameConfig(before.routes, after.routes) ? [] : ['routes changed']),
    ...accountsChanged(before.ultravox, after.ultravox),
    ...changedIn('log', before.log, after.log),
    ...changedIn('admin', before.admin ?? {}, after.admin ?? {}),
    ...changedIn('tracing', before.tracing ?? {}, after.tracing ?? {}),
  ]
}

/** A configuration as far as a running relay can take it over, and what of it takes a restart. */
export function withoutRestart(before: Config, next: Config): { config: Config; needsRestart: string[] } {
  const { listen, tls } = before.server
  // One socket for the life of the relay speaks either HTTP or HTTPS; its certificate may be another.
  const speaksTheSame = (tls === null) === (next.server.tls === null)
  const { path } = before.outbox
  const needsRestart = [
    ...(sameConfig(listen, next.server.listen) ? [] : ['server.listen']),
    ...(speaksTheSame ? [] : ['server.tls']),
    ...(path === next.outbox.path ? [] : ['outbox.path']),
    ...(sameConfig(before.tracing, next.tracing) ? [] : ['tracing']),
  ]
  const config = {
    ...next,
    server: { ...next.server, listen, ...(!speaksTheSame && { tls }) },
    outbox: { ...next.outbox, path },
    tracing: before.tracing,
  }
  return { config, needsRestart }
}

/** Whether deliveries to a target are made the same way. Whether any are made (`paused`) is another matter. */
export function sameTarget(before: Config, after: Config, name: string): boolean {
  const [was, is] = [ownOf(before.targets, name), ownOf(after.targets, name)]
  if (was === undefined || is === undefined) return false
  return isDeepStrictEqual(howDelivered(was, before.directory), howDelivered(is, after.directory))
}

/** All that bears on how deliveries to a target are made, with its secrets revealed. */
export function howDelivered(target: TargetConfig, directory: string): unknown {
  const { referenced: _, ...rest } = target
  return revealed([directory, { ...rest, paused: false }])
}

function membersOf(section: string, before: Record<string, object>, after: Record<string, object>): string[] {
  return keysOf(before, after).flatMap((name) => {
    const [was, is] = [ownOf(before, name), ownOf(after, name)]
    if (was === undefined) return [`${section}.${name} added`]
    if (is === undefined) return [`${section}.${name} removed`]
    return changedIn(`${section}.${name}`, was, is)
  })
}

function accountsChanged(before: Config['ultravox'], after: Config['ultravox']): string[] {
  if (before.length <= 1 && after.length <= 1) return changedIn('ultravox', before[0] ?? {}, after[0] ?? {})
  const byName = (accounts: Config['ultravox']) => Object.fromEntries(accounts.map((each) => [each.account, each]))
  return membersOf('ultravox', byName(before), byName(after))
}

function changedIn(name: string, before: object, after: object): string[] {
  const [was, is] = [before as Record<string, unknown>, after as Record<string, unknown>]
  const changed = keysOf(was, is).filter((key) => key !== DERIVED && !sameConfig(was[key], is[key]))
  return changed.length === 0 ? [] : [`${name} changed: ${changed.map(written).join(', ')}`]
}

function written(key: string): string {
  return WRITTEN[key] ?? key.replace(/(Ms|Bytes)$/, '')
}

function keysOf(a: object, b: object): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])]
}

function ownOf<T>(from: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(from, name) ? from[name] : undefined
}

function revealed(value: unknown): unknown {
  if (value instanceof Secret) return ['secret', value.reveal()]
  if (Array.isArray(value)) return value.map(revealed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, revealed(item)]))
}
