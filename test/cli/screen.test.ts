import t from 'tap'
import { screenful } from '../../src/cli/screen.ts'

t.test('a screenful replaces what was there, line by line', async (t) => {
  t.equal(screenful('one\n\ntwo\n', 10), '\u001b[H\u001b[?7lone\u001b[K\n\u001b[K\ntwo\u001b[K\n\u001b[?7h\u001b[J')
})

t.test('what the terminal has no room for is counted', async (t) => {
  t.equal(
    screenful('1\n2\n3\n', 4),
    '\u001b[H\u001b[?7l1\u001b[K\n2\u001b[K\n3\u001b[K\n\u001b[?7h\u001b[J',
    'it just fits',
  )
  t.equal(
    screenful('1\n2\n3\n4\n', 4),
    '\u001b[H\u001b[?7l1\u001b[K\n2\u001b[K\n… 2 more lines\u001b[K\n\u001b[?7h\u001b[J',
  )
})
