import t from 'tap'
import { noVerification } from '../../src/sources/none.ts'
import { verify } from '../../src/sources/scheme.ts'
import { signedRequest } from './signed-request.ts'

t.test('the scheme none takes whatever anyone sends, and has no headers to keep', async (t) => {
  for (const body of ['', '{}', '\0']) {
    t.same(verify(noVerification, signedRequest(Buffer.from(body), [], []), 0), { genuine: true, signedWith: [] })
  }
  t.same(noVerification.evidence, [])
})
