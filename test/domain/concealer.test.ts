import t from 'tap'
import { concealer } from '../../src/domain/concealer.ts'
import { MASK, Secret } from '../../src/domain/secret.ts'

const of = (...texts: string[]) => concealer(texts.map((text) => new Secret(text)))

t.test('a secret is found whole and word by word, in whatever way it is written', async (t) => {
  const odd = `pass"'&<word>\\/% 1`
  const conceal = of(odd, 'Bearer token-1234567')
  t.equal(conceal('got Bearer token-1234567'), `got ${MASK}`)
  t.equal(conceal('got token-1234567'), `got ${MASK}`)
  for (const form of [
    odd,
    JSON.stringify(odd).slice(1, -1),
    JSON.stringify(JSON.stringify(odd)).slice(3, -3),
    encodeURIComponent(odd),
    encodeURIComponent(odd).toLowerCase(),
    new URLSearchParams({ a: odd }).toString().slice(2),
    'pass&quot;&#39;&amp;&lt;word&gt;\\/% 1',
    'pass&#34;&#39;&#38;&#60;word&#62;\\/% 1',
  ]) {
    t.equal(conceal(`a ${form} b`), `a ${MASK} b`, form)
  }
})

t.test('base64 hides nothing, wherever in it a secret begins', async (t) => {
  const conceal = of('token-1234567')
  for (const before of ['', 'a', 'ab', 'abc']) {
    const told = conceal(Buffer.from(`${before}token-1234567 and more`).toString('base64'))
    t.match(told, MASK)
    t.notMatch(Buffer.from(told.replace(MASK, ''), 'base64').toString('latin1'), /token|1234/)
  }
})

t.test('of Basic the user and the password are found as well, together and the password alone', async (t) => {
  const conceal = of(`Basic ${Buffer.from('relay:password-1').toString('base64')}`)
  t.equal(conceal('refused: relay:password-1'), `refused: ${MASK}`)
  t.equal(conceal('refused: password-1'), `refused: ${MASK}`)
})

t.test('of a URL what leads somewhere is secret, the host and words in its path are not', async (t) => {
  const conceal = of(
    'https://crm.internal/webhooks/0123456789abcdefghijkl?token=t%2Fk-12345&n=1',
    'http://me:pass%2Fword@proxy:3128',
  )
  t.equal(conceal('Cannot POST /webhooks/0123456789abcdefghijkl?token=t%2Fk-12345&n=1'), `Cannot POST ${MASK}`)
  t.equal(conceal('Cannot POST /webhooks/0123456789abcdefghijkl'), `Cannot POST /webhooks/${MASK}`)
  const plain = of('https://crm.internal/hooks/call-events.json')
  t.equal(plain('Cannot POST /hooks/call-events.json'), 'Cannot POST /hooks/call-events.json', 'words hide nothing')
  t.equal(conceal('no 0123456789abcdefghijkl in webhooks of crm.internal'), `no ${MASK} in webhooks of crm.internal`)
  t.equal(conceal('t/k-12345 or t%2Fk-12345'), `${MASK} or ${MASK}`)
  t.equal(conceal('pass/word for pass%2Fword'), `${MASK} for ${MASK}`)
})

t.test('half a secret at the end of a long text is one too: it has been cut there', async (t) => {
  const conceal = of('token-1234567-of-some-length')
  const long = 'x'.repeat(200)
  t.equal(conceal(`${long}token-1234567-of`), `${long}${MASK}`)
  t.equal(conceal(`1234567-of-some-length${long}`), `${MASK}${long}`)
  t.equal(conceal(`${long}token-`), `${long}token-`, 'too little of it to be worth anything')
  t.equal(conceal('token-1234567-of'), 'token-1234567-of', 'a short text is whole, and has another word in it')
})

t.test('short pieces stay, and what cannot be had takes nothing out', async (t) => {
  t.equal(of('calls', 'Bearer x')('calls of the Bearer'), 'calls of the Bearer')
  t.equal(concealer([new Secret(undefined)])('any text'), 'any text')
})

t.test('a short value of a reference is taken out where it is not part of a word', async (t) => {
  const conceal = concealer(
    [],
    ['k4y!', 'prod', 'true', 'abc', 'pin 47'].map((text) => new Secret(text)),
  )
  t.equal(conceal('{"key":"k4y!","env":"prod"}'), `{"key":"${MASK}","env":"${MASK}"}`)
  t.equal(conceal('product, approd, true, abc'), 'product, approd, true, abc')
  t.equal(
    conceal('key=k4y!&env=prod&p=pin+47 pin%2047 %22prod%22 \\nprod \\u0022prod'),
    `key=${MASK}&env=${MASK}&p=${MASK} ${MASK} %22${MASK}%22 \\n${MASK} \\u0022${MASK}`,
  )
})
