import { scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import type { TargetConfig } from './config.ts'
import { howDelivered } from './difference.ts'

/** 16 MB and some 50 ms of a thread of libuv's pool: it is computed only of targets whose circuit opens. */
const COST = { N: 2 ** 14, r: 8, p: 1 }
const BYTES = 8

/**
 * Returns a digest by which a later start recognises an unchanged target. It is stored in the outbox, and secrets of the target
 * go into it, so it is slow to compute: whoever reads the outbox cannot try out many values for a weak one.
 */
export async function targetHash(name: string, target: TargetConfig, directory: string): Promise<string> {
  const text = JSON.stringify(howDelivered(target, directory))
  const hash = await derive(text, `ultravox-relay target ${name}`, BYTES, COST)
  return hash.toString('hex')
}

const derive = promisify<string, string, number, typeof COST, Buffer>(scrypt)
