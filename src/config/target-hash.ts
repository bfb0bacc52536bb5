import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import type { TargetConfig } from './config.ts'
import { howDelivered } from './difference.ts'

/** Takes 16 MB and some 50 ms of a thread of libuv's pool. Only targets whose circuit opens need one. */
const COST = { N: 2 ** 14, r: 8, p: 1 }
const BYTES = 8

/**
 * Returns a digest, in hex, by which a later start recognises a target that has not changed. Throws where a secret is missing.
 * The outbox stores the digest, and the target's secrets are part of its input. It is slow to compute, so that a reader of the
 * outbox cannot try many values for a weak secret.
 */
export async function targetHash(name: string, target: TargetConfig, directory: string): Promise<string> {
  const text = JSON.stringify(howDelivered(target, directory))
  const hash = await derive(text, `ultravox-relay target ${name}`, BYTES, COST)
  return hash.toString('hex')
}

const derive = promisify<string, string, number, typeof COST, Buffer>(scrypt)
