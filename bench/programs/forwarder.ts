import { Agent, request } from 'undici'
import { verifyingApp } from './verifying-app.ts'

/**
 * It verifies, answers, and sends the event on from memory, to each of the URLs in its further arguments. Nothing is stored, and
 * nothing is tried again. Its first argument is a port, its second a secret.
 */
const [, , port, secret, ...urls] = process.argv
const dispatcher = new Agent({ connections: 32 })

async function forward(url: string, body: Buffer): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await request(url, { method: 'POST', headers, body, dispatcher })
  await answer.body.dump()
}

const app = verifyingApp(secret!, (body) => {
  for (const url of urls) void forward(url, body)
  return null
})
await app.listen({ host: '127.0.0.1', port: Number(port) })
console.log('ready')
